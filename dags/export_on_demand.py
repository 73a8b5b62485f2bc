"""An export of the table as it was at an instant somebody asks for, left in S3 for them.

    airflow dags trigger reviews_export_on_demand --conf '{"instant": "2026-01-14T10:18:50Z"}'

Without an instant it is the one at which the run was due. Asked for twice, it is exported once.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG, Param

from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.sensors.export import DynamoDBExportSensor
from airflow_provider_ddbexport.sensors.restorable_time import DynamoDBRestorableTimeSensor

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
INSTANT = "{{ params.instant or dag_run.run_after.isoformat() }}"

with DAG(
    "reviews_export_on_demand",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params={"instant": Param("", type="string", description="ISO 8601, with its offset")},
    doc_md=__doc__,
):
    # [START restorable_time]
    restorable = DynamoDBRestorableTimeSensor(task_id="restorable", table_name=TABLE, export_time=INSTANT)
    # [END restorable_time]

    # [START export]
    export = DynamoDBPointInTimeExportOperator(
        task_id="export",
        table_name=TABLE,
        s3_bucket_name=BUCKET,
        s3_prefix="on-demand",
        export_time=INSTANT,
        wait_for_completion=False,
    )
    # [END export]

    # [START export_sensor]
    exported = DynamoDBExportSensor(
        task_id="exported",
        export_arn="{{ ti.xcom_pull(task_ids='export')['export_arn'] }}",
        poke_interval=5,
    )
    # [END export_sensor]

    restorable >> export >> exported
