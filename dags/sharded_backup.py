"""Every month, a large table by parallel scan, its segments spread over mapped tasks within one budget, then converted.

The conversion is spread as well: each mapped task writes the parts of its shards, and the last one publishes them.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG

from airflow_provider_ddbexport.operators.convert_shards import (
    DynamoDBConversionPlanOperator,
    DynamoDBConversionShardOperator,
)
from airflow_provider_ddbexport.operators.scan_shards import (
    DynamoDBScanFinishOperator,
    DynamoDBScanPlanOperator,
    DynamoDBScanShardOperator,
)
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")

SCAN: dict[str, Any] = {
    "table_name": os.environ.get("DDBEXPORT_TABLE", "Reviews"),
    "s3_bucket_name": BUCKET,
    "s3_prefix": "sharded",
    "read_units": 1000,
}
CONVERSION: dict[str, Any] = {
    "source": "{{ ti.xcom_pull(task_ids='finish')['source'] }}",
    "lake": f"s3://{BUCKET}/lake",
    "table": "reviews_sharded",
    "database": "lake",
}

with DAG("reviews_sharded_backup", schedule="@monthly", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_shards]
    plan = DynamoDBScanPlanOperator(task_id="plan", shards=2, **SCAN)
    shards = DynamoDBScanShardOperator.partial(task_id="scan", **SCAN).expand(shard=plan.output)
    finish = DynamoDBScanFinishOperator(task_id="finish", shards=plan.output, **SCAN)
    shards >> finish
    # [END scan_shards]

    # [START convert_shards]
    planned = DynamoDBConversionPlanOperator(task_id="plan_shards", shards=2, **CONVERSION)
    parts = DynamoDBConversionShardOperator.partial(task_id="convert_shards", **CONVERSION).expand(shard=planned.output)
    parts >> DynamoDBExportToParquetOperator(task_id="convert", **CONVERSION)
    # [END convert_shards]

    finish >> planned
