"""Two runs for the same time: one steps in completely at every single moment of the other."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshot_exports import AS_OF, in_order, items_of, parts_below, reviews, write_export
from watched_store import Steps, WatchedStore

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import (
    CommitRecord,
    ConversionPlan,
    Ledger,
    convert_export,
    convert_shard,
    plan_conversion,
    publish,
)
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import PublishRaceError, SchemaConflictError, SnapshotExistsError

ONE = reviews(30, One={"S": "x"})
OTHER = reviews(20, Other={"N": "1"})
Run = Callable[[Any], CommitRecord]


def in_folder(lake: LocalStore) -> set[str]:
    return {key for key in parts_below(lake) if key.startswith("ddb_export_timestamp=20260114")}


def at_every_moment(folder: Path, template: LocalStore, first: Run, second: Run) -> list[tuple[str, Any, Any]]:
    """Return, for every moment of *first* at which *second* ran, what became of both: a record or an error.

    Checks at each that the ledger has one whole snapshot, whose folder holds nothing else.
    """

    def outcome(run: Run, lake: Any) -> Any:
        try:
            return run(lake)
        except SnapshotExistsError as error:
            return error

    def prepared(name: str) -> LocalStore:
        (template.root).mkdir(exist_ok=True)
        shutil.copytree(template.root, folder / name)
        return LocalStore(folder / name)

    counted = Steps()
    first(WatchedStore(prepared("counted"), counted))
    outcomes = []
    for number, moment in enumerate(counted.log):
        lake = prepared(f"lake {number}")
        became: list[Any] = []
        steps = Steps(number, lambda lake=lake, became=became: became.append(outcome(second, lake)))  # type: ignore[misc]
        one = outcome(first, WatchedStore(lake, steps))
        assert steps.acted
        ledger = Ledger(lake.child("reviews"))
        record = ledger.get(AS_OF)
        assert record is not None, moment
        assert in_folder(lake) == {part.key for part in record.parts}, moment
        assert len(items_of(lake, at=AS_OF)) == record.rows
        assert record in (one, became[0]), moment
        schema = ledger.table_schema()
        assert schema is not None
        assert {column.name for column in record.schema.columns} <= {column.name for column in schema.columns}
        outcomes.append((moment, one, became[0]))
        shutil.rmtree(lake.root)
    return outcomes


def test_two_runs_of_the_same_export_are_one_snapshot(tmp_path: Path) -> None:
    """Both return the same record, whichever was first, and no part is left over."""
    root, export = write_export(tmp_path, ONE)

    def run(lake: Any) -> CommitRecord:
        return convert_export(root, export, lake, rows_per_part=10)

    for _, one, two in at_every_moment(tmp_path, LocalStore(tmp_path / "template"), run, run):
        assert one == two


def test_of_two_different_runs_one_is_published_and_the_other_is_told(tmp_path: Path) -> None:
    """Never both, never neither; the loser's error says that another run was first."""
    one, other = write_export(tmp_path / "1", ONE, number=1), write_export(tmp_path / "2", OTHER, number=2)
    outcomes = at_every_moment(
        tmp_path,
        LocalStore(tmp_path / "template"),
        lambda lake: convert_export(*one, lake, rows_per_part=10),
        lambda lake: convert_export(*other, lake, rows_per_part=10),
    )
    for moment, *both in outcomes:
        kinds = Counter(type(became) for became in both)
        assert kinds == {CommitRecord: 1, SnapshotExistsError: 1}, moment
    winners = {type(one) for _, one, _ in outcomes}
    assert winners == {CommitRecord, SnapshotExistsError}


def test_of_two_that_replace_the_same_snapshot_the_later_never_takes_what_it_did_not_see(tmp_path: Path) -> None:
    """replace is for the snapshot that was there when the run began, not for one published meanwhile."""
    one, other = write_export(tmp_path / "1", ONE, number=1), write_export(tmp_path / "2", OTHER, number=2)
    template = LocalStore(tmp_path / "template")
    convert_export(*write_export(tmp_path / "0", reviews(5)), template)
    outcomes = at_every_moment(
        tmp_path,
        template,
        lambda lake: convert_export(*one, lake, rows_per_part=10, replace=True),
        lambda lake: convert_export(*other, lake, rows_per_part=10, replace=True),
    )
    assert {type(one) for _, one, _ in outcomes} >= {CommitRecord}
    for moment, first, second in outcomes:
        # The second began and ended within one moment of the first: it saw what it replaced, or was refused.
        assert isinstance(second, CommitRecord) or isinstance(first, CommitRecord), moment


