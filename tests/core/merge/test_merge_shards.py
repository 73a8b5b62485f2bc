"""A merge whose shards are merged anywhere, and published once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from increments import START, write_increment
from merged_tables import History, Told, key
from snapshot_exports import in_order, items_of, parts_below
from watched_store import Steps, WatchedStore

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.merge import (
    Increment,
    MergePlan,
    find_merge,
    lots,
    merge_crew,
    merge_increments,
    merge_shards,
    plan_merge,
    publish_merge,
    split_part,
)
from airflow_provider_ddbexport.core.merge import merge_plan as planning
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export
from airflow_provider_ddbexport.core.snapshot import convert as convert_module
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, PublishRaceError


def planned(story: History, lake: Any, *windows: int, **options: Any) -> MergePlan:
    increments = [Increment(story.root, story.increments[window]) for window in windows]
    plan = plan_merge(increments, lake, table="reviews", **options)
    assert isinstance(plan, MergePlan)
    return plan


def merged_elsewhere(lake: Any, folder: str, *shards: int) -> None:
    """Merge *shards* as a task does that knows nothing but where the plan is."""
    plan = find_merge(lake.child("reviews"), folder)
    assert plan is not None
    with merge_crew(plan, lake) as crew:
        merge_shards(plan, crew, shards)


def published(lake: Any, folder: str) -> CommitRecord:
    plan = find_merge(lake.child("reviews"), folder)
    assert plan is not None
    with merge_crew(plan, lake) as crew:
        return publish_merge(plan, crew)


@pytest.mark.parametrize(
    "options", [{}, {"options": ColumnOptions(partition_by=("few",))}], ids=["in one folder", "in partitions"]
)
@pytest.mark.parametrize("sample", ["of all items", "of none"])
def test_shards_merged_anywhere_give_the_parts_of_one_run(
    options: dict[str, Any], sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, also twice; under columns that the plan knew of and under those that only all shards tell."""
    story = History(tmp_path / "exports")
    alone, shared = LocalStore(tmp_path / "alone"), LocalStore(tmp_path / "shared")
    for lake in (alone, shared):
        story.convert(lake, rows_per_part=20, **options)
    if sample == "of none":
        monkeypatch.setattr(convert_module, "sample_export", lambda *_: Observation())
    story.go_on(New={"N": "1.5"}, Other={"M": {"a": {"S": "b"}}})
    expected = story.merge(alone, 0)

    plan = planned(story, shared, 0)
    folder = plan.publication.conversion
    assert planned(story, shared, 0) == plan == find_merge(shared.child("reviews"), folder)
    knew = "new" in {column.name for column in plan.schema.columns}
    assert knew == (sample == "of all items")
    for shard in [*Random(1).sample(plan.shards, len(plan.shards)), 0]:
        merged_elsewhere(shared, folder, shard)
    assert Ledger(shared.child("reviews")).times() == (START,)
    record = published(shared, folder)
    assert (record.digest, record.parts, record.schema) == (expected.digest, expected.parts, expected.schema)
    assert in_order(items_of(shared)) == story.expected(1)
    assert find_merge(shared.child("reviews"), folder) is None
    assert parts_below(shared) == {part.key for at in Ledger(shared.child("reviews")).records() for part in at.parts}


