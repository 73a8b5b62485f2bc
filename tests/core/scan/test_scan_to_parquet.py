"""Scans straight into snapshots."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_table import DiedError, MortalStore, PageTable

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    Resumption,
    ScanRequest,
    ScanSettings,
    finish_scan,
    plan_scan,
    read_plan,
    scan_backup,
    scan_shard,
)
from airflow_provider_ddbexport.core.scan.plan import ScanPlan
from airflow_provider_ddbexport.core.scan.restage import restaged
from airflow_provider_ddbexport.core.scan.to_parquet import parquet_scan, scan_to_parquet
from airflow_provider_ddbexport.core.snapshot import (
    CommitRecord,
    Ledger,
    ShardRecord,
    convert_export,
    convert_shard,
    record_items,
)
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.store import LocalStore, ObjectStore
from airflow_provider_ddbexport.errors import (
    BadCallError,
    ColumnNameConflictError,
    OutcomeUnknownError,
    ScanResumeError,
    ScanStoppedError,
    SchemaConflictError,
)

JOB = Resumption("hourly Reviews", occasion="2026-01-14")


Item = dict[str, Any]


class MixedTable(PageTable):
    """A table of the items that *make* makes; segments take them in turn, so all of them meet what comes late."""

    def __init__(self, items: int, page_items: int = 3, make: Callable[[int], Item] | None = None) -> None:
        super().__init__(items, page_items)
        self.make = make or turning_item

    def scan(self, **request: Any) -> dict[str, Any]:
        answer = super().scan(**request)
        answer["Items"] = [self.make(int(item["Id"]["N"])) for item in answer["Items"]]
        return answer


def growing_item(number: int) -> Item:
    """Attributes that come late, and numbers that get wider: nothing that parts cannot be widened for."""
    item: Item = {"Id": {"N": str(number)}, "Country": {"S": ("dk", "se")[number % 2]}}
    if number >= 20:
        item["Rating"] = {"N": str(number) if number < 40 else f"{number}.{'1' * (number % 12 + 1)}"}
    if number >= 30:
        item["Details"] = {"M": {"Year": {"N": "1999"}, **({"Shelf": {"S": "a"}} if number % 7 == 0 else {})}}
    if number % 10 == 3:
        item[f"Rare{number % 4}"] = {"SS": ["a", "b"]}
    return item


def turning_item(number: int) -> Item:
    """Texts in the first third and numbers in the rest: which of them is the column's is known at the end only."""
    return {**growing_item(number), "Turns": {"S": "text"} if number < 30 else {"N": str(number)}}


def scan(table: PageTable, lake: ObjectStore, **changes: Any) -> CommitRecord:
    settings = ScanSettings(workers=2, limits=GroupLimits(pages=2))
    arguments: dict[str, Any] = {"segments": 4, "resumption": JOB, "settings": settings, "table": "reviews"}
    return scan_to_parquet(table, lake, ScanRequest("Reviews"), **(arguments | changes))


def items_of(lake: ObjectStore, record: CommitRecord) -> list[Any]:
    return sorted((json.loads(line)["Item"] for line in record_items(lake.child("reviews"), record)), key=by_id)


def by_id(item: dict[str, Any]) -> int:
    return int(item["Id"]["N"])


def left_over(objects: dict[str, bytes], record: CommitRecord) -> set[str]:
    """Return what lies in the table's folder and is not the snapshot's: the scan's plan and pointer are."""
    own = {part.key for part in record.parts}
    kept = ("_snapshots/", "_schemas/", "_conversions/_scans/")
    keys = {key.removeprefix("reviews/") for key in objects}
    return {
        key for key in keys - own if not key.startswith(kept) and not key.endswith(("/_started", "/_scan/plan.json"))
    }


