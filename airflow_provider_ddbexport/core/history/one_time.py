"""The plan of one time, for whoever takes the times of a backfill one by one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.core.exporting.restorable_window import restorable_window
from airflow_provider_ddbexport.core.history.known import KnownHistory, look_up_history
from airflow_provider_ddbexport.core.history.plan import BackfillPlan, plan_backfill
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger


def plan_time(
    dynamodb: Any, table: str, time: datetime, *, ledger: Ledger | None = None, exports_in: str | None = None
) -> BackfillPlan:
    """Return the plan of *time* alone, as it is now; what exports there are is asked only where the window is past it.

    So a backfill of many days does not describe all exports for each of them, and sizes are not known. Takes and raises
    what :func:`.look_up_history` does.
    """
    window = restorable_window(dynamodb, table)
    history = KnownHistory(table, 0, window)
    if window.is_past(time):
        history = look_up_history(dynamodb, table, ledger=ledger, exports_in=exports_in)
    return plan_backfill(history, [time])
