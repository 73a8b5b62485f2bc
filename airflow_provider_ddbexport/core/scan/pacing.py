"""Asking for pages within the read budget, and putting up with throttling until a deadline."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.scan.budget import PageCost, RateReader, ReadBudget, Reservation
from airflow_provider_ddbexport.core.scan.ending import Ending
from airflow_provider_ddbexport.core.scan.page import Page
from airflow_provider_ddbexport.core.scan.page_source import DAMAGED_PAGE, PageSource
from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.core.store.retry import RetryPolicy, Tries
from airflow_provider_ddbexport.errors import DdbExportError, ScanStoppedError, ServiceError, ThrottledError

log = logging.getLogger(__name__)

_PAGE_S = 0.25
"""A page may cost what the budget has for this many seconds; smaller ones spread the load and cost more requests."""
_LONGEST_SLEEP_S = 1.0
_REREAD_S = 60.0


@dataclass(frozen=True, slots=True)
class _Failed:
    """How a page that is to be asked for again failed last, and until when it may be."""

    error: ServiceError
    tries: Tries


class Pacer:
    """Fetches pages for all segments of a scan within one budget. Safe to share between threads.

    Attributes:
        budget: what is spent; read it under :attr:`lock`.
        throttles: pages that DynamoDB refused so far.
    """

    def __init__(
        self,
        source: PageSource,
        read_rate: RateReader,
        *,
        is_consistent: bool,
        retries: RetryPolicy,
        stop: Ending | threading.Event,
    ) -> None:
        """Take *read_rate*, asked again each minute; *retries* has the clock, and the deadline of each single page."""
        self.lock = threading.Lock()
        self.throttles = 0
        self._source = source
        self._read_rate = read_rate
        self._retries = retries
        self._patience = replace(retries, sleep=self._sleep)
        self._stop = stop
        now = retries.clock()
        self._read_at = now
        self._cost = PageCost(is_consistent=is_consistent)
        self.budget = ReadBudget(read_rate(), now=now)

    def page(self, request: dict[str, Any], start: Item | None) -> Page:
        """Return the page after *start* once the budget has room for it.

        Raises ThrottledError when DynamoDB refused it up to the deadline, ScanStoppedError when the scan is to end,
        and ServiceErrors that trying again cannot mend.
        """
        tries: Tries | None = None
        failed: _Failed | None = None
        while True:
            limit, reservation = self._reserve(request["TableName"], failed)
            tries = tries or self._patience.tries(f"scanning table {request['TableName']}")
            asked = request if limit is None else {**request, "Limit": limit}
            try:
                page = self._source.page(asked, start)
            except ServiceError as error:
                self._failed(error, reservation)
                if not _may_come(error):
                    raise
                tries.pause()
                failed = _Failed(error, tries)
                continue
            except BaseException:
                self._end(reservation, reservation.units)
                raise
            with self.lock:
                reservation.settle(page.consumed_units * page.requests, self._retries.clock())
                self._cost.observe(page.scanned_items, page.consumed_units)
            return page

    def _reserve(self, table_name: str, failed: _Failed | None) -> tuple[int | None, Reservation]:
        """Return the page's Limit and reservation. A page that *failed* waits for the budget up to its deadline."""
        self._reread()
        while True:
            if self._stop.is_set():
                raise ScanStoppedError(stopped(table_name))
            left_s = _LONGEST_SLEEP_S if failed is None else failed.tries.left_s
            if failed is not None and not left_s:
                raise self._given_up(failed.error, table_name) from failed.error
            with self.lock:
                pace = self.budget.pace_rcu
                limit = self._cost.limit(None if pace is None else pace * _PAGE_S)
                wait = self.budget.reserve(self._cost.expected(limit), self._retries.clock())
            if isinstance(wait, Reservation):
                return limit, wait
            self._sleep(min(wait, left_s, _LONGEST_SLEEP_S))

    def _sleep(self, seconds: float) -> None:
        """Sleep so long, or until the scan is to end."""
        while seconds > 0 and not self._stop.is_set():
            self._retries.sleep(min(seconds, _LONGEST_SLEEP_S))
            seconds -= _LONGEST_SLEEP_S

    def _failed(self, error: ServiceError, reservation: Reservation) -> None:
        if isinstance(error, ThrottledError):
            with self.lock:
                self.throttles += 1
                reservation.refuse(self._retries.clock())
        else:
            # It may have been read and charged all the same.
            self._end(reservation, reservation.units if _may_come(error) else 0.0)

    def _end(self, reservation: Reservation, units: float) -> None:
        with self.lock:
            reservation.settle(units, self._retries.clock())

    def _given_up(self, error: ServiceError, table_name: str) -> ServiceError:
        if not isinstance(error, ThrottledError):
            return error
        return ThrottledError(
            f"scanning table {table_name}: DynamoDB throttled one page for {self._retries.deadline_s:.0f} s "
            f"({error.context.get('code')}); raise the table's capacity, lower the read budget, or resume later",
            **error.context,
        )

    def _reread(self) -> None:
        with self.lock:
            now = self._retries.clock()
            if now - self._read_at < _REREAD_S:
                return
            self._read_at = now
            before = self.budget.rate_rcu
        try:
            rate = self._read_rate()
        except DdbExportError as error:
            log.warning("The read budget stays as it is: %s", error)
            return
        if rate != before:
            log.info("The read budget is now %s, was %s", rate_text(rate), rate_text(before))
            with self.lock:
                self.budget.set_rate(rate, self._retries.clock())


def stopped(table_name: str) -> str:
    """Return what is said of a scan that was asked to stop."""
    return f"scanning table {table_name}: asked to stop"


def _may_come(error: ServiceError) -> bool:
    """Whether the same page may come when it is asked for again."""
    return is_transient(error) or error.context.get("code") == DAMAGED_PAGE


def rate_text(rate_rcu: float | None) -> str:
    """Return *rate_rcu* in words."""
    return "unlimited" if rate_rcu is None else f"{rate_rcu:,.1f} RCU/s"
