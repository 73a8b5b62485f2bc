"""DynamoDBPointInTimeExportOperator, deferred and not, against the embedded AWS."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.exporting.exactly_once import start_once
from airflow_provider_ddbexport.core.exporting.point_in_time import wait_for_export
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import (
    AccessError,
    DeadlineError,
    ExportFailedError,
    InvalidTimeError,
    PointInTimeRecoveryError,
    RestorableWindowError,
    ServiceError,
    TableNotFoundError,
)
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator

BUCKET = "exports"
BOTH_WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])


@pytest.fixture
def reviews(reviews: Any) -> Any:
    """The table has two items, for most of the hour."""
    now = reviews.clock.now()
    reviews.clock.set(now - timedelta(minutes=59))
    for user in ("a", "b"):
        reviews.client("dynamodb").put_item(TableName="Reviews", Item={"User": {"S": user}})
    reviews.clock.set(now)
    return reviews


@pytest.fixture
def run(reviews: Any, run_task: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``run_task``, with exports that end once somebody waits for them: a worker that sleeps, or a trigger."""

    def end(*_: Any) -> None:
        reviews.configure(export_seconds=0)

    monkeypatch.setitem(wait_for_export.__kwdefaults__, "sleep", end)
    run_task.on_deferral = end
    return run_task


@pytest.fixture
def ten_minutes_ago(reviews: Any) -> datetime:
    moment: datetime = reviews.clock.now() - timedelta(minutes=10)
    return moment.replace(microsecond=0)


@pytest.fixture
def export(ten_minutes_ago: datetime) -> Callable[..., DynamoDBPointInTimeExportOperator]:
    """Return what makes the task, as of ten minutes ago."""

    def make(**changes: Any) -> DynamoDBPointInTimeExportOperator:
        arguments = {
            "task_id": "export",
            "table_name": "Reviews",
            "s3_bucket_name": BUCKET,
            "s3_prefix": "daily",
            "export_time": ten_minutes_ago.isoformat(),
            "poll_interval_s": 0.1,
            "botocore_config": {"retries": {"total_max_attempts": 1}},
            **changes,
        }
        return DynamoDBPointInTimeExportOperator(**arguments)

    return make


@BOTH_WAYS
def test_an_export_returns_its_figures_and_a_link(
    *, reviews: Any, export: Any, run: Any, context: Any, ten_minutes_ago: datetime, deferrable: bool
) -> None:
    """XCom and link are the same whether a worker or the triggerer waited."""
    found = run(export(deferrable=deferrable), context)
    (billed,) = reviews.exports_billed()
    export_id = billed["export_arn"].rpartition("/")[2]
    assert found.pop("manifest_key").startswith(f"daily/AWSDynamoDB/{export_id}/manifest-")
    assert found == {
        "export_arn": billed["export_arn"],
        "source": f"s3://{BUCKET}/daily/AWSDynamoDB/{export_id}",
        "item_count": 2,
        "billed_bytes": billed["billed_bytes"],
        "export_time": iso(ten_minutes_ago),
    }
    assert context["ti"].xcoms == {
        DynamoDBExportLink.key: {
            "region_name": "us-east-1",
            "aws_domain": "aws.amazon.com",
            "table_name": "Reviews",
            "export_arn": billed["export_arn"],
        }
    }
    assert len(run.deferrals) == int(deferrable)


@BOTH_WAYS
def test_two_tries_are_one_export(reviews: Any, export: Any, run: Any, make_context: Any, deferrable: bool) -> None:
    """A task that is tried again, or cleared, attaches: one export paid for, the same XCom."""
    first = run(export(deferrable=deferrable), make_context())
    second = run(export(deferrable=deferrable), make_context())
    assert first == second
    assert len(reviews.exports_billed()) == 1


FIRST_TRY = """
import os, signal, sys
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

DynamoDBExportLink.persist = DynamoDBExportHook.describe_export = die
DynamoDBPointInTimeExportOperator(
    task_id="export", table_name="Reviews", s3_bucket_name="exports", s3_prefix="daily", export_time=sys.argv[1]
).execute({})
"""


def test_a_worker_killed_between_call_and_wait_leaves_one_export(
    reviews: Any, export: Any, run: Any, make_context: Any, ten_minutes_ago: datetime
) -> None:
    """The first try dies with the export started and nothing written down; the next, either way, finds that export."""
    first = subprocess.run(
        [sys.executable, "-c", FIRST_TRY, ten_minutes_ago.isoformat()], capture_output=True, check=False, timeout=600
    )
    assert first.returncode == -signal.SIGKILL, first.stderr.decode()
    (started,) = reviews.exports_billed()
    for deferrable in (True, False):
        found = run(export(deferrable=deferrable), make_context())
        assert found["export_arn"] == started["export_arn"]
        assert found["item_count"] == 2
    assert len(reviews.exports_billed()) == 1


