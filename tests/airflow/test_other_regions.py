"""A table in one region, its exports and its lake in another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import boto3
import pytest
from emulated_lake import BUCKET, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.cli import FINE, main
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

REGION = "eu-west-1"
"""Of the table; the bucket is in us-east-1."""


@pytest.fixture
def lake(aws: Any, monkeypatch: pytest.MonkeyPatch) -> EmulatedLake:
    """A table with an item, away from the bucket that everything is to go to."""
    lake = EmulatedLake(aws)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_REGION", REGION)
    lake.dynamodb = boto3.client("dynamodb", region_name=REGION)
    lake.create().put({"Id": {"S": "0"}})
    return lake


def test_s3_refuses_what_is_signed_for_another_region_and_the_sdk_follows(lake: EmulatedLake) -> None:
    """The embedded AWS as Amazon's: the answer came at the second try."""
    s3 = boto3.client("s3", region_name=REGION)
    for attempts in (1, 0):
        assert s3.list_objects_v2(Bucket=BUCKET)["ResponseMetadata"]["RetryAttempts"] == attempts


def test_a_chain_of_a_table_in_another_region_is_exported_merged_and_compared(
    lake: EmulatedLake, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tasks are told the table's region and find the bucket's by themselves; so does the shell."""
    begin = lake.aws.clock.now().replace(microsecond=0) + timedelta(minutes=1)
    lake.aws.clock.advance(timedelta(minutes=30))
    lake.put({"Id": {"S": "1"}})
    lake.aws.clock.advance(timedelta(minutes=30))
    end = lake.aws.clock.now().replace(microsecond=0) - timedelta(minutes=10)
    where: dict[str, Any] = {"table_name": lake.table, "s3_bucket_name": BUCKET, "region_name": REGION}
    to: dict[str, Any] = {"lake": LAKE, "table": "reviews", "region_name": REGION}

    full = DynamoDBPointInTimeExportOperator(task_id="export", export_time=begin, **where).execute(task_context())
    assert f":{REGION}:" in full["export_arn"]
    converted = DynamoDBExportToParquetOperator(task_id="convert", source=full["source"], **to).execute(task_context())
    increment = DynamoDBIncrementalExportOperator(task_id="increment", from_time=begin, to_time=end, **where)
    changes = increment.execute(task_context())
    merged = DynamoDBMergeIncrementsOperator(task_id="merge", increments=changes, **to).execute(task_context())
    assert (converted["rows"], merged["rows"]) == (1, 2)
    assert main(["diff", LAKE, "--table", "reviews", "--region", REGION]) == FINE
    assert "  added      1\n" in capsys.readouterr().out
