"""Increments merged into the snapshot before them."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq
import pytest
from increments import HOUR, START, change, write_increment
from merged_tables import History, Told, key
from snapshot_exports import in_order, items_of, parts_below, resealed, write_export
from watched_store import Steps, WatchedStore

from airflow_provider_ddbexport.core.columns import RESCUED_COLUMN, ColumnOptions, Kind, Observation
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export import read_changes, read_export, read_items
from airflow_provider_ddbexport.core.merge import (
    Increment,
    merge_crew,
    merge_increments,
    merge_shards,
    plan_merge,
    publish_merge,
)
from airflow_provider_ddbexport.core.merge.chain_notes import find_broken, noting_breaks
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, Progress, convert_export
from airflow_provider_ddbexport.core.snapshot import convert as convert_module
from airflow_provider_ddbexport.core.snapshot import plan as plan_module
from airflow_provider_ddbexport.core.snapshot.record import OLD_IMAGES
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import (
    BadCallError,
    ColumnNameConflictError,
    ExportChainError,
    MergeConflictError,
    SchemaConflictError,
    SnapshotDamagedError,
    SnapshotNotFoundError,
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"options": ColumnOptions(nested="json", numbers="decimal(38,2)"), "rows_per_part": 20},
        {"options": ColumnOptions(partition_by=("User",)), "part_bytes": 3000},
        {"options": ColumnOptions(partition_by=("few",), nested="flatten")},
    ],
)
def test_a_merged_snapshot_holds_what_the_table_held(options: dict[str, Any], tmp_path: Path) -> None:
    """By one window after the other, or all at once, with new attributes on the way; and the base stays as it was."""
    for seed in range(1 if options else 2):
        story = History(tmp_path / f"exports-{seed}", seed)
        daily, at_once = LocalStore(tmp_path / f"daily-{seed}"), LocalStore(tmp_path / f"at-once-{seed}")
        story.convert(daily, **options)
        story.convert(at_once, **options)
        for window in range(3):
            story.go_on(**{f"New{window}": {"N": "7"}})
            record = story.merge(daily, window)
            assert in_order(items_of(daily)) == story.expected(window + 1)
            assert record.rows == len(story.table) == record.source.item_count
            assert record.as_of == START + (window + 1) * HOUR
            assert {c["column"]: c["nulls"] for c in record.report["columns"]}.items() >= nulls_of(
                daily, record
            ).items()
            assert record.report["drift"]["rows"] == len(story.table) - len(story.states[window])
        assert in_order(items_of(daily, at=START)) == story.expected(0)
        merged = story.merge(at_once, 2, 0, 1, 0, workers=2)
        assert in_order(items_of(at_once)) == story.expected(3)
        # The same contents, and the same ancestry.
        assert merged.digest == record.digest
        assert merged.source.ancestry == record.source.ancestry
        assert [one.export_type for one in merged.source.ancestry] == ["FULL_EXPORT", *["INCREMENTAL_EXPORT"] * 3]


def nulls_of(lake: LocalStore, record: CommitRecord) -> dict[str, int]:
    """Return how many nulls the parts of *record* have, by column."""
    tables = [pq.read_table(lake.root / "reviews" / part.key, partitioning=None) for part in record.parts]
    names = [name for name in tables[0].column_names if name != RESCUED_COLUMN]
    return {name: sum(table.column(name).null_count for table in tables) for name in names}


@pytest.mark.parametrize("partition_by", [(), ("User",)])
@pytest.mark.parametrize(
    "value",
    [{"M": {"a": {"NULL": True}}}, {"L": [{"NULL": True}, {"NULL": True}]}, {"L": []}],
    ids=["map", "two", "none"],
)
def test_what_said_too_little_for_a_column_goes_into_the_one_that_an_increment_brings(
    value: Item, partition_by: tuple[str, ...], tmp_path: Path
) -> None:
    """So rows, columns and counts of rescued values are those of a conversion of the same items."""
    wide = {"M": {"a": {"S": "v"}}} if "M" in value else {"L": [{"S": "v"}]}
    story = Told(
        tmp_path / "exports",
        {number: {**key(number), "x": value} for number in range(12)},
        {20: {**key(20), "x": wide}},
        {3: {**key(3), "x": {"N": "1"}}, 4: None},
    )
    lake, other = LocalStore(tmp_path / "lake"), LocalStore(tmp_path / "other")
    options = ColumnOptions(partition_by=partition_by)
    convert_export(story.root, story.full, lake, options=options)
    story.merge(lake, 0)
    record = story.merge(lake, 1)
    root, full = write_export(tmp_path / "full", list(story.table.values()), as_of=START)
    converted = convert_export(root, full, other, options=options)
    assert (record.schema, record.rescued) == (converted.schema, converted.rescued)
    assert record.report["columns"] == converted.report["columns"]
    assert rows_of(lake, record) == rows_of(other, converted)
    assert in_order(items_of(lake)) == in_order(story.table.values())


def test_more_paths_than_are_counted_one_by_one(tmp_path: Path) -> None:
    """What a part has rescued is counted again where it is not told path by path."""
    story = Told(
        tmp_path / "exports",
        {number: {**key(number), **{f"x{number}-{at}": {"M": {}} for at in range(300)}} for number in range(5)},
        {4: None},
    )
    lake, other = LocalStore(tmp_path / "lake"), LocalStore(tmp_path / "other")
    base = convert_export(story.root, story.full, lake)
    assert base.rescued["*"] == 500
    record = story.merge(lake, 0)
    assert sum(record.rescued.values()) == 1200
    assert record.rescued["*"] == story.converted(other).rescued["*"] == 200


def rows_of(lake: LocalStore, record: CommitRecord) -> list[Any]:
    """Return all rows of the parts of *record*, by key."""
    tables = [pq.read_table(lake.root / "reviews" / part.key, partitioning=None) for part in record.parts]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: row["book"])


def test_an_empty_table_is_merged_into_with_the_options_it_was_converted_with(tmp_path: Path) -> None:
    """Its first items tell the types of what it is partitioned by, and need not have what it is sorted by."""
    numbered = [{**key(number), "Year": {"N": str(2020 + number % 2)}} for number in range(4)]
    late = {**key(9), "Year": {"N": "2020"}, "late": {"N": "1"}}
    story = Told(tmp_path / "exports", {}, dict(enumerate(numbered)), {1: None, 9: late})
    lake = LocalStore(tmp_path / "lake")
    empty = convert_export(
        story.root, story.full, lake, options=ColumnOptions(partition_by=("Year",)), sort_by=("late", "Book")
    )
    assert [column.kind for column in empty.schema.columns] == [Kind.STRING]
    first, second = story.merge(lake, 0), story.merge(lake, 1)
    assert first.schema.columns[0].kind is Kind.NUMBER
    for record in (first, second):
        assert {part.partition for part in record.parts} == {("2020",), ("2021",)}
        assert not record.rescued
    assert items_of(lake, at=START) == []
    assert in_order(items_of(lake)) == in_order(story.table.values())

    lists, other = (
        Told(tmp_path / "lists", {}, {1: {**key(1), "late": {"L": [{"N": "1"}]}}}),
        LocalStore(tmp_path / "other"),
    )
    convert_export(lists.root, lists.full, other, sort_by=("late",))
    with pytest.raises(BadCallError, match="'late' has a column of kind LIST"):
        lists.merge(other, 0)


def test_an_attribute_that_would_share_a_column_is_named_by_the_merge_that_brings_it(tmp_path: Path) -> None:
    """Later merges, and a conversion of the whole table, know the name; published snapshots stay, whatever is named."""
    story = Told(
        tmp_path / "exports",
        {number: {**key(number), "Rating": {"N": "1"}} for number in range(3)},
        {0: {**key(0), "Rating": {"N": "2"}}},
        {7: {**key(7), "rating": {"N": "3"}}},
        {8: {**key(8), "rating": {"N": "4"}}},
    )
    lake = LocalStore(tmp_path / "lake")
    convert_export(story.root, story.full, lake)
    first = story.merge(lake, 0)
    with pytest.raises(ColumnNameConflictError, match="give 'rating' another name where this failed"):
        story.merge(lake, 1)
    read: list[Progress] = []
    with pytest.raises(SchemaConflictError, match="'Rating' of this table has the name 'rating', column_names= asks"):
        story.merge(lake, 1, column_names={"Rating": "score"}, progress=read.append)
    assert not read
    named = story.merge(lake, 1, column_names={"rating": "lower"})
    assert [column.name for column in named.schema.columns] == ["book", "rating", "user", "lower"]
    assert named.options == {**first.options, "column_names": {"rating": "lower"}}

    last = story.merge(lake, 2)
    assert (last.options, last.schema) == (named.options, named.schema)
    assert in_order(items_of(lake)) == in_order(story.table.values())
    for windows, published in (((0,), first), ((1,), named), ((0, 1, 2), last)):
        assert story.merge(lake, *windows, column_names={"rating": "lower"}) == published
    assert story.converted(lake, as_of=START + 4 * HOUR).schema == named.schema


def test_merging_again_does_nothing(tmp_path: Path) -> None:
    """Delivered twice is merged once: the record stays, and not a file is touched; nothing is left over."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.go_on()
    record = story.merge(lake, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()}
    assert story.merge(lake, 0) == record
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "lake").rglob("*") if path.is_file()} == before
    assert parts_below(lake) == {part.key for at in Ledger(lake.child("reviews")).records() for part in at.parts}
    assert not list(lake.child("reviews").list("_conversions"))


