"""Every week, a plain backup of the table by parallel scan, in the layout of an export."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_ddbexport.operators.scan_backup import DynamoDBScanBackupOperator

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")

with DAG("reviews_weekly_backup", schedule="@weekly", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START scan_backup]
    DynamoDBScanBackupOperator(
        task_id="backup",
        table_name=TABLE,
        s3_bucket_name=BUCKET,
        s3_prefix="backups",
        segments=4,
        is_consistent=True,
    )
    # [END scan_backup]
