"""The triggers: what a triggerer rebuilds is what was deferred to, and their events wake in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger
from airflow_provider_ddbexport.triggers.restorable_time import DynamoDBRestorableTimeTrigger
from airflow_provider_ddbexport.triggers.snapshot import SnapshotTrigger

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Reviews/export/01-ab"
AWS = {"aws_conn_id": "c", "region_name": "eu-west-1", "verify": False, "botocore_config": {"read_timeout": 1}}
SOON = "2100-01-01T00:00:00+00:00"


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


TRIGGERS = [
    DynamoDBExportTrigger(export_arn=ARN, deadline=SOON, waiter_delay=2.5, waiter_max_attempts=7, **AWS),
    DynamoDBRestorableTimeTrigger(
        table_name="Reviews", export_time="2026-01-14T00:00:00Z", deadline=SOON, poll_interval_s=2.5, **AWS
    ),
    SnapshotTrigger(
        lake="s3://l",
        table="t",
        as_of="2026-01-14T00:00:00Z",
        at_or_after=True,
        deadline=SOON,
        poll_interval_s=2.5,
        **AWS,
    ),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_a_trigger_survives_serialisation(trigger: BaseTrigger, rebuilt: Any) -> None:
    """Through the database and back it is of the same class with the same arguments."""
    again = rebuilt(trigger)
    assert type(again) is type(trigger)
    assert again.serialize() == trigger.serialize()


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_a_trigger_with_defaults_survives_serialisation(trigger: BaseTrigger, rebuilt: Any) -> None:
    """Without AWS arguments of its own it uses aws_default, and says so."""
    _, arguments = trigger.serialize()
    plain = type(trigger)(**{name: value for name, value in arguments.items() if name not in AWS})
    assert rebuilt(plain).serialize() == plain.serialize()
    assert plain.serialize()[1]["aws_conn_id"] == "aws_default"


@pytest.mark.parametrize(
    "trigger_type", [DynamoDBExportTrigger, DynamoDBRestorableTimeTrigger, SnapshotTrigger], ids=lambda t: t.__name__
)
def test_a_trigger_fires_at_its_deadline(trigger_type: Any, aws: Any, event_of: Any, tmp_path: Any) -> None:
    """A triggerer that starts anew after the deadline fires at once: the deadline is a time, not a count."""
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="Reviews",
        AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    own: dict[str, Any] = {
        DynamoDBExportTrigger: {"export_arn": ARN, "waiter_delay": 30},
        DynamoDBRestorableTimeTrigger: {"table_name": "Reviews", "export_time": SOON, "poll_interval_s": 30},
        SnapshotTrigger: {"lake": str(tmp_path), "table": "t", "as_of": SOON, "poll_interval_s": 30},
    }[trigger_type]
    assert event_of(trigger_type(**own, deadline=_in(-60)))["status"] == "timeout"


def test_a_throttled_look_does_not_outlive_the_deadline(aws: Any, event_of: Any) -> None:
    """The amazon provider's own wait retries a throttled call for ever; this one ends."""
    aws.fail_next("DescribeExport", "ThrottlingException", times=10_000)
    trigger = DynamoDBExportTrigger(
        export_arn=ARN,
        deadline=_in(0.5),
        waiter_delay=0.05,
        botocore_config={"retries": {"total_max_attempts": 1}},
    )
    assert event_of(trigger) == {"status": "timeout", "export_arn": ARN}


def test_a_lost_connection_is_looked_through(aws: Any, event_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that cannot be reached does not fail the trigger: it looks again, until the deadline."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    trigger = DynamoDBExportTrigger(
        export_arn=ARN,
        deadline=_in(0.5),
        waiter_delay=0.05,
        botocore_config={"retries": {"total_max_attempts": 1}},
    )
    assert event_of(trigger)["status"] == "timeout"


def test_a_look_that_is_denied_wakes_the_task(aws: Any, event_of: Any) -> None:
    """Waiting on would be in vain; the task finds out why."""
    for operation in ("DescribeExport", "DescribeContinuousBackups"):
        aws.fail_next(operation, "AccessDeniedException", "not you")
    for trigger in (
        DynamoDBExportTrigger(export_arn=ARN, deadline=_in(20), waiter_delay=0.05),
        DynamoDBRestorableTimeTrigger(table_name="R", export_time=SOON, deadline=_in(20), poll_interval_s=0.05),
    ):
        event = event_of(trigger)
        assert event["status"] == "error"
        assert "not you" in event["message"]
