"""What a running scan says of itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_ddbexport.core.scan.pacing import Pacer, rate_text
from airflow_provider_ddbexport.errors import ScanStoppedError

log = logging.getLogger(__name__)

LOG_EVERY_S = 30.0
TELL_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class ScanPage:
    """One page that was scanned.

    Attributes:
        segment: which, from 0.
        items: in this page; may be 0 where a filter is used.
        consumed_units: read capacity units this page was charged.
        response_bytes: size of the response; 0 where it is not known.
    """

    segment: int
    items: int
    consumed_units: float
    response_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is; items, bytes and units are this run's, segments all that are done.

    Attributes:
        rate_rcu: units a second over the last interval.
        budget_rcu: the read budget; None without one.
        left_s: seconds that are left, from the table's size as DynamoDB last counted it; None where that is unknown.
    """

    items: int
    response_bytes: int
    consumed_units: float
    rate_rcu: float
    budget_rcu: float | None
    segments_done: int
    segments: int
    throttles: int
    left_s: float | None

    def line(self) -> str:
        """Return the progress in as few words as a terminal of 80 columns has room for."""
        rate = f"{self.rate_rcu:,.0f}" + (f"/{self.budget_rcu:,.0f}" if self.budget_rcu else "")
        left = "" if self.left_s is None else f", {_duration(self.left_s)} left"
        throttled = f", throttled {self.throttles:,} times" if self.throttles else ""
        return (
            f"{self.items:,} items, {self.response_bytes / 1e6:,.1f} MB, {rate} RCU/s, "
            f"{self.segments_done}/{self.segments} segments{left}{throttled}"
        )

    def sentence(self) -> str:
        """Return the progress in one line."""
        share = f" ({self.rate_rcu / self.budget_rcu:.0%} of the budget)" if self.budget_rcu else ""
        left = "" if self.left_s is None else f", about {_duration(self.left_s)} left"
        throttled = f", throttled {self.throttles} times" if self.throttles else ""
        return (
            f"{self.items:,} items, {self.response_bytes / 1e6:,.1f} MB, {rate_text(self.rate_rcu)}{share}, "
            f"{self.segments_done} of {self.segments} segments done{throttled}{left}"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Adapting:
    """Says at intervals how far publishing is: how many groups of pages have the columns that all items ask for."""

    def __init__(
        self,
        on_publish: Callable[[int, int], None] | None,
        *,
        stop: threading.Event,
        clock: Callable[[], float],
        can_resume: bool,
    ) -> None:
        """Take *can_resume*, whether what was read is still there for another call."""
        self._on_publish = on_publish
        self._stop = stop
        self._clock = clock
        self._can_resume = can_resume
        self._logged_at = clock()

    def tell(self, done: int, groups: int) -> None:
        """Report that *done* of *groups* are. Raises ScanStoppedError when publishing is to end before its end."""
        if self._stop.is_set():
            again = ", and trying again goes on with it without reading the table again" if self._can_resume else ""
            raise ScanStoppedError(
                f"publishing was asked to stop, {done} of {groups} groups of pages have their last columns; nothing is "
                f"published{again}"
            )
        if self._on_publish is not None:
            self._on_publish(done, groups)
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.info("Publishing: %d of %d groups of pages have their last columns", done, groups)


class Meter:
    """Counts pages of a run, from several threads, and says at intervals how far it is."""

    def __init__(
        self,
        pacer: Pacer,
        *,
        segments: int,
        segments_done: int,
        expected_units: float | None,
        on_page: Callable[[ScanPage], None] | None,
        on_progress: Callable[[ScanProgress], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take *expected_units*, what this run will be charged about; None where it is not known."""
        self._pacer = pacer
        self._segments = segments
        self._segments_done = segments_done
        self._expected_units = expected_units
        self._on_page = on_page
        self._on_progress = on_progress
        self._clock = clock
        self._lock = threading.Lock()
        self._items = self._response_bytes = 0
        self._units = 0.0
        self._started = self._logged_at = clock()
        self._told_at = self._started - TELL_EVERY_S
        self._recent: tuple[float, float] = (self._started, 0.0)

    def page(self, page: ScanPage, *, ended_segment: bool) -> None:
        """Count *page*."""
        with self._lock:
            self._items += page.items
            self._response_bytes += page.response_bytes
            self._units += page.consumed_units
            self._segments_done += ended_segment
            if self._on_page is not None:
                self._on_page(page)

    def tell(self) -> None:
        """Report to the caller every :data:`TELL_EVERY_S` and once all segments are done, to the log every
        :data:`LOG_EVERY_S`; calls in between do nothing."""
        now = self._clock()
        is_log_due = now - self._logged_at >= LOG_EVERY_S
        is_due = now - self._told_at >= TELL_EVERY_S or self._segments_done == self._segments
        if not is_log_due and (self._on_progress is None or not is_due):
            return
        progress = self.progress(now)
        if self._on_progress is not None and is_due:
            self._told_at = now
            self._on_progress(progress)
        if is_log_due:
            self._logged_at = now
            log.info("Scan: %s", progress.sentence())

    def progress(self, now: float) -> ScanProgress:
        """Return how far the scan is."""
        with self._pacer.lock:
            budget, throttles = self._pacer.budget.rate_rcu, self._pacer.throttles
        with self._lock:
            then, units = self._recent
            rate = (self._units - units) / max(now - then, 1e-9)
            if now - then >= LOG_EVERY_S / 3:
                self._recent = (now, self._units)
            average = self._units / max(now - self._started, 1e-9)
            left = None
            if self._expected_units and average:
                left = max(self._expected_units - self._units, 0.0) / average
            return ScanProgress(
                items=self._items,
                response_bytes=self._response_bytes,
                consumed_units=self._units,
                rate_rcu=rate,
                budget_rcu=budget,
                segments_done=self._segments_done,
                segments=self._segments,
                throttles=throttles,
                left_s=left,
            )