@pytest.mark.parametrize("make", [growing_item, turning_item])
@pytest.mark.parametrize(
    "options",
    [ColumnOptions(), ColumnOptions(nested="flatten"), ColumnOptions(partition_by=("Country",))],
    ids=["struct", "flatten", "partitioned"],
)
def test_a_snapshot_is_what_a_backup_of_the_same_items_would_be_converted_to(
    options: ColumnOptions, make: Callable[[int], Item]
) -> None:
    """The same columns and the same items, whatever group of pages saw which of them; and no JSON is left."""
    objects: dict[str, bytes] = {}
    lake = MortalStore(objects)
    record = scan(MixedTable(90, make=make), lake, options=options)
    assert items_of(lake, record) == [make(number) for number in range(90)]
    assert record.source.export_type == "SCAN"
    assert len(record.parts) > 10
    assert left_over(objects, record) == set()
    assert not [key for key in objects if key.endswith(".gz")]

    other = MortalStore({})
    backup = scan_backup(MixedTable(90, make=make), other, table_name="Reviews", bucket="b", segments=4)
    converted = convert_export(other.child("AWSDynamoDB"), backup, other, table="reviews", options=options)
    assert record.schema == converted.schema
    assert record.rescued == converted.rescued
    for told in ("items", "columns", "rescued", "drift"):
        assert record.report[told] == converted.report[told], told
    assert record.report["written_bytes"] == sum(part.size for part in record.parts)


def test_parts_are_widened_where_that_can_be_done_and_built_again_from_their_items_where_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no data file to read again."""
    built_again: list[str] = []

    def noted(*arguments: Any) -> Any:
        built_again.append("")
        return restaged(*arguments)

    monkeypatch.setattr("airflow_provider_ddbexport.core.scan.to_parquet.restaged", noted)
    scan(MixedTable(90, make=growing_item), MortalStore({}))
    assert built_again == []
    scan(MixedTable(90, make=turning_item), MortalStore({}))
    assert built_again


def test_a_group_that_its_guessed_columns_have_no_room_for_is_converted_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From its pages, which are still on the local disk."""
    monkeypatch.setattr("airflow_provider_ddbexport.core.snapshot.shard.MOST_CUTS", 0)
    unbuilt: list[str] = []

    def noted(*arguments: Any, **options: Any) -> ShardRecord:
        record = convert_shard(*arguments, **options)
        unbuilt.extend([] if record.is_built else [""])
        return record

    monkeypatch.setattr("airflow_provider_ddbexport.core.scan.group_conversion.convert_shard", noted)
    lake = MortalStore({})
    assert items_of(lake, scan(MixedTable(90), lake)) == [turning_item(number) for number in range(90)]
    assert unbuilt


def test_the_record_tells_how_it_was_scanned() -> None:
    """A snapshot by scan is no point in time; what was left out of it is written down."""
    lake = MortalStore({})
    request = ScanRequest("Reviews", projection_expression="Id", is_consistent=True)
    record = scan_to_parquet(PageTable(10), lake, request, segments=3)
    details = record.source.scan
    assert details is not None
    assert (details.segments, details.is_consistent, details.projection_expression) == (3, True, "Id")
    assert details.started_at == record.as_of <= details.ended_at
    assert record.source.keys == details.keys == ("Id",)
    assert details.consumed_units == 0.5 * (4 + 1), "four pages, and an item by which the projection was tried"
    assert Ledger(lake.child("reviews")).get(record.as_of) == record


@pytest.mark.parametrize("dies_after", [False, True], ids=["before", "after"])
def test_a_scan_that_dies_at_any_write_ends_in_one_snapshot_of_each_item_once(dies_after: bool) -> None:
    """Killed before or after single writes all along the way, then run again; nothing is left over."""
    writes = deaths = 0
    while True:
        objects: dict[str, bytes] = {}
        table = MixedTable(40, page_items=5)
        dying = MortalStore(objects, writes_left=writes, dies_after=dies_after)
        try:
            scan(table, dying)
        except DiedError:
            deaths += 1
        if not dying.is_dead:
            break
        lake = MortalStore(objects)
        record = scan(table, lake)
        assert items_of(lake, record) == [turning_item(number) for number in range(40)], f"died at write {writes}"
        assert Ledger(lake.child("reviews")).records() == (record,)
        assert left_over(objects, record) == set(), f"died at write {writes}"
        # Every write of the beginning and the end is tried, and every third in between.
        writes += 1 if writes < 12 else 3
    assert deaths > 15


