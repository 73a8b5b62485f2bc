"""As many tasks are worked on as there are workers, beside those that only wait for a store."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import ClassVar

import pytest
from snapshot_exports import in_order, items_of, reviews, write_export

from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.snapshot import workers as workers_module
from airflow_provider_ddbexport.core.snapshot.progress import Progress, ProgressCounter
from airflow_provider_ddbexport.core.snapshot.rests import Rest
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Stores, Tick
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import StorageError

PATIENCE_S = 600


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    """Two threads."""
    with Crew(Stores(LocalStore(tmp_path), LocalStore(tmp_path)), 2, releases_gil=True) as crew:
        yield crew


def test_as_many_tasks_are_worked_on_at_once_as_there_are_workers(crew: Crew) -> None:
    """Tasks end in pairs, so two are worked on; there is never a third."""
    pair, counting = threading.Barrier(2), threading.Lock()
    at_work: list[int] = []
    most = 0

    def work(_stores: Stores, task: int, _tick: Tick | None) -> int:
        nonlocal most
        with counting:
            at_work.append(task)
            most = max(most, len(at_work))
        pair.wait(PATIENCE_S)
        with counting:
            at_work.remove(task)
        return task

    assert sorted(crew.run(work, range(20))) == [(task, task) for task in range(20)]
    assert most == 2


def test_results_may_be_left_lying_beyond_the_crew(tmp_path: Path) -> None:
    """Whoever fails between two results, and holds on to the rest of them, waits for nothing that never begins."""

    def work(_stores: Stores, task: int, _tick: Tick | None) -> int:
        return task

    with Crew(Stores(LocalStore(tmp_path), LocalStore(tmp_path)), 2, releases_gil=True) as crew:
        busy = threading.Event()
        results = crew.run(lambda stores, task, tick: busy.wait(0.1) or work(stores, task, tick), range(50))
        next(results)
    closing = threading.Thread(target=results.close, daemon=True)  # type: ignore[attr-defined]
    closing.start()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_a_task_that_nobody_waits_for_any_more_is_left_where_it_ticks(crew: Crew) -> None:
    """The error of one ends the other in its midst, before it is passed on."""
    has_ticked = threading.Event()
    became: list[str] = []

    def work(_stores: Stores, task: int, tick: Tick | None) -> None:
        assert tick is not None
        if task == 0:
            assert has_ticked.wait(PATIENCE_S)
            raise StorageError("the disk is full")
        try:
            for _ in range(10_000_000):
                tick(0, 0)
                has_ticked.set()
            became.append("done")
        finally:
            became.append("left")

    with pytest.raises(StorageError, match="the disk is full"):
        list(crew.run(work, range(2)))
    assert became == ["left"]


def test_results_are_not_kept(crew: Crew) -> None:
    """A result is the caller's alone once it has it: memory does not grow with the tasks."""

    class Large:
        pass

    results: list[weakref.ref[Large]] = []
    most = 0
    for _, result in crew.run(lambda *_: Large(), range(20)):
        results.append(weakref.ref(result))
        del result
        most = max(most, sum(one() is not None for one in results))
    assert len(results) == 20
    # The caller's, and what each of four threads, for work and for rests, has handed over and not let go of yet.
    assert most <= 1 + 4


def test_progress_is_told_one_call_after_the_other(crew: Crew) -> None:
    """Also where several workers tick; and nothing that they count is lost."""
    telling, inside = threading.Lock(), threading.Event()
    told: list[int] = []

    def progress(one: Progress) -> None:
        assert telling.acquire(blocking=False), "two calls at once"
        # Long enough for another to come in, were it let.
        inside.wait(0.05)
        told.append(one.items)
        telling.release()

    counter = ProgressCounter("convert", 4, progress)

    def work(_stores: Stores, task: int, tick: Tick | None) -> int:
        assert tick is not None
        tick(1, 1)
        return task

    assert len(list(crew.run(work, range(4), counter.tick))) == 4
    assert told == [1, 2, 3, 4]


def test_what_tasks_leave_is_done_beside_the_work_on_others(crew: Crew) -> None:
    """The rests of the first two end when the last two are worked on, and not before."""
    all_begun = threading.Barrier(4)

    def work(_stores: Stores, task: int, _tick: Tick | None) -> Rest[int]:
        def rest() -> int:
            if task < 2:
                all_begun.wait(PATIENCE_S)
            return task

        if task >= 2:
            all_begun.wait(PATIENCE_S)
        return rest

    assert sorted(crew.run_with_rests(work, range(4))) == [(task, task) for task in range(4)]


def test_rests_do_not_pile_up(crew: Crew) -> None:
    """While a store answers nobody, two tasks wait for it, and two more are begun."""
    counting, four_begun = threading.Lock(), threading.Event()
    left = most = 0

    def work(_stores: Stores, task: int, _tick: Tick | None) -> Rest[int]:
        nonlocal left, most
        with counting:
            left += 1
            most = max(most, left)
        if most == 4:
            four_begun.set()

        def rest() -> int:
            nonlocal left
            assert four_begun.wait(PATIENCE_S)
            with counting:
                left -= 1
            return task

        return rest

    assert len(list(crew.run_with_rests(work, range(100)))) == 100
    assert most == 4


def test_after_an_error_no_other_task_begins(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four tasks the first fails in its rest while the next two are worked on; those are done to their ends."""
    three_begun, has_ended = threading.Barrier(3), threading.Event()
    begun: list[int] = []
    done: list[int] = []

    def noted(futures: Iterable[Future[int]]) -> None:
        has_ended.set()
        wait(futures)

    def work(_stores: Stores, task: int, _tick: Tick | None) -> Rest[None]:
        def rest() -> None:
            if task == 0:
                three_begun.wait(PATIENCE_S)
                raise StorageError("writing failed")
            done.append(task)

        begun.append(task)
        if task:
            three_begun.wait(PATIENCE_S)
            assert has_ended.wait(PATIENCE_S)
        return rest

    monkeypatch.setattr(workers_module, "wait", noted)
    with pytest.raises(StorageError):
        list(crew.run_with_rests(work, range(4)))
    assert has_ended.is_set()
    assert sorted(begun) == [0, 1, 2]
    assert sorted(done) == [1, 2]


class Read(LocalStore):
    """An export of three files, of which a sample is taken before they are read."""

    streams: ClassVar[list[str]] = []
    all_begun = threading.Event()

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        self.streams.append(key)
        if len(self.streams) >= 6:
            self.all_begun.set()
        return super().stream(key, chunk_bytes=chunk_bytes)


class Slow(LocalStore):
    """A lake that has no time for parts before the last file is read."""

    waited = 0

    def child(self, folder: str) -> Slow:
        return Slow(self.root / folder)

    def move_file(self, key: str, path: Path) -> None:
        assert Read.all_begun.wait(PATIENCE_S)
        Slow.waited += 1
        super().move_file(key, path)


def test_a_shard_is_read_while_the_parts_of_those_before_go_to_the_store(tmp_path: Path) -> None:
    """Two workers begin the third of three shards although no part of the others is stored."""
    root, export = write_export(tmp_path, reviews(9))
    lake = Slow(tmp_path / "lake")
    convert_export(Read(root.root), export, lake, workers=2, rows_per_part=3)
    assert Slow.waited == 3
    assert len(Read.streams) == 6
    assert in_order(items_of(lake)) == in_order(reviews(9))
