"""What is known of a table's past, against the embedded AWS."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshot_records import commit_record, schema_of

from airflow_provider_ddbexport.core.history import TimeState, look_up_history, plan_time
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import AccessError, PointInTimeRecoveryError, TableNotFoundError

DAY = timedelta(days=1)
T = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def table(local_aws: Any) -> dict[str, Any]:
    """Reviews, ten days old, with an item, point-in-time recovery and a bucket for exports."""
    dynamodb = local_aws.client("dynamodb")
    local_aws.clock.set(T)
    local_aws.configure(export_seconds=0)
    found: dict[str, Any] = dynamodb.create_table(
        TableName="Reviews",
        AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]
    dynamodb.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    dynamodb.put_item(TableName="Reviews", Item={"User": {"S": "a"}, "Text": {"S": "x" * 500}})
    local_aws.client("s3").create_bucket(Bucket="exports")
    local_aws.clock.set(T + 10 * DAY)
    return found


def _export(aws: Any, table: dict[str, Any], **parameters: Any) -> str:
    answer = aws.client("dynamodb").export_table_to_point_in_time(
        TableArn=table["TableArn"], S3Bucket="exports", **parameters
    )
    return str(answer["ExportDescription"]["ExportArn"])


def _window(first: datetime, last: datetime) -> dict[str, Any]:
    return {
        "ExportType": "INCREMENTAL_EXPORT",
        "IncrementalExportSpecification": {"ExportFromTime": first, "ExportToTime": last},
    }


def test_exports_of_the_whole_table_count(local_aws: Any, table: dict[str, Any]) -> None:
    """Full ones and increments; not one that failed, nor a part of the table, nor, if asked, what lies elsewhere.

    Full ones in either format, and increments in the one that can be merged.
    """
    full = _export(local_aws, table, S3Prefix="history", ExportFormat="ION", ExportTime=T + 2 * DAY)
    _export(local_aws, table, S3Prefix="history", ExportFormat="ION", **_window(T + 3 * DAY, T + 4 * DAY))
    increment = _export(local_aws, table, S3Prefix="history", **_window(T + 2 * DAY, T + 3 * DAY))
    elsewhere = _export(local_aws, table, S3Prefix="history2", ExportTime=T + 4 * DAY)
    local_aws.configure(fail_next_export=("S3AccessDenied", "no"))
    _export(local_aws, table, S3Prefix="history", ExportTime=T + 5 * DAY)
    for times in ({"ExportTime": T + 6 * DAY}, _window(T + 3 * DAY, T + 4 * DAY)):
        _export(local_aws, table, S3Prefix="history", FilterSpecification={"ProjectionExpression": "Text"}, **times)
    assert len(local_aws.exports_billed()) == 6

    dynamodb = local_aws.client("dynamodb")
    looks: list[tuple[int, int]] = []
    everywhere = look_up_history(dynamodb, "Reviews", on_look=lambda *look: looks.append(look))
    assert looks == [(number, 6) for number in range(1, 7)], "of all that did not fail"
    assert {export.export_arn for export in everywhere.exports} == {full, increment, elsewhere}
    here = look_up_history(dynamodb, table["TableArn"], exports_in="s3://exports/history/")
    assert {export.export_arn: (export.from_time, export.export_time) for export in here.exports} == {
        full: (None, T + 2 * DAY),
        increment: (T + 2 * DAY, T + 3 * DAY),
    }
    for export in here.exports:
        assert export.source == f"s3://exports/history/AWSDynamoDB/{export.export_arn.rpartition('/')[2]}"
    assert here.changed_bytes_per_day() == 10_000_000
    assert (here.table, here.table_bytes) == ("Reviews", everywhere.table_bytes)
    assert here.table_bytes > 500
    assert here.window.holds(T + 9 * DAY)


def test_increments_can_follow_what_is_published_of_this_very_table(
    local_aws: Any, table: dict[str, Any], tmp_path: Path
) -> None:
    """Not a scan, not a table deleted since, and not what is out of the window, unless an increment there follows."""
    increment = _window(T + DAY, T + 2 * DAY)
    _export(local_aws, table, **increment)
    local_aws.clock.set(T + 40 * DAY)
    ledger = Ledger(open_store(tmp_path))
    schema = schema_of([{"User": {"S": "a"}}])
    sources = {
        0: ("FULL_EXPORT", table["TableId"]),
        1: ("FULL_EXPORT", table["TableId"]),
        20: ("FULL_EXPORT", table["TableId"]),
        21: ("SCAN", table["TableId"]),
        22: ("FULL_EXPORT", "another"),
    }
    for day, (kind, table_id) in sources.items():
        record = commit_record(schema, as_of=T + day * DAY, partitions=())
        ledger.create(replace(record, source=replace(record.source, export_type=kind, table_id=table_id)))
    known = look_up_history(local_aws.client("dynamodb"), "Reviews", ledger=ledger)
    assert known.published == {T + day * DAY for day in sources}
    assert known.bases == {T + DAY, T + 20 * DAY}


def test_what_cannot_be_planned_is_told(local_aws: Any, table: dict[str, Any]) -> None:
    """A missing table, and one without point-in-time recovery."""
    dynamodb = local_aws.client("dynamodb")
    with pytest.raises(TableNotFoundError, match="Missing"):
        look_up_history(dynamodb, "Missing")
    dynamodb.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    with pytest.raises(PointInTimeRecoveryError):
        look_up_history(dynamodb, "Reviews")


def test_one_time_in_the_window_asks_for_no_exports(local_aws: Any, table: dict[str, Any]) -> None:
    """Else a backfill would describe all of them for each of its days; a time that is gone does ask."""
    dynamodb = local_aws.client("dynamodb")
    local_aws.fail_next("ListExports", "AccessDeniedException")
    assert plan_time(dynamodb, "Reviews", T + DAY).times[0].state is TimeState.RESTORABLE
    with pytest.raises(AccessError):
        plan_time(dynamodb, "Reviews", T - DAY)
    assert plan_time(dynamodb, "Reviews", T - DAY).times[0].state is TimeState.OUT_OF_WINDOW