def test_a_shard_that_is_tried_again_redoes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And publishing names what is missing, and publishes nothing until that is there."""
    monkeypatch.setattr(lots, "_SHARD_PARTS", 2)
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake, rows_per_part=15)
    story.go_on()
    plan = planned(story, lake, 0)
    folder = plan.publication.conversion
    assert plan.lot_shards == ((0, 1), (2,))
    merged_elsewhere(lake, folder, *plan.shards[1:])
    with pytest.raises(PublishRaceError, match=r"1 of \d+ shards .* are not recorded as merged, the first is 0"):
        published(lake, folder)
    steps = Steps()
    merged_elsewhere(WatchedStore(lake, steps), folder, *plan.shards)
    written = [line for line in steps.log if line.startswith(("before write", "before move_file"))]
    assert [line.split("/")[-1][:10] for line in written] == ["part-00000", "part-00001", "lots-00000"]
    read = {line.split(" ", 2)[2] for line in steps.log if line.startswith("before open ddb_export")}
    assert read == {part.key for part in base.parts[:2]}
    assert published(lake, folder).rows == len(story.table)


def test_a_part_of_a_merge_under_way_that_is_lost_is_merged_again(tmp_path: Path) -> None:
    """Found when it is published, at the latest."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=15)
    story.go_on()
    plan = planned(story, lake, 0)
    with merge_crew(plan, lake) as crew:
        parts = merge_shards(plan, crew)
        (lake.root / "reviews" / parts[1].key).unlink()
        with pytest.raises(PublishRaceError, match=r"1 of .* parts of this run are gone"):
            publish_merge(plan, crew)
        assert merge_shards(plan, crew) == parts
        assert publish_merge(plan, crew).rows == len(story.table)


