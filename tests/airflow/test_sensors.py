"""The sensors, deferred and not, against the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

from airflow_provider_ddbexport.airflow_exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.exporting.restorable_window import restorable_window
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part, Source
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import AccessError, ExportFailedError, ServiceError
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.sensors.export import DynamoDBExportSensor
from airflow_provider_ddbexport.sensors.restorable_time import DynamoDBRestorableTimeSensor
from airflow_provider_ddbexport.sensors.snapshot import DynamoDBSnapshotSensor
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger

BUCKET = "exports"
BOTH_WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
PATIENT = {"task_id": "wait", "poke_interval": 0.1, "timeout": 600}
FAST = {"botocore_config": {"retries": {"total_max_attempts": 1}}}
AS_OF = datetime(2026, 1, 14, tzinfo=UTC)


@pytest.fixture
def started(reviews: Any) -> str:
    """The ARN of an export that goes on until it is told to end."""
    return _start_export(reviews, timedelta(minutes=10))


def _start_export(aws: Any, ago: timedelta) -> str:
    answer = aws.client("dynamodb").export_table_to_point_in_time(
        TableArn=f"arn:aws:dynamodb:us-east-1:{aws.account_id}:table/Reviews",
        ExportTime=aws.clock.now() - ago,
        S3Bucket=BUCKET,
    )
    return str(answer["ExportDescription"]["ExportArn"])


@pytest.fixture
def after_first_look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Return what makes something happen once the sensor has looked in vain; it returns what each look found."""

    def arrange(sensor: Any, happen: Callable[[], Any]) -> list[Any]:
        looks: list[Any] = []
        look = sensor.look

        def look_then_happen() -> Any:
            looks.append(look())
            if len(looks) == 1:
                happen()
            return looks[-1]

        monkeypatch.setattr(sensor, "look", look_then_happen)
        return looks

    return arrange


def _record(as_of: datetime) -> CommitRecord:
    source = Source(
        uri="s3://exports/AWSDynamoDB/1",
        export_arn="arn",
        export_type="FULL_EXPORT",
        table_arn="arn",
        table_id="id",
        output_format="DYNAMODB_JSON",
        digest="ab",
        files=1,
        item_count=3,
        billed_bytes=1,
        verified=("manifest md5",),
    )
    return CommitRecord(
        table="reviews",
        as_of=as_of,
        published_at=as_of,
        rows=3,
        parts=(Part(key="p", rows=3, size=10, sha256="00"),),
        schema=Schema(columns=()),
        source=source,
        digest="cd",
    )


@BOTH_WAYS
def test_an_export_is_waited_for(
    *, reviews: Any, started: str, run_task: Any, context: Any, deferrable: bool, after_first_look: Any
) -> None:
    """XCom is what the operator would have returned; the link is there."""
    sensor = DynamoDBExportSensor(**PATIENT, export_arn=started, deferrable=deferrable)
    looks = after_first_look(sensor, lambda: reviews.configure(export_seconds=0))
    found = run_task(sensor, context)
    assert looks == [None, found]
    assert found["export_arn"] == started
    assert found["item_count"] == 0
    assert found["source"] == f"s3://{BUCKET}/AWSDynamoDB/{started.rpartition('/')[2]}"
    assert context["ti"].xcoms[DynamoDBExportLink.key]["table_name"] == "Reviews"
    assert len(run_task.deferrals) == int(deferrable)


