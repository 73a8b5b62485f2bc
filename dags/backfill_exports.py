"""Past days, each as the table was at its midnight, as far back as point-in-time recovery goes.

    ddbexport plan Reviews --from 2026-01-05 --to 2026-01-31 --lake s3://ddbexport-demo/history --table reviews_history
    airflow backfill create --dag-id reviews_history --from-date 2026-01-05 --to-date 2026-01-31

Any range will do: a day that is published is skipped; one whose history is gone is merged from the exports that lead
there, or fails, or is skipped, and says what the restorable window is; the oldest is taken first, and three exports are
made at once, however many runs there are.
Interrupted and created again it goes on where it was, and bills no export twice; a day that was published by then has
only to be registered, whatever it was made of.
A run without a logical date (started by hand, or by an asset) takes the table as it was when the run was due.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.register import GlueSnapshotRegisterOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator
from airflow_provider_ddbexport.sensors.backfill_time import DynamoDBBackfillTimeSensor

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
OUT_OF_WINDOW = os.environ.get("DDBEXPORT_OUT_OF_WINDOW", "fail")
"""``fail`` or ``skip``."""

with DAG("reviews_history", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START backfill_time]
    due = DynamoDBBackfillTimeSensor(
        task_id="due",
        table_name=TABLE,
        lake=f"s3://{BUCKET}/history",
        table="reviews_history",
        database="history",
        exports_in=f"s3://{BUCKET}/history",
        out_of_window=OUT_OF_WINDOW,
        with_increments=True,
    )
    # [END backfill_time]

    @task.branch
    def way(found: dict[str, Any]) -> str | list[str]:
        """A day out of the window is merged from exports that are there, on top of a full one or of a snapshot.

        One that is published has only to be registered.
        """
        if found["record"]:
            return "register"
        if not found["increments"]:
            return "export"
        return ["begin", "merge"] if found["full"] else "merge"

    # [START register]
    register = GlueSnapshotRegisterOperator(
        task_id="register",
        record="{{ ti.xcom_pull(task_ids='due')['record'] }}",
        database="history",
    )
    # [END register]

    begin = DynamoDBExportToParquetOperator(
        task_id="begin",
        source="{{ ti.xcom_pull(task_ids='due')['full'] }}",
        lake=f"s3://{BUCKET}/history",
        table="reviews_history",
        database="history",
        numbers={"Rating": "decimal(3,1)"},
    )
    merge = DynamoDBMergeIncrementsOperator(
        task_id="merge",
        increments=due.output,
        lake=f"s3://{BUCKET}/history",
        table="reviews_history",
        database="history",
        trigger_rule="none_failed_min_one_success",
    )

    # [START export]
    export = DynamoDBPointInTimeExportOperator(
        task_id="export",
        table_name=TABLE,
        s3_bucket_name=BUCKET,
        s3_prefix="history",
        out_of_window=OUT_OF_WINDOW,
        poll_interval_s=5,
        max_active_tis_per_dag=3,
        # Before 3.3 Airflow does not count tasks that are deferred.
        deferrable=False,
    )
    # [END export]

    # [START to_parquet]
    convert = DynamoDBExportToParquetOperator(
        task_id="convert",
        source="{{ ti.xcom_pull(task_ids='export')['source'] }}",
        lake=f"s3://{BUCKET}/history",
        table="reviews_history",
        database="history",
        numbers={"Rating": "decimal(3,1)"},
    )
    # [END to_parquet]

    # [START athena_check]
    check = AthenaSnapshotCheckOperator(
        task_id="check",
        record="{{ (ti.xcom_pull('convert') or ti.xcom_pull('merge') or ti.xcom_pull('due'))['record'] }}",
        database="history",
        keys=["User", "Book"],
        expectations={"every review has an author": "SELECT count(*) = count(author) FROM {snapshot}"},
        output_location=f"s3://{BUCKET}/athena/",
        trigger_rule="none_failed_min_one_success",
    )
    # [END athena_check]

    way(due.output) >> [register, export, begin, merge]
    export >> convert
    begin >> merge
    [register, convert, merge] >> check
