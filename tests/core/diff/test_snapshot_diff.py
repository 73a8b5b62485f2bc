"""What changed between two snapshots, by joining them by key."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from diffed_lake import KEY, NEW, OLD, expected_changes, lake_of, told_changes, without_keys
from generated_items import numbers, texts, values
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.diff import Counts, diff_snapshots, find_pair, key_join
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, SnapshotNotFoundError

ATTRIBUTES = ["x", "M", "p/q", "größe", "S"]
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, values))
key_values = st.one_of(
    numbers.map(lambda number: {"N": number}), texts.map(lambda text: {"S": text}), st.just({"B": "AAE="})
)
keys = st.fixed_dictionaries({"User": key_values, "Book": texts.map(lambda text: {"S": text})})


@st.composite
def two_days(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Items of yesterday and of today: some as they were, some written otherwise, some changed, removed, added."""
    found = draw(st.lists(st.tuples(keys, bodies), max_size=8, unique_by=lambda entry: key_bytes(entry[0], KEY)))
    old: list[Item] = []
    new: list[Item] = []
    for key, body in found:
        fate = draw(st.sampled_from(["same", "respelled", "respelled", "changed", "removed", "added"]))
        if fate != "added":
            old.append({**key, **body})
        if fate != "removed":
            after = draw(bodies) if fate == "changed" else body
            new.append({**key, **(respelled(after) if fate == "respelled" else after)})
    return old, draw(st.permutations(new))


