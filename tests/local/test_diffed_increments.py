"""What changed between two snapshots, as the increments between them tell it."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from orders_table import BUCKET, Orders

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "diff"))
from diffed_lake import expected_changes, told_changes, without_keys

from airflow_provider_ddbexport.core.diff import (
    DiffRecord,
    Pair,
    diff_snapshots,
    find_pair,
    known_increments,
    read_increment,
)
from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.exporting.point_in_time import is_filtered
from airflow_provider_ddbexport.core.merge.compact import Increment
from airflow_provider_ddbexport.core.merge.merge import merge_increments
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore, open_store
from airflow_provider_ddbexport.errors import BadCallError, ExportChainError

WINDOWS = 3


@dataclass
class Days:
    """A table that was written at random for some windows, and all there is of it.

    Attributes:
        moments: where windows begin and end.
        items: of the table at each moment.
        increments: address of the increment from each moment to the next.
    """

    orders: Orders
    lake: LocalStore
    moments: list[datetime]
    items: list[list[dict[str, Any]]]
    increments: list[str]

    def open(self, uri: str) -> Any:
        return open_store(uri, s3=self.orders.s3)

    def pair(self, first: int, last: int) -> Pair:
        return find_pair(self.lake.child("orders"), "orders", self.moments[first], self.moments[last])

    def diff(
        self, pair: Pair, sources: Sequence[str], output: LocalStore | None = None, **arguments: Any
    ) -> DiffRecord:
        increments = [read_increment(source, self.open) for source in sources]
        return diff_snapshots(
            self.lake.child("orders"), pair, **{"key": ["pk"], "increments": increments, "output": output, **arguments}
        )


def address(made: dict[str, Any]) -> str:
    return f"s3://{BUCKET}/AWSDynamoDB/{made['ExportArn'].rpartition('/')[2]}"


def publish(orders: Orders, lake: LocalStore, made: dict[str, Any]) -> None:
    root = open_store(f"s3://{BUCKET}/AWSDynamoDB", s3=orders.s3)
    convert_export(root, read_export(root, made["ExportArn"].rpartition("/")[2]), lake)


@pytest.fixture
def days(orders: Orders, tmp_path: Path) -> Days:
    """Three windows of writes, with a snapshot at each end."""
    chance = random.Random(11)
    orders.create()
    for number in range(12):
        orders.put(f"k{number}", n={"N": "0"})
    lake = LocalStore(tmp_path / "lake")
    moments = [orders.later(hours=1)]
    for window in range(WINDOWS):
        for step in range(25):
            orders.later(seconds=40)
            pk = f"k{chance.randrange(18)}"
            kind = chance.random()
            if kind < 0.3:
                orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": pk}})
            else:
                value = {"N": f"{window}.{step}"} if kind < 0.8 else {"SS": ["a", pk]} if kind < 0.9 else {"N": "0.0"}
                orders.put(pk, n=value, **({"late": {"BOOL": True}} if window else {}))
        moments.append(orders.later(minutes=20))
    orders.later(hours=1)
    exports = [orders.export(ExportTime=moment) for moment in moments]
    for made in exports:
        publish(orders, lake, made)
    items = [[line["Item"] for line in orders.lines(made)] for made in exports]
    increments = [address(orders.increment(*moments[window : window + 2])) for window in range(WINDOWS)]
    return Days(orders, lake, moments, items, increments)


def test_increments_tell_what_the_snapshots_tell(days: Days, tmp_path: Path) -> None:
    """For every span, in any order of delivery and with one delivered twice; neither snapshot is read."""
    kinds = set()
    for first in range(WINDOWS):
        for last in range(first + 1, WINDOWS + 1):
            pair = days.pair(first, last)
            sources = [*reversed(days.increments[first:last]), days.increments[first]]
            expected = without_keys(expected_changes(days.items[first], days.items[last], ["pk"]))
            kinds |= {kind for kind, *_ in expected}
            told = []
            for given in (sources, ()):
                output = LocalStore(tmp_path / f"{first}-{last}-{len(given)}")
                record = days.diff(pair, given, output)
                assert told_changes(output, record) == expected
                told.append(record)
            increments, join = told
            assert (increments.counts, increments.digest) == (join.counts, join.digest)
            assert (increments.method, join.method) == ("increments", "key join")
            assert len(increments.increments) == last - first
    assert kinds == {"added", "changed", "removed"}
    for path in days.lake.root.rglob("*.parquet"):
        path.unlink()
    assert days.diff(days.pair(0, WINDOWS), days.increments).counts == join_of(days, tmp_path).counts


def join_of(days: Days, folder: Path) -> DiffRecord:
    """Return the diff of the whole time that was made from the snapshots."""
    return days.diff(days.pair(0, WINDOWS), (), LocalStore(folder / f"0-{WINDOWS}-0"))


def test_a_merged_snapshot_knows_the_increments_it_was_made_of(days: Days, tmp_path: Path) -> None:
    """They are found in its record while they are there; they, and the snapshots, tell what full exports do."""
    lake = LocalStore(tmp_path / "merged")
    publish(days.orders, lake, days.orders.export(ExportTime=days.moments[0]))
    for window in range(WINDOWS):
        merge_increments([read_increment(days.increments[window], days.open)], lake, table="orders")
    store = lake.child("orders")
    first, last = days.moments[0], days.moments[-1]
    for begin, known in ((0, WINDOWS), (1, WINDOWS - 1)):
        pair = find_pair(store, "orders", days.moments[begin], last)
        known_ones = known_increments(pair.old, pair.new, days.open)
        assert known_ones.why_not is None
        increments = known_ones.increments
        assert [address_of(one) for one in increments] == days.increments[WINDOWS - known :]
        expected = without_keys(expected_changes(days.items[begin], days.items[WINDOWS], ["pk"]))
        for number, given in enumerate((increments, [])):
            output = LocalStore(tmp_path / f"{begin} {number}")
            record = diff_snapshots(store, pair, key=["pk"], increments=given, output=output)
            assert told_changes(output, record) == expected

    full = days.pair(0, WINDOWS)
    none = known_increments(full.old, full.new, days.open)
    assert none.increments == ()
    assert "was not made of the earlier one by a merge" in str(none.why_not)
    pair = find_pair(store, "orders", first, last)
    between_seconds = replace(pair.old, as_of=pair.old.as_of + timedelta(milliseconds=622))
    none = known_increments(between_seconds, pair.new, days.open)
    assert none.increments == ()
    assert "expected the changes of table id" in str(none.why_not)
    days.orders.s3.delete_object(Bucket=BUCKET, Key=f"{days.increments[1].split('/', 3)[3]}/manifest-summary.json")
    none = known_increments(pair.old, pair.new, days.open)
    assert none.increments == ()
    assert "manifest-summary.json" in str(none.why_not)


def address_of(increment: Increment) -> str:
    return increment.export.source


def test_increments_that_do_not_tell_the_difference_are_refused(days: Days) -> None:
    """A gap, another span, another key, new images only, a scan, another table, other snapshots: with the way out."""
    pair = days.pair(0, WINDOWS)
    with pytest.raises(ExportChainError, match="nothing tells what was written"):
        days.diff(pair, [days.increments[0], days.increments[2]])
    with pytest.raises(ExportChainError, match="nothing tells what was written"):
        days.diff(pair, days.increments[1:])
    with pytest.raises(BadCallError, match=r"expected the changes .* compare the snapshots themselves"):
        days.diff(pair, days.increments[:2])
    with pytest.raises(BadCallError, match="of a table with the key 'pk', found 'n'"):
        days.diff(pair, days.increments, key=["n"])
    some = days.orders.increment(*days.moments[1:3], FilterSpecification={"FilterExpression": "attribute_exists(late)"})
    given = [days.increments[0], address(some), days.increments[2]]
    with pytest.raises(BadCallError, match=rf"{some['ExportArn'][-8:]}: the increment was exported with a filter"):
        days.diff(pair, given, is_filtered=partial(is_filtered, days.orders.dynamodb))
    with pytest.raises(BadCallError, match="they are not what lies between"):
        days.diff(Pair(replace(pair.old, rows=pair.old.rows + 1), pair.new), days.increments)
    scanned = replace(pair.old, source=replace(pair.old.source, export_type="SCAN"))
    with pytest.raises(BadCallError, match="comes from a scan"):
        days.diff(Pair(scanned, pair.new), days.increments)
    sooner = replace(pair.old, as_of=pair.old.as_of + timedelta(milliseconds=7))
    with pytest.raises(BadCallError, match="expected the changes"):
        days.diff(Pair(sooner, pair.new), days.increments)
    anew = replace(pair.new, source=replace(pair.new.source, table_id="another"))
    with pytest.raises(BadCallError, match="a snapshot of table id another"):
        days.diff(Pair(pair.old, anew), days.increments)
    only_new = address(days.orders.increment(days.moments[0], days.moments[1], "NEW_IMAGE"))
    with pytest.raises(BadCallError, match="new images only"):
        days.diff(days.pair(0, 1), [only_new])