def test_a_part_that_loses_nothing_is_copied(tmp_path: Path) -> None:
    """Byte for byte, and not moved or linked: it is in a file of its own."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake, rows_per_part=15)
    number = next(iter(story.table))
    write = write_increment(story.folder, [change(1, key(number), story.table[number], None)])
    steps = Steps()
    merged = merge_increments([Increment(story.root, write)], WatchedStore(lake, steps), table="reviews")
    untouched = {part.sha256 for part in base.parts} & {part.sha256 for part in merged.parts}
    assert len(untouched) == len(base.parts) - 1 == 2
    assert merged.rows == base.rows - 1
    parts = [part for record in (base, merged) for part in record.parts]
    assert len({(lake.root / "reviews" / part.key).stat().st_ino for part in parts}) == len(parts)
    copied = {line.split(" ", 2)[2] for line in steps.log if line.startswith("before copy")}
    assert copied == {part.key for part in merged.parts if part.sha256 in untouched}


def test_a_base_with_larger_parts_than_new_ones_may_have_is_merged_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was published when they might have been larger, and keeps its options."""
    story, lake = History(tmp_path), LocalStore(tmp_path / "lake")
    with monkeypatch.context() as earlier:
        earlier.setattr(plan_module, "MOST_PART_BYTES", 1 << 30)
        story.convert(lake, part_bytes=1 << 30)
    with pytest.raises(BadCallError, match="part_bytes: expected at most"):
        story.convert(LocalStore(tmp_path / "other"), part_bytes=1 << 30)
    story.go_on()
    assert story.merge(lake, 0).options["part_bytes"] == 1 << 30
    assert in_order(items_of(lake)) == story.expected(1)


