"""The hook has a client, and a waiter that is as patient as exports need."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from airflow_provider_ddbexport.core.exporting.point_in_time import ExportStatus
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, export_instant
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook


@pytest.fixture
def request_now(reviews: Any) -> ExportRequest:
    """An export of the table Reviews to the bucket exports, which both exist."""
    reviews.configure(export_seconds=0)
    table = DynamoDBExportHook().table_identity("Reviews")
    moment = export_instant(reviews.clock.now() - timedelta(minutes=10))
    return ExportRequest(table.arn, table_id=table.table_id, export_time=moment, bucket="exports")


def test_the_hook_starts_and_describes_exports(request_now: ExportRequest) -> None:
    """Usable in a task of one's own; starting twice is one export."""
    hook = DynamoDBExportHook()
    arn = hook.start_export(request_now)
    assert hook.start_export(request_now) == arn
    assert hook.describe_export(arn).status is ExportStatus.COMPLETED
    assert hook.restorable_window("Reviews").latest is not None


def test_the_hooks_waiter_waits_for_a_day() -> None:
    """The SDK's gives up after 20 minutes, the amazon provider's after 30."""
    hook = DynamoDBExportHook()
    assert hook._list_custom_waiters() == ["export_completed"]
    waiter = hook.get_waiter("export_completed", client=hook.get_client_type(region_name="us-east-1"))
    assert waiter.config.delay * waiter.config.max_attempts == 24 * 3600


def test_the_hooks_waiter_knows_how_an_export_ends(aws: Any, request_now: ExportRequest) -> None:
    """COMPLETED is success, FAILED is failure."""
    hook = DynamoDBExportHook()
    once = {"Delay": 0, "MaxAttempts": 1}
    hook.get_waiter("export_completed").wait(ExportArn=hook.start_export(request_now), WaiterConfig=once)
    aws.configure(fail_next_export=("S3AccessDenied", "no"))
    later = ExportRequest(request_now.table_arn, request_now.export_time - timedelta(seconds=1), "exports")
    with pytest.raises(WaiterError, match="terminal failure"):
        hook.get_waiter("export_completed").wait(ExportArn=hook.start_export(later), WaiterConfig=once)


def test_a_resource_type_cannot_be_asked_for() -> None:
    """A resource has no waiters; the hook is a client's."""
    assert DynamoDBExportHook(client_type="s3").client_type == "dynamodb"
