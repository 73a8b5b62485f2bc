"""``make airflow`` and the example DAGs in it: a real scheduler, triggerer and executor against the embedded AWS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from airflow_provider_ddbexport.core.snapshot.items import snapshot_items
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.local import LocalAws, connect
from stack import CHECKOUT, AirflowApi, tail

TABLE = "Ledger"
BUCKET = "ddbexport-demo"
DAYS = 4
READY = re.compile(r"Airflow +http://127\.0\.0\.1:(\d+).*\nEmbedded AWS +(http://\S+)")

T = TypeVar("T")

pytestmark = pytest.mark.airflow


@dataclass(frozen=True)
class Running:
    """An Airflow under test.

    ``truth`` has the table's items at each midnight, as a scan at that moment found them.
    """

    process: subprocess.Popen[bytes]
    home: Path
    api: AirflowApi
    aws: LocalAws
    truth: dict[datetime, list[str]]

    def lake(self, folder: str) -> Any:
        return open_store(f"s3://{BUCKET}/{folder}", s3=self.aws.client("s3"))

    def start(self, dag_id: str) -> None:
        """Switch a DAG on, once the dag-processor has found it."""
        wait_for(lambda: dag_id in {dag["dag_id"] for dag in self.api.get("/api/v2/dags")["dags"]}, dag_id, 60)
        self.api.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def runs(self, dag_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the DAG's runs when at least *count* of them have succeeded; fails when one fails."""

        def succeeded() -> list[dict[str, Any]] | None:
            found: list[dict[str, Any]] = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
            for run in found:
                if run["state"] == "failed":
                    states = self.tasks(dag_id, run["dag_run_id"])
                    pytest.fail(f"{dag_id} {run['dag_run_id']} failed: {states}\n{self.logs(dag_id)}")
            done = [run for run in found if run["state"] == "success"]
            return done if len(done) >= count and len(done) == len(found) else None

        return wait_for(succeeded, f"{count} successful runs of {dag_id}", 240)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task."""
        found = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def logs(self, dag_id: str) -> str:
        """Return the ends of the logs of the DAG's tasks."""
        return "\n".join(
            f"{log}:\n{tail(log)}" for log in sorted((self.home / "logs").glob(f"dag_id={dag_id}/**/*.log"))
        )