def test_everything_deleted_is_an_empty_snapshot(tmp_path: Path) -> None:
    """With the columns it had; and items can come back."""
    story, lake = History(tmp_path / "exports", rows=5), LocalStore(tmp_path / "lake")
    story.convert(lake)
    gone = [change(1, key(number), item, None) for number, item in story.table.items()]
    story.increments = [
        write_increment(story.folder, gone),
        write_increment(story.folder, [change(10**6, key(1), None, {**key(1), "v": {"N": "5"}})], window=1),
    ]
    empty = story.merge(lake, 0)
    assert (empty.rows, len(empty.parts), items_of(lake)) == (0, 1, [])
    assert story.merge(lake, 1).rows == 1
    assert items_of(lake) == [{**key(1), "v": {"N": "5"}}]


def test_a_window_left_out_is_refused(tmp_path: Path) -> None:
    """The gap is named, and the way out; nothing is published, unless the author knows that nothing was written."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    for _ in range(3):
        story.go_on()
    with pytest.raises(ExportChainError, match="nothing tells what was written") as caught:
        story.merge(lake, 0, 2)
    assert caught.value.context["state"] == "GAP"
    assert (caught.value.context["from_time"], caught.value.context["to_time"]) == (
        "2026-01-14T01:00:00Z",
        "2026-01-14T02:00:00Z",
    )
    with pytest.raises(ExportChainError, match="snapshot as of 2026-01-14T00:00:00Z"):
        story.merge(lake, 1)
    assert len(Ledger(lake.child("reviews")).times()) == 1
    merged = story.merge(lake, 0, 2, max_gap=timedelta(hours=1))
    assert merged.as_of == START + 3 * HOUR
    gaps = (("2026-01-14T01:00:00Z", "2026-01-14T02:00:00Z"),)
    assert (merged.source.gaps, OLD_IMAGES in merged.source.verified) == (gaps, False)
    story.increments.append(write_increment(story.folder, [], window=3))
    later = story.merge(lake, 3)
    assert (later.source.gaps, OLD_IMAGES in later.source.verified) == (gaps, True)


def test_what_cannot_be_a_base_is_refused(tmp_path: Path) -> None:
    """Nothing published before the increments, a scan, another table, no increment, a full export."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.go_on()
    with pytest.raises(SnapshotNotFoundError, match="up to 2026-01-14T00:00:00Z, where the increments begin"):
        story.merge(lake, 0)
    story.convert(lake)
    with pytest.raises(SnapshotNotFoundError, match="as of 2026-01-13"):
        story.merge(lake, 0, base=START - 24 * HOUR)
    with pytest.raises(BadCallError, match="found none"):
        story.merge(lake)
    with pytest.raises(BadCallError, match="merge the increments into that"):
        merge_increments([Increment(story.root, story.full)], lake, table="reviews")
    recreated = write_increment(tmp_path / "other", [], tableId="another")
    with pytest.raises(ExportChainError, match="deleted and made again") as caught:
        merge_increments([Increment(LocalStore(tmp_path / "other/AWSDynamoDB"), recreated)], lake, table="reviews")
    assert caught.value.context["state"] == "TABLE_RECREATED"


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ({**key(3), "v": {"N": "-1"}}, "1 of the 1 items they changed in .* were not there before as they say"),
        (None, "1 of the 1 items they changed in .* were not there before as they say"),
    ],
)
def test_an_increment_that_does_not_fit_is_found(old: Item | None, message: str, tmp_path: Path) -> None:
    """By its old images, or by an insert of what is there; nothing is published and no value is told."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.increments = [write_increment(story.folder, [change(1, key(3), old, None)])]
    with pytest.raises(MergeConflictError, match=message) as caught:
        story.merge(lake, 0)
    assert caught.value.context["items"] == 1
    assert "u3" not in str(caught.value)
    assert len(Ledger(lake.child("reviews")).times()) == 1


def test_an_item_that_is_missing_in_the_base_is_found(tmp_path: Path) -> None:
    """An update of a key that the base does not have."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.increments = [write_increment(story.folder, [change(1, key(999), key(999), key(999))])]
    with pytest.raises(MergeConflictError, match="expected the 1 items that they say were there before, found 0"):
        story.merge(lake, 0)


