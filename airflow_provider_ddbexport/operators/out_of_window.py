"""What becomes of a task whose time is gone from the restorable window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from airflow_provider_ddbexport.airflow_exceptions import AirflowSkipException
from airflow_provider_ddbexport.errors import BadCallError, RestorableWindowError

OutOfWindow = Literal["fail", "skip"]


@contextmanager
def gone_times(out_of_window: OutOfWindow) -> Iterator[None]:
    """Raise AirflowSkipException for a time that is gone, if *out_of_window* is ``skip``; let other errors pass."""
    if out_of_window not in {"fail", "skip"}:
        raise BadCallError(f"out_of_window: expected fail or skip, found {out_of_window!r}")
    try:
        yield
    except RestorableWindowError as error:
        if out_of_window == "skip" and error.context.get("is_past"):
            raise AirflowSkipException(str(error)) from error
        raise
