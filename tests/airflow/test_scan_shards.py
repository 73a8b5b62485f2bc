"""A backup whose shards are read by tasks of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from emulated_table import create_table

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.export import read_export, read_items, split_source
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import ThrottledError
from airflow_provider_ddbexport.operators.scan_shards import (
    DynamoDBScanFinishOperator,
    DynamoDBScanPlanOperator,
    DynamoDBScanShardOperator,
)

ITEMS = [{"User": {"S": f"user {n}"}} for n in range(20)]
PLACES: dict[str, Any] = {
    "table_name": "Reviews",
    "s3_bucket_name": "backups",
    "s3_prefix": "weekly",
    "segments": 6,
    "read_units": 1000,
    "filter_expression": "#user <> :nobody",
    "expression_attribute_names": {"#user": "User"},
    "expression_attribute_values": {":nobody": {"S": "walrus"}},
}


@pytest.fixture
def reviews(aws: Any) -> Any:
    """The embedded AWS with twenty Reviews and the bucket."""
    aws.client("s3").create_bucket(Bucket="backups")
    dynamodb = aws.client("dynamodb")
    create_table(dynamodb, "Reviews", "User", recovery=False)
    for item in ITEMS:
        dynamodb.put_item(TableName="Reviews", Item=item)
    return aws


def plan_task() -> DynamoDBScanPlanOperator:
    return DynamoDBScanPlanOperator(task_id="plan", shards=3, **PLACES)


def shard_task(shard: Any, **changes: Any) -> DynamoDBScanShardOperator:
    return DynamoDBScanShardOperator(task_id="scan", shard=shard, **{**PLACES, **changes})


def test_shards_make_one_backup_in_any_order_and_after_failures(
    reviews: Any, run_task: Any, make_context: Callable[..., Any]
) -> None:
    """One shard is throttled and tried again; finishing too early fails and names what is missing; no XCom has a
    value of the filter."""
    context = make_context()
    shards = run_task(plan_task(), context)
    assert run_task(plan_task(), context) == shards, "another try finds the plan"
    assert [shard["shard"] for shard in shards] == [0, 1, 2]
    finish = DynamoDBScanFinishOperator(task_id="backup", shards=shards, **PLACES)

    reviews.fail_next("Scan", "ProvisionedThroughputExceededException", "slow", times=1)
    with pytest.raises(ThrottledError):
        run_task(shard_task(shards[2], throttle_deadline_s=0.0, workers=1), make_context())
    found = [run_task(shard_task(shard), make_context()) for shard in reversed(shards[1:])]
    with pytest.raises(AirflowFailException, match="shards 0 are not through"):
        run_task(finish, make_context())
    found.append(run_task(shard_task(shards[0]), make_context()))
    backup = run_task(finish, make_context())

    assert sum(shard["items"] for shard in found) == backup["item_count"] == 20
    assert backup["runs"] == 2
    assert "walrus" not in json.dumps([shards, found, backup])
    root_uri, export_id = split_source(backup["source"])
    root = open_store(root_uri, s3=reviews.client("s3"))
    export = read_export(root, export_id)
    items = sorted((item for file in export.files for item in read_items(root, export, file)), key=json.dumps)
    assert items == sorted(ITEMS, key=json.dumps)


def test_a_plan_that_is_cleared_after_the_backup_is_complete_begins_anew(
    reviews: Any, run_task: Any, context: Any, make_context: Callable[..., Any]
) -> None:
    """A retry of it does not."""
    context["ti"].max_tries = 1
    shards = run_task(plan_task(), context)
    for shard in shards:
        run_task(shard_task(shard), make_context())
    run_task(DynamoDBScanFinishOperator(task_id="backup", shards=shards, **PLACES), make_context())
    assert run_task(plan_task(), context) == shards
    context["ti"].max_tries = 3
    assert run_task(plan_task(), context) != shards


@pytest.mark.parametrize("shard", ["nothing", {"shard": 1}])
def test_a_shard_of_no_plan_is_refused(reviews: Any, run_task: Any, context: Any, shard: Any) -> None:
    """The error says what is expected."""
    with pytest.raises(AirflowFailException, match="one element of what the task that plans the scan returned"):
        run_task(shard_task(shard), context)


def test_tasks_of_a_run_have_scans_of_their_own() -> None:
    """DAG, run, task and map index name a scan; nothing else does."""
    from airflow_provider_ddbexport.operators.scanning import scan_of_task

    def folder(**changes: Any) -> str:
        ti = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "max_tries": 0, **changes}
        return scan_of_task({"ti": SimpleNamespace(**ti)}, "t").folder  # type: ignore[typeddict-item]

    others = [{"dag_id": "e"}, {"run_id": "s"}, {"task_id": "u"}, {"map_index": 1}]
    assert len({folder(), *(folder(**change) for change in others)}) == 5
    assert folder(max_tries=5) == folder()
