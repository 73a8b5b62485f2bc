"""Work that leaves a rest: waiting for a store, beside which a worker can do something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")

Rest = Callable[[], Result]
"""What is left to be done until there is a result."""


class ThreadsWithRests(Executor):
    """So many threads that do work, and as many beside them that do what it leaves, which the work returns.

    A future is done when the rest is. Work that is begun is done to its end, rest and all; where as many rests wait as
    there are threads, the next work waits for one of them.
    """

    def __init__(self, threads: int) -> None:
        self._work = ThreadPoolExecutor(threads, "ddbexport")
        self._rests = ThreadPoolExecutor(threads, "ddbexport-rest")
        self._room = threading.Semaphore(threads)

    def submit(self, work: Callable[..., Rest[Result]], /, *args: Any) -> Future[Result]:  # type: ignore[override]
        """Have *work* done with *args*, and then its rest."""
        future: Future[Result] = Future()
        self._work.submit(self._do, future, work, args).add_done_callback(
            lambda begun: _end_unbegun(future) if begun.cancelled() else None
        )
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is under way, rests too, and let the threads go."""
        self._work.shutdown(wait, cancel_futures=cancel_futures)
        self._rests.shutdown(wait)

    def _do(self, future: Future[Result], work: Callable[..., Rest[Result]], args: tuple[Any, ...]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            rest = work(*args)
        except BaseException as error:  # noqa: BLE001 (whoever waits for the future raises it)
            future.set_exception(error)
        else:
            self._room.acquire()
            self._rests.submit(self._end, future, rest)

    def _end(self, future: Future[Result], rest: Rest[Result]) -> None:
        try:
            future.set_result(rest())
        except BaseException as error:  # noqa: BLE001 (whoever waits for the future raises it)
            future.set_exception(error)
        finally:
            self._room.release()


def _end_unbegun(future: Future[Any]) -> None:
    """Tell whoever waits for *future* that its work will never begin."""
    future.cancel()
    future.set_running_or_notify_cancel()
