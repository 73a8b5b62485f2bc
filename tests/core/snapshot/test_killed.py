"""A run killed at any operation on the lake leaves a whole snapshot or none, and the next run finishes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from snapshot_exports import AS_OF, in_order, items_of, parts_below, reviews, write_export
from watched_store import Killed, Steps, WatchedStore, die, kill_this_process

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import Export, lines, read_export
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export, layout, sample
from airflow_provider_ddbexport.core.snapshot.ahead import AT_ONCE
from airflow_provider_ddbexport.core.snapshot.plan import by_contents
from airflow_provider_ddbexport.core.snapshot.strays import sweep
from airflow_provider_ddbexport.core.store import LocalStore, open_store
from airflow_provider_ddbexport.errors import ObjectExistsError, OutcomeUnknownError
from airflow_provider_ddbexport.local import LocalAws

LATER = {"Extra": {"S": "a column the table did not have the day before"}}
NEW = [{**item, "Half": {"BOOL": number % 2 == 0}} for number, item in enumerate(reviews(24, **LATER))]
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
            rows_per_part=12,
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
    """At once, or after any operation that changes something, for in between it reads: readers see a whole snapshot or
    none, and the next run leaves no stray.
    """
    story = Story(tmp_path, replaced=replaced, options=options)
    moments = story.moments()
    assert any("create _schemas" in moment for moment in moments)
    assert any("after delete _snapshots" in moment for moment in moments) == replaced
    old, new = in_order(OLD), in_order(NEW)
    seen: list[str] = []
    for number, moment in enumerate(moments):
        if number and not moment.startswith("after"):
            continue
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
        assert not any("move_file" in moment for moment in log.log)
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


PATIENCE_S = 600

KILLS = int(os.environ.get("DDBEXPORT_KILLS", "6"))
"""At random moments; `make kills` asks for 100."""

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "2 workers": {"workers": 2},
    "sorted": {"sort_by": ("Book",)},
    "folders": {"options": ColumnOptions(partition_by=("User",))},
    "replacing": {"replace": True},
    "on S3": {},
}


class KilledRuns:
    """Runs of one conversion in processes of their own, which are killed for good: no handler and no finally runs.

    An export of eight shards, the last items of which have a column that the sample does not show: the other shards
    are adapted. Where the run replaces a snapshot, that is there before it.
    """

    def __init__(self, folder: Path, way: str, endpoint: str | None) -> None:
        self.way = way
        self.folder = folder
        self.endpoint = endpoint
        items = [*reviews(595), *reviews(5, **LATER)]
        self.items = in_order(items)
        self.replaced = in_order(OLD) if way == "replacing" else None
        self.root, self.export = write_export(folder / "export", items, files=24, in_order=True)
        self._old = write_export(folder / "old", OLD, number=3)
        self.undisturbed = self.run(self.lake("undisturbed"))
        lake = self.lake("timed")
        started = time.monotonic()
        self.run(lake)
        self.took_s = time.monotonic() - started
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["airflow_provider_ddbexport.core.snapshot"])

    def address(self, name: str) -> str:
        """Return where the lake *name* is."""
        return str(self.folder / name) if self.endpoint is None else f"s3://{self.folder.name.strip('_')}/{name}"

    def lake(self, name: str) -> Any:
        """Return a lake as it is before the run."""
        lake = _opened(self.address(name), self.endpoint)
        if self.replaced is not None:
            convert_export(*self._old, lake)
        return lake

    def run(self, lake: Any) -> CommitRecord:
        return _convert(self.root, self.export, lake, self.way)

    def killed(self, name: str, moment: int = -1, after_s: float = PATIENCE_S) -> Any:
        """Return the lake that a run leaves which is killed at *moment*, or so many seconds after it began."""
        lake = self.lake(name)
        begun = self._context.Event()
        what = (self.root.root, self.export.summary.export_id, self.way)
        where = (self.folder, self.address(name), self.endpoint)
        process = self._context.Process(target=_convert_and_die, args=(what, where, moment, begun))
        process.start()
        assert begun.wait(PATIENCE_S)
        started = time.monotonic()
        process.join(after_s)
        if process.exitcode == 0:
            # The machine has become faster since it was timed.
            self.took_s = min(self.took_s, time.monotonic() - started)
        process.kill()
        process.join(PATIENCE_S)
        assert process.exitcode in (0, -signal.SIGKILL)
        return lake

    def check(self, lake: Any) -> bool:
        """Check that the next run finishes as if nothing had happened; return whether the killed one had published."""
        left = visible(lake)
        assert left in (None, self.replaced, self.items)
        record = self.run(lake)
        assert record.parts == self.undisturbed.parts
        assert record.digest == self.undisturbed.digest
        assert visible(lake) == self.items
        assert in_folder(lake) == {part.key for part in record.parts}
        assert not list(lake.child("reviews").list("_conversions"))
        if self.endpoint is None:
            litter = {path.relative_to(lake.root / "reviews").parts[0] for path in lake.root.rglob("*.unfinished")}
            assert litter <= {"_snapshots", "_schemas"}, "small, and other runs may be writing there"
        return left == self.items


def _opened(address: str, endpoint: str | None) -> Any:
    if endpoint is None:
        return LocalStore(Path(address))
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return open_store(address, s3=client)


def _convert(root: Any, export: Export, lake: Any, way: str) -> CommitRecord:
    """Convert after a look at the first items of each file only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "FILE_BYTES", 1)
        patch.setattr(lines, "_BLOCK_BYTES", 2_000)
        return convert_export(root, export, lake, rows_per_part=75, **WAYS[way])


