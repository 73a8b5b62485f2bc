"""Every day, what changed in the table the day before, exported as an increment.

The timetable has intervals, which a cron expression alone has not in Airflow 3. Trying again, clearing a task or losing
a worker bills no second export, however much later.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.point_in_time_recovery import DynamoDBEnablePointInTimeRecoveryOperator

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")

with DAG(
    "reviews_daily_increment",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"retries": 2},
    doc_md=__doc__,
):
    # [START point_in_time_recovery]
    recovery = DynamoDBEnablePointInTimeRecoveryOperator(task_id="recovery", table_name=TABLE, recovery_period_days=35)
    # [END point_in_time_recovery]

    # [START incremental_export]
    increment = DynamoDBIncrementalExportOperator(
        task_id="increment",
        table_name=TABLE,
        s3_bucket_name=BUCKET,
        s3_prefix="increments",
        from_time="{{ data_interval_start }}",
        to_time="{{ data_interval_end }}",
    )
    # [END incremental_export]

    recovery >> increment
