"""``make airflow`` and the example DAGs in it: a real scheduler, triggerer and executor against the embedded AWS."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest
from scheduled_dags import BUCKET, TABLE, ScheduledDags, last_midnight, wait_for, write_history

from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.local import connect
from stack import CHECKOUT, AirflowApi, tail

DAYS = 4
READY = re.compile(r"Airflow +http://127\.0\.0\.1:(\d+).*\nEmbedded AWS +(http://\S+)")

pytestmark = pytest.mark.airflow


@dataclass(frozen=True)
class Running(ScheduledDags):
    """What ``make airflow`` started."""

    process: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What ``make airflow`` starts, with a table of our own, interrupted at the end."""
    home, midnight = tmp_path_factory.mktemp("airflow"), last_midnight()
    out = home.parent / "out.log"
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(CHECKOUT / "scripts" / "run_airflow.py"), "--home", str(home), "--port", "0"],
            env={**os.environ, "DDBEXPORT_TABLE": TABLE},
            stdout=log,
            stderr=log,
        )
    try:

        def look() -> re.Match[str] | None:
            if process.poll() is not None:
                pytest.fail(f"it ended with {process.returncode}; {out} ends with:\n{tail(out)}")
            return READY.search(out.read_text())

        ready = wait_for(look, "Airflow")
        aws = connect(ready[2])
        truth = write_history(aws, midnight - timedelta(days=DAYS), DAYS)
        yield Running(home, AirflowApi(int(ready[1])), aws, truth, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=300)


def test_the_daily_dag_runs_deferrably_and_its_consumer_follows(airflow: Running) -> None:
    """The scheduled run publishes the table as of midnight, deferring to the triggerer; its event runs the consumer.

    The consumer asks the same snapshot when it is started by hand.
    """
    queue = airflow.aws.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    airflow.aws.client("sns").subscribe(
        TopicArn="arn:aws:sns:us-east-1:123456789012:ddbexport-demo",
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:123456789012:told",
    )
    airflow.start("reviews_top_authors")
    airflow.start("reviews_daily_snapshot")

    (run,) = airflow.succeeded("reviews_daily_snapshot")
    day = max(airflow.truth)

    assert datetime.fromisoformat(run["logical_date"]) == day
    states = airflow.tasks("reviews_daily_snapshot", run["dag_run_id"])
    assert states == {f"snapshot.{task}": "success" for task in ("wait", "export", "convert", "crawl", "check")}
    assert airflow.items("lake", "reviews", day) == airflow.truth[day]
    for task in ("export", "crawl", "check"):
        waited = list((airflow.home / "logs").glob(f"**/task_id=snapshot.{task}/*.trigger.*.log"))
        assert waited, f"{task} never ran in the triggerer"

    (consumed,) = airflow.succeeded("reviews_top_authors")
    assert consumed["run_type"] == "asset_triggered"
    consumer = "reviews_top_authors"
    by_hand = airflow.api.post(f"/api/v2/dags/{consumer}/dagRuns", {"logical_date": None})
    airflow.succeeded(consumer, 2)
    for run_id in (consumed["dag_run_id"], by_hand["dag_run_id"]):
        asked = sorted(
            (task["task_id"], task["map_index"], task["state"]) for task in airflow.instances(consumer, run_id)
        )
        assert asked == [
            ("new_snapshots", -1, "success"),
            ("snapshot.changes", 0, "skipped"),
            ("snapshot.published", 0, "success"),
            ("snapshot.top_authors", 0, "success"),
        ]

    def told() -> list[Any] | None:
        found: list[Any] = airflow.aws.client("sqs").receive_message(QueueUrl=queue).get("Messages", [])
        return found

    (message,) = wait_for(told, "message over SNS")
    assert "reviews_daily_snapshot" in message["Body"]
    assert "published" in message["Body"]


