"""The restorable window: the times point-in-time recovery can export now."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_ddbexport.core.service import ADVICE, is_transient, service_errors
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import PointInTimeRecoveryError, RestorableWindowError, ServiceError


@dataclass(frozen=True, slots=True)
class RestorableWindow:
    """The times PITR can export now, both ends included.

    Attributes:
        earliest: None while PITR has nothing yet.
        latest: about five minutes ago; None while PITR has nothing yet.
        period_days: how far back the table keeps its history; None where the service does not say.
    """

    earliest: datetime | None
    latest: datetime | None
    period_days: int | None = None

    def is_before(self, moment: datetime) -> bool:
        """Whether the window has yet to reach *moment*."""
        return self.latest is None or moment > self.latest

    def is_past(self, moment: datetime) -> bool:
        """Whether the window has moved on beyond *moment*, which it will never hold again."""
        return self.earliest is not None and moment < self.earliest

    def holds(self, moment: datetime) -> bool:
        """Whether *moment* can be exported now."""
        return not self.is_before(moment) and not self.is_past(moment)

    def __str__(self) -> str:
        if self.earliest is None or self.latest is None:
            return "nothing yet, point-in-time recovery has only just been turned on"
        return f"{iso(self.earliest)} to {iso(self.latest)}"


def table_name_of(table: str) -> str:
    """Return the name in *table*, which is a name or an ARN."""
    return table.partition(":table/")[2].partition("/")[0] if table.startswith("arn:") else table


def restorable_window(dynamodb: Any, table: str) -> RestorableWindow:
    """Return the times PITR can export of *table*, a name or an ARN.

    Raises PointInTimeRecoveryError when PITR is off, TableNotFoundError, AccessError. The service answers at most ten
    such calls a second.
    """
    with service_errors(looking_at(table)):
        answer = dynamodb.describe_continuous_backups(TableName=table)
    return window_in(answer, table)


def looking_at(table: str) -> str:
    """Return how errors call the asking."""
    return f"looking at the restorable window of {table}"


def window_in(answer: dict[str, Any], table: str) -> RestorableWindow:
    """Return the window in DescribeContinuousBackups' *answer*. Raises PointInTimeRecoveryError when PITR is off."""
    recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        raise PointInTimeRecoveryError(
            f"point-in-time recovery is off for table {table_name_of(table)}; {ADVICE[PointInTimeRecoveryError]}",
            code="PointInTimeRecoveryUnavailableException",
        )
    earliest, latest = recovery.get("EarliestRestorableDateTime"), recovery.get("LatestRestorableDateTime")
    period_days = recovery.get("RecoveryPeriodInDays")
    if earliest is None or latest is None or earliest > latest:
        return RestorableWindow(None, None, period_days)
    return RestorableWindow(earliest.astimezone(UTC), latest.astimezone(UTC), period_days)


def outside_window(request_time: datetime, window: RestorableWindow, *, what: str) -> RestorableWindowError:
    """Return the error that says where *request_time* lies beside *window*, and what to do."""
    if window.is_past(request_time):
        todo = "its history is gone: choose a time inside the window, or start from a backup"
    else:
        todo = (
            "it cannot be exported yet: wait until the window reaches it (DynamoDBRestorableTimeSensor), "
            "or choose an earlier time"
        )
    return RestorableWindowError(
        f"{what}: {iso(request_time)} is outside the restorable window ({window}); {todo}",
        code="InvalidExportTimeException",
        export_time=iso(request_time),
        earliest=window.earliest and iso(window.earliest),
        latest=window.latest and iso(window.latest),
        is_past=window.is_past(request_time),
    )


def wait_until_restorable(
    dynamodb: Any,
    table: str,
    moment: datetime,
    *,
    deadline_s: float,
    poll_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> RestorableWindow:
    """Return the window that holds *moment*; look every *poll_s* seconds, for *deadline_s* at most.

    Raises RestorableWindowError when the window has moved on beyond it, or has not reached it at the deadline;
    PointInTimeRecoveryError, TableNotFoundError, AccessError.
    """
    give_up_at = monotonic() + deadline_s
    while True:
        try:
            window = restorable_window(dynamodb, table)
        except ServiceError as error:
            if not is_transient(error) or monotonic() >= give_up_at:
                raise
        else:
            if window.is_past(moment) or (window.is_before(moment) and monotonic() >= give_up_at):
                raise outside_window(moment, window, what=looking_at(table))
            if not window.is_before(moment):
                return window
        sleep(min(poll_s, max(0.0, give_up_at - monotonic())))
