"""A run killed at any operation on the lake leaves a whole snapshot or none, and the next run finishes."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshot_exports import AS_OF, in_order, items_of, parts_below, reviews, write_export
from watched_store import Killed, Steps, WatchedStore, die, kill_this_process

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import Export, read_export
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import ObjectExistsError, OutcomeUnknownError

LATER = {"Extra": {"S": "a column the table did not have the day before"}}
NEW = [{**item, "Half": {"BOOL": number % 2 == 0}} for number, item in enumerate(reviews(40, **LATER))]
OLD = [{**item, "Half": {"BOOL": number % 2 == 0}} for number, item in enumerate(reviews(12))]


class Story:
    """A lake before the run, and the run.

    The table has a snapshot of the day before; with *replaced* there also is another one of the same time.
    """

    def __init__(self, folder: Path, *, replaced: bool, options: ColumnOptions) -> None:
        self.replaced = replaced
        self.options = options
        self.folder = folder
        self.unregistered: list[CommitRecord] = []
        self.root, self.export = write_export(folder / "new", NEW, number=1)
        earlier = write_export(folder / "earlier", OLD, as_of=AS_OF - timedelta(days=1), number=2)
        lake = LocalStore(folder / "template")
        convert_export(*earlier, lake, options=options)
        if replaced:
            convert_export(*write_export(folder / "old", OLD, number=3), lake, options=options, rows_per_part=8)

    def lake(self, name: str) -> LocalStore:
        """Return a fresh copy of the lake before the run."""
        shutil.copytree(self.folder / "template", self.folder / name)
        return LocalStore(self.folder / name)

    def run(self, lake: Any) -> CommitRecord:
        """Convert, as a task and its next try would."""
        return convert_export(
            self.root,
            self.export,
            lake,
            options=self.options,
            rows_per_part=15,
            replace=self.replaced,
            before_replace=self.unregistered.append,
        )

    def moments(self) -> list[str]:
        """Return all moments at which a run can be killed."""
        steps = Steps()
        self.run(WatchedStore(self.lake("counted"), steps))
        return steps.log


def visible(lake: LocalStore) -> list[Any] | None:
    """Return the items a reader of the ledger sees, every part checked; None where there is no snapshot."""
    if Ledger(lake.child("reviews")).get(AS_OF) is None:
        return None
    return in_order(items_of(lake, at=AS_OF))


def in_folder(lake: LocalStore) -> set[str]:
    return {key for key in parts_below(lake) if key.startswith("ddb_export_timestamp=20260114")}


@pytest.mark.parametrize(
    ("replaced", "options"),
    [(False, ColumnOptions()), (True, ColumnOptions()), (True, ColumnOptions(partition_by=("Half",)))],
    ids=["first", "replacing", "replacing folders"],
)
def test_killed_at_any_operation_the_next_run_finishes(tmp_path: Path, replaced: bool, options: ColumnOptions) -> None:
    """Before and after each operation: readers see a whole snapshot or none, and the next run leaves no stray."""
    story = Story(tmp_path, replaced=replaced, options=options)
    moments = story.moments()
    assert any("create _schemas" in moment for moment in moments)
    assert any("after delete _snapshots" in moment for moment in moments) == replaced
    old, new = in_order(OLD), in_order(NEW)
    seen: list[str] = []
    for number, moment in enumerate(moments):
        lake = story.lake(f"killed {number}")
        steps = Steps(number, die)
        with pytest.raises(Killed):
            story.run(WatchedStore(lake, steps))
        assert steps.acted
        left = visible(lake)
        assert left in ([None, new] if not replaced else [None, old, new]), moment
        seen.append("none" if left is None else "old" if left == old else "new")

        record = story.run(lake)
        assert visible(lake) == new, moment
        assert in_folder(lake) == {part.key for part in record.parts}, moment
        ledger = Ledger(lake.child("reviews"))
        assert ledger.table_schema() == record.schema
        assert ledger.newest_schema()[0] == 2
        assert len(ledger.records()) == 2
        shutil.rmtree(lake.root)
    # Readers see the old one, then none, then the new one, and never go back.
    order = ["old", "none", "new"] if replaced else ["none", "new"]
    assert seen == sorted(seen, key=order.index)
    assert set(seen) == set(order)


def test_what_is_replaced_is_unregistered_before_any_of_its_successor_is_written(tmp_path: Path) -> None:
    """Query engines read the whole folder, so old and new parts must never be in a registered one together."""
    story = Story(tmp_path, replaced=True, options=ColumnOptions())
    lake = story.lake("lake")
    log = Steps()
    old_parts = in_folder(lake)

    def unregister(record: CommitRecord) -> None:
        assert not any("write_file" in moment for moment in log.log)
        assert in_folder(lake) == old_parts
        assert Ledger(lake.child("reviews")).get(AS_OF) == record
        story.unregistered.append(record)

    record = convert_export(story.root, story.export, WatchedStore(lake, log), replace=True, before_replace=unregister)
    assert [gone.digest for gone in story.unregistered] != [record.digest]
    assert len(story.unregistered) == 1
    assert in_folder(lake) == {part.key for part in record.parts}


def test_a_failing_unregistration_leaves_the_old_snapshot_published(tmp_path: Path) -> None:
    """What before_replace raises ends the run; the old snapshot is whole."""

    class RefusedError(Exception):
        pass

    def refuse(_: CommitRecord) -> None:
        raise RefusedError

    story = Story(tmp_path, replaced=True, options=ColumnOptions())
    lake = story.lake("lake")
    with pytest.raises(RefusedError):
        convert_export(story.root, story.export, lake, replace=True, before_replace=refuse)
    assert visible(lake) == in_order(OLD)


def test_an_unknown_outcome_cleans_nothing_up_and_the_next_run_finds_out(tmp_path: Path) -> None:
    """Whether or not the record was written, its parts stay, and running again ends well."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    for number, is_written in enumerate((False, True)):
        lake = story.lake(f"unknown {number}")

        class Unknown(WatchedStore):
            written = is_written

            def child(self, folder: str) -> Unknown:
                return Unknown(self.inner.child(folder), self.steps)

            def create(self, key: str, body: bytes) -> None:
                if key.startswith("_snapshots/"):
                    if self.written:
                        self.inner.create(key, body)
                    raise OutcomeUnknownError(f"{key}: it may or may not have been written")
                self.inner.create(key, body)

        steps = Steps()
        with pytest.raises(OutcomeUnknownError):
            story.run(Unknown(lake, steps))
        assert not any("delete" in moment for moment in steps.log)
        assert in_folder(lake)
        assert (visible(lake) is not None) == is_written
        kept = in_folder(lake)
        story.run(lake)
        assert visible(lake) == in_order(NEW)
        assert in_folder(lake) == kept