def test_an_export_task_that_is_cleared_after_its_ledger_was_deleted_finds_its_export(airflow: Running) -> None:
    """Airflow's task state store has what the try before noted, over the clearing, and nothing more is billed."""
    airflow.start("reviews_daily_snapshot")
    (run,) = airflow.succeeded("reviews_daily_snapshot")
    path = f"/api/v2/dags/reviews_daily_snapshot/dagRuns/{run['dag_run_id']}/taskInstances/snapshot.export"
    (noted,) = airflow.api.get(f"{path}/state-store")["task_state_store"]
    billed = [export["export_arn"] for export in airflow.aws.exports_billed()]
    assert [noted["value"]["export_arn"]] == billed
    s3 = airflow.aws.client("s3")
    stored = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    ledger = [key for key in stored if "/_ddbexport/exports/" in key]
    assert len(ledger) == 2
    for key in ledger:
        s3.delete_object(Bucket=BUCKET, Key=key)

    tries = airflow.api.get(path)["try_number"]
    airflow.api.post(
        "/api/v2/dags/reviews_daily_snapshot/clearTaskInstances",
        {"dry_run": False, "dag_run_id": run["dag_run_id"], "task_ids": ["snapshot.export"], "only_failed": False},
    )
    airflow.succeeded("reviews_daily_snapshot")

    assert airflow.api.get(path)["try_number"] > tries
    assert airflow.logged("reviews_daily_snapshot", "was noted by an earlier try")
    assert [export["export_arn"] for export in airflow.aws.exports_billed()] == billed
    for key in ledger:
        assert s3.head_object(Bucket=BUCKET, Key=key)


def test_scans_and_increments_run(airflow: Running) -> None:
    """The daily scan publishes what the table holds now, backups are complete, and an increment is exported."""
    for dag_id in ("reviews_daily_scan", "reviews_weekly_backup", "reviews_sharded_backup", "reviews_daily_increment"):
        airflow.start(dag_id)
    for dag_id in ("reviews_daily_scan", "reviews_weekly_backup", "reviews_sharded_backup", "reviews_daily_increment"):
        airflow.succeeded(dag_id)

    (record,) = Ledger(airflow.lake("lake").child("reviews_scanned")).records()
    assert record.source.export_type == "SCAN"
    assert airflow.items("lake", "reviews_scanned", record.as_of) == airflow.truth[max(airflow.truth)]
    stored = airflow.aws.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    summaries = {
        key.split("/")[0] for key in (found["Key"] for found in stored) if key.endswith("manifest-summary.json")
    }
    assert summaries >= {"scans", "backups", "sharded", "increments"}
    increments = [export for export in airflow.aws.exports_billed() if export["export_type"] == "INCREMENTAL_EXPORT"]
    assert len(increments) == 1


def test_a_day_is_merged_into_the_snapshot_of_the_day_before(airflow: Running) -> None:
    """The first run exports the whole table, the second a day's changes, merged by two mapped tasks; both show it as it
    was at their midnight."""
    *_, before, day = sorted(airflow.truth)
    first = {"logical_date": before.isoformat(), "run_after": before.isoformat()}
    airflow.find("reviews_daily_merge")
    airflow.api.post("/api/v2/dags/reviews_daily_merge/dagRuns", first)
    airflow.start("reviews_daily_merge")

    runs = {datetime.fromisoformat(run["logical_date"]): run for run in airflow.succeeded("reviews_daily_merge", 2)}

    tasks = {at: airflow.tasks("reviews_daily_merge", run["dag_run_id"]) for at, run in runs.items()}
    assert {at: states["snapshot.merge"] for at, states in tasks.items()} == {before: "skipped", day: "success"}
    assert {at: states["snapshot.convert"] for at, states in tasks.items()} == {before: "success", day: "skipped"}
    assert {at: states["snapshot.check"] for at, states in tasks.items()} == {before: "success", day: "success"}
    shards = [
        task for task in airflow.instances("reviews_daily_merge", runs[day]["dag_run_id"]) if task["map_index"] >= 0
    ]
    assert [(task["task_id"], task["state"]) for task in shards] == [("snapshot.merge_shards", "success")] * 2
    for at in (before, day):
        assert airflow.items("lake", "reviews_merged", at) == airflow.truth[at]


def test_interrupting_it_leaves_no_process_behind(airflow: Running) -> None:
    """Ctrl-C ends everything that was started, and the exit status is 0. The last test: nothing runs after it."""
    family = psutil.Process(airflow.process.pid).children(recursive=True)
    assert len(family) >= 4

    airflow.process.send_signal(signal.SIGINT)

    assert airflow.process.wait(timeout=300) == 0
    # Postgres counts as stopped an instant before its process has ended.
    wait_for(lambda: not any(map(is_alive, family)), f"end of {family}")


def is_alive(process: psutil.Process) -> bool:
    """Return whether it runs; one that has ended may have nobody to reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