def test_a_lost_answer_leaves_one_export(
    reviews: Any, export: Any, run: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call took effect, its answer did not arrive: the operator asks again and gets the same export."""
    pauses: list[float] = []
    monkeypatch.setitem(start_once.__kwdefaults__, "sleep", pauses.append)
    reviews.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)
    found = run(export(), context)
    assert len(pauses) == 1, "the fault did not happen"
    assert [billed["export_arn"] for billed in reviews.exports_billed()] == [found["export_arn"]]


def test_another_destination_is_another_export(reviews: Any, export: Any, run: Any, make_context: Any) -> None:
    """Only equal requests are one export."""
    run(export(), make_context())
    run(export(s3_prefix="other"), make_context())
    assert len(reviews.exports_billed()) == 2


@BOTH_WAYS
def test_an_export_that_failed_tells_code_and_message(
    *, reviews: Any, export: Any, run: Any, context: Any, deferrable: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Access denied to the bucket ends the task for good; log and error say what DynamoDB said, and what to do."""
    reviews.configure(fail_next_export=("S3AccessDenied", "no PutObject"))
    with pytest.raises(AirflowFailException, match=r"S3AccessDenied: no PutObject; allow s3:PutObject") as caught:
        run(export(deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, ExportFailedError)
    assert reviews.exports_billed() == []
    assert "FAILED: S3AccessDenied: no PutObject" in capfd.readouterr().out
    assert DynamoDBExportLink.key in context["ti"].xcoms
    assert len(run.deferrals) == int(deferrable)


@BOTH_WAYS
def test_a_failure_of_the_services_own_is_left_to_the_retries(
    reviews: Any, export: Any, run: Any, make_context: Any, deferrable: bool
) -> None:
    """Another try starts another export, since the failed one was not paid for and gives nothing."""
    reviews.configure(fail_next_export=("InternalServerError", "sorry"))
    with pytest.raises(ExportFailedError, match="InternalServerError: sorry"):
        run(export(deferrable=deferrable), make_context())
    reviews.configure(export_seconds=3600)
    assert run(export(deferrable=deferrable), make_context())["item_count"] == 2
    assert len(reviews.exports_billed()) == 1


@BOTH_WAYS
def test_a_missing_bucket_ends_the_task_for_good(
    reviews: Any, export: Any, run: Any, context: Any, deferrable: bool
) -> None:
    """The ledger finds out before the call; where it is kept elsewhere, DynamoDB does after it."""
    with pytest.raises(AirflowFailException, match=r"s3://nowhere/.*no such bucket"):
        run(export(s3_bucket_name="nowhere", deferrable=deferrable), context)
    with pytest.raises(AirflowFailException, match=r"S3NoSuchBucket.*create the bucket"):
        run(export(s3_bucket_name="nowhere", ledger=f"s3://{BUCKET}/ledger", deferrable=deferrable), context)


@pytest.mark.parametrize("ledger", ["exports/ledger", "/tmp/ledger"])
def test_a_ledger_of_one_worker_is_refused(reviews: Any, export: Any, context: Any, ledger: Any) -> None:
    """What the others do not see would let each of them ask for an export of its own."""
    with pytest.raises(AirflowFailException, match=r"ledger: expected s3://<bucket>/<folder>, found .*ledger"):
        export(ledger=ledger).execute(context)
    assert reviews.exports_billed() == []


@BOTH_WAYS
def test_patience_has_an_end(reviews: Any, export: Any, run_task: Any, context: Any, deferrable: bool) -> None:
    """The export goes on; the task may be tried again to attach to it."""
    with pytest.raises(DeadlineError, match=r"still in progress after 0\.3 s.*run again to attach"):
        run_task(export(deferrable=deferrable, patience_s=0.3), context)
    assert len(reviews.exports_billed()) == 1


@BOTH_WAYS
def test_a_table_without_point_in_time_recovery_fails_at_once(
    reviews: Any, export: Any, run: Any, context: Any, deferrable: bool
) -> None:
    """The error says how to turn it on."""
    reviews.client("dynamodb").update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    with pytest.raises(AirflowFailException, match="update-continuous-backups") as caught:
        run(export(deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, PointInTimeRecoveryError)


@BOTH_WAYS
def test_a_time_too_early_fails_at_once(reviews: Any, export: Any, run: Any, context: Any, deferrable: bool) -> None:
    """The error names the window; nothing was paid for."""
    with pytest.raises(AirflowFailException, match=r"outside the restorable window .* history is gone") as caught:
        run(export(export_time="2020-01-01T00:00:00Z", deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, RestorableWindowError)
    assert reviews.exports_billed() == []


@BOTH_WAYS
def test_a_time_in_the_future_is_left_to_the_retries(
    reviews: Any, export: Any, run: Any, context: Any, deferrable: bool
) -> None:
    """It may be reached by then; the error names what waits for it."""
    tomorrow = (reviews.clock.now() + timedelta(days=1)).isoformat()
    with pytest.raises(RestorableWindowError, match="DynamoDBRestorableTimeSensor"):
        run(export(export_time=tomorrow, deferrable=deferrable), context)
    assert reviews.exports_billed() == []


@BOTH_WAYS
@pytest.mark.parametrize("text", ["yesterday", "2026-01-14T00:00:00", "{{ nothing }}"])
def test_what_is_no_time_fails_at_once(
    *, reviews: Any, export: Any, run: Any, context: Any, deferrable: bool, text: str
) -> None:
    """No call is made for it."""
    with pytest.raises(AirflowFailException, match="export_time") as caught:
        run(export(export_time=text, deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, InvalidTimeError)


@BOTH_WAYS
@pytest.mark.parametrize("by_arn", [False, True], ids=["name", "arn"])
def test_a_missing_table_fails_at_once(
    *, reviews: Any, export: Any, run: Any, context: Any, deferrable: bool, by_arn: bool
) -> None:
    """Named in the error, whether it was given by name or by ARN."""
    table = f"arn:aws:dynamodb:us-east-1:{reviews.account_id}:table/Nobody" if by_arn else "Nobody"
    with pytest.raises(AirflowFailException, match="Nobody") as caught:
        run(export(table_name=table, deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, TableNotFoundError)


@BOTH_WAYS
@pytest.mark.parametrize("operation", ["DescribeTable", "ExportTableToPointInTime", "DescribeExport"])
def test_denied_access_fails_at_once(
    *, reviews: Any, export: Any, run: Any, context: Any, deferrable: bool, operation: str
) -> None:
    """The error says which permission to look for: what was tried, and what AWS said."""
    reviews.fail_next(operation, "AccessDeniedException", f"not authorized to perform dynamodb:{operation}")
    with pytest.raises(AirflowFailException, match=f"dynamodb:{operation}") as caught:
        run(export(deferrable=deferrable), context)
    assert isinstance(caught.value.__cause__, AccessError)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"export_format": "PARQUET"}, "DYNAMODB_JSON or ION"), ({"s3_bucket_name": "s3://exports/x"}, "prefix")],
)
def test_wrong_arguments_fail_at_once(
    *, reviews: Any, export: Any, run: Any, context: Any, changes: dict[str, str], said: str
) -> None:
    """The error says what was expected."""
    with pytest.raises(AirflowFailException, match=said):
        run(export(**changes), context)


def test_a_triggerer_that_cannot_wait_leaves_it_to_the_retries(reviews: Any, export: Any, context: Any) -> None:
    """The export is in progress: the next try attaches to it."""
    started = export(wait_for_completion=False).execute(context)
    event = {"status": "error", "message": "no credentials here", "export_arn": started["export_arn"]}
    with pytest.raises(ServiceError, match=r"could not wait for it \(no credentials here\); try again"):
        export().execute_complete(context, event)


def test_without_waiting_the_export_is_only_started(reviews: Any, export: Any, run: Any, context: Any) -> None:
    """What is not known yet is None; the source is known from the start."""
    found = run(export(wait_for_completion=False), context)
    assert found["item_count"] is None
    assert found["source"].endswith(found["export_arn"].rpartition("/")[2])


def test_an_export_that_is_done_is_not_deferred_for(reviews: Any, export: Any, run: Any, make_context: Any) -> None:
    """Attaching to a COMPLETED export needs no triggerer."""
    first = run(export(), make_context())
    assert run(export(deferrable=True), make_context()) == first
    assert run.deferrals == []


def test_the_time_is_the_runs_logical_date_or_else_when_it_was_due(aws: Any, make_context: Any) -> None:
    """A run that was triggered without a logical date has none of its variables in the context."""
    logical, due = datetime(2026, 1, 14, tzinfo=UTC), datetime(2026, 1, 15, 3, 4, 5, tzinfo=UTC)
    for run, expected in [
        (make_context(logical, due), "2026-01-14T00:00:00+00:00"),
        (make_context(None, due), "2026-01-15T03:04:05+00:00"),
    ]:
        task = DynamoDBPointInTimeExportOperator(task_id="export", table_name="Reviews", s3_bucket_name=BUCKET)
        task.render_template_fields(run)
        assert task.export_time == expected


def test_every_aws_argument_reaches_hook_and_trigger(
    reviews: Any, export: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the task was given, the triggerer's client gets too."""
    from airflow_provider_ddbexport.airflow_exceptions import TaskDeferred

    monkeypatch.setenv("AIRFLOW_CONN_MINE", "aws://")
    given = {
        "aws_conn_id": "mine",
        "region_name": "us-east-1",
        "verify": False,
        "botocore_config": {"connect_timeout": 7},
    }
    task = export(deferrable=True, **given)
    assert task.hook.conn.meta.config.connect_timeout == 7
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    _, arguments = deferred.value.trigger.serialize()
    assert {name: arguments[name] for name in given} == given
    hook = deferred.value.trigger.hook()
    assert (hook.aws_conn_id, hook.region_name, hook.verify) == ("mine", "us-east-1", False)
    assert hook.config.connect_timeout == 7


def test_killing_the_task_says_that_the_export_goes_on(export: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """There is no call that cancels one."""
    export().on_kill()
    assert "cannot be cancelled" in capfd.readouterr().out