def test_another_day_that_adds_columns_meanwhile_is_waited_out(tmp_path: Path) -> None:
    """Two days converted at once both get their columns; the slower one is converted again to fit."""
    one = write_export(tmp_path / "1", ONE, number=1)
    other = write_export(tmp_path / "2", OTHER, number=2, as_of=AS_OF + timedelta(days=1))
    counted = Steps()
    convert_export(*one, WatchedStore(LocalStore(tmp_path / "counted"), counted))
    again = 0
    for number, moment in enumerate(counted.log):
        lake = LocalStore(tmp_path / f"lake {number}")
        steps = Steps(number, lambda lake=lake: convert_export(*other, lake))  # type: ignore[misc]
        record = convert_export(*one, WatchedStore(lake, steps))
        assert steps.acted
        ledger = Ledger(lake.child("reviews"))
        schema = ledger.table_schema()
        assert schema is not None
        names = [column.name for column in schema.columns]
        assert {"one", "other"} <= set(names), moment
        for day in ledger.records():
            assert names[: len(day.schema.columns)] == [column.name for column in day.schema.columns], moment
        assert in_order(items_of(lake, at=AS_OF)) == in_order(ONE), moment
        assert in_order(items_of(lake, at=AS_OF + timedelta(days=1))) == in_order(OTHER), moment
        assert in_folder(lake) == {part.key for part in record.parts}, moment
        again += sum("before move_file" in text for text in steps.log) > 1
        shutil.rmtree(lake.root)
    assert again, "no run had to convert twice: the test shows nothing"


def test_columns_that_change_all_the_time_end_in_an_error_and_not_in_a_loop(tmp_path: Path) -> None:
    """After a handful of lost races the run gives up; nothing is published and nothing lost."""
    root, export = write_export(tmp_path / "1", ONE)
    lake = LocalStore(tmp_path / "lake")
    days: list[int] = []

    class Restless(WatchedStore):
        def child(self, folder: str) -> Restless:
            return Restless(self.inner.child(folder), self.steps)

        def create(self, key: str, body: bytes) -> None:
            if key.startswith("_schemas/"):
                days.append(len(days) + 1)
                item = {"id": {"S": "x"}, f"attribute {days[-1]}": {"S": "y"}}
                other = write_export(tmp_path / key / str(days), [item], as_of=AS_OF + timedelta(days=days[-1]))
                convert_export(*other, lake)
            super().create(key, body)

    with pytest.raises(PublishRaceError, match="publish again"):
        convert_export(root, export, Restless(lake, Steps()))
    assert len(days) == 5
    ledger = Ledger(lake.child("reviews"))
    assert ledger.get(AS_OF) is None
    assert len(ledger.records()) == 5


def test_a_part_that_arrives_after_another_run_has_published_is_taken_away_again(tmp_path: Path) -> None:
    """A shard whose task was given up, and which still works, leaves nothing in a folder that engines read."""
    root, export = write_export(tmp_path / "1", ONE, number=1)
    other = write_export(tmp_path / "2", OTHER, number=2)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake)
    assert isinstance(plan, ConversionPlan)
    counted = Steps()
    convert_shard(plan, plan.shards[0], root=root, lake=WatchedStore(LocalStore(tmp_path / "counted"), counted))
    moment = [text.startswith("before move_file") for text in counted.log].index(True)
    steps = Steps(moment, lambda: convert_export(*other, lake))
    with pytest.raises(PublishRaceError, match="published by another run meanwhile"):
        convert_shard(plan, plan.shards[0], root=root, lake=WatchedStore(lake, steps))
    assert steps.acted
    record = Ledger(lake.child("reviews")).get(AS_OF)
    assert record is not None
    assert in_folder(lake) == {part.key for part in record.parts}


def test_a_part_that_is_removed_in_the_moment_of_the_commit_is_written_again(tmp_path: Path) -> None:
    """By a run that swept up after the snapshot before, slowly: nobody is left with a record that lost a part."""
    root, export = write_export(tmp_path, ONE)
    counted = Steps()
    expected = convert_export(root, export, WatchedStore(LocalStore(tmp_path / "counted"), counted), rows_per_part=10)
    moment = counted.log.index("before create _snapshots/20260114T101850Z.json")
    lake = LocalStore(tmp_path / "lake")
    lost = expected.parts[1].key
    steps = Steps(moment, lambda: lake.child("reviews").delete(lost))
    record = convert_export(root, export, WatchedStore(lake, steps), rows_per_part=10)
    assert steps.acted
    assert steps.log.count("after delete _snapshots/20260114T101850Z.json") == 1
    assert steps.log.count(f"after move_file {lost}") == 2
    assert record.parts == expected.parts
    assert in_folder(lake) == {part.key for part in record.parts}
    assert len(items_of(lake)) == record.rows