def _convert_and_die(what: tuple[Path, str, str], where: tuple[Path, str, str | None], moment: int, begun: Any) -> None:
    root, export_id, way = what
    folder, address, endpoint = where
    # Nothing tidies up after SIGKILL but pytest.
    tempfile.tempdir = str(folder)
    store = LocalStore(root)
    export: Export = read_export(store, export_id)
    lake = _opened(address, endpoint)
    begun.set()
    _convert(store, export, WatchedStore(lake, Steps(moment, kill_this_process)), way)


@pytest.fixture(scope="module", params=WAYS)
def killed_runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KilledRuns:
    folder = tmp_path_factory.mktemp("killed")
    endpoint = None
    if request.param == "on S3":
        aws: LocalAws = request.getfixturevalue("local_aws_server")
        endpoint = aws.endpoint_url
        aws.client("s3").create_bucket(Bucket=folder.name.strip("_"))
    return KilledRuns(folder, request.param, endpoint)


def test_killed_at_a_random_moment_the_resumed_result_is_that_of_an_undisturbed_run(killed_runs: KilledRuns) -> None:
    """SIGKILL after a random time: the same parts, byte for byte, and the same digest; readers saw all or nothing."""
    seed = os.environ.get("DDBEXPORT_KILL_SEED") or str(time.time_ns())
    sys.stdout.write(f"DDBEXPORT_KILL_SEED={seed}\n")
    random = Random(seed)
    kills = KILLS if killed_runs.way == "plain" else max(1, KILLS // 5)
    published: list[bool] = []
    # Where the machine was slow when it was timed, many have published by then.
    while len(published) < kills or published.count(False) <= kills / 4:
        lake = killed_runs.killed(f"random {len(published)}", after_s=random.uniform(0, killed_runs.took_s))
        published.append(killed_runs.check(lake))


def test_killed_at_every_part_the_resumed_result_is_that_of_an_undisturbed_run(killed_runs: KilledRuns) -> None:
    """SIGKILL right after each part, and in the middle of publishing; of other ways than the plain one, after one."""
    log = Steps()
    killed_runs.run(WatchedStore(killed_runs.lake("counted"), log))
    starts = ("after move_file", "after create _schemas", "after create _snapshots")
    moments = [number for number, moment in enumerate(log.log) if moment.startswith(starts)]
    # What replaces a snapshot is known before it is built, and never widened.
    assert len(moments) > (9 if killed_runs.replaced else 12)
    last = moments[-1]
    if killed_runs.way != "plain" and KILLS < 100:
        moments = moments[len(moments) // 2 :][:1]
    published = [killed_runs.check(killed_runs.killed(f"moment {moment}", moment)) for moment in moments]
    # With two at work the moments of one run are not those of the next.
    if killed_runs.way != "2 workers":
        assert published == [moment == last for moment in moments]


def test_shards_that_were_recorded_are_not_read_again(tmp_path: Path) -> None:
    """The next run goes on at the first shard that is not done."""
    root, export = write_export(tmp_path, NEW, files=4)
    lake = LocalStore(tmp_path / "lake")
    steps = Steps()
    source = WatchedStore(root, steps)

    def convert(lake: Any) -> CommitRecord:
        return convert_export(source, export, lake, rows_per_part=6)

    dying = Steps()
    convert(WatchedStore(LocalStore(tmp_path / "counted"), dying))
    recorded = [number for number, moment in enumerate(dying.log) if "after write _conversions" in moment]
    assert len(recorded) == 4
    with pytest.raises(Killed):
        convert(WatchedStore(lake, Steps(recorded[2], die)))
    steps.log.clear()
    resumed = Steps()
    convert(WatchedStore(lake, resumed))
    listed = [moment for moment in resumed.log if moment.startswith("before list ddb_export_timestamp")]
    assert len(listed) == 4, "once to resume, before and after the commit, and to tidy up, however many shards are done"
    assert [moment for moment in steps.log if "stream" in moment] == [
        f"before stream {by_contents(export.files)[3].key}"
    ]
    assert visible(lake) == in_order(NEW)


def test_the_next_run_removes_parts_of_a_run_killed_with_other_options(tmp_path: Path) -> None:
    """Strays are recognised by not being in the record; files that are no parts are nobody's business."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    lake = story.lake("lake")
    moment = [text.startswith("after move_file") for text in story.moments()].index(True)
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


@pytest.mark.parametrize(
    ("strays", "moment", "deleted"),
    [
        (25, "after delete", AT_ONCE),
        (0, "before list _conversions", 0),
    ],
    ids=["within the first keys", "before files under way are removed"],
)
def test_what_a_run_that_replaces_is_writing_is_not_swept_away(
    tmp_path: Path, strays: int, moment: str, deleted: int
) -> None:
    """Tidying up ends soon after the snapshot is withdrawn that it tidies up for."""
    story = Story(tmp_path, replaced=False, options=ColumnOptions())
    lake = story.lake("lake")
    record = story.run(lake)
    folder = lake.root / "reviews" / "ddb_export_timestamp=20260114T101850Z"
    for number in range(strays):
        (folder / f"part-{number:05d}-deadbeef.parquet").touch()
    (folder / ".part-00000-feedbeef.parquet.0.unfinished").touch()

    @dataclass
    class Replaced(Steps):
        def __call__(self, when: str, operation: str, key: str) -> None:
            if not self.acted and f"{when} {operation} {key}".startswith(moment):
                self.acted = True
                Ledger(lake.child("reviews")).delete(record.as_of)

    steps = Replaced()
    sweep(WatchedStore(lake, steps).child("reviews"), record, layout.conversions_folder(record.as_of))
    assert steps.acted
    assert len(list(folder.glob("part-*-deadbeef.parquet"))) == strays - deleted
    assert len(list(folder.glob(".*.unfinished"))) == 1
