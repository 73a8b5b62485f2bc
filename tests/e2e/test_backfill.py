"""A backfill in a real scheduler that loses a worker and itself half-way, against the embedded AWS.

The range has 7 days, or as many as ``DDBEXPORT_BACKFILL_DAYS`` says; 30 take some minutes, and are also done without
any loss, for as many again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from scheduled_dags import BUCKET, TABLE, ScheduledDags, last_midnight, turn_recovery, wait_for, write_history

from airflow_provider_ddbexport.cli import FINE, main
from airflow_provider_ddbexport.core.catalog import register_snapshot
from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.local import LocalAws, local_aws
from stack import CHECKOUT, AirflowStack, airflow_environment, postgres, reserved_port, running

DAG = "reviews_history"
DAYS = int(os.environ.get("DDBEXPORT_BACKFILL_DAYS", "7"))
GONE = 2
"""Days out of the window: to the last of them exports lead that are there, to the others nothing does."""
PUBLISHED = 1 if DAYS < 30 else 5
AT_ONCE = 3
DAY = timedelta(days=1)
ENDLESS_S = 86_400.0

pytestmark = pytest.mark.airflow


@pytest.fixture
def airflow(tmp_path: Path) -> Iterator[tuple[ScheduledDags, AirflowStack]]:
    """An Airflow with the backfill DAG alone that soon notices what has died, and a table with a history.

    Point-in-time recovery was turned off and on again after the first two days, and some of the others are published.
    Tasks wait in workers, so that a worker can be killed that waits.
    """
    dags, home, midnight = tmp_path / "dags", tmp_path / "home", last_midnight()
    dags.mkdir()
    home.mkdir()
    shutil.copy(CHECKOUT / "dags" / "backfill_exports.py", dags)
    with local_aws() as aws, postgres() as database, reserved_port() as port:
        aws.client("s3").create_bucket(Bucket=BUCKET)
        truth = write_history(aws, midnight - DAYS * DAY, DAYS, on_day=lambda day: day == GONE and lose_history(aws))
        environment = airflow_environment(home, aws.environment(), dags=dags, port=port, database=database) | {
            "DDBEXPORT_TABLE": TABLE,
            "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "5",
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        }
        with running(AirflowStack(environment, home, port)) as stack:
            yield ScheduledDags(home, stack.api, aws, truth), stack


def lose_history(aws: LocalAws) -> None:
    """Export the table as it was half a day ago, and what was written since; then let its history begin now."""
    dynamodb, now = aws.client("dynamodb"), aws.clock.now().replace(microsecond=0)
    window = {"ExportFromTime": now - DAY / 2, "ExportToTime": now}
    aws.clock.advance(timedelta(minutes=10))
    for times in (
        {"ExportTime": now - DAY / 2},
        {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window},
    ):
        arn = dynamodb.describe_table(TableName=TABLE)["Table"]["TableArn"]
        dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=BUCKET, S3Prefix="history", **times)
    wait_for(lambda: not in_progress(aws), "exports")
    turn_recovery(aws, on=False)
    turn_recovery(aws, on=True)


def publish(airflow: ScheduledDags, day: datetime) -> None:
    """Publish and register the snapshot of *day*, from an export that lies elsewhere."""
    dynamodb, s3 = airflow.aws.client("dynamodb"), airflow.aws.client("s3")
    arn = dynamodb.describe_table(TableName=TABLE)["Table"]["TableArn"]
    started = dynamodb.export_table_to_point_in_time(
        TableArn=arn, S3Bucket=BUCKET, S3Prefix="elsewhere", ExportTime=day
    )["ExportDescription"]

    def is_completed() -> bool:
        found = dynamodb.describe_export(ExportArn=started["ExportArn"])["ExportDescription"]
        return bool(found["ExportStatus"] == "COMPLETED")

    wait_for(is_completed, "export")
    root = open_store(f"s3://{BUCKET}/elsewhere/AWSDynamoDB", s3=s3)
    export = read_export(root, started["ExportArn"].rpartition("/")[2])
    options = ColumnOptions(numbers={"Rating": "decimal(3,1)"})
    record = convert_export(root, export, airflow.lake("history"), table="reviews_history", options=options)
    schema = Ledger(airflow.lake("history").child("reviews_history")).table_schema()
    assert schema is not None
    register_snapshot(airflow.aws.client("glue"), record, schema, database="history", lake_uri=f"s3://{BUCKET}/history")


def planned(aws: LocalAws, days: list[datetime], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Any]:
    """Return what ``ddbexport plan`` says of *days*."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    options = ("--lake", f"s3://{BUCKET}/history", "--table", "reviews_history", "--json")
    assert main(["plan", TABLE, "--from", f"{days[0]:%F}", "--to", f"{days[-1]:%F}", *options]) == FINE
    plan: dict[str, Any] = json.loads(capsys.readouterr().out)
    return plan


def billed(aws: LocalAws) -> list[datetime]:
    """Return the times of all exports that were billed, in order."""
    return sorted(parse_time(export["export_time"]) for export in aws.exports_billed())


def most_at_once(aws: LocalAws) -> int:
    """Return how many exports were in progress at once, at the most."""
    dynamodb = aws.client("dynamodb")
    arns = [export["export_arn"] for export in aws.exports_billed()]
    exports = [dynamodb.describe_export(ExportArn=arn)["ExportDescription"] for arn in arns]
    return max(
        sum(other["StartTime"] <= export["StartTime"] < other["EndTime"] for other in exports) for export in exports
    )


def in_progress(aws: LocalAws) -> set[datetime]:
    """Return the times of the exports in progress."""
    return {parse_time(export["export_time"]) for export in aws.exports_billed() if export["status"] == "IN_PROGRESS"}


