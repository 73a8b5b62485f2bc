"""Every month, a backup of a large table by parallel scan, its segments spread over mapped tasks within one budget."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG

from airflow_provider_ddbexport.operators.scan_shards import (
    DynamoDBScanFinishOperator,
    DynamoDBScanPlanOperator,
    DynamoDBScanShardOperator,
)

SCAN: dict[str, Any] = {
    "table_name": os.environ.get("DDBEXPORT_TABLE", "Reviews"),
    "s3_bucket_name": os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo"),
    "s3_prefix": "sharded",
    "read_units": 1000,
}

with DAG("reviews_sharded_backup", schedule="@monthly", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_shards]
    plan = DynamoDBScanPlanOperator(task_id="plan", shards=2, **SCAN)
    shards = DynamoDBScanShardOperator.partial(task_id="scan", **SCAN).expand(shard=plan.output)
    shards >> DynamoDBScanFinishOperator(task_id="finish", shards=plan.output, **SCAN)
    # [END scan_shards]
