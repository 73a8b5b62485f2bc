"""Every day, the table as it was at midnight, by what changed since the day before.

The first run exports the whole table; those after it export and merge a day's changes, by two tasks side by side. Where
increments cannot follow (the table was deleted and made again, recovery was off for a while) a run begins anew with a
full export.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_ddbexport.pipelines import incremental_snapshot

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")

with DAG(
    "reviews_daily_merge",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    doc_md=__doc__,
):
    # [START incremental_snapshot]
    incremental_snapshot(
        table_name=TABLE,
        bucket=BUCKET,
        prefix="exports",
        lake=f"s3://{BUCKET}/lake",
        database="lake",
        table="reviews_merged",
        shards=2,
        check={"keys": ["User", "Book"], "output_location": f"s3://{BUCKET}/athena/"},
    )
    # [END incremental_snapshot]
