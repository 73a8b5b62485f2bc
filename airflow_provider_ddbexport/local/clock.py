"""The emulator's clock: real time by default, any time when asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Time as the emulated services see it. Thread-safe.

    It ticks with real time, shifted by what :meth:`set` and :meth:`advance` asked for, unless frozen.
    """

    def __init__(self, real: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._real = real
        self._offset = timedelta(0)
        self._frozen_at: datetime | None = None
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the current time, aware, UTC."""
        with self._lock:
            return self._frozen_at if self._frozen_at is not None else self._real() + self._offset

    def set(self, moment: datetime, *, frozen: bool = False) -> None:
        """Make it *moment* now; it ticks on from there, or stands still if *frozen*."""
        with self._lock:
            self._offset = moment - self._real()
            self._frozen_at = moment if frozen else None

    def advance(self, step: timedelta) -> None:
        """Step on by *step*, ticking or standing still as before."""
        with self._lock:
            self._offset += step
            if self._frozen_at is not None:
                self._frozen_at += step

    def reset(self) -> None:
        """Follow real time again."""
        with self._lock:
            self._offset = timedelta(0)
            self._frozen_at = None
