"""Asks each new snapshot a question, and what changed since the one before, as soon as it is published and checked."""

from __future__ import annotations

import os

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.sdk import DAG

from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.core.times import parse_time, snapshot_timestamp
from airflow_provider_ddbexport.operators.snapshot_diff import DynamoDBSnapshotDiffOperator
from airflow_provider_ddbexport.sensors.snapshot import DynamoDBSnapshotSensor

BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
SNAPSHOTS = snapshot_asset(f"s3://{BUCKET}/lake", "reviews")
AS_OF = "{{ (triggering_asset_events.values() | list)[-1][-1].extra['as_of'] }}"

with DAG(
    "reviews_top_authors",
    schedule=[SNAPSHOTS],
    user_defined_filters={"partition": lambda as_of: snapshot_timestamp(parse_time(as_of))},
    doc_md=__doc__,
):
    # [START snapshot_sensor]
    published = DynamoDBSnapshotSensor(
        task_id="published",
        lake=f"s3://{BUCKET}/lake",
        table="reviews",
        as_of=AS_OF,
    )
    # [END snapshot_sensor]

    top_authors = AthenaOperator(
        task_id="top_authors",
        query="""
            SELECT author, count(*) AS reviews
            FROM reviews
            WHERE ddb_export_timestamp = '{{ ti.xcom_pull(task_ids="published")["as_of"] | partition }}'
            GROUP BY author ORDER BY reviews DESC LIMIT 10""",
        database="lake",
        output_location=f"s3://{BUCKET}/athena/",
    )
    published >> top_authors

    # [START snapshot_diff]
    changes = DynamoDBSnapshotDiffOperator(
        task_id="changes",
        record="{{ ti.xcom_pull(task_ids='published')['record'] }}",
        destination=f"s3://{BUCKET}/lake",
    )
    # [END snapshot_diff]
    published >> changes