@BOTH_WAYS
def test_a_failed_export_fails_its_sensor(
    *, reviews: Any, started: str, run_task: Any, context: Any, deferrable: bool
) -> None:
    """With FailureCode and FailureMessage, for good where another export would fail alike."""
    reviews.configure(fail_next_export=("S3AccessDenied", "no PutObject"))
    run_task.on_deferral = lambda: reviews.configure(export_seconds=0)
    if not deferrable:
        reviews.configure(export_seconds=0)
    failing = _start_export(reviews, timedelta(minutes=20))
    with pytest.raises(AirflowFailException, match="S3AccessDenied: no PutObject") as caught:
        run_task(DynamoDBExportSensor(**PATIENT, export_arn=failing, deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, ExportFailedError)


@BOTH_WAYS
def test_an_unknown_export_fails_at_once(reviews: Any, run_task: Any, context: Any, deferrable: bool) -> None:
    """Nothing is waited for that never was."""
    arn = f"arn:aws:dynamodb:us-east-1:{reviews.account_id}:table/Reviews/export/01700000000000-00000000"
    with pytest.raises(AirflowFailException, match="ExportNotFoundException"):
        run_task(DynamoDBExportSensor(**PATIENT, export_arn=arn, deferrable=deferrable), context)


@BOTH_WAYS
@pytest.mark.parametrize(("soft_fail", "outcome"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_a_sensor_ends_at_its_timeout(
    *, reviews: Any, started: str, run_task: Any, context: Any, deferrable: bool, soft_fail: bool, outcome: type
) -> None:
    """Failed or skipped, as it was told, whoever did the waiting."""
    sensor = DynamoDBExportSensor(
        **{**PATIENT, "timeout": 0.3}, export_arn=started, deferrable=deferrable, soft_fail=soft_fail
    )
    with pytest.raises(outcome):
        run_task(sensor, context)


@BOTH_WAYS
def test_what_passes_is_waited_out(
    *, reviews: Any, started: str, run_task: Any, context: Any, deferrable: bool
) -> None:
    """The service's own failures do not end a sensor."""
    reviews.configure(export_seconds=0)
    reviews.fail_next("DescribeExport", "InternalServerError", status=500, times=2)
    found = run_task(DynamoDBExportSensor(**PATIENT, **FAST, export_arn=started, deferrable=deferrable), context)
    assert found["export_arn"] == started


@BOTH_WAYS
@pytest.mark.parametrize("told", ["soft_fail", "never_fail"])
def test_a_sensor_told_not_to_fail_is_skipped(
    *, reviews: Any, started: str, run_task: Any, context: Any, deferrable: bool, told: str
) -> None:
    """Even where the error is one for good."""
    reviews.fail_next("DescribeExport", "AccessDeniedException")
    sensor = DynamoDBExportSensor(**PATIENT, export_arn=started, deferrable=deferrable, **{told: True})
    with pytest.raises(AirflowSkipException):
        run_task(sensor, context)


@BOTH_WAYS
def test_the_window_is_waited_for(
    *, reviews: Any, run_task: Any, context: Any, deferrable: bool, after_first_look: Any
) -> None:
    """A time the window has yet to reach is waited for; XCom has the window."""
    reviews.clock.set(reviews.clock.now(), frozen=True)
    latest = restorable_window(reviews.client("dynamodb"), "Reviews").latest
    assert latest is not None
    moment = (latest + timedelta(seconds=1)).replace(microsecond=0)
    sensor = DynamoDBRestorableTimeSensor(
        **PATIENT, table_name="Reviews", export_time=moment.isoformat(), deferrable=deferrable
    )
    looks = after_first_look(sensor, lambda: reviews.clock.advance(timedelta(seconds=2)))
    found = run_task(sensor, context)
    assert looks == [None, found]
    assert found["export_time"] == iso(moment)
    assert parse_time(found["earliest"]) < moment <= parse_time(found["latest"])
    assert len(run_task.deferrals) == int(deferrable)


@BOTH_WAYS
def test_a_time_too_old_fails_at_once_and_names_the_window(
    reviews: Any, run_task: Any, context: Any, deferrable: bool
) -> None:
    """It will never be restorable again."""
    earliest = restorable_window(reviews.client("dynamodb"), "Reviews").earliest
    assert earliest is not None
    sensor = DynamoDBRestorableTimeSensor(
        **PATIENT, table_name="Reviews", export_time="2020-01-01T00:00:00Z", deferrable=deferrable
    )
    with pytest.raises(AirflowFailException, match=f"{iso(earliest)} to .*history is gone"):
        run_task(sensor, context)
    assert run_task.deferrals == []


def test_a_time_that_becomes_too_old_while_waiting_fails(reviews: Any, run_task: Any, context: Any) -> None:
    """The trigger sees it, wakes the task, and the task says so."""
    sensor = DynamoDBRestorableTimeSensor(
        **PATIENT, table_name="Reviews", export_time=reviews.clock.now().isoformat(), deferrable=True
    )
    run_task.on_deferral = lambda: reviews.clock.advance(timedelta(days=40))
    with pytest.raises(AirflowFailException, match="history is gone"):
        run_task(sensor, context)
    assert [event["status"] for event in run_task.events] == ["error"]


@BOTH_WAYS
def test_a_window_without_point_in_time_recovery_is_not_waited_for(
    reviews: Any, run_task: Any, context: Any, deferrable: bool
) -> None:
    """The error says how to turn it on."""
    reviews.client("dynamodb").update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    sensor = DynamoDBRestorableTimeSensor(**PATIENT, table_name="Reviews", deferrable=deferrable)
    sensor.render_template_fields(context)
    with pytest.raises(AirflowFailException, match="update-continuous-backups"):
        run_task(sensor, context)


@BOTH_WAYS
@pytest.mark.parametrize("text", ["soon", "2026-01-14T00:00:00"])
def test_a_sensor_refuses_what_is_no_time(
    *, reviews: Any, run_task: Any, context: Any, deferrable: bool, text: str, tmp_path: Path
) -> None:
    """Both sensors of times say what a time looks like."""
    for sensor in (
        DynamoDBRestorableTimeSensor(**PATIENT, table_name="Reviews", export_time=text, deferrable=deferrable),
        DynamoDBSnapshotSensor(**PATIENT, lake=str(tmp_path), table="reviews", as_of=text, deferrable=deferrable),
    ):
        with pytest.raises(AirflowFailException, match=r"ISO 8601|time zone"):
            run_task(sensor, context)


@BOTH_WAYS
@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_published_snapshot_ends_the_wait(
    *, aws: Any, tmp_path: Path, run_task: Any, context: Any, deferrable: bool, where: str, after_first_look: Any
) -> None:
    """Its commit record is what counts; the sensor looks, finds nothing, and wakes when it is there."""
    aws.client("s3").create_bucket(Bucket="lake")
    lake = str(tmp_path) if where == "folder" else "s3://lake/tables"
    ledger = Ledger(open_store(lake, s3=aws.client("s3")).child("reviews"))
    sensor = DynamoDBSnapshotSensor(**PATIENT, lake=lake, table="reviews", as_of=AS_OF, deferrable=deferrable)
    looks = after_first_look(sensor, lambda: ledger.create(_record(AS_OF)))
    found = run_task(sensor, context)
    assert looks == [None, found]
    assert found == {
        "record": f"{lake}/reviews/_snapshots/20260114T000000Z.json",
        "table": "reviews",
        "as_of": "2026-01-14T00:00:00Z",
        "rows": 3,
        "parts": 1,
        "bytes": 10,
    }
    assert len(run_task.deferrals) == int(deferrable)


@BOTH_WAYS
def test_another_times_snapshot_counts_only_when_later_ones_will_do(
    aws: Any, tmp_path: Path, run_task: Any, context: Any, deferrable: bool
) -> None:
    """Exactly the run's instant by default; the first one at or after it when told so."""
    ledger = Ledger(open_store(tmp_path).child("reviews"))
    for hours in (-1, 2, 3):
        ledger.create(_record(AS_OF + timedelta(hours=hours)))

    def sensor(**changes: Any) -> DynamoDBSnapshotSensor:
        arguments: dict[str, Any] = {**PATIENT, "lake": str(tmp_path), "table": "reviews", "deferrable": deferrable}
        task = DynamoDBSnapshotSensor(**{**arguments, **changes})
        task.render_template_fields(context)
        return task

    with pytest.raises(AirflowSensorTimeout):
        run_task(sensor(timeout=0.2), context)
    assert run_task(sensor(at_or_after=True), context)["as_of"] == "2026-01-14T02:00:00Z"
    ledger.create(_record(AS_OF + timedelta(hours=2, milliseconds=250)))
    after = (AS_OF + timedelta(hours=2, milliseconds=251)).isoformat()
    assert run_task(sensor(at_or_after=True, as_of=after), context)["as_of"] == "2026-01-14T02:00:00Z"
    ledger.create(_record(AS_OF + timedelta(hours=5, milliseconds=250)))
    after = (AS_OF + timedelta(hours=5, milliseconds=251)).isoformat()
    with pytest.raises(AirflowSensorTimeout):
        run_task(sensor(at_or_after=True, as_of=after, timeout=0.2), context)


@BOTH_WAYS
def test_a_lake_without_its_bucket_is_not_waited_for(aws: Any, run_task: Any, context: Any, deferrable: bool) -> None:
    """A lake that is empty may fill; a bucket that is missing is a mistake."""
    sensor = DynamoDBSnapshotSensor(**PATIENT, lake="s3://nowhere", table="reviews", as_of=AS_OF, deferrable=deferrable)
    with pytest.raises(AirflowFailException, match="no such bucket"):
        run_task(sensor, context)


@BOTH_WAYS
@pytest.mark.parametrize("table", ["Reviews", ""])
def test_a_table_that_no_snapshot_can_be_of_is_not_waited_for(
    *, tmp_path: Path, run_task: Any, context: Any, deferrable: bool, table: str
) -> None:
    """Nothing will ever be published under such a name."""
    sensor = DynamoDBSnapshotSensor(**PATIENT, lake=str(tmp_path), table=table, as_of=AS_OF, deferrable=deferrable)
    with pytest.raises(AirflowFailException, match=f"found '{table}'"):
        run_task(sensor, context)


def test_an_error_of_the_triggerers_own_is_left_to_the_retries(reviews: Any, started: str, context: Any) -> None:
    """The task finds nothing wrong itself: it tells what the triggerer said."""
    sensor = DynamoDBExportSensor(**PATIENT, export_arn=started, deferrable=True)
    with pytest.raises(ServiceError, match="no credentials here"):
        sensor.execute_complete(
            context, {"status": "error", "message": "no credentials here"}, deadline="2100-01-01T00:00:00+00:00"
        )


def test_an_error_of_the_triggerers_own_counts_as_not_yet_where_errors_do(
    reviews: Any, started: str, context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an error of a look: silent_fail looks again, after poke_interval, and never_fail skips."""
    sensor = DynamoDBExportSensor(**PATIENT, export_arn=started, deferrable=True, silent_fail=True)
    woken = {"status": "error", "message": "no credentials here"}
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete(context, woken, deadline="2100-01-01T00:00:00+00:00")
    assert "no credentials here" in capsys.readouterr().out
    assert isinstance(deferred.value.trigger, TimeDeltaTrigger)
    with pytest.raises(TaskDeferred) as again:
        sensor.resume_execution(deferred.value.method_name, {**deferred.value.kwargs, "event": None}, context)
    assert isinstance(again.value.trigger, DynamoDBExportTrigger)

    skipping = DynamoDBExportSensor(**PATIENT, export_arn=started, deferrable=True, never_fail=True)
    with pytest.raises(AirflowSkipException, match="no credentials here"):
        skipping.execute_complete(context, woken, deadline="2100-01-01T00:00:00+00:00")


def test_an_error_that_may_pass_on_a_new_worker_is_left_to_the_retries(
    reviews: Any, started: str, run_task: Any, context: Any
) -> None:
    """Expired credentials are not a permission that lacks."""
    reviews.fail_next("DescribeExport", "ExpiredTokenException")
    with pytest.raises(AccessError):
        run_task(DynamoDBExportSensor(**PATIENT, export_arn=started), context)


@pytest.mark.parametrize(
    "make",
    [
        lambda waiting: DynamoDBExportSensor(**waiting, export_arn="arn:aws:dynamodb:us-east-1:1:table/T/export/1"),
        lambda waiting: DynamoDBRestorableTimeSensor(**waiting, table_name="T", export_time="2026-01-14T00:00:00Z"),
        lambda waiting: DynamoDBSnapshotSensor(**waiting, lake="s3://l", table="t", as_of="2026-01-14T00:00:00Z"),
    ],
    ids=["export", "restorable time", "snapshot"],
)
def test_every_aws_argument_reaches_a_sensors_trigger(make: Callable[[dict[str, Any]], Any]) -> None:
    """What the sensor was given, the triggerer's client gets too."""
    given = {
        "aws_conn_id": "mine",
        "region_name": "eu-west-1",
        "verify": False,
        "botocore_config": {"connect_timeout": 7},
    }
    sensor = make({"task_id": "wait", **given})
    hook = sensor.hook
    assert (hook.aws_conn_id, hook._region_name, hook._verify) == ("mine", "eu-west-1", False)
    _, arguments = sensor.trigger(deadline="2100-01-01T00:00:00+00:00", **given).serialize()
    assert {name: arguments[name] for name in given} == given