def test_a_scan_that_dies_again_and_again_reads_little_twice() -> None:
    """At most a group of pages of each worker for each run."""
    objects: dict[str, bytes] = {}
    table = MixedTable(400, page_items=5)
    chance = random.Random(7)
    deaths = 0
    while True:
        lake = MortalStore(objects, writes_left=chance.randrange(6, 30))
        try:
            record = scan(table, lake)
            break
        except DiedError:
            deaths += 1
    assert deaths >= 5
    assert Counter(by_id(item) for item in items_of(MortalStore(objects), record)) == Counter(range(400))
    assert table.scanned <= 400 + deaths * 2 * 2 * 5


def test_a_lost_answer_costs_nothing() -> None:
    """Asked again on the same occasion, the published snapshot is returned and nothing is read."""
    lake = MortalStore({})
    table = PageTable(30)
    record = scan(table, lake)
    assert scan(table, lake) == record
    assert table.scanned == 30
    assert scan(table, lake, resumption=Resumption(JOB.name, occasion="2026-01-15")).as_of > record.as_of


def test_a_scan_into_other_columns_is_not_gone_on_with() -> None:
    """What was converted is there already: other options, or another table, are refused and named."""
    lake = MortalStore({})
    settings = ScanSettings(workers=1, limits=GroupLimits(pages=1))
    stopping = ScanSettings(workers=1, limits=GroupLimits(pages=1), on_page=lambda _: stopping.stop.set())
    with pytest.raises(ScanStoppedError):
        scan(PageTable(30), lake, settings=stopping)
    with pytest.raises(ScanResumeError, match="format: started with PARQUET reviews"):
        scan(PageTable(30), lake, options=ColumnOptions(numbers="double"), settings=settings)
    assert len(items_of(lake, scan(PageTable(30), lake, settings=settings))) == 30


def conflicting_item(number: int) -> Item:
    """Two attributes that differ in upper and lower case only, the second of them in the last items."""
    item = {**turning_item(number), "Rating": {"N": "1"}}
    return {**item, "rating": {"N": "2"}} if number >= 80 else item


LATE_ERRORS: dict[str, tuple[Callable[[int], Item], ColumnOptions, ColumnOptions, type[Exception]]] = {
    "names": (
        conflicting_item,
        ColumnOptions(),
        ColumnOptions(column_names={"rating": "rating_lower"}),
        ColumnNameConflictError,
    ),
    "partition": (
        turning_item,
        ColumnOptions(partition_by="Contry"),  # type: ignore[arg-type]
        ColumnOptions(partition_by=("Country",)),
        BadCallError,
    ),
}


@pytest.mark.parametrize("late", LATE_ERRORS)
def test_columns_that_will_not_do_are_mended_without_reading_the_table_again(late: str) -> None:
    """What is found with the last items: their parts are built again under the columns that the next try asks for."""
    make, wrong, right, expected = LATE_ERRORS[late]
    table, objects = MixedTable(90, make=make), dict[str, bytes]()
    lake = MortalStore(objects)
    for _ in range(2):
        with pytest.raises(expected, match=r"what was read before is kept: another try.* goes on with it"):
            scan(table, lake, options=wrong)
    record = scan(table, lake, options=right)
    # Of the groups that were refused, two workers have two pages at once.
    assert table.scanned <= 90 + 2 * 2 * 2 * 3
    assert items_of(lake, record) == [make(number) for number in range(90)]
    assert left_over(objects, record) == set()
    other = MortalStore({})
    backup = scan_backup(MixedTable(90, make=make), other, table_name="Reviews", bucket="b", segments=4)
    converted = convert_export(other.child("AWSDynamoDB"), backup, other, table="reviews", options=right)
    assert (record.schema, record.rescued) == (converted.schema, converted.rescued)
    assert {part.partition for part in record.parts} == {part.partition for part in converted.parts}