def test_old_images_written_otherwise_are_the_same_items(tmp_path: Path) -> None:
    """Sets in another order, numbers in another spelling."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    old = {**story.table[4], "Tags": {"SS": ["a", "b"]}, "Book": {"N": "4.0"}}
    story.increments = [write_increment(story.folder, [change(1, {**key(4), "Book": {"N": "4E0"}}, old, None)])]
    assert story.merge(lake, 0).rows == len(story.table) - 1


@pytest.mark.parametrize("told", ["crc32", "sha256"])
def test_a_damaged_base_is_found(told: str, tmp_path: Path) -> None:
    """Its parts are checked against its record, which may be of a version that told no CRC-32; nothing is published."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake)
    story.go_on()
    path = tmp_path / "lake/reviews" / base.parts[0].key
    body = bytearray(path.read_bytes())
    body[100] ^= 1
    path.write_bytes(body)
    if told == "sha256":
        (record,) = (tmp_path / "lake/reviews/_snapshots").iterdir()
        fields = json.loads(record.read_text())
        assert all(part.pop("crc32") for part in fields["parts"])
        record.write_text(json.dumps(fields))
    with pytest.raises(SnapshotDamagedError, match=f"{told} expected .*; delete that object, then convert .* again"):
        story.merge(lake, 0)


