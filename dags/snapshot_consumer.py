"""Asks each new snapshot a question, and what changed since the one before, as soon as it is published and checked.

A run that is started by hand asks the latest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.sdk import DAG, task, task_group

from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.core.times import parse_time, snapshot_timestamp
from airflow_provider_ddbexport.operators.snapshot_diff import DynamoDBSnapshotDiffOperator
from airflow_provider_ddbexport.sensors.snapshot import DynamoDBSnapshotSensor

BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
SNAPSHOTS = snapshot_asset(f"s3://{BUCKET}/lake", "reviews")


def times_told(events: Iterable[Any]) -> list[str]:
    """Return the times of the snapshots that asset events tell of, the earliest first."""
    return sorted({event.extra["as_of"] for event in events if "as_of" in event.extra}, key=parse_time)


@task(inlets=[SNAPSHOTS])
def new_snapshots(*, triggering_asset_events: Any = None, inlet_events: Any = None) -> list[str]:
    """Return the times of the snapshots that this run is for: events that come soon after each other share one.

    Where there are none, because it was started by hand, the latest snapshot that was ever told of.
    """
    return times_told(triggering_asset_events.get(SNAPSHOTS, ())) or times_told(inlet_events[SNAPSHOTS])[-1:]


@task_group
def snapshot(as_of: str) -> None:
    """Ask one snapshot."""
    # [START snapshot_sensor]
    published = DynamoDBSnapshotSensor(
        task_id="published",
        lake=f"s3://{BUCKET}/lake",
        table="reviews",
        as_of=as_of,
    )
    # [END snapshot_sensor]

    top_authors = AthenaOperator(
        task_id="top_authors",
        query="""
            {% set snapshot = ti.xcom_pull(task_ids="snapshot.published", map_indexes=ti.map_index) %}
            SELECT author, count(*) AS reviews
            FROM reviews
            WHERE ddb_export_timestamp = '{{ snapshot["as_of"] | partition }}'
            GROUP BY author ORDER BY reviews DESC LIMIT 10""",
        database="lake",
        output_location=f"s3://{BUCKET}/athena/",
    )
    published >> top_authors

    # [START snapshot_diff]
    changes = DynamoDBSnapshotDiffOperator(
        task_id="changes",
        record="{{ ti.xcom_pull(task_ids='snapshot.published', map_indexes=ti.map_index)['record'] }}",
        destination=f"s3://{BUCKET}/lake",
    )
    # [END snapshot_diff]
    published >> changes


with DAG(
    "reviews_top_authors",
    schedule=[SNAPSHOTS],
    user_defined_filters={"partition": lambda as_of: snapshot_timestamp(parse_time(as_of))},
    doc_md=__doc__,
):
    snapshot.expand(as_of=new_snapshots())
