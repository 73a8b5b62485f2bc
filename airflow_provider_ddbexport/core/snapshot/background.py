"""Work done beside the caller's: one piece after the other, while the caller makes the next one ready."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Each(Protocol):
    """How the parts of a piece of work are done."""

    def __call__(self, do: Callable[[Task], Result], tasks: Iterable[Task], /) -> list[Result]:
        """Return what *do* gives for each of *tasks*, in order."""


def one_by_one(do: Callable[[Task], Result], tasks: Iterable[Task], /) -> list[Result]:
    """Do them here."""
    return [do(task) for task in tasks]


class Background:
    """A thread that does what it is handed, in order; at most one piece is under way. A context manager.

    Attributes:
        waited_s: seconds that callers waited for it.
    """

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._executor = ThreadPoolExecutor(1, "ddbexport-encode")
        self._under_way: Future[None] | None = None
        self._shared = _Shared()

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what is under way end, and forget what became of it."""
        self._executor.shutdown()

    def do(self, work: Callable[[], None]) -> None:
        """Wait for the piece under way, and begin *work*. Raises what that piece raised."""
        self.wait()
        shared = self._shared = _Shared()
        self._under_way = self._executor.submit(work)
        self._under_way.add_done_callback(lambda _: shared.end())

    def wait(self) -> None:
        """Wait for the piece under way, and do some of what it has put up for that. Raises what it raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            started = time.perf_counter()
            try:
                self._shared.help()
                under_way.result()
            finally:
                self.waited_s += time.perf_counter() - started

    def each(self, do: Callable[[Task], Result], tasks: Iterable[Task], /) -> list[Result]:
        """Return what *do* gives for each of *tasks*, in order. For the piece under way: who waits for it does some."""
        return self._shared.each(do, tasks)


class _Shared:
    """What two threads do of one piece of work: the one that does it, and the one that waits for it."""

    def __init__(self) -> None:
        self._left: deque[Callable[[], None]] = deque()
        self._helping = threading.Lock()
        self._calls: SimpleQueue[bool] = SimpleQueue()

    def each(self, do: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """Do *tasks* with the one that helps."""
        found: dict[int, Result] = {}

        def done(place: int, task: Task) -> None:
            found[place] = do(task)

        every = [functools.partial(done, place, task) for place, task in enumerate(tasks)]
        self._left.extend(every)
        for _ in every[1:]:
            self._calls.put(True)
        while self._do_next():
            pass
        # Behind what the other has begun. It may have been stopped there, by the handler of a signal for example.
        with self._helping:
            for place, one in enumerate(every):
                if place not in found:
                    one()
        return [found[place] for place in range(len(every))]

    def help(self) -> None:
        """Do what is put up until the work has ended."""
        while self._calls.get():
            with self._helping:
                self._do_next()

    def end(self) -> None:
        """Let the one that helps go."""
        self._calls.put(False)

    def _do_next(self) -> bool:
        try:
            one = self._left.popleft()
        except IndexError:
            return False
        one()
        return True


class Stages:
    """Seconds by stage, of all threads that time them together."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time it takes to *stage*."""
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + took