def test_parts_are_recorded_with_the_crc32_of_their_bytes(tmp_path: Path) -> None:
    """By conversions and merges, of parts that lost rows and those that were copied, for the merges that follow."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake, rows_per_part=15)
    number = next(iter(story.table))
    story.increments = [write_increment(story.folder, [change(1, key(number), story.table[number], None)])]
    merged = story.merge(lake, 0)
    assert len({part.sha256 for part in base.parts} & {part.sha256 for part in merged.parts}) == 2
    for part in (*base.parts, *merged.parts):
        assert part.crc32 == zlib.crc32((lake.root / "reviews" / part.key).read_bytes())


def test_a_base_that_was_written_damaged_is_named(tmp_path: Path) -> None:
    """Where even the record says so: the error has part, problem and way out, and a chain begins anew."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake)
    story.go_on()
    path = tmp_path / "lake/reviews" / base.parts[0].key
    body = path.read_bytes()
    # Of the footer's first field, a number.
    start = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    path.write_bytes(body[:start] + b"\x15" + b"\xff" * 20 + body[start + 21 :])
    (record,) = (tmp_path / "lake/reviews/_snapshots").iterdir()
    told = record.read_text().replace(base.parts[0].sha256, hashlib.sha256(path.read_bytes()).hexdigest())
    record.write_text(told.replace(str(base.parts[0].crc32), str(zlib.crc32(path.read_bytes()))))
    store = lake.child("reviews")
    named = rf"^part 1 of 1 .*/{base.parts[0].key}: it.* convert .* again"
    with pytest.raises(SnapshotDamagedError, match=named), noting_breaks(store, base.as_of):
        story.merge(lake, 0)
    (published,) = Ledger(store).records()
    noted = find_broken(store, published)
    assert noted is not None
    assert noted.state == "BASE_DAMAGED"


@pytest.mark.parametrize("damage", ["a part", "an old image", "a missing item"])
def test_nothing_is_withdrawn_for_a_merge_that_fails(damage: str, tmp_path: Path) -> None:
    """The base and the old images are looked at before the snapshot that is to be replaced is gone."""
    table: dict[int, Item] = {number: {**key(number), "v": {"N": "1"}} for number in range(6)}
    story, lake = Told(tmp_path / "exports", table), LocalStore(tmp_path / "lake")
    base = convert_export(story.root, story.full, lake)
    right = write_increment(story.folder, [change(1, key(1), table[1], None)])
    published = merge_increments([Increment(story.root, right)], lake, table="reviews")
    old, number = (table[2], 2) if damage == "a part" else ({**table[2], "v": {"N": "7"}}, 2)
    if damage == "a missing item":
        old, number = key(99), 99
    wrong = write_increment(tmp_path / "wrong", [change(1, key(number), old, {**key(number), "v": {"N": "2"}})])
    if damage == "a part":
        path = lake.root / "reviews" / base.parts[0].key
        path.write_bytes(path.read_bytes()[:-9] + b"damaged!!")
    withdrawn: list[CommitRecord] = []
    with pytest.raises(SnapshotDamagedError if damage == "a part" else MergeConflictError):
        merge_increments(
            [Increment(LocalStore(tmp_path / "wrong/AWSDynamoDB"), wrong)],
            lake,
            table="reviews",
            base=START,
            replace=True,
            before_replace=withdrawn.append,
        )
    assert not withdrawn
    assert Ledger(lake.child("reviews")).get(published.as_of) == published
    assert published.parts[0].key in parts_below(lake)


