"""The triggers: what a triggerer rebuilds is what was deferred to, and their events wake in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.triggers.base import BaseTrigger
from asgiref.sync import async_to_sync

from airflow_provider_ddbexport.triggers.athena_queries import AthenaQueriesTrigger
from airflow_provider_ddbexport.triggers.crawl import SnapshotCrawlTrigger
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger
from airflow_provider_ddbexport.triggers.polling import PollingTrigger
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
@pytest.mark.usefixtures("waited_for")
def test_a_trigger_fires_at_its_deadline(trigger_type: Any, event_of: Any, tmp_path: Any) -> None:
    """A triggerer that starts anew after the deadline fires at once: the deadline is a time, not a count."""
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
        DynamoDBExportTrigger(export_arn=ARN, deadline=SOON, waiter_delay=0.05),
        DynamoDBRestorableTimeTrigger(table_name="R", export_time=SOON, deadline=SOON, poll_interval_s=0.05),
    ):
        event = event_of(trigger)
        assert event["status"] == "error"
        assert "not you" in event["message"]


@pytest.fixture
def asked_in(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.AbstractEventLoop]:
    """The event loops in which hooks have asked for the connection, in the way of a triggerer before Airflow 3.2.2."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def ask() -> None:
        loops.append(asyncio.get_running_loop())

    def get_connection(_cls: Any, conn_id: str) -> None:
        async_to_sync(ask)()
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(AwsGenericHook, "get_connection", classmethod(get_connection))
    return loops


def _until(look: int, trigger: PollingTrigger, before: Callable[[int], None] = lambda _: None) -> list[Any]:
    """Have *trigger* find what it waits for with the given look; return the loops it looks in, as it does."""
    loops: list[Any] = []
    really = trigger.is_ready

    async def is_ready(client: Any) -> bool:
        loops.append(asyncio.get_running_loop())
        before(len(loops))
        assert not await really(client)
        return len(loops) == look

    trigger.is_ready = is_ready  # type: ignore[method-assign]
    return loops


POLLING: dict[str, Callable[[], PollingTrigger]] = {
    "restorable": lambda: DynamoDBRestorableTimeTrigger(
        table_name="Reviews", export_time=SOON, deadline=SOON, poll_interval_s=0.01
    ),
    "snapshot": lambda: SnapshotTrigger(lake="s3://lake", table="t", as_of=SOON, deadline=SOON, poll_interval_s=0.01),
}


@pytest.fixture
def waited_for(reviews: Any) -> Any:
    """The embedded AWS with a table and a lake in which nothing has come yet."""
    reviews.client("s3").create_bucket(Bucket="lake")
    return reviews


@pytest.mark.parametrize("kind", POLLING)
def test_a_trigger_asks_for_the_connection_once_and_in_its_own_event_loop(
    waited_for: Any, event_of: Any, asked_in: list[Any], kind: str
) -> None:
    """Asked for elsewhere, the triggerer before Airflow 3.2.2 dies of it; asked for each look, it has much to do."""
    trigger = POLLING[kind]()
    loops = _until(3, trigger)
    assert event_of(trigger)["status"] == "success"
    assert len(loops) == 3
    assert asked_in == loops[:1]


@pytest.mark.parametrize(
    "trigger",
    [
        DynamoDBExportTrigger(export_arn=ARN, deadline=SOON),
        SnapshotCrawlTrigger(crawler_name="c", counts_from=None, deadline=SOON, poll_interval_s=0.01),
        AthenaQueriesTrigger(executions={"q": "1"}, keys=[], previous=None, deadline=SOON, poll_interval_s=0.01),
    ],
    ids=lambda trigger: type(trigger).__name__,
)
def test_a_trigger_that_waits_with_one_client_asks_in_its_own_event_loop(
    aws: Any, event_of: Any, asked_in: list[Any], monkeypatch: pytest.MonkeyPatch, trigger: Any
) -> None:
    """What is waited for does not exist, so that each of them fires at once."""
    running: list[Any] = []
    run = trigger.run

    async def watched() -> Any:
        running.append(asyncio.get_running_loop())
        async for event in run():
            yield event

    monkeypatch.setattr(trigger, "run", watched)
    assert event_of(trigger)["status"] == "error"
    assert asked_in == running


def test_credentials_that_have_run_out_are_asked_for_anew(waited_for: Any, event_of: Any, asked_in: list[Any]) -> None:
    """The connection may hold newer ones by now, so that a wait outlasts what was allowed when it began."""
    trigger = POLLING["restorable"]()

    def run_out(look: int) -> None:
        if look == 2:
            waited_for.fail_next("DescribeContinuousBackups", "ExpiredTokenException", "it has run out")

    loops = _until(3, trigger, run_out)
    assert event_of(trigger)["status"] == "success"
    assert len(loops) == 3
    assert len(asked_in) == 2
