"""Time that passes only by sleeping."""

from __future__ import annotations

from airflow_provider_ddbexport.core.store import RetryPolicy


class FakeTime:
    """Seconds; :attr:`now` is 0 at first, :attr:`pauses` are the sleeps so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def policy(self, deadline_s: float = 60.0) -> RetryPolicy:
        """Return a policy that lives by this time and whose pauses are not random."""
        return RetryPolicy(deadline_s=deadline_s, clock=self.clock, sleep=self.sleep, jitter=lambda: 1.0)