def test_a_merged_snapshot_is_replaced(tmp_path: Path) -> None:
    """By a merge of other increments, once all of that was looked at."""
    table: dict[int, Item] = {number: {**key(number), "v": {"N": "1"}} for number in range(6)}
    story, lake = Told(tmp_path / "exports", table, {1: None}), LocalStore(tmp_path / "lake")
    convert_export(story.root, story.full, lake)
    first = story.merge(lake, 0)
    other = write_increment(tmp_path / "other", [change(1, key(2), table[2], None)])
    withdrawn: list[CommitRecord] = []
    second = merge_increments(
        [Increment(LocalStore(tmp_path / "other/AWSDynamoDB"), other)],
        lake,
        table="reviews",
        replace=True,
        before_replace=withdrawn.append,
    )
    assert withdrawn == [first]
    assert second.rows == first.rows == 5
    assert in_order(items_of(lake)) == in_order(item for number, item in table.items() if number != 2)
    assert not list(lake.child("reviews").list("_conversions"))


_Merging = Callable[[History, LocalStore], CommitRecord]


class _DiesError(Exception):
    pass


class _Dying(LocalStore):
    """Dies at one of its writes and deletes: before it, or after."""

    left = 0
    after = False
    counting = threading.Lock()

    def _count(self) -> bool:
        # What is swept away is deleted by several threads.
        with self.counting:
            _Dying.left -= 1
            return _Dying.left == 0

    def child(self, folder: str) -> LocalStore:
        return _Dying(super().child(folder).root)

    def write(self, key: str, body: bytes) -> None:
        dies = self._count()
        if dies and not self.after:
            raise _DiesError
        super().write(key, body)
        if dies:
            raise _DiesError

    def move_file(self, key: str, path: Path) -> None:
        dies = self._count()
        if dies and not self.after:
            raise _DiesError
        super().move_file(key, path)
        if dies:
            raise _DiesError

    def create(self, key: str, body: bytes) -> None:
        dies = self._count()
        if dies and not self.after:
            raise _DiesError
        super().create(key, body)
        if dies:
            raise _DiesError

    def delete(self, key: str) -> None:
        dies = self._count()
        if dies and not self.after:
            raise _DiesError
        super().delete(key)
        if dies:
            raise _DiesError


def _in_one_go(story: History, lake: LocalStore) -> CommitRecord:
    return story.merge(lake, 0, 1)


def _in_shards(story: History, lake: LocalStore) -> CommitRecord:
    """As tasks do, which find in the lake what another has staged."""
    plan = plan_merge([Increment(story.root, one) for one in story.increments], lake, table="reviews")
    if isinstance(plan, CommitRecord):
        return plan
    with merge_crew(plan, lake) as crew:
        merge_shards(plan, crew)
        return publish_merge(plan, crew)