def wait_for(look: Callable[[], T | None], what: str, timeout_s: float) -> T:
    """Return the first truthy answer of *look*."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.5)
    pytest.fail(f"no {what}\nwithin {timeout_s:.0f} s")


def canonical(value: Any) -> Any:
    """Return DynamoDB JSON in one spelling: numbers as decimals, sets and maps sorted."""
    if isinstance(value, list):
        return [canonical(element) for element in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "N":
            return {"N": str(Decimal(inner).normalize())}
        if kind == "NS":
            return {"NS": sorted(str(Decimal(number).normalize()) for number in inner)}
        if kind in {"SS", "BS"}:
            return {kind: sorted(inner)}
    return {name: canonical(inner) for name, inner in value.items()}


def lines(items: list[dict[str, Any]]) -> list[str]:
    """Return items as sorted canonical JSON, whatever order they came in."""
    return sorted(json.dumps(canonical(item), sort_keys=True) for item in items)


def write_history(aws: LocalAws, first_day: datetime) -> dict[datetime, list[str]]:
    """Make the table, write to it on each of :data:`DAYS` days, and return what a scan finds at each midnight."""
    dynamodb = aws.client("dynamodb")
    truth = {}
    aws.clock.set(first_day)
    dynamodb.create_table(
        TableName=TABLE,
        AttributeDefinitions=[
            {"AttributeName": "User", "AttributeType": "S"},
            {"AttributeName": "Book", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}, {"AttributeName": "Book", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    for day in range(DAYS):
        aws.clock.set(first_day + timedelta(days=day, hours=9))
        for number in range(12):
            item = {
                "User": {"S": f"user {number}"},
                "Book": {"S": f"book of day {day}"},
                "Author": {"S": f"author {number % 3}"},
                "Rating": {"N": str(number % 5 + 1)},
                "Price": {"N": f"{number}.{day}5"},
                "Tags": {"SS": ["new", f"day {day}"]},
                "Details": {"M": {"Pages": {"N": str(100 + number)}, "Note": {"NULL": True}}},
            }
            dynamodb.put_item(TableName=TABLE, Item=item)
        if day:
            key = {"User": {"S": "user 7"}, "Book": {"S": f"book of day {day - 1}"}}
            dynamodb.delete_item(TableName=TABLE, Key=key)
        aws.clock.set(first_day + timedelta(days=day + 1))
        truth[first_day + timedelta(days=day + 1)] = lines(dynamodb.scan(TableName=TABLE)["Items"])
    aws.clock.reset()
    return truth


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """What ``make airflow`` starts, with a table of our own, interrupted at the end."""
    home = tmp_path_factory.mktemp("airflow")
    out = home.parent / "out.log"
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(CHECKOUT / "scripts" / "run_airflow.py"), "--home", str(home), "--port", "0"],
            env={**os.environ, "DDBEXPORT_TABLE": TABLE},
            stdout=log,
            stderr=log,
        )
    try:
        ready = wait_for(
            lambda: process.poll() is None and READY.search(out.read_text()), f"Airflow, see {out}: {tail(out)}", 180
        )
        aws = connect(ready[2])
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        truth = write_history(aws, midnight - timedelta(days=DAYS))
        yield Running(process, home, AirflowApi(int(ready[1])), aws, truth)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def items_of(airflow: Running, folder: str, table: str, at: datetime) -> list[str]:
    """Return the items of a published snapshot, in the form of :func:`lines`."""
    return lines([json.loads(line)["Item"] for line in snapshot_items(airflow.lake(folder), table, at)])


def test_the_daily_dag_runs_deferrably_and_its_consumer_follows(airflow: Running) -> None:
    """The scheduled run publishes the table as of midnight, deferring to the triggerer; its event runs the consumer."""
    queue = airflow.aws.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    airflow.aws.client("sns").subscribe(
        TopicArn="arn:aws:sns:us-east-1:123456789012:ddbexport-demo",
        Protocol="sqs",
        Endpoint="arn:aws:sqs:us-east-1:123456789012:told",
    )
    airflow.start("reviews_top_authors")
    airflow.start("reviews_daily_snapshot")

    (run,) = airflow.runs("reviews_daily_snapshot")
    day = max(airflow.truth)

    assert datetime.fromisoformat(run["logical_date"]) == day
    states = airflow.tasks("reviews_daily_snapshot", run["dag_run_id"])
    assert states == {f"snapshot.{task}": "success" for task in ("wait", "export", "convert", "crawl", "check")}
    assert items_of(airflow, "lake", "reviews", day) == airflow.truth[day]
    for task in ("export", "crawl", "check"):
        waited = list((airflow.home / "logs").glob(f"**/task_id=snapshot.{task}/*.trigger.*.log"))
        assert waited, f"{task} never ran in the triggerer"

    (consumed,) = airflow.runs("reviews_top_authors")
    assert consumed["run_type"] == "asset_triggered"

    def told() -> list[Any] | None:
        found: list[Any] = airflow.aws.client("sqs").receive_message(QueueUrl=queue).get("Messages", [])
        return found

    (message,) = wait_for(told, "message over SNS", 60)
    assert "reviews_daily_snapshot" in message["Body"]
    assert "published" in message["Body"]


def test_a_backfill_publishes_each_day_as_the_table_was_that_day(airflow: Running) -> None:
    """Three past days, each equal to what a scan found at its midnight, each exported once, also when run again."""
    days = sorted(airflow.truth)[:3]
    airflow.start("reviews_history")
    airflow.runs("reviews_history")  # the run of the last midnight, which switching it on started

    command = (
        f". {airflow.home}/env.sh && airflow backfill create --dag-id reviews_history "
        f"--from-date {days[0]:%Y-%m-%d} --to-date {days[-1]:%Y-%m-%d} --max-active-runs 2 --reprocess-behavior none"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = airflow.runs("reviews_history", 4)

    billed = exports_of(airflow, days)
    assert len(billed) == 3
    for day in days:
        assert items_of(airflow, "history", "reviews_history", day) == airflow.truth[day]
    published = published_at(airflow)

    clear_run(airflow, next(run for run in runs if datetime.fromisoformat(run["logical_date"]) == days[0]))
    airflow.runs("reviews_history", 4)

    assert exports_of(airflow, days) == billed
    assert published_at(airflow) == published


def published_at(airflow: Running) -> dict[datetime, datetime]:
    """Return when each snapshot of the history was published."""
    records = Ledger(airflow.lake("history").child("reviews_history")).records()
    return {record.as_of: record.published_at for record in records}


def clear_run(airflow: Running, run: dict[str, Any]) -> None:
    """Make every task of a run run again."""

    def cleared() -> bool:
        try:
            airflow.api.post(
                f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/clear",
                {"dry_run": False, "only_failed": False},
            )
        except RuntimeError:  # SQLite was busy
            return False
        return True

    wait_for(cleared, f"clearing of {run['dag_run_id']}", 60)


def exports_of(airflow: Running, days: list[datetime]) -> list[str]:
    """Return the ARNs of the billed exports of *days* that the history DAG asked for."""
    billed = airflow.aws.exports_billed()
    wanted = {int(day.timestamp()) for day in days}
    return sorted(
        export["export_arn"]
        for export in billed
        if int(datetime.fromisoformat(export["export_time"]).timestamp()) in wanted
    )


def test_scans_and_increments_run(airflow: Running) -> None:
    """The daily scan publishes what the table holds now, backups are complete, and an increment is exported."""
    for dag_id in ("reviews_daily_scan", "reviews_weekly_backup", "reviews_sharded_backup", "reviews_daily_increment"):
        airflow.start(dag_id)
    for dag_id in ("reviews_daily_scan", "reviews_weekly_backup", "reviews_sharded_backup", "reviews_daily_increment"):
        airflow.runs(dag_id)

    (record,) = Ledger(airflow.lake("lake").child("reviews_scanned")).records()
    assert record.source.export_type == "SCAN"
    assert items_of(airflow, "lake", "reviews_scanned", record.as_of) == airflow.truth[max(airflow.truth)]
    stored = airflow.aws.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    summaries = {
        key.split("/")[0] for key in (found["Key"] for found in stored) if key.endswith("manifest-summary.json")
    }
    assert summaries >= {"scans", "backups", "sharded", "increments"}
    increments = [export for export in airflow.aws.exports_billed() if export["export_type"] == "INCREMENTAL_EXPORT"]
    assert len(increments) == 1


def test_interrupting_it_leaves_no_process_behind(airflow: Running) -> None:
    """Ctrl-C ends everything that was started, and the exit status is 0. The last test: nothing runs after it."""
    family = psutil.Process(airflow.process.pid).children(recursive=True)
    assert len(family) >= 4

    airflow.process.send_signal(signal.SIGINT)

    assert airflow.process.wait(timeout=60) == 0
    assert [child for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
