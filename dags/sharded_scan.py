"""Every week, a snapshot of a large table by parallel scan, straight to Parquet, spread over mapped tasks."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG

from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.operators.scan_to_parquet_shards import (
    DynamoDBScanToParquetPlanOperator,
    DynamoDBScanToParquetShardOperator,
)

SCAN: dict[str, Any] = {
    "table_name": os.environ.get("DDBEXPORT_TABLE", "Reviews"),
    "lake": f"s3://{os.environ.get('DDBEXPORT_BUCKET', 'ddbexport-demo')}/lake",
    "table": "reviews_weekly",
    "database": "lake",
    "read_units": 1000,
}

with DAG("reviews_sharded_scan", schedule="@weekly", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_to_parquet_shards]
    plan = DynamoDBScanToParquetPlanOperator(task_id="plan", shards=2, **SCAN)
    shards = DynamoDBScanToParquetShardOperator.partial(task_id="scan", **SCAN).expand(shard=plan.output)
    shards >> DynamoDBScanToParquetOperator(task_id="publish", shards=plan.output, **SCAN)
    # [END scan_to_parquet_shards]
