"""Work done beside the caller's: one piece after the other, while the caller makes the next one ready."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Background:
    """A thread that does what it is handed, in order; at most one piece is under way. A context manager.

    Attributes:
        waited_s: seconds that callers waited for it.
    """

    def __init__(self) -> None:
        self.waited_s = 0.0
        self._executor = ThreadPoolExecutor(1, "ddbexport-encode")
        self._under_way: Future[None] | None = None

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
        self._under_way = self._executor.submit(work)

    def wait(self) -> None:
        """Wait for the piece under way. Raises what it raised."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            started = time.perf_counter()
            try:
                under_way.result()
            finally:
                self.waited_s += time.perf_counter() - started


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
