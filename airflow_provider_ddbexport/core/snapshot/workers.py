"""The same work on many tasks: inline, in processes, or in threads."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_ddbexport.core.store.port import ObjectStore
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


@dataclass(frozen=True, slots=True)
class Crew(Generic[Task]):
    """How many workers there are, and what they work with.

    Processes where the stores pickle or *reopen* is given; threads otherwise, which overlap waiting for the network
    but not decoding, and where this process may have no children (a daemon). Processes are spawned, so a script that
    asks for them needs ``if __name__ == "__main__":``.
    """

    stores: Stores
    workers: int = 1
    reopen: Reopen | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise BadCallError(f"workers: expected at least 1, found {self.workers}", workers=self.workers)

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], tick: Tick | None = None
    ) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result, in any order. The first error ends it; tasks not begun are dropped.

        *tick* is called while working, except by processes: then nothing but the results tells how far it is.
        """
        count = min(self.workers, len(tasks))
        if count <= 1:
            for task in tasks:
                yield task, work(self.stores, task, tick)
            return
        opener = self.reopen or _Keep(self.stores)
        executor: Executor
        if _can_cross(opener, work) and not multiprocessing.current_process().daemon:
            executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _enter, (opener, work))
            futures = {executor.submit(_work_in_process, task): task for task in tasks}
        else:
            executor = ThreadPoolExecutor(count, "ddbexport")
            futures = {executor.submit(work, self.stores, task, _locked(tick)): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise DdbExportError(
                "a worker process died without a word, most often killed for lack of memory; nothing was published, "
                "run again with fewer workers"
            ) from None
        finally:
            executor.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Keep:
    stores: Stores

    def __call__(self) -> Stores:
        return self.stores


_in_worker: dict[str, Any] = {}
"""Of this worker process: its stores, opened once, and its work, which may be large and is sent once."""


def _enter(opener: Reopen, work: Work[Any, Any]) -> None:
    _in_worker.update(stores=opener(), work=work)


def _work_in_process(task: Any) -> Any:
    return _in_worker["work"](_in_worker["stores"], task, None)


def _can_cross(opener: Reopen, work: object) -> bool:
    try:
        pickle.dumps((opener, work))
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def _locked(tick: Tick | None) -> Tick | None:
    if tick is None:
        return None
    lock = threading.Lock()

    def locked(items: int, size: int) -> None:
        with lock:
            tick(items, size)

    return locked
