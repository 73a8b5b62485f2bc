"""How a scan is run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from airflow_provider_ddbexport.core.scan.progress import ScanPage, ScanProgress
from airflow_provider_ddbexport.core.scan.shard import WORKERS, GroupLimits
from airflow_provider_ddbexport.core.store.retry import RetryPolicy

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ReadBudgetOptions:
    """How much read capacity a scan may use; see :func:`.table.read_rate`.

    Attributes:
        read_units: units a second.
        read_percent: of the provisioned capacity, or of the ceiling on demand.
        ceiling_units: what 100 % is for a table on demand.
    """

    read_units: float | None = None
    read_percent: float | None = None
    ceiling_units: float | None = None


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """How a scan is run; none of it changes what is written.

    Attributes:
        workers: segments read at the same time in this process; the client should have as many connections.
        limits: when pages become a data file and a checkpoint.
        retries: the clock, and how long one page is asked for while DynamoDB throttles or fails.
        on_page: called from several threads, one at a time.
        on_progress: called twice a second from the calling thread.
        on_publish: called from the calling thread with how many groups of pages have their last columns, and of how
            many; where a scan goes straight to Parquet.
        stop: when set, the scan ends after the pages it is at, checkpointed.
        now: for the times written down.
    """

    budget: ReadBudgetOptions = field(default_factory=ReadBudgetOptions)
    workers: int = WORKERS
    limits: GroupLimits = field(default_factory=GroupLimits)
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    on_page: Callable[[ScanPage], None] | None = None
    on_progress: Callable[[ScanProgress], None] | None = None
    on_publish: Callable[[int, int], None] | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    now: Now = utc_now
