"""What a table's key is need not be said where anything tells it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "merge"))
from diffed_lake import KEY
from increments import HOUR, START, TABLE_ARN, TABLE_ID, change, write_increment
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.core.diff import diff_snapshots, find_key, find_pair
from airflow_provider_ddbexport.core.exporting.point_in_time import TableIdentity
from airflow_provider_ddbexport.core.merge import Increment, merge_increments
from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import AccessError, BadCallError, ServiceError

BY_NAME = ("Book", "User")


def nobody(arn: str) -> TableIdentity:
    raise AssertionError(f"DynamoDB was asked about {arn}")


def lake_of_full_exports(folder: Path, *hours: int) -> LocalStore:
    """Return a lake with a snapshot of two items at each of *hours*."""
    lake = LocalStore(folder / "lake")
    for hour in hours:
        root, export = write_export(folder / f"full {hour}", reviews(2), as_of=START + hour * HOUR, number=hour)
        convert_export(root, export, lake)
    return lake


def increment(folder: Path, window: int, *, is_empty: bool = False) -> Increment:
    """Return the increment of that hour, which deletes the first item, and brings it back, in turn."""
    item = reviews(1)[0]
    images = (None, item) if window % 2 else (item, None)
    lines = [] if is_empty else [change(window, {name: item[name] for name in KEY}, *images)]
    export = write_increment(folder, lines, window=window)
    return Increment(LocalStore(folder / "AWSDynamoDB"), export)


def test_a_merged_snapshot_tells_the_key_and_hands_it_on(tmp_path: Path) -> None:
    """As the increments told it, also where a later one holds no changes; a full export tells none."""
    lake = lake_of_full_exports(tmp_path, 0)
    for window in (0, 1):
        merge_increments([increment(tmp_path, window, is_empty=window == 1)], lake, table="reviews")
    store = lake.child("reviews")
    assert [record.source.keys for record in Ledger(store).records()] == [(), BY_NAME, BY_NAME]
    for old in (START, START + HOUR):
        assert find_key(store, find_pair(store, "reviews", old), (), nobody) == BY_NAME
    pair = find_pair(store, "reviews", START)
    found, reversed_too = (diff_snapshots(store, pair, key=key) for key in (BY_NAME, KEY))
    assert (found.key, found.digest) == (reversed_too.key, reversed_too.digest)
    assert (found.counts.removed, found.counts.unchanged) == (1, 1)


def test_increments_that_are_given_tell_the_key(tmp_path: Path) -> None:
    """Between two full exports, one without changes among them."""
    store = lake_of_full_exports(tmp_path, 0, 2).child("reviews")
    given = [increment(tmp_path, 0, is_empty=True), increment(tmp_path, 1)]
    assert find_key(store, find_pair(store, "reviews"), given, nobody) == BY_NAME


def test_full_exports_leave_it_to_dynamodb(tmp_path: Path) -> None:
    """Which is believed of the very table only."""
    store = lake_of_full_exports(tmp_path, 0, 1).child("reviews")
    pair = find_pair(store, "reviews")
    assert find_key(store, pair, (), lambda arn: TableIdentity(arn, TABLE_ID, KEY)) == BY_NAME
    with pytest.raises(BadCallError, match=rf"{TABLE_ARN} was deleted and made again since.*\(--key, keys=\)"):
        find_key(store, pair, (), lambda arn: TableIdentity(arn, "another", ("Id",)))


def test_other_snapshots_of_the_table_tell_where_dynamodb_cannot(tmp_path: Path) -> None:
    """Where nothing tells, the error says what to give; where the service may answer later, it is the service's."""
    lake = lake_of_full_exports(tmp_path, 0, 2)
    store = lake.child("reviews")
    pair = find_pair(store, "reviews")
    denied, lost = (
        AccessError("not allowed", code="AccessDeniedException"),
        ServiceError("lost", code="ReadTimeoutError"),
    )

    def failing(error: ServiceError) -> tuple[str, ...]:
        def ask(arn: str) -> TableIdentity:
            assert arn == TABLE_ARN
            raise error

        return find_key(store, pair, (), ask)

    with pytest.raises(BadCallError, match="not allowed"):
        failing(denied)
    with pytest.raises(ServiceError, match=r"lost; it need not be asked where the key is given \(--key, keys=\)"):
        failing(lost)
    merge_increments([increment(tmp_path, 2)], lake, table="reviews")
    assert failing(denied) == failing(lost) == BY_NAME
    assert find_key(store, pair, (), lambda arn: TableIdentity(arn, "another", ("Id",))) == BY_NAME
