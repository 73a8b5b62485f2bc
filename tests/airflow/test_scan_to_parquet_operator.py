"""The operator that makes a snapshot of a table by a scan."""

from __future__ import annotations

from typing import Any

import pytest
from emulated_lake import BUCKET, LAKE, EmulatedLake

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.snapshot import Ledger, record_items
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import BadCallError, ThrottledError
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator

ITEMS = [{"Id": {"S": f"sesame-{n}"}, "Rating": {"N": str(n)}} for n in range(20)]


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table of twenty items, scanned by nobody yet."""
    lake = EmulatedLake(aws).create()
    lake.put(*ITEMS)
    return lake


def scan(**changes: Any) -> DynamoDBScanToParquetOperator:
    arguments = {"task_id": "scan", "table_name": "Reviews", "lake": LAKE, "database": "snapshots", "segments": 4}
    return DynamoDBScanToParquetOperator(**{**arguments, **changes})


def test_a_table_becomes_a_published_and_registered_snapshot(lake: EmulatedLake, run_task: Any, context: Any) -> None:
    """XCom has the figures of a conversion and of a scan; Athena has the rows; no JSON is in the bucket."""
    figures = run_task(scan(partition_by=["Id"], read_units="500"), context)
    (record,) = Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3)).records()
    assert (figures["rows"], figures["export_type"], figures["is_point_in_time"]) == (20, "SCAN", False)
    assert (figures["segments"], figures["database"], figures["partitions"]) == (4, "snapshots", 20)
    assert figures["consumed_units"] > 0
    assert "sesame" not in str(figures)
    assert lake.query("SELECT count(*), sum(rating) FROM reviews") == [["20", "190"]]
    assert record.rows == 20
    keys = [entry["Key"] for entry in lake.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert not [key for key in keys if key.endswith(".gz")]


def test_a_retry_goes_on_with_the_same_snapshot(lake: EmulatedLake, run_task: Any, context: Any) -> None:
    """A try that ended by throttling leaves parts and checkpoints; the next one publishes one snapshot, once."""
    task = scan(throttle_deadline_s=0.0, workers=1)
    lake.aws.fail_next("Scan", "ProvisionedThroughputExceededException", "slow", times=1)
    with pytest.raises(ThrottledError):
        run_task(task, context)
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    assert Ledger(store).records() == ()
    figures = run_task(task, context)
    (record,) = Ledger(store).records()
    assert (figures["rows"], len(list(record_items(store, record)))) == (20, 20)
    assert run_task(task, context)["record"] == figures["record"], "its answer may have been lost"


def test_a_catalog_wants_a_lake_in_s3(lake: EmulatedLake, run_task: Any, context: Any, tmp_path: Any) -> None:
    """Said before anything is read; without a database a folder will do."""
    with pytest.raises(AirflowFailException, match="can only point at s3://") as caught:
        run_task(scan(lake=str(tmp_path)), context)
    assert isinstance(caught.value.__cause__, BadCallError)
    assert run_task(scan(lake=str(tmp_path), database=None), context)["database"] is None
