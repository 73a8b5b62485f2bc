"""When a scan is to end before its end."""

from __future__ import annotations

import threading


class Ending:
    """Whether a run is to end: because its caller asked for it, or because the run itself gave up.

    Each run has its own, and leaves the caller's event as it is: the same settings serve for the next run.
    """

    def __init__(self, asked: threading.Event) -> None:
        self._asked = asked
        self._given_up = threading.Event()

    def set(self) -> None:
        """Let this run end, and no other."""
        self._given_up.set()

    def is_set(self) -> bool:
        """Return whether nothing more is to be asked for."""
        return self._given_up.is_set() or self._asked.is_set()