def test_options_that_contradict_the_table_are_refused_before_anything_is_read() -> None:
    """Of the table in the lake: its columns and partitions never change."""
    lake = MortalStore({})
    scan(MixedTable(30), lake, resumption=None)
    table = MixedTable(30)
    for options in (ColumnOptions(partition_by=("Country",)), ColumnOptions(numbers="string")):
        with pytest.raises(SchemaConflictError):
            scan(table, lake, options=options)
    assert table.scanned == 0


def test_a_scan_goes_on_under_another_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that was upgraded meanwhile, or the reference decoder: what another one wrote is read, not scanned."""
    lake = MortalStore({})
    table = MixedTable(90)
    stopping = ScanSettings(workers=1, limits=GroupLimits(pages=1), on_page=lambda _: stopping.stop.set())
    with pytest.raises(ScanStoppedError):
        scan(table, lake, settings=stopping)
    monkeypatch.setattr("airflow_provider_ddbexport.core.snapshot.plan.WRITER", "another")
    assert items_of(lake, scan(table, lake)) == [turning_item(number) for number in range(90)]
    assert table.scanned == 90


class AskedStore(MortalStore):
    """Tells *asked* of each record of a group of pages that is read, and of each checkpoint that is deleted.

    Attributes:
        read_keys, deleted_keys: of those.
    """

    def __init__(self, objects: dict[str, bytes], asked: Callable[[list[str]], None], folder: str = "") -> None:
        super().__init__(objects, folder=folder)
        self.asked = asked
        self.read_keys: list[str] = []
        self.deleted_keys: list[str] = []

    def child(self, folder: str) -> AskedStore:
        child = AskedStore(self.objects, self.asked, f"{self.folder}{folder}/")
        child.read_keys, child.deleted_keys = self.read_keys, self.deleted_keys
        return child

    def read(self, key: str) -> bytes:
        if "/shard-" in key and "/_scan/" not in key:
            self.read_keys.append(key)
            self.asked(self.read_keys)
        return super().read(key)

    def delete(self, key: str) -> None:
        if "/_scan/shard-" in key:
            self.deleted_keys.append(key)
            self.asked(self.deleted_keys)
        super().delete(key)


def read_in_groups_of_a_page(objects: dict[str, bytes]) -> ScanPlan:
    request, table = ScanRequest("Reviews"), PageTable(90)
    steps = parquet_scan(MortalStore(objects), request, table="reviews")
    plan = steps.begin(table, request, segments=4, resumption=JOB)
    steps.read(table, plan, request, settings=ScanSettings(workers=2, limits=GroupLimits(pages=1)))
    return plan


def test_publishing_reads_and_deletes_several_objects_at_a_time() -> None:
    """There are thousands: the first is answered here when another has been asked for."""
    objects: dict[str, bytes] = {}
    plan = read_in_groups_of_a_page(objects)
    changed = threading.Condition()

    def wait(keys: list[str]) -> None:
        with changed:
            changed.notify_all()
            assert changed.wait_for(lambda: len(keys) > 1, timeout=600)

    lake = AskedStore(objects, wait)
    assert parquet_scan(lake, ScanRequest("Reviews"), table="reviews").publish(plan).rows == 90
    assert min(len(lake.read_keys), len(lake.deleted_keys)) >= 30


def test_publishing_hears_that_it_is_to_stop_while_it_reads_records() -> None:
    """And goes on when it is asked again."""
    objects: dict[str, bytes] = {}
    plan = read_in_groups_of_a_page(objects)
    settings = ScanSettings()
    lake = AskedStore(objects, lambda _: settings.stop.set())
    scan = parquet_scan(lake, ScanRequest("Reviews"), table="reviews")
    with pytest.raises(ScanStoppedError, match="asked to stop"):
        scan.publish(plan, settings=settings)
    assert 0 < len(lake.read_keys) < 30
    assert scan.publish(plan).rows == 90


def test_a_scan_in_steps_goes_on_with_one_that_was_begun_in_a_call() -> None:
    """Both cut parts alike unless they are told otherwise."""
    lake = MortalStore({})
    stopping = ScanSettings(workers=1, limits=GroupLimits(pages=1), on_page=lambda _: stopping.stop.set())
    with pytest.raises(ScanStoppedError):
        scan(PageTable(30), lake, settings=stopping)
    request = ScanRequest("Reviews")
    steps = parquet_scan(lake, request, table="reviews")
    plan = steps.begin(PageTable(30), request, segments=4, resumption=JOB)
    steps.read(PageTable(30), plan, request)
    assert len(items_of(lake, steps.publish(plan))) == 30


def test_what_killed_writes_left_on_a_disk_is_gone_with_the_snapshot(tmp_path: Path) -> None:
    """Beside checkpoints, records and parts; a file of another scan that is being written stays."""
    lake = LocalStore(tmp_path)
    request = ScanRequest("Reviews")
    steps = parquet_scan(lake, request, table="reviews")
    plan = steps.begin(PageTable(30), request, segments=4)
    steps.read(PageTable(30), plan, request)
    table = tmp_path / "reviews"
    folders = {path.parent for path in table.rglob("*") if path.is_file()} - {table / "_conversions"}
    assert len(folders) >= 4
    left = [folder / ".killed.unfinished" for folder in folders]
    other = table / "_conversions" / "other" / ".written.unfinished"
    other.parent.mkdir()
    for path in (*left, other):
        path.write_bytes(b"{")
    steps.publish(plan)
    assert list(table.rglob(".*.unfinished")) == [other]


def test_another_table_s_scan_is_refused_before_anything_is_read() -> None:
    """Where the lake has snapshots of one DynamoDB table, another's are no days of it; unless that is wanted."""
    objects: dict[str, bytes] = {}
    lake = MortalStore(objects)
    scan(PageTable(4), lake, resumption=None)
    other = PageTable(4)
    other.table["TableArn"] += "Restored"
    before = dict(objects)
    with pytest.raises(BadCallError, match="ReviewsRestored"):
        scan(other, lake)
    assert (other.scanned, objects) == (0, before)
    assert scan(other, lake, other_table=True).rows == 4