@pytest.mark.parametrize("told", ["crc32", "sha256"])
def test_a_part_of_a_merge_under_way_that_is_damaged_is_not_widened(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by what its record tells of it, and merged again."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=15)
    # So that only the survivors tell of the column, and the parts are behind it.
    monkeypatch.setattr(convert_module, "sample_export", lambda *_: Observation())
    story.go_on(New={"N": "1.5"})
    plan = planned(story, lake, 0)
    with merge_crew(plan, lake) as crew:
        part, *_ = parts = merge_shards(plan, crew)
        path = lake.root / "reviews" / part.key
        body = bytearray(path.read_bytes())
        body[100] ^= 1
        path.write_bytes(body)
        if told == "sha256":
            folder = lake.root / "reviews" / plan.publication.conversion
            for record in folder.glob("lots-*.json"):
                fields = json.loads(record.read_text())
                assert all(lot["part"].pop("crc32") for lot in fields["lots"])
                record.write_text(json.dumps(fields))
        with pytest.raises(
            PublishRaceError, match=f"{part.key}: a part of a merge under way is gone or not what it was"
        ):
            publish_merge(plan, crew)
        path.unlink()
        assert merge_shards(plan, crew) == parts
        assert publish_merge(plan, crew).rows == len(story.table)
    assert in_order(items_of(lake)) == story.expected(1)


def test_tasks_that_are_overtaken_leave_nothing_behind(tmp_path: Path) -> None:
    """What they staged or recorded after the other run had swept goes when the last task of their run comes by."""
    story = History(tmp_path / "exports", rows=5)
    story.go_on(New={"S": "n"})

    def done_in_tasks(lake: WatchedStore) -> None:
        plan = plan_merge([Increment(story.root, story.increments[0])], lake, table="reviews")
        found = isinstance(plan, MergePlan) and find_merge(lake.child("reviews"), plan.publication.conversion)
        if found:
            with merge_crew(found, lake) as crew:
                merge_shards(found, crew)

    story.convert(LocalStore(tmp_path / "watched"))
    watched = Steps()
    done_in_tasks(WatchedStore(LocalStore(tmp_path / "watched"), watched))
    changing = ("before write", "before move_file", "before create")
    writes = [moment for moment, step in enumerate(watched.log) if step.startswith(changing)]
    left_over = 0
    for moment in writes:
        lake = LocalStore(tmp_path / f"lake-{moment}")
        story.convert(lake)
        others: list[CommitRecord] = []
        steps = Steps(moment, lambda lake=lake, others=others: others.append(story.merge(lake, 0)))
        with suppress(PublishRaceError):
            done_in_tasks(WatchedStore(lake, steps))
        left_over += any(lake.child("reviews").list("_conversions"))
        assert [story.merge(lake, 0)] == others
        assert not list(lake.child("reviews").list("_conversions"))
        assert parts_below(lake) == {part.key for at in Ledger(lake.child("reviews")).records() for part in at.parts}
    assert left_over > 3


def test_a_plan_ends_with_its_base(tmp_path: Path) -> None:
    """Once another snapshot has taken the base's place there is nothing to merge into."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.go_on()
    plan = planned(story, lake, 0)
    story.convert(lake, rows_per_part=7, replace=True)
    assert find_merge(lake.child("reviews"), plan.publication.conversion) is None
    assert story.merge(lake, 0).rows == len(story.table)


@pytest.mark.parametrize("gone", ["before-00000.json.gz", "keys-00000.arrow", "survivors-00000.json.gz"])
def test_a_merge_whose_records_are_half_gone_stages_the_increments_again(gone: str, tmp_path: Path) -> None:
    """A run that sweeps them away may be killed; replacing a snapshot that lost a part meets what it left."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.go_on()
    plan = planned(story, lake, 0)
    left = {path: path.read_bytes() for path in (lake.root / "reviews/_conversions").rglob("*") if path.is_file()}
    first = story.merge(lake, 0)
    for path, body in left.items():
        if path.name != gone:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    assert not (lake.root / "reviews" / plan.publication.conversion / gone).exists()
    assert find_merge(lake.child("reviews"), plan.publication.conversion) is None, "the merge has ended"
    (lake.root / "reviews" / first.parts[0].key).unlink()
    record = story.merge(lake, 0, replace=True)
    assert record.parts == first.parts
    assert in_order(items_of(lake)) == story.expected(1)


@pytest.mark.parametrize(
    "options",
    [{}, {"sort_by": ("Book",)}, {"options": ColumnOptions(partition_by=("half",))}],
    ids=["as they come", "sorted", "in partitions"],
)
def test_small_parts_are_gathered(options: dict[str, Any], tmp_path: Path) -> None:
    """Twelve merges leave few parts, of one row group or two; the report says so; sorted parts stay sorted."""
    halves = ({"S": "even"}, {"S": "odd"})
    table: dict[int, Item] = {n: {**key(n), "v": {"N": "0"}, "half": halves[n % 2]} for n in range(60)}
    windows: list[dict[int, Item | None]] = [
        {
            number: {**key(number), "v": {"S": f"at {hour}"}, f"on{hour % 3}": {"BOOL": True}, "half": halves[hour % 2]}
            for number in (hour, 99)
        }
        for hour in range(12)
    ]
    story, lake = Told(tmp_path / "exports", table, *windows), LocalStore(tmp_path / "lake")
    convert_export(story.root, story.full, lake, rows_per_part=20, **options)
    records = [story.merge(lake, hour) for hour in range(12)]
    assert in_order(items_of(lake)) == in_order(story.table.values())
    last = records[-1]
    assert max(len(record.parts) for record in records) <= (14 if last.schema.partition_by else 8)
    assert sum(record.report["gathered"] for record in records) >= 4
    assert sum(last.rescued.values()) == story.converted(LocalStore(tmp_path / "other")).rescued["v"]
    for part in last.parts:
        with pq.ParquetFile(lake.root / "reviews" / part.key) as parquet:
            assert parquet.num_row_groups <= (2 if "sort_by" in options else 1)
            books = parquet.read(["book"])["book"].to_pylist()
        assert len(books) == part.rows
        if "sort_by" in options:
            assert books == sorted(books)


def test_a_merge_that_gathers_and_is_killed_goes_on_to_the_same_parts(tmp_path: Path) -> None:
    """What was gathered before is not gathered again."""
    story, lake = History(tmp_path / "exports", rows=8), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=1000)
    for window in range(4):
        story.go_on()
        if window < 3:
            story.merge(lake, window)
    plan = planned(story, lake, 3)
    assert plan.lots == ((0, 1, 2, 3),)
    merged_elsewhere(lake, plan.publication.conversion, 0)
    steps = Steps()
    record = merge_increments([Increment(story.root, story.increments[3])], WatchedStore(lake, steps), table="reviews")
    read = {line.split(" ", 2)[2] for line in steps.log if line.startswith("before open ddb_export")}
    assert not read & {part.key for part in plan.base.parts}
    assert record.report["gathered"] == 4
    assert in_order(items_of(lake)) == story.expected(4)


