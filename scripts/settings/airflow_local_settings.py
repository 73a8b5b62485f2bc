"""What the Airflow of ``make airflow`` and ``make demo`` does otherwise; Airflow imports it by its name."""

from __future__ import annotations

import sys
from typing import Any

if "scheduler" in sys.argv:
    # Its workers fork for every task, and no task imports anew what is imported here. This package's own modules are
    # not: they may be edited while Airflow runs.
    import airflow.providers.amazon.aws.hooks.base_aws
    import airflow.providers.amazon.aws.triggers.base  # noqa: F401
    import pyarrow.parquet  # noqa: F401

POLL_S = 1


def task_policy(task: Any) -> None:
    """Have *task* look every second: the embedded AWS is done in one with what takes AWS minutes."""
    if hasattr(task, "poll_interval_s"):
        task.poll_interval_s = POLL_S