def test_a_scan_that_is_refused_when_it_is_resumed_keeps_what_was_read() -> None:
    """Resumed without what accepts another table's snapshots: they were there before, or published meanwhile."""
    objects: dict[str, bytes] = {}
    lake = MortalStore(objects)
    other = PageTable(60)
    other.table["TableArn"] += "Restored"
    stopping = ScanSettings(workers=1, limits=GroupLimits(pages=1), on_page=lambda _: stopping.stop.set())
    with pytest.raises(ScanStoppedError):
        scan(other, lake, settings=stopping)
    assert other.scanned
    scan(PageTable(4), lake, resumption=None, other_table=True)
    before = dict(objects)
    with pytest.raises(BadCallError, match="--other-table"):
        scan(other, lake)
    assert objects == before
    assert scan(other, lake, other_table=True).rows == other.scanned == 60


def test_an_empty_table_is_a_snapshot_without_rows() -> None:
    """With columns all the same, if the table in the lake has any."""
    lake = MortalStore({})
    before = scan(PageTable(4), lake, resumption=None)
    record = scan(PageTable(0), lake, resumption=None)
    assert (record.rows, len(record.parts), record.schema) == (0, 1, before.schema)


def test_a_scan_that_fails_leaves_nothing_where_it_cannot_be_resumed() -> None:
    """Neither parts nor checkpoints."""
    objects: dict[str, bytes] = {}
    pages: list[object] = []

    def fail(page: object) -> None:
        pages.append(page)
        if len(pages) > 8:
            raise ValueError("enough")

    settings = ScanSettings(workers=1, limits=GroupLimits(pages=1), on_page=fail)
    with pytest.raises(ValueError, match="enough"):
        scan(MixedTable(60), MortalStore(objects), resumption=None, settings=settings)
    assert objects == {}