@pytest.mark.parametrize(
    ("after", "first", "again"),
    [(False, _in_one_go, _in_shards), (True, _in_one_go, _in_one_go), (False, _in_shards, _in_one_go)],
    ids=["before it", "after it, widening parts", "in shards, before it"],
)
def test_a_merge_killed_anywhere_is_gone_on_with(
    after: bool, first: _Merging, again: _Merging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every write and delete: nothing is published or all of it; the next run ends with the same snapshot.

    Whether what the increments come to is held or staged, by either.
    """
    if after:
        # Then no part has the columns that the increments bring before all shards are merged.
        monkeypatch.setattr(convert_module, "sample_export", lambda *_: Observation())
    story = History(tmp_path / "exports", rows=25)
    for _ in range(2):
        story.go_on(New={"S": "n"})
    expected: tuple[Any, ...] | None = None
    for moment in itertools.count(1):
        lake = LocalStore(tmp_path / f"lake-{moment}")
        story.convert(lake, rows_per_part=20)
        _Dying.left, _Dying.after = moment, after
        try:
            first(story, _Dying(lake.root))
            died = False
        except _DiesError:
            died = True
        times = Ledger(lake.child("reviews")).times()
        assert len(times) == 1 or in_order(items_of(lake)) == story.expected(2)
        record = again(story, lake)
        assert in_order(items_of(lake)) == story.expected(2)
        # A run that held all of it, and had widened the table's columns, has not told under which it began.
        parts = [part.rows for part in record.parts] if after else record.parts
        assert expected in (None, (record.digest, record.schema, parts))
        expected = record.digest, record.schema, parts
        assert not list(lake.child("reviews").list("_conversions"))
        assert parts_below(lake) == {part.key for at in Ledger(lake.child("reviews")).records() for part in at.parts}
        if not died:
            break
    assert moment > (16 if first is _in_shards else 8)


class _Overtaken(LocalStore):
    """Before one of its operations another run does the whole merge."""

    left = 0
    counting = threading.Lock()
    overtake: Callable[[], object]

    def child(self, folder: str) -> LocalStore:
        return _Overtaken(super().child(folder).root)

    def _count(self) -> None:
        with self.counting:
            _Overtaken.left -= 1
            is_now = _Overtaken.left == 0
        if is_now:
            _Overtaken.overtake()

    def read(self, key: str) -> bytes:
        self._count()
        return super().read(key)

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        self._count()
        return super().stream(key, chunk_bytes=chunk_bytes)

    def open(self, key: str) -> BinaryIO:
        self._count()
        return super().open(key)

    def write(self, key: str, body: bytes) -> None:
        self._count()
        super().write(key, body)

    def move_file(self, key: str, path: Path) -> None:
        self._count()
        super().move_file(key, path)

    def create(self, key: str, body: bytes) -> None:
        self._count()
        super().create(key, body)


def test_a_merge_that_is_overtaken_anywhere_takes_what_the_other_published(tmp_path: Path) -> None:
    """Though that sweeps what both have staged away; and nothing is left over."""
    story = History(tmp_path / "exports", rows=25)
    story.go_on(New={"S": "n"})
    for moment in itertools.count(1):
        lake = LocalStore(tmp_path / f"lake-{moment}")
        story.convert(lake, rows_per_part=20)
        others: list[CommitRecord] = []
        _Overtaken.left = moment
        _Overtaken.overtake = lambda lake=lake, others=others: others.append(story.merge(lake, 0))
        record = story.merge(_Overtaken(lake.root), 0)
        if not others:
            break
        assert [record] == others
        assert in_order(items_of(lake)) == story.expected(1)
        assert not list(lake.child("reviews").list("_conversions"))
        assert parts_below(lake) == {part.key for at in Ledger(lake.child("reviews")).records() for part in at.parts}
    assert moment > 16


def test_the_later_of_two_writes_stays_though_its_window_is_the_earlier(tmp_path: Path) -> None:
    """Two windows that hold the same key out of order; what is published has the last write by its time."""
    before, late, early = ({**key(1), "v": {"S": text}} for text in ("before", "late", "early"))
    story, lake = Told(tmp_path / "exports", {1: before}), LocalStore(tmp_path / "lake")
    convert_export(story.root, story.full, lake)
    windows = [
        write_increment(story.folder, [change(2_000, key(1), before, late)], window=0),
        write_increment(story.folder, [change(1_000, key(1), late, early)], window=1),
    ]
    merge_increments([Increment(story.root, window) for window in reversed(windows)], lake, table="reviews")
    assert items_of(lake) == [late]


def test_the_real_chain_merges_to_what_its_files_say(real_exports: Path, tmp_path: Path) -> None:
    """One full export and two increments made by AWS, in any order and twice; one left out is refused."""
    folders = resealed(real_exports / "full-and-incremental-2026", tmp_path / "exports")
    root = LocalStore(folders[0].parent)
    exports = [read_export(root, folder.name) for folder in sorted(root.root.glob("0*"))]
    full, *increments = sorted(exports, key=lambda export: export.summary.as_of)
    held = {repr(sorted(_key(item).items())): item for file in full.files for item in read_items(root, full, file)}
    for export in increments:
        for one in (found for file in export.files for found in read_changes(root, export, file)):
            held.pop(repr(sorted(one.keys.items())), None)
            if one.new_image is not None:
                held[repr(sorted(one.keys.items()))] = one.new_image
    # The first window begins a minute after the full export: nobody wrote in between.
    gap = increments[0].summary.from_time - full.summary.as_of
    for number, order in enumerate(itertools.permutations([0, 1, 0])):
        lake = LocalStore(tmp_path / f"lake-{number}")
        convert_export(root, full, lake, table="real")
        chosen = [Increment(root, increments[place]) for place in order]
        with pytest.raises(ExportChainError, match="nothing tells what was written"):
            merge_increments(chosen, lake, table="real")
        record = merge_increments(chosen, lake, table="real", max_gap=gap)
        assert in_order(items_of(lake, "real")) == in_order(held.values())
        assert record.as_of == increments[1].summary.as_of
    lake = LocalStore(tmp_path / "left-out")
    convert_export(root, full, lake, table="real")
    with pytest.raises(ExportChainError, match="2026-01-14T10:35:00Z") as caught:
        merge_increments([Increment(root, increments[1])], lake, table="real", max_gap=gap)
    assert caught.value.context["state"] == "GAP"


def _key(item: Item) -> Item:
    return {name: item[name] for name in ("pk", "sk")}


_MERGE = """
import json, sys
from pathlib import Path
from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.merge import Increment, merge_increments
from airflow_provider_ddbexport.core.store import LocalStore

root, lake = map(LocalStore, map(Path, sys.argv[1:3]))
record = merge_increments([Increment(root, read_export(root, sys.argv[3]))], lake, table="reviews")
print(json.dumps([record.rows, "pandas" in sys.modules]))
"""


def test_a_merge_does_without_pandas(tmp_path: Path) -> None:
    """Where that is installed pyarrow imports it for a scalar or a list, and that takes longer than a small merge."""
    assert importlib.util.find_spec("pandas") is not None
    table: dict[int, Item] = {number: {**key(number), "v": {"N": f"{number}"}} for number in range(40)}
    story = Told(tmp_path, table, {3: None, 4: {**key(4), "v": {"N": "5"}}, 50: {**key(50), "v": {"N": "6"}}})
    lake = tmp_path / "lake"
    convert_export(story.root, story.full, LocalStore(lake))
    (increment,) = story.increments
    export_id = increment.summary.export_arn.rpartition("/")[2]
    command = [sys.executable, "-c", _MERGE, str(story.root.root), str(lake), export_id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [40, False]


def test_progress_is_told_of_all_that_is_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The increments, what they left, the snapshot before, and what got a column late; none of them goes back."""
    monkeypatch.setattr(convert_module, "sample_export", lambda *_: Observation())
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake, rows_per_part=20)
    story.go_on(New={"N": "1"})
    told: list[Progress] = []
    story.merge(lake, 0, progress=told.append)
    assert list(dict.fromkeys(now.stage for now in told)) == ["read", "convert", "merge", "adapt"]
    for before, now in itertools.pairwise(told):
        assert before.stage != now.stage or (before.items, before.bytes, before.total) <= (
            now.items,
            now.bytes,
            now.total,
        )
    last = {now.stage: now for now in told}
    assert all(now.items == now.total for now in last.values())
    read = sum((story.root.root / file.key).stat().st_size for file in story.increments[0].files)
    assert last["read"] == Progress("read", 12, 12, read)
    assert last["merge"] == Progress("merge", base.rows, base.rows, sum(part.size for part in base.parts))


def test_progress_is_told_of_the_snapshot_before_where_another_is_replaced(tmp_path: Path) -> None:
    """All of it is gone through before the one that is there is withdrawn."""
    table: dict[int, Item] = {number: key(number) for number in range(6)}
    story, lake = Told(tmp_path / "exports", table, {1: None}), LocalStore(tmp_path / "lake")
    convert_export(story.root, story.full, lake)
    story.merge(lake, 0)
    other = write_increment(tmp_path / "other", [change(1, key(2), table[2], None)])
    increments = [Increment(LocalStore(tmp_path / "other/AWSDynamoDB"), other)]
    told: list[Progress] = []
    merge_increments(increments, lake, table="reviews", replace=True, progress=told.append)
    assert [now.items for now in told if now.stage == "verify"] == [6]
    stages = [now.stage for now in told]
    assert stages.index("verify") < stages.index("merge")
