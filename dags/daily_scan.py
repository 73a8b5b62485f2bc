"""Every day, a snapshot by parallel scan, spread over mapped tasks, for a table without point-in-time recovery.

A scan is no point in time: writes while it runs may or may not be in it.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_ddbexport.pipelines import scan_snapshot

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")

with DAG("reviews_daily_scan", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_snapshot]
    scan_snapshot(
        table_name=TABLE,
        bucket=BUCKET,
        prefix="scans",
        lake=f"s3://{BUCKET}/lake",
        database="lake",
        table="reviews_scanned",
        shards=2,
        backup={"segments": 8, "read_units": 1000},
        convert={"nested": "flatten"},
        check={"keys": ["User", "Book"], "output_location": f"s3://{BUCKET}/athena/"},
    )
    # [END scan_snapshot]