def start_exports(aws: LocalAws, count: int) -> None:
    """Return when *count* exports were billed, of which some are in progress and stay so until they are let end.

    As long as there are fewer, those in progress end where they leave no room for others.
    """

    def look() -> bool:
        if len(billed(aws)) >= count:
            return True
        if len(in_progress(aws)) == AT_ONCE:
            aws.configure(export_seconds=0)
            aws.configure(export_seconds=ENDLESS_S)
        return False

    wait_for(look, f"{count} exports", 900 + 20 * DAYS)


def running_exports(dags: ScheduledDags) -> dict[datetime, dict[str, Any]]:
    """Return the task instances whose exports are in progress, by day."""
    exporting = in_progress(dags.aws)
    runs = {parse_time(run["logical_date"]): run["dag_run_id"] for run in dags.runs(DAG)}
    return {
        day: task
        for day in sorted(exporting & runs.keys())
        for task in dags.instances(DAG, runs[day])
        if (task["task_id"], task["state"]) == ("export", "running")
    }


def kill_worker_and_scheduler(stack: AirflowStack, task: dict[str, Any]) -> None:
    """SIGKILL the worker that runs *task*, the scheduler, and then the other workers.

    They hold the scheduler's connection to the database open, and with it the locks of what it was about to do.
    """
    scheduler = stack.processes["scheduler"]
    worker = psutil.Process(psutil.Process(task["pid"]).ppid())
    assert worker.ppid() == scheduler.pid
    os.kill(worker.pid, signal.SIGKILL)
    workers = psutil.Process(scheduler.pid).children(recursive=True)
    os.kill(scheduler.pid, signal.SIGKILL)
    assert scheduler.wait(timeout=30) == -signal.SIGKILL
    for left in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


@pytest.mark.parametrize(
    "is_killed", [True] if DAYS < 30 else [False, True], ids=lambda is_killed: "killed" if is_killed else "plain"
)
def test_a_backfill_does_what_was_planned_also_when_killed_half_way(
    airflow: tuple[ScheduledDags, AirflowStack],
    is_killed: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each day has its outcome: published days skipped, gone ones failed with the window, or merged from the exports
    that are there, all others as they were.

    The exports billed are those that were planned, each once; the oldest day, which leaves the window first, is begun
    first.
    """
    dags, stack = airflow
    days = sorted(dags.truth)
    there = billed(dags.aws)
    published = days[GONE + 1 : GONE + 1 + PUBLISHED]
    for day in published:
        publish(dags, day)
    published_before = published_at(dags)
    plan = planned(dags.aws, days, monkeypatch, capsys)
    states = {parse_time(one["time"]): one["state"] for one in plan["times"]}
    to_export = [day for day, state in states.items() if state == "RESTORABLE"]
    assert [state for day, state in states.items() if day < days[GONE]] == ["OUT_OF_WINDOW", "REACHABLE"]
    assert len(to_export) == plan["ways"]["FULL_EXPORTS"]["exports"] == DAYS - GONE - PUBLISHED
    dags.aws.configure(export_seconds=ENDLESS_S)

    dags.start(DAG)  # which starts the run of the last midnight
    body = {"dag_id": DAG, "from_date": f"{days[0]:%FT%TZ}", "to_date": f"{days[-2]:%FT%TZ}", "max_active_runs": 4}
    dags.api.post("/api/v2/backfills", body)
    start_exports(dags.aws, len(there) + PUBLISHED + len(to_export) // 2)
    half_way, task = next(iter(running_exports(dags).items()))
    if is_killed:
        kill_worker_and_scheduler(stack, task)
    assert len(billed(dags.aws)) < len(there) + PUBLISHED + len(to_export), "killed too late to be half-way"
    dags.aws.configure(export_seconds=1)
    if is_killed:
        stack.launch("scheduler")

    runs = ended_runs(dags)
    assert sorted(runs) == days
    assert sorted(days[:-1], key=lambda day: runs[day]["start_date"]) == days[:-1]
    tries = {task["task_id"]: task["try_number"] for task in dags.instances(DAG, runs[half_way]["dag_run_id"])}
    assert (tries["export"] > 1) == is_killed, "nothing was running when it was killed, or something was lost"
    for day, run in runs.items():
        assert (run["state"], set(dags.tasks(DAG, run["dag_run_id"]).values())) == {
            "PUBLISHED": ("success", {"skipped"}),
            "RESTORABLE": ("success", {"success", "skipped"}),
            "REACHABLE": ("success", {"success", "skipped"}),
            "OUT_OF_WINDOW": ("failed", {"failed", "upstream_failed"}),
        }[states[day]], day
    assert dags.logged(DAG, "is outside the restorable window (") >= GONE - 1
    assert billed(dags.aws) == sorted([*there, *to_export, *published])
    assert most_at_once(dags.aws) <= AT_ONCE
    for day in [days[GONE - 1], *to_export, *published]:
        assert dags.items("history", "reviews_history", day) == dags.truth[day]
    assert published_before.items() < published_at(dags).items()


def ended_runs(dags: ScheduledDags) -> dict[datetime, dict[str, Any]]:
    """Return the runs by day, when each day has one and all have ended."""

    def look() -> list[dict[str, Any]] | None:
        found = dags.runs(DAG)
        return found if len(found) == DAYS and {run["state"] for run in found} <= {"success", "failed"} else None

    return {parse_time(run["logical_date"]): run for run in wait_for(look, "end of every run", 900 + 30 * DAYS)}


def published_at(dags: ScheduledDags) -> dict[datetime, datetime]:
    """Return when each snapshot of the history was published."""
    return {
        record.as_of: record.published_at for record in Ledger(dags.lake("history").child("reviews_history")).records()
    }