def respelled(value: Any) -> Any:
    """Return an item, or one of its values, that is the same and written otherwise."""
    if isinstance(value, list):
        return [respelled(element) for element in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "N" and isinstance(content, str):
            return {"N": respelled_number(content)}
        if kind == "NS" and isinstance(content, list):
            return {"NS": [respelled_number(number) for number in reversed(content)]}
        if kind in ("SS", "BS") and isinstance(content, list):
            return {kind: content[::-1]}
    return {name: respelled(content) for name, content in reversed(value.items())}


def respelled_number(text: str) -> str:
    return f"{text}E+0" if "E" not in text.upper() else f"{text.upper().replace('E', '0E' if '.' in text else '.0E')}"


@pytest.fixture(params=["in memory", "through buckets"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run everything again with rows dealt as often as they can be."""
    if request.param == "through buckets":
        monkeypatch.setattr(key_join, "HELD_BYTES", 0)
    return str(request.param)


@settings(max_examples=12, database=None, suppress_health_check=list(HealthCheck))
@given(
    days=two_days(),
    options=st.builds(
        ColumnOptions,
        numbers=st.sampled_from(["auto", "double", "string", "decimal(10,2)"]),
        nested=st.sampled_from(["struct", "flatten", "json"]),
        partition_by=st.sampled_from([(), ("User",), ("Book",)]),
    ),
)
def test_the_changes_are_those_a_dictionary_tells(
    held: str, days: tuple[list[Item], list[Item]], options: ColumnOptions
) -> None:
    """Whatever the items, the columns of either day and what was rescued: nothing is missed, nothing invented."""
    old, new = days
    expected = expected_changes(old, new)
    with tempfile.TemporaryDirectory() as name:
        output = LocalStore(Path(name) / "changes")
        try:
            lake = lake_of(Path(name), old, new, options, rows_per_part=3)
        except BadCallError:
            assume(False)
        record = diff_snapshots(
            lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=KEY, output=output
        )
        assert told_changes(output, record) == without_keys(expected)
    kinds = [kind for kind, *_ in expected]
    changed = {kind: kinds.count(kind) for kind in ("added", "changed", "removed")}
    assert record.counts == Counts(**changed, unchanged=len(old) - changed["removed"] - changed["changed"])


def test_a_snapshot_is_compared_with_the_one_before_it_unless_others_are_asked_for(tmp_path: Path) -> None:
    """The newest and its predecessor by default; the earlier one first; where there is none, that is said."""
    lake = lake_of(tmp_path, reviews(3), reviews(4))
    root, export = write_export(tmp_path / "third", reviews(6), as_of=NEW + timedelta(days=1), number=3)
    convert_export(root, export, lake)
    pair = find_pair(lake.child("reviews"), "reviews")
    assert (pair.old.as_of, pair.new.as_of) == (NEW, NEW + timedelta(days=1))
    pair = find_pair(lake.child("reviews"), "reviews", OLD, NEW)
    assert (pair.old.rows, pair.new.rows) == (3, 4)
    assert find_pair(lake.child("reviews"), "reviews", new=NEW) == pair
    with pytest.raises(BadCallError, match="give the earlier snapshot first"):
        find_pair(lake.child("reviews"), "reviews", NEW, OLD)
    with pytest.raises(SnapshotNotFoundError, match="nothing to compare it with yet"):
        find_pair(lake.child("reviews"), "reviews", new=OLD)
    with pytest.raises(SnapshotNotFoundError, match="no snapshot of 'reviews' as of"):
        find_pair(lake.child("reviews"), "reviews", OLD - timedelta(days=1))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (["User"], "several items have the same 'User'"),
        (["Book", "user"], "no item of the snapshot as of 2026-01-14.* has 'user' that is a string, number or binary"),
        (["Details"], "no item of .* has 'Details' that is a string, number or binary"),
        (["Book", "Late"], "20 items of part 1 .* have no 'Book' and 'Late'"),
        (["Rating", "Book", "Rating"], "each once, found 'Rating, Book, Rating'"),
        ([], "expected the attributes of the table's key"),
    ],
)
def test_attributes_that_are_no_key_are_refused(tmp_path: Path, key: list[str], message: str) -> None:
    """The error says how the key is wrong, and nothing of the items."""
    lake = lake_of(tmp_path, reviews(30), reviews(31))
    with pytest.raises(BadCallError, match=message) as caught:
        diff_snapshots(lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=key)
    assert "book 1" not in str(caught.value) + str(caught.value.context)


def test_a_key_that_the_records_contradict_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """Also where no part differs, so that no row would tell."""
    lake = lake_of(tmp_path, reviews(30), reviews(30))
    pair = find_pair(lake.child("reviews"), "reviews")
    with pytest.raises(BadCallError, match="has 'nix' that is a string"):
        diff_snapshots(lake.child("reviews"), pair, key=["nix"])
    new = replace(pair.new, source=replace(pair.new.source, keys=("Book",)))
    with pytest.raises(BadCallError, match=r"expected 'Book', which .* tell, found 'Book' and 'User'"):
        diff_snapshots(lake.child("reviews"), replace(pair, new=new), key=["User", "Book"])
    assert diff_snapshots(lake.child("reviews"), replace(pair, new=new), key=["Book"]).counts == Counts(unchanged=30)


def test_parts_that_both_snapshots_have_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part with the same contents in both tells of no change; what is left of them is compared."""
    lake = lake_of(tmp_path, reviews(40), [*reviews(40)[:39], {**reviews(1)[0], "Book": {"S": "new"}}], rows_per_part=4)
    pair = find_pair(lake.child("reviews"), "reviews")
    same = {part.sha256 for part in pair.old.parts} & {part.sha256 for part in pair.new.parts}
    assert 3 <= len(same) < len(pair.old.parts)
    read: list[str] = []
    fetch = key_join.fetched_part

    def noted(store: Any, record: Any, number: int) -> Any:
        read.append(record.parts[number].sha256)
        return fetch(store, record, number)

    monkeypatch.setattr(key_join, "fetched_part", noted)
    told: list[tuple[int, int]] = []
    counts = diff_snapshots(
        lake.child("reviews"), pair, key=KEY, progress=lambda rows, total: told.append((rows, total))
    ).counts
    assert counts == Counts(added=1, changed=0, removed=1, unchanged=39)
    assert read
    assert not same & set(read)
    assert told[-1] == (80, 80)


def test_the_changes_are_one_table_for_query_engines(tmp_path: Path) -> None:
    """The folders are partitions; key, old and new are structs; a diff without changes has a part."""
    later = [*reviews(9)[1:], {**reviews(1)[0], "Rating": {"N": "7.5"}, "Late": {"BOOL": True}}]
    lake = lake_of(tmp_path, reviews(8), later)
    root, export = write_export(tmp_path / "third", later, as_of=NEW + timedelta(days=1), number=3, files=1)
    convert_export(root, export, lake)
    output = LocalStore(tmp_path / "out")
    for old, new in ((OLD, NEW), (NEW, NEW + timedelta(days=1))):
        diff_snapshots(
            lake.child("reviews"), find_pair(lake.child("reviews"), "reviews", old, new), key=KEY, output=output
        )
    connection = duckdb.connect()
    rows = connection.execute(
        f"""SELECT from_snapshot, to_snapshot, change, key.user, key.book, old.rating, new.rating, new._rescued
        FROM read_parquet('{output.root}/reviews_changes/*/*/*.parquet', hive_partitioning = true) ORDER BY key.book"""
    ).fetchall()
    times = ("20260114T101850Z", "20260115T101850Z")
    assert rows == [
        (*times, "changed", "user 0", "book 0", 1, None, {"Late": '{"BOOL":true}', "Rating": '{"N":"7.5"}'}),
        (*times, "added", "user 1", "book 8", None, 4, None),
    ]
    (empty,) = output.root.glob("reviews_changes/from_snapshot=20260115*/*/*.parquet")
    assert pq.read_metadata(empty).num_rows == 0
    assert pq.read_schema(empty).names == ["change", "key", "old", "new"]


def test_an_empty_table_and_a_full_one_can_be_compared(tmp_path: Path) -> None:
    """Every item is added or removed; two empty snapshots have no changes and no columns but the key's."""
    for number, (old, new) in enumerate([([], reviews(5)), (reviews(5), []), ([], [])]):
        lake = lake_of(tmp_path / str(number), old, new)
        output = LocalStore(tmp_path / str(number) / "out")
        record = diff_snapshots(
            lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=KEY, output=output
        )
        assert told_changes(output, record) == without_keys(expected_changes(old, new))
        assert record.counts == Counts(added=len(new), removed=len(old))


def test_wide_diffs_are_cut_into_row_groups_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a row group nor a part grows with the changes."""
    monkeypatch.setattr("airflow_provider_ddbexport.core.diff.writer.ROW_GROUP_BYTES", 2_000)
    monkeypatch.setattr("airflow_provider_ddbexport.core.diff.writer.PART_BYTES", 4_000)
    lake = lake_of(tmp_path, reviews(60), [])
    output = LocalStore(tmp_path / "out")
    record = diff_snapshots(lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=KEY, output=output)
    assert len(record.parts) > 1
    assert sum(part.rows for part in record.parts) == 60
    assert told_changes(output, record) == without_keys(expected_changes(reviews(60), []))


def test_random_days_are_told_as_a_dictionary_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where buckets hold many keys, and several parts lie in several folders."""
    monkeypatch.setattr(key_join, "HELD_BYTES", 20_000)
    chance = random.Random(5)
    old = reviews(400)
    new = [
        {**item, "Rating": {"N": "6"}} if chance.random() < 0.1 else item for item in old if chance.random() < 0.9
    ] + [{"User": {"S": f"user {n}"}, "Book": {"S": "new"}} for n in range(30)]
    chance.shuffle(new)
    options = ColumnOptions(partition_by=("User",))
    lake = lake_of(tmp_path, old, new, options, rows_per_part=20)
    output = LocalStore(tmp_path / "out")
    record = diff_snapshots(lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=KEY, output=output)
    assert told_changes(output, record) == without_keys(expected_changes(old, new))
    assert min(record.counts.added, record.counts.changed, record.counts.removed) > 10