def test_an_increment_without_changes_gives_the_parts_of_its_base(tmp_path: Path) -> None:
    """A quiet hour: they are copied."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    base = story.convert(lake, rows_per_part=15)
    quiet = write_increment(story.folder, [])
    record = merge_increments([Increment(story.root, quiet)], lake, table="reviews")
    assert [part.sha256 for part in record.parts] == [part.sha256 for part in base.parts]


def test_workers_that_write_other_bytes_do_not_write_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without the compiled part reads and writes rows again; what another recorded stays as it was recorded."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=15)
    story.go_on()
    plan = planned(story, lake, 0)
    with merge_crew(plan, lake) as crew:
        (spliced, *_) = merge_shards(plan, crew, [0])
        table = lake.root / "reviews"
        before = (table / spliced.key).read_bytes()
        (record,) = (table / plan.publication.conversion).glob("lots-00000-*.json")
        record.unlink()
        monkeypatch.setattr(split_part, "compiled", lambda: None)
        (rewritten, *_) = merge_shards(plan, crew, [0])
    assert rewritten.sha256 != spliced.sha256
    assert rewritten.key != spliced.key
    assert (table / spliced.key).read_bytes() == before
    record_of_all = story.merge(lake, 0)
    assert rewritten in record_of_all.parts
    assert in_order(items_of(lake)) == story.expected(1)
    assert spliced.key not in parts_below(lake)


def test_what_is_small_is_decided_when_a_merge_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So another release of the package goes on with the same shards; others than the plan's are refused."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=15)
    story.go_on()
    plan = planned(story, lake, 0)
    assert (len(plan.lots), len(plan.lot_shards)) == (3, 1)
    monkeypatch.setattr(planning, "lots_of", lambda parts, _: (tuple(range(len(parts))),))
    monkeypatch.setattr(planning, "lot_shards", lambda _, lots: tuple((number,) for number in range(len(lots))))
    assert planned(story, lake, 0) == find_merge(lake.child("reviews"), plan.publication.conversion) == plan
    for number in (-1, len(plan.shards)):
        with pytest.raises(BadCallError, match=f"expected numbers below {len(plan.shards)}, found {number}"):
            merged_elsewhere(lake, plan.publication.conversion, number)
    assert story.merge(lake, 0).rows == len(story.table)


@pytest.mark.parametrize("harm", ["lost", "cut", "altered"])
@pytest.mark.parametrize("name", ["before-00000.json.gz", "keys-00000.arrow", "survivors-00000.json.gz"])
def test_what_was_staged_and_is_harmed_is_staged_again(name: str, harm: str, tmp_path: Path) -> None:
    """The increments are whole, so they are not blamed, and a merge in one go does not even fail.

    Altered by one bit in the middle a table of keys is still one that Arrow reads.
    """
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake, rows_per_part=15)
    story.go_on()
    plan = planned(story, lake, 0)
    staged = lake.root / "reviews" / plan.publication.conversion / name

    def do_harm() -> None:
        body = staged.read_bytes()
        staged.unlink()
        middle = len(body) // 2
        if harm == "cut":
            staged.write_bytes(body[:middle])
        elif harm == "altered":
            staged.write_bytes(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])

    do_harm()
    with pytest.raises(PublishRaceError, match="plan the merge again"):
        merged_elsewhere(lake, plan.publication.conversion, *plan.shards)
    assert find_merge(lake.child("reviews"), plan.publication.conversion) is None
    assert planned(story, lake, 0) == plan
    if harm != "lost":
        do_harm()
    assert story.merge(lake, 0).rows == len(story.table)
    assert in_order(items_of(lake)) == story.expected(1)
