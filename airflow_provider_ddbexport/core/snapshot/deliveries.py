"""Parts on their way into the store, several at once: small ones take little more than waiting for its answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

AT_ONCE = 4
"""For one worker."""

AT_ONCE_IN_ALL = 6
"""For all workers of this process. A client has 10 connections unless it is told otherwise, and workers read meanwhile.
Whoever finds all in use is not kept waiting by it: it makes another one, which it drops after a single request."""

_room = threading.Semaphore(AT_ONCE_IN_ALL)


class Deliveries:
    """Threads that deliver what is ready; a context manager.

    Of what waits or is under way there are at most *most_bytes*, or one, so that local files do not pile up.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._executor = ThreadPoolExecutor(AT_ONCE, "ddbexport-store")
        self._under_way: deque[tuple[int, Future[None]]] = deque()
        self._bytes = 0

    def __enter__(self) -> Deliveries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what is under way end, and forget the rest."""
        self._executor.shutdown(cancel_futures=True)

    def do(self, size: int, deliver: Callable[[], None]) -> None:
        """Have *size* bytes delivered. Waits until there is room for them; raises what an earlier delivery raised."""
        while self._under_way and (self._bytes + size > self._most_bytes or len(self._under_way) >= 2 * AT_ONCE):
            self._wait_for_first()
        self._bytes += size
        self._under_way.append((size, self._executor.submit(_in_turn, deliver)))

    def wait(self) -> None:
        """Wait for all of them. Raises what one of them raised."""
        while self._under_way:
            self._wait_for_first()

    def _wait_for_first(self) -> None:
        size, first = self._under_way.popleft()
        self._bytes -= size
        first.result()


def _in_turn(deliver: Callable[[], None]) -> None:
    with _room:
        deliver()
