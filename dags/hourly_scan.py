"""Every hour, a snapshot of a small table by parallel scan, straight to Parquet."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
LAKE = f"s3://{BUCKET}/lake"

with DAG("reviews_hourly_scan", schedule="@hourly", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_to_parquet]
    DynamoDBScanToParquetOperator(
        task_id="scan",
        table_name=TABLE,
        lake=LAKE,
        table="reviews_hourly",
        database="lake",
        read_percent=25,
        ceiling_units=4000,
        outlets=[snapshot_asset(LAKE, "reviews_hourly")],
    )
    # [END scan_to_parquet]