class LateStore(MortalStore):
    """Gives up on the commit record, as *error* says, while the request is under way: :meth:`arrive` lets it arrive."""

    def __init__(self, objects: dict[str, bytes], error: BaseException, folder: str = "") -> None:
        super().__init__(objects, folder=folder)
        self.error = error

    def child(self, folder: str) -> LateStore:
        return LateStore(self.objects, self.error, f"{self.folder}{folder}/")

    def create(self, key: str, body: bytes) -> None:
        if key.startswith("_snapshots/"):
            self.objects[f"late {self.folder}{key}"] = body
            raise self.error
        super().create(key, body)

    def arrive(self) -> None:
        (late,) = [key for key in self.objects if key.startswith("late ")]
        self.objects[late.removeprefix("late ")] = self.objects.pop(late)


@pytest.mark.parametrize(
    "error", [OutcomeUnknownError("it may be there"), KeyboardInterrupt()], ids=["unknown", "interrupted"]
)
def test_what_may_be_published_keeps_its_parts(error: BaseException) -> None:
    """A commit record that is there later, when its maker has given up, is one of a whole snapshot."""
    lake = LateStore({}, error)
    with pytest.raises(type(error)):
        scan(MixedTable(40), lake, resumption=None)
    store = lake.child("reviews")
    assert Ledger(store).latest() is None
    lake.arrive()
    record = Ledger(store).latest()
    assert record is not None
    assert missing_parts(store, record.as_of, record.parts) == []
    assert items_of(lake, record) == [turning_item(number) for number in range(40)]


def test_columns_that_another_run_adds_meanwhile_are_kept() -> None:
    """A snapshot published while this one was scanned: the table's columns are those of both."""
    lake = MortalStore({})
    table = MixedTable(20)

    class Slow(PageTable):
        def scan(self, **request: Any) -> dict[str, Any]:
            if not Ledger(lake.child("reviews")).times():
                scan(table, lake, resumption=None)
            return super().scan(**request)

    record = scan(Slow(10), lake, settings=ScanSettings(workers=1))
    assert [by_id(item) for item in items_of(lake, record)] == list(range(10))
    assert Ledger(lake.child("reviews")).table_schema() == record.schema
    assert {column.attribute for column in record.schema.columns} >= {"Id", "Country", "Turns"}


def test_the_item_by_which_expressions_are_tried_is_among_the_units(tmp_path: Path) -> None:
    """Half a unit for each answer of the table, in a backup's summary and in a snapshot's record, whoever ends it."""
    request = ScanRequest("Reviews", filter_expression="attribute_exists(Id)")
    store, lake = LocalStore(tmp_path / "backups"), LocalStore(tmp_path / "lake")
    for kind in ("backup", "snapshot"):
        table = Answering(20)
        if kind == "backup":
            begun = plan_scan(table, store, request, bucket="b", segments=2)
            plan = read_plan(store, None, begun.export_id)
            scan_shard(table, store, plan, request)
            details = finish_scan(store, plan).summary.scan
        else:
            details = scan_to_parquet(table, lake, request, segments=2).source.scan
        assert details is not None
        assert table.answers > 4
        assert details.consumed_units == table.answers / 2


class Answering(PageTable):
    """A table that counts its answers."""

    answers = 0

    def scan(self, **request: Any) -> dict[str, Any]:
        answer = super().scan(**request)
        with self._lock:
            self.answers += 1
        return answer