def _convert_and_die(root: Path, export_id: str, lake: Path, moment: int) -> None:
    # Nothing tidies up after SIGKILL but pytest.
    tempfile.tempdir = str(lake.parent)
    store = LocalStore(root)
    export: Export = read_export(store, export_id)
    convert_export(store, export, WatchedStore(LocalStore(lake), Steps(moment, kill_this_process)), rows_per_part=15)


def test_a_process_that_is_killed_for_good_leaves_nothing_half_visible(tmp_path: Path) -> None:
    """SIGKILL, so that no handler and no finally runs: after a part, and in the middle of publishing."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    moments = story.moments()
    chosen = [
        next(number for number, moment in enumerate(moments) if moment.startswith(start))
        for start in ("after write_file", "after create _schemas", "after create _snapshots")
    ]
    spawn = multiprocessing.get_context("spawn")
    runs = []
    for number in chosen:
        lake = story.lake(f"lake {number}")
        arguments = (story.root.root, story.export.summary.export_id, lake.root, number)
        process = spawn.Process(target=_convert_and_die, args=arguments)
        process.start()
        runs.append((lake, process))
    for lake, process in runs:
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert visible(lake) in (None, in_order(NEW))
        record = story.run(lake)
        assert visible(lake) == in_order(NEW)
        assert in_folder(lake) == {part.key for part in record.parts}


def test_the_next_run_removes_parts_of_a_run_killed_with_other_options(tmp_path: Path) -> None:
    """Strays are recognised by not being in the record; files that are no parts are nobody's business."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    lake = story.lake("lake")
    moment = [text.startswith("after write_file") for text in story.moments()].index(True)
    with contextlib.suppress(Killed):
        convert_export(
            story.root, story.export, WatchedStore(lake, Steps(moment, die)), rows_per_part=15, part_bytes=10_000_000
        )
    strays = in_folder(lake)
    foreign = lake.root / "reviews" / "ddb_export_timestamp=20260114T101850Z" / "notes.txt"
    foreign.write_text("kept")
    record = story.run(lake)
    assert strays
    assert not strays & in_folder(lake)
    assert in_folder(lake) == {part.key for part in record.parts}
    assert foreign.read_text() == "kept"


def test_a_lost_answer_to_the_commit_is_no_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the record is there after all, with another time of publication, it is this run's."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    lake = story.lake("lake")
    create = Ledger.create
    answers: list[str] = []

    def forgetful(self: Ledger, record: CommitRecord) -> None:
        create(self, record)
        answers.append("lost")
        raise ObjectExistsError("it is there")

    monkeypatch.setattr(Ledger, "create", forgetful)
    record = story.run(lake)
    assert answers == ["lost"]
    assert Ledger(lake.child("reviews")).get(AS_OF) == record
    assert visible(lake) == in_order(NEW)
