"""A snapshot whose shards are scanned by tasks of their own, without a backup in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from emulated_lake import BUCKET, LAKE, EmulatedLake

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.snapshot import Ledger, record_items
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import ThrottledError
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.operators.scan_to_parquet_shards import (
    DynamoDBScanToParquetPlanOperator,
    DynamoDBScanToParquetShardOperator,
)

ITEMS = [{"Id": {"S": f"sesame-{n}"}, "Rating": {"N": str(n)}} for n in range(20)]
SCAN: dict[str, Any] = {
    "table_name": "Reviews",
    "lake": LAKE,
    "database": "snapshots",
    "segments": 6,
    "read_units": 1000,
}


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table of twenty items, scanned by nobody yet."""
    lake = EmulatedLake(aws).create()
    lake.put(*ITEMS)
    return lake


def plan_task() -> DynamoDBScanToParquetPlanOperator:
    return DynamoDBScanToParquetPlanOperator(task_id="plan", shards=3, **SCAN)


def shard_task(shard: Any, **changes: Any) -> DynamoDBScanToParquetShardOperator:
    return DynamoDBScanToParquetShardOperator(task_id="scan", shard=shard, **{**SCAN, **changes})


def publish_task(shards: Any) -> DynamoDBScanToParquetOperator:
    return DynamoDBScanToParquetOperator(task_id="publish", shards=shards, **SCAN)


def test_shards_make_one_snapshot_in_any_order_and_after_failures(
    lake: EmulatedLake, run_task: Any, make_context: Callable[..., Any]
) -> None:
    """One shard is throttled and tried again; publishing too early fails and names what is missing, and readers see
    nothing until then; no XCom has a value."""
    context = make_context()
    shards = run_task(plan_task(), context)
    assert run_task(plan_task(), context) == shards, "another try finds the plan"
    assert [shard["shard"] for shard in shards] == [0, 1, 2]

    lake.aws.fail_next("Scan", "ProvisionedThroughputExceededException", "slow", times=1)
    with pytest.raises(ThrottledError):
        run_task(shard_task(shards[2], throttle_deadline_s=0.0, workers=1), make_context())
    found = [run_task(shard_task(shard), make_context()) for shard in reversed(shards[1:])]
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    with pytest.raises(AirflowFailException, match="shards 0 are not through"):
        run_task(publish_task(shards), make_context())
    assert Ledger(store).records() == ()
    found.append(run_task(shard_task(shards[0]), make_context()))
    figures = run_task(publish_task(shards), make_context())

    (record,) = Ledger(store).records()
    items = [json.loads(line)["Item"] for line in record_items(store, record)]
    assert sorted(items, key=json.dumps) == sorted(ITEMS, key=json.dumps)
    assert sum(shard["items"] for shard in found) == figures["rows"] == 20
    assert (figures["runs"], figures["segments"], figures["is_point_in_time"]) == (2, 6, False)
    assert figures["pages"] == sum(shard["pages"] for shard in found)
    assert figures["busiest_segment_share"] >= 1 / 6
    assert "sesame" not in json.dumps([shards, found, figures])
    assert lake.query("SELECT count(*), sum(rating) FROM reviews") == [["20", "190"]]
    keys = [entry["Key"] for entry in lake.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert not [key for key in keys if key.endswith(".gz")]

    assert run_task(publish_task(shards), make_context())["record"] == figures["record"], (
        "its answer may have been lost"
    )
    assert run_task(shard_task(shards[1]), make_context()) == shards[1], "it is published: nothing is read again"
    assert len(Ledger(store).records()) == 1


@pytest.mark.parametrize("task", [shard_task("nothing"), shard_task({"shard": 1}), publish_task([])])
def test_a_shard_of_no_plan_is_refused(lake: EmulatedLake, run_task: Any, context: Any, task: Any) -> None:
    """The error says what is expected."""
    with pytest.raises(AirflowFailException, match="one element of what the task that plans the scan returned"):
        run_task(task, context)
