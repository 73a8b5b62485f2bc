"""A diff is there as a whole or not at all, and is made once."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from diffed_lake import KEY, NEW, OLD, expected_changes, lake_of, told_changes, without_keys
from fresh_process import in_a_fresh_process
from snapshot_exports import reviews, write_export
from watched_store import Killed, Steps, WatchedStore, die

from airflow_provider_ddbexport.core.diff import DiffRecord, buckets, diff_snapshots, find_pair, key_join, writer
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import PublishRaceError, SnapshotDamagedError, SnapshotExistsError

AFTER = [*reviews(25)[5:], *({**item, "Rating": {"N": "0.5"}} for item in reviews(5)[:3])]
RECORD = f"reviews_changes/_diffs/{OLD:%Y%m%dT%H%M%SZ}-{NEW:%Y%m%dT%H%M%SZ}.json"
NOON = datetime(2026, 2, 1, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> LocalStore:
    return lake_of(tmp_path, reviews(20), AFTER)


def run(lake: Any, output: Any, **options: Any) -> DiffRecord:
    return diff_snapshots(
        lake.child("reviews"),
        find_pair(lake.child("reviews"), "reviews"),
        key=KEY,
        output=output,
        now=lambda: NOON,
        **options,
    )


def objects(output: LocalStore) -> set[str]:
    return {info.key for info in output.list()}


def is_whole(output: LocalStore, record: DiffRecord) -> bool:
    """Whether the output has the right changes and nothing else."""
    parts = {f"reviews_changes/{part.key}" for part in record.parts}
    told = told_changes(output, record)
    return objects(output) == {RECORD, *parts} and told == without_keys(expected_changes(reviews(20), AFTER))


def test_a_diff_is_made_once(lake: LocalStore, tmp_path: Path) -> None:
    """Another run reads neither snapshot, writes nothing and returns the same; the record says what was compared."""
    output = LocalStore(tmp_path / "out")
    record = run(lake, output)
    assert is_whole(output, record)
    steps = Steps()
    assert run(WatchedStore(lake, steps), WatchedStore(output, steps)) == record
    assert not [entry for entry in steps.log if "stream" in entry or "write" in entry or "create" in entry]
    fields = json.loads(output.read(RECORD))
    assert {
        name: fields[name] for name in ("table", "from", "to", "key", "added", "changed", "removed", "unchanged")
    } == {
        "table": "reviews",
        "from": "2026-01-14T10:18:50Z",
        "to": "2026-01-15T10:18:50Z",
        "key": ["Book", "User"],
        "added": 5,
        "changed": 3,
        "removed": 2,
        "unchanged": 15,
    }
    assert "book 1" not in json.dumps(fields)


def test_without_an_output_changes_are_counted_and_nothing_is_written(lake: LocalStore) -> None:
    """The same counts, and no parts."""
    before = objects(lake)
    record = run(lake, None)
    assert (record.counts.added, record.counts.changed, record.counts.removed) == (5, 3, 2)
    assert record.parts == ()
    assert objects(lake) == before


def test_killed_at_any_operation_the_next_run_finishes(lake: LocalStore, tmp_path: Path) -> None:
    """There is no record before all parts are there, and no stray part once there is one."""
    steps = Steps()
    expected = run(lake, WatchedStore(LocalStore(tmp_path / "counted"), steps))
    assert sum("move_file" in entry for entry in steps.log) == 2
    for number, moment in enumerate(steps.log):
        output = LocalStore(tmp_path / f"killed {number}")
        dying = Steps(number, die)
        with pytest.raises(Killed):
            run(lake, WatchedStore(output, dying))
        assert dying.acted
        if RECORD in objects(output):
            assert is_whole(output, expected), moment
        assert run(lake, output) == expected, moment
        assert is_whole(output, expected), moment


def test_a_diff_of_other_contents_is_refused_unless_replaced(lake: LocalStore, tmp_path: Path) -> None:
    """A snapshot that was replaced since makes the diff another one; replacing leaves nothing of the old one."""
    output = LocalStore(tmp_path / "out")
    first = run(lake, output)
    root, export = write_export(tmp_path / "again", AFTER[1:], as_of=NEW, number=9)
    convert_export(root, export, lake, replace=True)
    with pytest.raises(SnapshotExistsError, match="replace"):
        run(lake, output)
    assert is_whole(output, first)
    second = run(lake, output, replace=True)
    assert told_changes(output, second) == without_keys(expected_changes(reviews(20), AFTER[1:]))
    assert objects(output) == {RECORD, *(f"reviews_changes/{part.key}" for part in second.parts)}
    with pytest.raises(SnapshotExistsError, match="by another key"):
        diff_snapshots(lake.child("reviews"), find_pair(lake.child("reviews"), "reviews"), key=["Book"], output=output)


def test_a_diff_that_lost_a_part_is_refused_unless_replaced(lake: LocalStore, tmp_path: Path) -> None:
    """What the record names has to be there."""
    output = LocalStore(tmp_path / "out")
    record = run(lake, output)
    shutil.rmtree(tmp_path / "out" / "reviews_changes" / "from_snapshot=20260114T101850Z")
    with pytest.raises(SnapshotDamagedError, match="1 of 1 parts are missing"):
        run(lake, output)
    assert run(lake, output, replace=True) == record
    assert is_whole(output, record)
    output.write(RECORD, b"{}")
    with pytest.raises(SnapshotDamagedError, match="expected the record of a diff"):
        run(lake, output)


def test_nothing_is_withdrawn_for_a_comparison_that_fails(tmp_path: Path, lake: LocalStore) -> None:
    """A snapshot that lost a part, after it was replaced, leaves the diff that is there."""
    output = LocalStore(tmp_path / "out")
    first = run(lake, output)
    root, export = write_export(tmp_path / "again", AFTER[1:], as_of=NEW, number=9)
    record = convert_export(root, export, lake, replace=True)
    lake.child("reviews").delete(record.parts[0].key)
    with pytest.raises(SnapshotDamagedError):
        run(lake, output, replace=True)
    assert is_whole(output, first)


def test_who_finds_a_diff_there_removes_nothing_of_one_that_takes_its_place(lake: LocalStore, tmp_path: Path) -> None:
    """At whatever moment it is overtaken, but for the one between its last look and the removal."""
    story = LocalStore(tmp_path / "story")
    run(lake, story)
    shutil.copytree(tmp_path / "story", tmp_path / "first")
    root, export = write_export(tmp_path / "again", AFTER[1:], as_of=NEW, number=9)
    pair = find_pair(lake.child("reviews"), "reviews")
    convert_export(root, export, lake, replace=True)
    second = run(lake, story, replace=True)
    # What a run that was killed has left: the very part that the other one writes.
    left = story.read(f"reviews_changes/{second.parts[0].key}")
    moments = 0
    for number in range(20):
        shutil.copytree(tmp_path / "first", tmp_path / f"out {number}")
        output = LocalStore(tmp_path / f"out {number}")
        output.write(f"reviews_changes/{second.parts[0].key}", left)
        steps = Steps(number, lambda: run(lake, output, replace=True))  # noqa: B023 - called in this turn
        try:
            diff_snapshots(lake.child("reviews"), pair, key=KEY, output=WatchedStore(output, steps), now=lambda: NOON)
        except (SnapshotExistsError, SnapshotDamagedError):
            assert steps.acted
        if not steps.acted:
            break
        if not steps.log[number].startswith("before delete"):
            moments += 1
            assert told_changes(output, second) == without_keys(expected_changes(reviews(20), AFTER[1:]))
    assert moments > 3


def test_parts_that_another_run_removed_are_not_published(lake: LocalStore, tmp_path: Path) -> None:
    """The run says so; the next one makes them again."""
    output = LocalStore(tmp_path / "out")
    dry = Steps()
    record = run(lake, WatchedStore(LocalStore(tmp_path / "dry"), dry))
    written = next(number for number, entry in enumerate(dry.log) if entry.startswith("after move_file"))
    part = f"reviews_changes/{record.parts[0].key}"
    with pytest.raises(PublishRaceError, match="another run removed them"):
        run(lake, WatchedStore(output, Steps(written, lambda: output.delete(part))))
    assert RECORD not in objects(output)
    assert run(lake, output) == record


def test_of_two_runs_at_once_the_second_takes_the_firsts_diff(lake: LocalStore, tmp_path: Path) -> None:
    """Whoever creates the record second finds it there, with the same changes."""
    output = LocalStore(tmp_path / "out")
    found: list[DiffRecord] = []
    dry = Steps()
    run(lake, WatchedStore(LocalStore(tmp_path / "dry"), dry))
    creating = next(number for number, entry in enumerate(dry.log) if entry.startswith("before create"))
    steps = Steps(creating, lambda: found.append(run(lake, output)))
    assert [run(lake, WatchedStore(output, steps))] == found
    assert steps.acted
    assert is_whole(output, found[0])


def test_the_changes_may_lie_in_the_lake(lake: LocalStore) -> None:
    """They are a table of their own there, and no snapshot."""
    record = run(lake, lake)
    assert told_changes(lake, record) == without_keys(expected_changes(reviews(20), AFTER))
    assert find_pair(lake.child("reviews"), "reviews").new.as_of == NEW


SMALL, LARGE, TEXT_BYTES = 700, 2_800, 1_500


def test_four_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """Rows wait on the disk, in buckets, and changes in row groups: the peak stays, the snapshots grow."""
    small, large = in_a_fresh_process(measure, tmp_path)
    # 6 MB more of rows; one more buffer of the disk's is all they may take.
    assert large - small < 1_500_000
    assert large < LARGE * TEXT_BYTES


def measure(folder: Path) -> tuple[int, int]:
    """Return the peaks of comparing two snapshots of SMALL rows, and two of LARGE."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_join, "HELD_BYTES", 500_000)
        patch.setattr(buckets, "WAITING_BYTES", 100_000)
        patch.setattr(key_join, "_BATCH_ROWS", 32)
        patch.setattr(writer, "ROW_GROUP_BYTES", 100_000)
        patch.setattr("airflow_provider_ddbexport.core.snapshot.parts.ROW_GROUP_BYTES", 200_000)
        # It imports what they need.
        compare(folder / "few", 2)()
        return peak_bytes(compare(folder / "small", SMALL)), peak_bytes(compare(folder / "large", LARGE))


