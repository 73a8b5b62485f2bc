"""The tasks of the example DAGs one after the other on the seeded table: what they find, and what they may call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from airflow.sdk import XComArg
from dag_bag import DagBag
from emulated_lake import task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.catalog.register import is_registered
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import snapshot_timestamp
from airflow_provider_ddbexport.local import LocalAws
from airflow_provider_ddbexport.local.reviews import BUCKET, SeededReviews, seed_reviews

CHECKOUT = Path(__file__).parents[2]
LAKE = f"s3://{BUCKET}/history/reviews_history"

S3_ACTIONS = {
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "PutObject": "s3:PutObject",
    # And s3:GetObject of what is copied, which was read before.
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "DeleteObject": "s3:DeleteObject",
}
"""IAM's action for each call to S3, from the service authorization reference."""


@pytest.fixture
def reviews(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> SeededReviews:
    """The table Reviews as the demo has it; every hook talks to the embedded AWS, and nothing there takes time."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    local_aws.configure(export_seconds=0, crawl_seconds=0.1, query_seconds=0, restorable_lag_seconds=0)
    return seed_reviews(local_aws, days=3, items=60)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every action that a client of this process asks for, as IAM names it."""
    seen: set[str] = set()
    call = botocore.client.BaseClient._make_api_call

    def recorded(client: Any, operation: str, parameters: Any) -> Any:
        service = client.meta.service_model.service_name
        seen.add(S3_ACTIONS[operation] if service == "s3" else f"{service}:{operation}")
        return call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", recorded)
    return seen


def documented(operator: Any) -> set[str]:
    """Return the actions that the operator's page asks for."""
    pages = [*(CHECKOUT / "docs").glob("*/*.md")]
    (page,) = [page for page in pages if page.read_text().startswith(f"# {type(operator).__name__}\n")]
    found = re.search(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
    assert found
    return {action for statement in json.loads(found[1])["Statement"] for action in statement["Action"]}


def in_order(dag: Any) -> list[Any]:
    """Return the tasks of a DAG, each behind those it follows."""
    tasks: list[Any] = []
    left = list(dag.tasks)
    while left:
        names = {task.task_id for task in left}
        task = next(task for task in left if not task.upstream_task_ids & names)
        left.remove(task)
        tasks.append(task)
    return tasks


def expanded(task: Any, results: dict[str, Any]) -> list[Any]:
    """Return the operators that Airflow would make of *task*: itself, or one for each element it is mapped over."""
    if not task.is_mapped:
        return [task]
    ((argument, over),) = task.expand_input.value.items()
    shared = {
        name: results[value.operator.task_id] if isinstance(value, XComArg) else value
        for name, value in task.partial_kwargs.items()
    }
    return [
        task.operator_class(task_id=task.task_id, **{**shared, argument: element})
        for element in results[over.operator.task_id]
    ]


def run(dag_id: str, day: datetime, calls: set[str]) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Run the tasks of an example DAG; return their results, and the actions of each that its page does not name."""
    dag = DagBag(CHECKOUT / "dags").dags[dag_id]
    results: dict[str, Any] = {}
    undocumented: dict[str, set[str]] = {}
    pushed: dict[str, dict[str, Any]] = {}
    skipped: set[str] = set()

    def pull(task_ids: str, key: str = "return_value", **_: Any) -> Any:
        return results.get(task_ids) if key == "return_value" else pushed[task_ids][key]

    def followed() -> Iterator[Any]:
        for task in in_order(dag):
            if task.task_id in skipped or (task.upstream_task_ids and task.upstream_task_ids <= skipped):
                skipped.add(task.task_id)
            else:
                yield from expanded(task, results)

    for task in followed():
        context = task_context()
        context["ti"].xcom_pull = pull
        context |= {"logical_date": day, "dag_run": type("Run", (), {"logical_date": day, "run_after": day})}
        context |= {"params": dag.params.dump()}
        context |= {"data_interval_start": day - timedelta(days=1), "data_interval_end": day}
        task.deferrable = False
        task.render_template_fields(context)
        calls.clear()
        if hasattr(task, "choose_branch"):
            chosen = task.choose_branch(context)
            skipped |= task.downstream_task_ids - ({chosen} if isinstance(chosen, str) else set(chosen))
            pushed[task.task_id] = context["ti"].xcoms
            continue
        results[task.task_id] = json.loads(json.dumps(task.execute(context)))
        undocumented.setdefault(task.task_id, set()).update(calls and calls - documented(task))
    return results, undocumented


@pytest.mark.parametrize(
    "dag_id",
    [
        "reviews_daily_snapshot",
        "reviews_daily_increment",
        "reviews_history",
        "reviews_export_on_demand",
        "reviews_daily_scan",
        "reviews_weekly_backup",
        "reviews_sharded_backup",
        "reviews_hourly_scan",
        "reviews_sharded_scan",
    ],
)
def test_the_documented_policies_are_enough(
    reviews: SeededReviews, calls: set[str], monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    """No task calls what the policy on its page does not allow."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    results, undocumented = run(dag_id, reviews.last_day, calls)
    assert undocumented == {task_id: set() for task_id in results}
    tasks = {
        "reviews_daily_snapshot": 5,
        "reviews_daily_increment": 2,
        "reviews_history": 4,
        "reviews_export_on_demand": 3,
        "reviews_daily_scan": 7,
        "reviews_sharded_backup": 6,
        "reviews_sharded_scan": 3,
    }
    assert len(results) == tasks.get(dag_id, 1)


def test_the_documented_policies_are_enough_to_merge_in_shards(reviews: SeededReviews, calls: set[str]) -> None:
    """The first day by a full export, the next by its changes; mapped tasks need no more than their pages say."""
    for day, ways in (
        (reviews.last_day - timedelta(days=1), ["wait", "export", "plan_shards", "convert_shards", "convert"]),
        (reviews.last_day, ["increment", "plan_merge", "merge_shards", "merge"]),
    ):
        results, undocumented = run("reviews_daily_merge", day, calls)
        assert undocumented == {f"snapshot.{task}": set() for task in (*ways, "check")}
        assert results["snapshot.check"]["rows"] > 0


def test_the_policy_is_enough_for_a_day_that_is_gone(reviews: SeededReviews, calls: set[str]) -> None:
    """Only there the exports that are there are asked for."""
    reviews_history = DagBag(CHECKOUT / "dags").dags["reviews_history"]
    with pytest.raises(AirflowFailException, match="outside the restorable window"):
        run("reviews_history", reviews.last_day - timedelta(days=60), calls)
    assert "dynamodb:ListExports" in calls
    assert calls <= documented(reviews_history.get_task("due"))


def test_a_day_that_is_gone_is_merged_from_what_was_exported(
    reviews: SeededReviews, local_aws: LocalAws, calls: set[str]
) -> None:
    """A backfill goes by a full export of an earlier day and the increment after it, and asks for nothing new.

    Where it was interrupted before the day was registered, that is what it does when it is created again.
    """
    dynamodb, day = local_aws.client("dynamodb"), reviews.last_day
    arn = dynamodb.describe_table(TableName="Reviews")["Table"]["TableArn"]
    window = {"ExportFromTime": day - timedelta(days=1), "ExportToTime": day}
    for times in (
        {"ExportTime": day - timedelta(days=1)},
        {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window},
        {"ExportTime": day, "S3Prefix": "elsewhere"},
    ):
        dynamodb.export_table_to_point_in_time(**{"TableArn": arn, "S3Bucket": BUCKET, "S3Prefix": "history", **times})
    *_, truth = (
        dynamodb.describe_export(ExportArn=export["export_arn"])["ExportDescription"]
        for export in local_aws.exports_billed()
    )
    local_aws.clock.advance(timedelta(days=40))
    results, undocumented = run("reviews_history", day, calls)
    assert results.keys() == {"due", "begin", "merge", "check"}
    assert undocumented == {task_id: set() for task_id in results}
    assert (results["due"]["state"], results["check"]["rows"]) == ("REACHABLE", truth["ItemCount"])
    assert len(local_aws.exports_billed()) == 3
    records = Ledger(open_store(LAKE, s3=local_aws.client("s3"))).records()
    assert {record.as_of for record in records} == {day, day - timedelta(days=1)}
    glue = local_aws.client("glue")
    assert all(is_registered(glue, record, database="history") for record in records)

    # Interrupted before it was registered.
    glue.delete_table(DatabaseName="history", Name="reviews_history")
    results, undocumented = run("reviews_history", day, calls)
    assert results.keys() == {"due", "register", "check"}
    assert undocumented == {task_id: set() for task_id in results}
    assert (results["due"]["state"], results["check"]["rows"]) == ("PUBLISHED", truth["ItemCount"])


def test_the_readmes_sql_names_who_has_how_many_reviews(
    reviews: SeededReviews, local_aws: LocalAws, calls: set[str]
) -> None:
    """Athena's answer is what counting the items gives."""
    results, _ = run("reviews_daily_snapshot", reviews.last_day, calls)
    found = re.search(r"<!-- run: sql -->\n```sql\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    assert found
    sql = found[1].replace("20260114T000000Z", snapshot_timestamp(reviews.last_day))

    authors: dict[str, list[float]] = {}
    for item in local_aws.client("dynamodb").scan(TableName="Reviews")["Items"]:
        authors.setdefault(item["Author"]["S"], []).append(float(item["Rating"]["N"]))
    rows = athena_rows(local_aws, sql)

    assert results["snapshot.check"]["rows"] == sum(len(ratings) for ratings in authors.values())
    assert {row[0]: int(row[1]) for row in rows} == {author: len(ratings) for author, ratings in authors.items()}
    for author, _, rating in rows:
        assert float(rating) == pytest.approx(sum(authors[author]) / len(authors[author]), abs=1e-6)


def athena_rows(aws: LocalAws, sql: str) -> list[list[str]]:
    """Return Athena's answer, without the header."""
    athena = aws.client("athena")
    query = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": "lake"},
        ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/athena/"},
    )["QueryExecutionId"]
    while (status := athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"])["State"] in {
        "QUEUED",
        "RUNNING",
    }:
        pass
    assert status["State"] == "SUCCEEDED", status
    rows = athena.get_query_results(QueryExecutionId=query)["ResultSet"]["Rows"][1:]
    return [[cell["VarCharValue"] for cell in row["Data"]] for row in rows]
