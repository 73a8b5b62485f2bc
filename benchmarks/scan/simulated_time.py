"""A clock for threads that is wound forward when all of them sleep: minutes of a scan pass in seconds."""

from __future__ import annotations

import heapq
import itertools
import threading


class SimulatedTime:
    """Seconds that pass only while each of a number of threads sleeps or is through."""

    def __init__(self, threads: int) -> None:
        self._now = 0.0
        self._awake = threads
        self._asleep: list[tuple[float, int, threading.Event]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()

    def clock(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Return when *seconds* have passed."""
        woken = threading.Event()
        with self._lock:
            heapq.heappush(self._asleep, (self._now + seconds, next(self._order), woken))
            self._leave()
        woken.wait()

    def end(self) -> None:
        """Say that this thread will not sleep any more."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        self._awake -= 1
        if not self._awake and self._asleep:
            self._now, _, woken = heapq.heappop(self._asleep)
            self._awake += 1
            woken.set()
