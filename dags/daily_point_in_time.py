"""Every day, the table as it was at midnight: exported, converted, published, crawled, checked.

Success and failure are told over SNS. Trying again, clearing a task or losing a worker bills no second export.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.sdk import DAG

from airflow_provider_ddbexport.pipelines import point_in_time_snapshot

TABLE = os.environ.get("DDBEXPORT_TABLE", "Reviews")
REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
BUCKET = os.environ.get("DDBEXPORT_BUCKET", "ddbexport-demo")
TOPIC = os.environ.get("DDBEXPORT_TOPIC", "arn:aws:sns:us-east-1:123456789012:ddbexport-demo")
ROLE = os.environ.get("DDBEXPORT_CRAWLER_ROLE", "arn:aws:iam::123456789012:role/ddbexport-demo-crawler")
# [START crawler]
CRAWLER = {"crawler_name": "reviews", "create": True, "role": ROLE, "poll_interval_s": 5}
# [END crawler]


def tell(outcome: str) -> SnsNotifier:
    """Return what publishes the run's *outcome* to the topic."""
    return SnsNotifier(
        target_arn=TOPIC,
        subject=f"{TABLE} snapshot: {outcome}",
        message="{{ dag.dag_id }} {{ dag_run.run_id }}: " + outcome,
        region_name=TOPIC.split(":")[3],
    )


with DAG(
    "reviews_daily_snapshot",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2},
    on_success_callback=tell("published"),
    on_failure_callback=tell("FAILED"),
    doc_md=__doc__,
):
    # [START point_in_time_snapshot]
    point_in_time_snapshot(
        table_name=TABLE,
        bucket=BUCKET,
        prefix="exports",
        lake=f"s3://{BUCKET}/lake",
        database="lake",
        table="reviews",
        export={"poll_interval_s": 5},
        crawler=CRAWLER,
        check={
            "keys": ["User", "Book"],
            "max_growth": 0.5,
            "max_shrink": 0.5,
            "expectations": {"ratings are 1 to 5": "SELECT count_if(rating NOT BETWEEN 1 AND 5) = 0 FROM {snapshot}"},
            "output_location": f"s3://{BUCKET}/athena/",
        },
        region_name=REGION,
    )
    # [END point_in_time_snapshot]