def compare(folder: Path, count: int) -> Callable[[], None]:
    """Return what compares two snapshots of *count* rows, of which every other one changed."""
    days = [
        [{"id": {"N": str(n)}, "t": {"S": f"{n + day * (n % 2):06d}" * (TEXT_BYTES // 6)}} for n in range(count)]
        for day in (0, 1)
    ]
    lake, output = lake_of(folder, *days), LocalStore(folder / "out")
    pair = find_pair(lake.child("reviews"), "reviews")

    def work() -> None:
        record = diff_snapshots(lake.child("reviews"), pair, key=["id"], output=output)
        assert record.counts.changed == count // 2

    return work


def peak_bytes(work: Callable[[], None]) -> int:
    """Return the most memory that Python objects and Arrow's buffers took together while *work* ran, at least about."""
    arrow: list[int] = []
    pool = pa.default_memory_pool()
    with pytest.MonkeyPatch.context() as patch:
        for place in ("_deal", "_paired"):
            owner = buckets.Buckets if place == "_deal" else key_join._Join
            original = getattr(owner, place)

            def noting(self: Any, *arguments: Any, original: Any = original) -> None:
                arrow.append(pool.bytes_allocated())
                original(self, *arguments)
                arrow.append(pool.bytes_allocated())

            patch.setattr(owner, place, noting)
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1] + max(arrow)
        finally:
            tracemalloc.stop()
