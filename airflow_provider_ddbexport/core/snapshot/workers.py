"""The same work on many tasks: inline, in processes, or in threads."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from airflow_provider_ddbexport.core.snapshot.rests import Rest, ThreadsWithRests
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError, DdbExportError

Task = TypeVar("Task")
Result = TypeVar("Result")

Tick = Callable[[int, int], None]
"""Told how many items and compressed bytes were read since it was told last."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What workers read from and write to.

    Attributes:
        root: ``…/AWSDynamoDB``.
        lake: holds the tables' folders.
    """

    root: ObjectStore
    lake: ObjectStore


Reopen = Callable[[], Stores]
"""Opens the stores in a worker process; pickles. Stores that hold a boto3 client do not pickle themselves."""

Work = Callable[[Stores, Task, Tick | None], Result]

WorkWithRest = Callable[[Stores, Task, Tick | None], Rest[Result]]


class Crew:
    """Workers for a while, and what they work with; a context manager.

    Threads with *releases_gil*, for work that is done without it. Else processes where the stores pickle or *reopen* is
    given, and threads where not, or where this process may have no children (a daemon): they overlap waiting for the
    network but not decoding. Processes are spawned, so a script that asks for them needs
    ``if __name__ == "__main__":``; they stay for all calls of :meth:`run`.

    Attributes:
        stores: what they work with, as this process has them.
    """

    def __init__(
        self, stores: Stores, workers: int = 1, reopen: Reopen | None = None, *, releases_gil: bool = False
    ) -> None:
        if workers < 1:
            raise BadCallError(f"workers: expected at least 1, found {workers}", workers=workers)
        self.stores = stores
        self._workers = workers
        self._opener = reopen or _Keep(stores)
        may_cross = not releases_gil and not multiprocessing.current_process().daemon
        self._in_processes = may_cross and _can_cross(self._opener)
        self._executor: Executor | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the tasks under way and let the workers go."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], tick: Tick | None = None
    ) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result, in any order. The first error ends it, and so does whoever leaves it.

        *tick* is called while working, by several threads at once, except by processes: then nothing but the results
        tells how far it is. At the end tasks not begun are dropped; those that tick are left where they do so next,
        others are waited for.
        """
        return self.run_with_rests(_Whole(work), tasks, tick)

    def run_with_rests(
        self, work: WorkWithRest[Task, Result], tasks: Sequence[Task], tick: Tick | None = None
    ) -> Iterator[tuple[Task, Result]]:
        """Do the same with *work* that leaves a rest. Several threads do that beside the work on other tasks."""
        if min(self._workers, len(tasks)) <= 1:
            for task in tasks:
                yield task, work(self.stores, task, tick)()
            return
        executor = self._executor or self._hire()
        ticking = _Ticking(tick)
        with workplace() if self._in_processes else nullcontext() as folder:
            if folder is not None:
                # Large where there are many files, so it is sent once for each worker and not with each task.
                path = folder / "work.pickle"
                path.write_bytes(pickle.dumps(work))
                futures = {executor.submit(_work_in_process, path, task): task for task in tasks}
            else:
                futures = {executor.submit(work, self.stores, task, ticking): task for task in tasks}
            try:
                for future in as_completed(futures):
                    # A result belongs to the caller alone, so that memory does not grow with the tasks.
                    yield futures.pop(future), future.result()
            except BrokenProcessPool:
                raise DdbExportError(
                    "a worker process died without a word, most often killed for lack of memory; nothing was "
                    "published, run again with fewer workers"
                ) from None
            finally:
                ticking.has_ended = True
                for future in futures:
                    future.cancel()
                wait(futures)

    def _hire(self) -> Executor:
        if self._in_processes:
            spawn = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._workers, spawn, _enter, (self._opener,))
        else:
            self._executor = ThreadsWithRests(self._workers)
        return self._executor


class _LeftError(Exception):
    """Nobody waits for the task any more."""


class _Ticking:
    """Ticks for several tasks until all has ended, and then leaves each where it ticks next."""

    def __init__(self, tick: Tick | None) -> None:
        self.has_ended = False
        self._tick = tick

    def __call__(self, items: int, size: int) -> None:
        if self.has_ended:
            raise _LeftError
        if self._tick is not None:
            self._tick(items, size)


@dataclass(frozen=True, slots=True)
class _Whole(Generic[Task, Result]):
    """Work that leaves nothing but its result."""

    work: Work[Task, Result]

    def __call__(self, stores: Stores, task: Task, tick: Tick | None) -> Rest[Result]:
        result = self.work(stores, task, tick)
        return lambda: result


@dataclass(frozen=True, slots=True)
class _Keep:
    stores: Stores

    def __call__(self) -> Stores:
        return self.stores


_stores_here: list[Stores] = []
"""Of this worker process, opened once."""


def _enter(opener: Reopen) -> None:
    _stores_here[:] = [opener()]


@functools.lru_cache(maxsize=1)
def _unpickled(path: Path) -> WorkWithRest[Any, Any]:
    work: WorkWithRest[Any, Any] = pickle.loads(path.read_bytes())  # noqa: S301 (written by our own parent process)
    return work


def _work_in_process(path: Path, task: Any) -> Any:
    return _unpickled(path)(_stores_here[0], task, None)()


def _can_cross(opener: Reopen) -> bool:
    try:
        pickle.dumps(opener)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True
