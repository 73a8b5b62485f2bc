"""Past days, each as the table was at its midnight, as far back as point-in-time recovery goes.

    airflow backfill create --dag-id reviews_history --from-date 2026-01-05 --to-date 2026-01-08 --max-active-runs 2

The operators one by one; a day that is published already is exported and converted once, however often it is run.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import DAG

from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator
from airflow_provider_ddbexport.sensors.export import DynamoDBExportSensor
from airflow_provider_ddbexport.sensors.restorable_time import DynamoDBRestorableTimeSensor

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
ROLE = os.environ.get("DDBEXPORT_CRAWLER_ROLE", "arn:aws:iam::123456789012:role/ddbexport-demo-crawler")

with DAG("reviews_history", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, doc_md=__doc__):
    # [START restorable_time]
    restorable = DynamoDBRestorableTimeSensor(task_id="restorable", table_name=TABLE, export_time="{{ logical_date }}")
    # [END restorable_time]

    # [START export]
    export = DynamoDBPointInTimeExportOperator(
        task_id="export",
        table_name=TABLE,
        s3_bucket_name=BUCKET,
        s3_prefix="history",
        export_time="{{ logical_date }}",
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

    # [START to_parquet]
    convert = DynamoDBExportToParquetOperator(
        task_id="convert",
        source="{{ ti.xcom_pull(task_ids='exported')['source'] }}",
        lake=f"s3://{BUCKET}/history",
        table="reviews_history",
        numbers={"Rating": "decimal(3,1)"},
    )
    # [END to_parquet]

    # [START crawler]
    crawl = GlueSnapshotCrawlerOperator(
        task_id="crawl",
        crawler_name="reviews-history",
        record="{{ ti.xcom_pull(task_ids='convert')['record'] }}",
        create=True,
        role=ROLE,
        database="history",
        poll_interval_s=5,
    )
    # [END crawler]

    # [START athena_check]
    check = AthenaSnapshotCheckOperator(
        task_id="check",
        record="{{ ti.xcom_pull(task_ids='convert')['record'] }}",
        database="history",
        keys=["User", "Book"],
        expectations={"every review has an author": "SELECT count(*) = count(author) FROM {snapshot}"},
        output_location=f"s3://{BUCKET}/athena/",
    )
    # [END athena_check]

    restorable >> export >> exported >> convert >> crawl >> check
