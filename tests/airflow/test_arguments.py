"""Arguments of a wrong kind are refused before anything is asked for; no AWS is served here."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulated_lake import task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.arguments import _KINDS
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.operators.chain import DynamoDBChainBranchOperator
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.point_in_time_recovery import DynamoDBEnablePointInTimeRecoveryOperator
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.operators.snapshot_diff import DynamoDBSnapshotDiffOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator
from airflow_provider_ddbexport.sensors.backfill_time import DynamoDBBackfillTimeSensor
from airflow_provider_ddbexport.sensors.export import DynamoDBExportSensor
from airflow_provider_ddbexport.sensors.snapshot import DynamoDBSnapshotSensor
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger
from airflow_provider_ddbexport.triggers.turn import TurnTrigger

NOW = datetime(2026, 1, 14, tzinfo=UTC)
EXPORT = (
    DynamoDBPointInTimeExportOperator,
    {"table_name": "Reviews", "s3_bucket_name": "exports", "export_time": NOW},
)
INCREMENT = (
    DynamoDBIncrementalExportOperator,
    {"table_name": "Reviews", "s3_bucket_name": "exports", "from_time": NOW - timedelta(days=1), "to_time": NOW},
)
CONVERSION = (DynamoDBExportToParquetOperator, {"source": "s3://exports/x", "lake": "s3://lakes/lake"})
MERGE = (DynamoDBMergeIncrementsOperator, {"increments": [], "lake": "s3://lakes/lake", "table": "reviews"})
SCAN = (DynamoDBScanToParquetOperator, {"table_name": "Reviews", "lake": "s3://lakes/lake"})
CHECK = (AthenaSnapshotCheckOperator, {"record": "s3://lakes/r.json", "database": "d"})
CRAWL = (GlueSnapshotCrawlerOperator, {"record": "s3://lakes/r.json", "crawler_name": "c"})
DIFF = (DynamoDBSnapshotDiffOperator, {"record": "s3://lakes/r.json"})
SNAPSHOT = (DynamoDBSnapshotSensor, {"lake": "s3://lakes/lake", "table": "reviews", "as_of": NOW})
AWAITED = (DynamoDBExportSensor, {"export_arn": "arn:aws:dynamodb:us-east-1:123456789012:table/T/export/0"})
BACKFILL = (DynamoDBBackfillTimeSensor, {"table_name": "Reviews", "lake": "s3://lakes/lake", "export_time": NOW})

INTERVALS = ["5", None, 0, -1, True, float("nan"), float("inf"), timedelta(seconds=3)]


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        *[(task, "poll_interval_s", value) for task in (EXPORT, INCREMENT, CHECK, CRAWL) for value in INTERVALS],
        *[(EXPORT, "patience_s", value) for value in ("60", None, -1, 1e12, timedelta(hours=1))],
        *[(EXPORT, "export_time", value) for value in (None, date(2026, 1, 14), 1700000000)],
        *[(EXPORT, "table_name", value) for value in (None, 5)],
        *[(EXPORT, "s3_bucket_name", None), (EXPORT, "s3_prefix", 5), (EXPORT, "filter_specification", "{}")],
        *[(EXPORT, "ledger", Path("ledger")), (EXPORT, "deferrable", "yes"), (EXPORT, "wait_for_completion", None)],
        *[(INCREMENT, "cut_at", None), (INCREMENT, "export_view", None), (INCREMENT, "from_time", 5)],
        *[(CONVERSION, name, None) for name in ("source", "lake", "numbers", "partition_by", "sort_by", "nested")],
        *[(CONVERSION, name, "2") for name in ("workers", "rows_per_part", "part_bytes", "replace", "column_names")],
        *[(CONVERSION, "workers", 0), (CONVERSION, "lake", Path("lake")), (CONVERSION, "table", 5)],
        *[(CONVERSION, "partition_by", [None]), (CONVERSION, "s3_bucket_owner", 123456789012)],
        *[(MERGE, "max_gap", 5), (MERGE, "base", date(2026, 1, 14))],
        *[(MERGE, "increments", value) for value in (5, None, {"source": "s3://exports/x"}, {"exports": [{}]})],
        *[(SCAN, "throttle_deadline_s", "5"), (SCAN, "workers", 1.5), (SCAN, "is_consistent", "no")],
        *[(CHECK, "max_growth", "10"), (CHECK, "max_shrink", "0.1"), (CHECK, "expectations", ["select true"])],
        *[(CHECK, "keys", 5), (CHECK, "record", None), (CRAWL, "create", "yes"), (CRAWL, "config", "{}")],
        *[(DIFF, "keys", [5]), (DIFF, "record", None), (DIFF, "increments", 5)],
        *[(SNAPSHOT, "lake", Path("lake")), (SNAPSHOT, "table", None), (SNAPSHOT, "as_of", None)],
        *[(AWAITED, "export_arn", None), (BACKFILL, "exports_in", 5), (BACKFILL, "out_of_window", None)],
    ],
)
def test_an_argument_of_a_wrong_kind_ends_the_task_at_once(task: Any, name: str, value: Any) -> None:
    """It is named, with what was expected; another try would meet the same."""
    operator, arguments = task
    with pytest.raises(AirflowFailException, match=f"^{name}: (expected|.* names no time zone)"):
        operator(task_id="t", **{**arguments, name: value}).execute(task_context())


def test_what_a_filter_has_is_not_told() -> None:
    """Its values are items'."""
    operator, arguments = EXPORT
    with pytest.raises(AirflowFailException) as failed:
        operator(task_id="t", **arguments, filter_specification='{"secret": 1}').execute(task_context())
    assert str(failed.value) == "filter_specification: expected a dict, or None, found a str; correct the argument"


@pytest.mark.parametrize("value", INTERVALS)
def test_no_trigger_looks_without_a_pause(value: Any) -> None:
    """A loop without one would take the triggerer from all others."""
    with pytest.raises(BadCallError, match="poll_interval_s: expected a number of seconds above 0"):
        TurnTrigger(until=NOW.isoformat(), deadline=NOW.isoformat(), poll_interval_s=value)
    with pytest.raises(BadCallError, match="waiter_delay: expected a number of seconds above 0"):
        DynamoDBExportTrigger(export_arn="arn", deadline=NOW.isoformat(), waiter_delay=value)


def test_a_deferrable_sensor_pauses_between_two_looks() -> None:
    """Refused when the DAG is read; in a worker it is Airflow's to decide."""
    sensor, arguments = SNAPSHOT
    with pytest.raises(BadCallError, match="poke_interval: expected more than 0"):
        sensor(task_id="t", **arguments, poke_interval=0, deferrable=True)
    assert sensor(task_id="t", **arguments, poke_interval=0, deferrable=False)


def test_every_kind_is_of_an_argument_there_is() -> None:
    """A misspelt name would check nothing."""
    tasks = [EXPORT, INCREMENT, CONVERSION, MERGE, SCAN, CHECK, CRAWL, DIFF, SNAPSHOT, AWAITED, BACKFILL]
    classes: set[type] = {DynamoDBExportTrigger, DynamoDBChainBranchOperator, DynamoDBEnablePointInTimeRecoveryOperator}
    classes |= {task for task, _ in tasks}
    known = {name for each in classes for base in each.__mro__ for name in inspect.signature(base.__init__).parameters}
    assert _KINDS.keys() <= known
