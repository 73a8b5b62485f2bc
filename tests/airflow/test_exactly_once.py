"""Exports and increments are paid for once: killed anywhere, tried again at any time, in any way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from killed_exports import BUCKET, DELAYS, KILL_POINTS, POLL_S, START, WAYS, Tries, table_with_history

from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator

FULL = {"export_time": START - timedelta(hours=1)}
INCREMENT = {"from_time": START - timedelta(hours=5), "to_time": START - timedelta(hours=1)}


@pytest.fixture
def tries(aws: Any, monkeypatch: pytest.MonkeyPatch, make_context: Callable[..., dict[str, Any]]) -> Any:
    table_with_history(aws)
    return Tries(aws, monkeypatch, make_context)


def _task(kind: str, **changes: Any) -> Any:
    arguments = {
        "task_id": "export",
        "table_name": "Reviews",
        "s3_bucket_name": BUCKET,
        "s3_prefix": "daily",
        "poll_interval_s": POLL_S,
    }
    if kind == "full":
        return DynamoDBPointInTimeExportOperator(**arguments, **{**FULL, **changes})
    return DynamoDBIncrementalExportOperator(**arguments, **{**INCREMENT, **changes})


def _arn(found: dict[str, Any]) -> str:
    return str(found["exports"][0]["export_arn"] if "exports" in found else found["export_arn"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("kill_point", KILL_POINTS)
@pytest.mark.parametrize("kind", ["full", "increment"])
def test_one_export_is_paid_for(tries: Tries, kind: str, kill_point: str, delay: str, way: str) -> None:
    """A try is killed; later the task is tried again, finished and cleared, or its triggerer is restarted."""
    tries.killed(_task(kind), kill_point)
    tries.aws.clock.advance(DELAYS[delay])
    if way == "triggerer restart":
        found = tries.restarted(_task(kind, deferrable=True), DELAYS[delay])
    else:
        found = tries.whole(_task(kind))
    if way == "clear":
        tries.aws.clock.advance(DELAYS[delay])
        assert tries.whole(_task(kind)) == found
    (billed,) = tries.aws.exports_billed()
    assert _arn(found) == billed["export_arn"]
    assert found["item_count"] == 2
