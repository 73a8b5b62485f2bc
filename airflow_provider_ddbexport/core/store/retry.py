"""How long failures are put up with: backoff with jitter up to a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_ddbexport.errors import StorageDeadlineError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again, and when to give up.

    Attributes:
        deadline_s: seconds from the start of an operation (of a stream: from its last byte) to giving up.
        first_pause_s: pauses are half fixed and half random, and double from about this ...
        longest_pause_s: ... up to this many seconds.
        clock, sleep: seconds, monotonic; injected by tests.
        jitter: random numbers in [0, 1).
    """

    deadline_s: float = 300.0
    first_pause_s: float = 0.2
    longest_pause_s: float = 20.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def tries(self, what: str) -> Tries:
        """Return a fresh count of tries at *what* (``reading s3://…``)."""
        return Tries(self, what)


class Tries:
    """The tries at one operation. Not to be shared between threads."""

    def __init__(self, policy: RetryPolicy, what: str) -> None:
        self._policy = policy
        self._what = what
        self._failed = 0
        self._started = policy.clock()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, 0 from then on."""
        return max(self._policy.deadline_s - (self._policy.clock() - self._started), 0.0)

    def pause(self) -> bool:
        """Count a failure; pause before the next try and return True, or return False: the deadline has come."""
        policy = self._policy
        self._failed += 1
        left = self.left_s
        if not left:
            return False
        step = min(policy.longest_pause_s, policy.first_pause_s * 2 ** min(self._failed - 1, 30))
        policy.sleep(min(step * (0.5 + 0.5 * policy.jitter()), left))
        return True

    def failed(self, reason: str) -> None:
        """Pause before the next try, or raise StorageDeadlineError when the deadline has come."""
        if not self.pause():
            raise StorageDeadlineError(
                f"{self._what}: failed {self._failed} times up to the deadline of {self._policy.deadline_s:.0f} s, "
                f"last: {reason}; run again when the storage answers",
                reason=reason,
                tries=self._failed,
            )

    def progressed(self) -> None:
        """Start the deadline and the pauses afresh, because something was achieved."""
        self._failed = 0
        self._started = self._policy.clock()