def test_publishing_takes_back_what_lost_a_part_in_that_moment(tmp_path: Path) -> None:
    """And says so; what is converted again is published by the next try."""
    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake, rows_per_part=10)
    assert isinstance(plan, ConversionPlan)
    records = [convert_shard(plan, shard, root=root, lake=lake) for shard in plan.shards]
    counted = Steps()
    lost = records[0].parts[0]
    shutil.copytree(lake.root, tmp_path / "counted")
    publish(plan, root=root, lake=WatchedStore(LocalStore(tmp_path / "counted"), counted))
    moment = counted.log.index("before create _snapshots/20260114T101850Z.json")
    steps = Steps(moment, lambda: lake.child("reviews").delete(lost.key))
    with pytest.raises(PublishRaceError, match=rf"1 of 3 parts were removed .* {lost.key}; it was withdrawn, run it"):
        publish(plan, root=root, lake=WatchedStore(lake, steps))
    assert steps.acted
    assert Ledger(lake.child("reviews")).records() == ()
    convert_shard(plan, plan.shards[0], root=root, lake=lake)
    assert publish(plan, root=root, lake=lake).rows == 30


def test_a_second_run_reads_nothing_and_returns_the_first_record(tmp_path: Path) -> None:
    """Unchanged is cheap: only the ledger and the folder are looked at."""
    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    first = convert_export(root, export, lake)
    source, target = Steps(), Steps()
    second = convert_export(WatchedStore(root, source), export, WatchedStore(lake, target), replace=True)  # type: ignore[arg-type]
    assert second == first
    assert source.log == []
    assert not any(word in moment for moment in target.log for word in ("write", "create", "delete"))


def test_a_record_that_lost_a_part_is_told_and_replace_heals_it(tmp_path: Path) -> None:
    """A missing part is found by the next run, which says what to do; with replace it is written again."""
    from airflow_provider_ddbexport.errors import SnapshotDamagedError

    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, rows_per_part=10)
    lake.child("reviews").delete(record.parts[1].key)
    with pytest.raises(SnapshotDamagedError, match=r"1 of 3 parts .*use replace"):
        convert_export(root, export, lake, rows_per_part=10)
    healed = convert_export(root, export, lake, rows_per_part=10, replace=True)
    assert healed.parts == record.parts
    assert in_order(items_of(lake)) == in_order(ONE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"options": ColumnOptions(numbers="string")}, r"other options \(numbers\)"),
        ({"rows_per_part": 7, "part_bytes": 100_000}, r"other options \(part_bytes, rows_per_part\)"),
    ],
)
def test_other_options_for_the_same_time_are_refused_by_name(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    """The error names what differs, and the snapshot is left as it was."""
    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake)
    with pytest.raises(SnapshotExistsError, match=message):
        convert_export(root, export, lake, **changed)
    assert Ledger(lake.child("reviews")).get(AS_OF) == record


def test_another_export_of_the_same_time_is_refused_with_its_address(tmp_path: Path) -> None:
    """The error says from which export the published one is."""
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(*write_export(tmp_path / "1", ONE), lake)
    with pytest.raises(SnapshotExistsError, match=r"other data files.*replace") as caught:
        convert_export(*write_export(tmp_path / "2", OTHER), lake)
    assert record.source.uri in str(caught.value)


def test_options_that_contradict_the_tables_columns_leave_the_snapshot_as_it_was(tmp_path: Path) -> None:
    """A column never changes type, so replacing with other types is refused before anything is withdrawn."""
    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake)
    unregistered: list[CommitRecord] = []
    with pytest.raises(SchemaConflictError):
        convert_export(
            root, export, lake, options=ColumnOptions(nested="json"), replace=True, before_replace=unregistered.append
        )
    assert Ledger(lake.child("reviews")).get(AS_OF) == record
    assert not unregistered


def test_options_of_a_run_that_was_never_published_bind_nobody(tmp_path: Path) -> None:
    """A run killed while it wrote parts leaves no columns behind; the next may choose others."""
    from watched_store import Killed, die

    root, export = write_export(tmp_path, ONE)
    lake = LocalStore(tmp_path / "lake")
    counted = Steps()
    convert_export(root, export, WatchedStore(LocalStore(tmp_path / "counted"), counted))
    moment = [text.startswith("after move_file") for text in counted.log].index(True)
    with pytest.raises(Killed):
        convert_export(root, export, WatchedStore(lake, Steps(moment, die)))
    convert_export(root, export, lake, options=ColumnOptions(nested="json"))
    assert in_order(items_of(lake)) == in_order(ONE)
