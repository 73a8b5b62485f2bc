"""Turning point-in-time recovery on, and keeping it as it is where it is on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow, restorable_window, window_in
from airflow_provider_ddbexport.core.service import is_transient, service_errors
from airflow_provider_ddbexport.errors import BadCallError, PointInTimeRecoveryError, ServiceError

PERIOD_DAYS = range(1, 36)
"""How far back DynamoDB keeps a table's history, at the author's choice; 35 days by default."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Point-in-time recovery of a table, which is on.

    Attributes:
        window: what can be exported now.
        was_on: whether it was on before.
        is_changed: whether anything was changed, on or off or the period.
    """

    window: RestorableWindow
    was_on: bool
    is_changed: bool


def enable_recovery(
    dynamodb: Any,
    table: str,
    *,
    period_days: int | None = None,
    shorten: bool = False,
    deadline_s: float = 300.0,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Recovery:
    """Make sure that *table*, a name or an ARN, has point-in-time recovery; repeating it changes nothing.

    *period_days* is 1 to 35; None leaves it as it is (35 where recovery is turned on). A period shorter than the
    table's throws history away for good: refused without *shorten*. A table just made cannot be changed for a moment;
    that, throttling and the service's own failures are waited out for *deadline_s* seconds.

    Raises BadCallError, TableNotFoundError, AccessError, ThrottledError, ServiceError. Needs
    dynamodb:DescribeContinuousBackups and, to change anything, dynamodb:UpdateContinuousBackups.
    """
    if period_days is not None and period_days not in PERIOD_DAYS:
        raise BadCallError(f"recovery period: expected 1 to 35 days, found {period_days!r}")
    give_up_at, pause_s = monotonic() + deadline_s, 1.0
    while True:
        try:
            return _enabled(dynamodb, table, period_days, shorten=shorten)
        except ServiceError as error:
            passes = is_transient(error) or error.context.get("code") == "ContinuousBackupsUnavailableException"
            if not passes or monotonic() + pause_s > give_up_at:
                raise
        sleep(pause_s)
        pause_s = min(pause_s * 2, 30.0)


def _enabled(dynamodb: Any, table: str, period_days: int | None, *, shorten: bool) -> Recovery:
    try:
        before: RestorableWindow | None = restorable_window(dynamodb, table)
    except PointInTimeRecoveryError:
        before = None
    if before is not None and period_days in {None, before.period_days}:
        return Recovery(before, was_on=True, is_changed=False)
    kept_days = before.period_days if before is not None else None
    if kept_days is not None and period_days is not None and period_days < kept_days and not shorten:
        raise BadCallError(
            f"recovery period of {table}: it keeps {kept_days} days of history; {period_days} would throw the rest "
            "away for good: leave the period out, or say shorten=True"
        )
    wanted: dict[str, Any] = {"PointInTimeRecoveryEnabled": True}
    if period_days is not None:
        wanted["RecoveryPeriodInDays"] = period_days
    with service_errors(f"turning on point-in-time recovery of {table}"):
        answer = dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=wanted)
    return Recovery(window_in(answer, table), was_on=before is not None, is_changed=True)
