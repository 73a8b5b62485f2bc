"""What the tests of a running Airflow share: asking it, a table with a history, items in one spelling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_provider_ddbexport.core.snapshot.items import snapshot_items
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.local import LocalAws
from stack import AirflowApi, tail

TABLE = "Ledger"
BUCKET = "ddbexport-demo"
UNDISTURBED = timedelta(minutes=8)
"""How long a file of tests may take."""

T = TypeVar("T")


@dataclass(frozen=True)
class ScheduledDags:
    """The DAGs of an Airflow under test, beside an embedded AWS.

    ``truth`` has the table's items at each midnight, as a scan at that moment found them.
    """

    home: Path
    api: AirflowApi
    aws: LocalAws
    truth: dict[datetime, list[str]]

    def lake(self, folder: str) -> Any:
        return open_store(f"s3://{BUCKET}/{folder}", s3=self.aws.client("s3"))

    def items(self, folder: str, table: str, at: datetime) -> list[str]:
        """Return the items of a published snapshot, in the form of :func:`lines`."""
        return lines([json.loads(line)["Item"] for line in snapshot_items(self.lake(folder), table, at)])

    def find(self, dag_id: str) -> None:
        """Wait until the dag-processor has found a DAG."""
        wait_for(lambda: dag_id in {dag["dag_id"] for dag in self.api.get("/api/v2/dags")["dags"]}, dag_id)

    def start(self, dag_id: str) -> None:
        """Switch a DAG on, once it is found."""
        self.find(dag_id)
        self.api.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the DAG's runs."""
        found: list[dict[str, Any]] = self.api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        return found

    def succeeded(self, dag_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the DAG's runs when at least *count* of them have succeeded; fails when one fails."""

        def look() -> list[dict[str, Any]] | None:
            found = self.runs(dag_id)
            for run in found:
                if run["state"] == "failed":
                    states = self.tasks(dag_id, run["dag_run_id"])
                    pytest.fail(f"{dag_id} {run['dag_run_id']} failed: {states}\n{self.logs(dag_id)}")
            done = [run for run in found if run["state"] == "success"]
            return done if len(done) >= count and len(done) == len(found) else None

        return wait_for(look, f"{count} successful runs of {dag_id}")

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = self.api.get(path)["task_instances"]
        return found

    def tasks(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task."""
        return {task["task_id"]: task["state"] for task in self.instances(dag_id, run_id)}

    def logs(self, dag_id: str) -> str:
        """Return the ends of the logs of the DAG's tasks."""
        return "\n".join(f"{log}:\n{tail(log)}" for log in self._logs(dag_id))

    def logged(self, dag_id: str, text: str) -> int:
        """Return how often the logs of the DAG's tasks have *text*."""
        return sum(log.read_text(errors="replace").count(text) for log in self._logs(dag_id))

    def _logs(self, dag_id: str) -> list[Path]:
        return sorted((self.home / "logs").glob(f"dag_id={dag_id}/**/*.log"))


def wait_for(look: Callable[[], T | None], what: str, timeout_s: float = 900) -> T:
    """Return the first truthy answer of *look*. It is only ever waited out where something is broken."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.5)
    pytest.fail(f"no {what}\nwithin {timeout_s:.0f} s")


def last_midnight() -> datetime:
    """Return the midnight, UTC, that has passed last, and leave the tests of an Airflow time before the next one.

    Its scheduler goes by the real time, and would start what is due then in the midst of them.
    """
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    left = midnight + timedelta(days=1) - now
    if left > UNDISTURBED:
        return midnight
    time.sleep(left / timedelta(seconds=1))
    return midnight + timedelta(days=1)


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


def turn_recovery(aws: LocalAws, *, on: bool) -> None:
    """Turn point-in-time recovery of the table on or off; off forgets its history."""
    aws.client("dynamodb").update_continuous_backups(
        TableName=TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on}
    )


def write_history(
    aws: LocalAws, first_day: datetime, days: int, *, on_day: Callable[[int], None] = lambda _: None
) -> dict[datetime, list[str]]:
    """Make the table, write to it on each of *days* days, and return what a scan finds at each midnight.

    Point-in-time recovery is on from the first. *on_day* is called with the number of each day, when it begins.
    Afterwards AWS follows real time, but is never less than ten minutes past the last midnight, so that this is
    restorable even right after it. Were it always ahead, crawls would seem to have begun after what they came before.
    """
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
    turn_recovery(aws, on=True)
    for day in range(days):
        on_day(day)
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
    restorable = first_day + timedelta(days=days, minutes=10)
    if aws.clock.now() < restorable:
        aws.clock.set(restorable)
    return truth
