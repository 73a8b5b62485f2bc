"""DynamoDBScanBackupOperator against the embedded AWS."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from emulated_table import create_table

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.export import read_export, read_items, split_source
from airflow_provider_ddbexport.core.export.model import ExportType
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import (
    AccessError,
    ScanResumeError,
    ScanStoppedError,
    TableNotFoundError,
    ThrottledError,
)
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.scan_backup import DynamoDBScanBackupOperator

BUCKET = "backups"
ITEMS = [{"User": {"S": f"user {n}"}, "Rating": {"N": str(n)}} for n in range(20)]


@pytest.fixture
def reviews(aws: Any) -> Any:
    """The embedded AWS with twenty Reviews and the bucket."""
    aws.client("s3").create_bucket(Bucket=BUCKET)
    dynamodb = aws.client("dynamodb")
    create_table(dynamodb, "Reviews", "User", recovery=False)
    for item in ITEMS:
        dynamodb.put_item(TableName="Reviews", Item=item)
    return aws


def _backup(**changes: Any) -> DynamoDBScanBackupOperator:
    arguments = {
        "task_id": "backup",
        "table_name": "Reviews",
        "s3_bucket_name": BUCKET,
        "s3_prefix": "weekly",
        "segments": 3,
        **changes,
    }
    return DynamoDBScanBackupOperator(**arguments)


def _items(aws: Any, source: str) -> list[Any]:
    root_uri, export_id = split_source(source)
    root = open_store(root_uri, s3=aws.client("s3"))
    export = read_export(root, export_id)
    assert export.summary.export_type is ExportType.SCAN
    return sorted((item for file in export.files for item in read_items(root, export, file)), key=json.dumps)


def test_a_backup_holds_every_item_and_is_marked_as_a_scan(reviews: Any, run_task: Any, context: Any) -> None:
    """XCom names what the next task converts; the items are all there, from all segments."""
    found = run_task(_backup(is_consistent=True), context)
    assert found["item_count"] == 20
    assert found["segments"] == 3
    assert found["consumed_units"] > 0
    assert found["source"].startswith(f"s3://{BUCKET}/weekly/AWSDynamoDB/")
    assert found["export_arn"].endswith("/scan/" + found["source"].rpartition("/")[2])
    assert _items(reviews, found["source"]) == sorted(ITEMS, key=json.dumps)
    assert context["ti"].xcoms[DynamoDBExportLink.key]["table_name"] == "Reviews"


def test_a_backup_may_be_of_a_part_of_the_table(reviews: Any, run_task: Any, context: Any) -> None:
    """Filter, projection and their names and values reach the scan; a templated number of segments is text."""
    task = _backup(
        segments="{{ 1 + 1 }}",
        filter_expression="Rating >= :least",
        projection_expression="#user",
        expression_attribute_names={"#user": "User"},
        expression_attribute_values={":least": {"N": "18"}},
    )
    task.render_template_fields(context)
    found = run_task(task, context)
    assert found["segments"] == 2
    assert _items(reviews, found["source"]) == [{"User": {"S": "user 18"}}, {"User": {"S": "user 19"}}]


def test_no_value_of_an_expression_is_a_rendered_field() -> None:
    """Airflow shows rendered fields to everybody, and a filter's value may be a key."""
    assert "expression_attribute_values" not in DynamoDBScanBackupOperator.template_fields


def test_a_missing_table_fails_the_backup_at_once(reviews: Any, run_task: Any, context: Any) -> None:
    """Named in the error."""
    with pytest.raises(AirflowFailException, match="Nobody") as caught:
        run_task(_backup(table_name="Nobody"), context)
    assert isinstance(caught.value.__cause__, TableNotFoundError)


def test_a_missing_bucket_fails_the_backup_at_once(reviews: Any, run_task: Any, context: Any) -> None:
    """Named in the error."""
    with pytest.raises(AirflowFailException, match="nowhere"):
        run_task(_backup(s3_bucket_name="nowhere"), context)


def test_a_denied_scan_fails_the_backup_at_once(reviews: Any, run_task: Any, context: Any) -> None:
    """And leaves nothing that could be taken for a backup."""
    reviews.fail_next("Scan", "AccessDeniedException", "not authorized to perform dynamodb:Scan", times=100)
    with pytest.raises(AirflowFailException, match="dynamodb:Scan") as caught:
        run_task(_backup(), context)
    assert isinstance(caught.value.__cause__, AccessError)
    there = reviews.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    assert not [entry["Key"] for entry in there if "manifest" in entry["Key"]]


@pytest.mark.parametrize("segments", ["many", 0])
def test_segments_must_be_a_number_of_them(reviews: Any, run_task: Any, context: Any, segments: Any) -> None:
    """The error says how many there may be."""
    with pytest.raises(AirflowFailException, match="segments: expected"):
        run_task(_backup(segments=segments), context)


def _exports(aws: Any) -> set[str]:
    there = aws.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {entry["Key"].split("/")[2] for entry in there if entry["Key"].endswith("/_started")}


def test_a_retry_goes_on_with_the_same_backup(reviews: Any, run_task: Any, context: Any) -> None:
    """A try that ended by throttling leaves checkpoints; the next one ends with the same folder, each item once."""
    task = _backup(throttle_deadline_s=0.0, workers=1, segments=4)
    reviews.fail_next("Scan", "ProvisionedThroughputExceededException", "slow", times=1)
    with pytest.raises(ThrottledError, match="throttled"):
        run_task(task, context)
    (begun,) = _exports(reviews)
    found = run_task(task, context)
    assert found["source"].endswith(begun)
    assert found["runs"] == 2
    assert _items(reviews, found["source"]) == sorted(ITEMS, key=json.dumps)


def test_a_retry_after_a_lost_answer_reads_nothing_and_a_cleared_task_begins_anew(
    reviews: Any, run_task: Any, context: Any
) -> None:
    """max_tries is what tells them apart: clearing raises it."""
    context["ti"].max_tries = 1
    first = run_task(_backup(), context)
    reviews.fail_next("Scan", "AccessDeniedException", "nothing may be read", times=1)
    assert run_task(_backup(), context) == first
    context["ti"].max_tries = 3
    with pytest.raises(AirflowFailException):
        run_task(_backup(), context)
    assert run_task(_backup(), context)["source"] != first["source"]


def test_a_killed_task_leaves_what_a_retry_goes_on_with(
    reviews: Any, run_task: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """on_kill ends the scan after the pages it is at, checkpointed."""
    task = _backup(workers=1, segments=9)

    def killed_first(store: Any, key: str, path: Any) -> None:
        monkeypatch.undo()
        for name, value in reviews.environment().items():
            monkeypatch.setenv(name, value)
        task.on_kill()
        store.move_file(key, path)

    monkeypatch.setattr("airflow_provider_ddbexport.core.store.s3.S3Store.move_file", killed_first)
    with pytest.raises(ScanStoppedError, match="can be resumed"):
        run_task(task, context)
    found = run_task(task, context)
    assert found["runs"] == 2
    assert _items(reviews, found["source"]) == sorted(ITEMS, key=json.dumps)


def test_a_retry_that_asks_for_something_else_fails_at_once(reviews: Any, run_task: Any, context: Any) -> None:
    """And names the difference."""
    reviews.fail_next("Scan", "ProvisionedThroughputExceededException", "slow", times=1)
    with pytest.raises(ThrottledError):
        run_task(_backup(throttle_deadline_s=0.0, workers=1), context)
    with pytest.raises(AirflowFailException, match="segments: started with 3, asked for 5") as caught:
        run_task(_backup(segments=5), context)
    assert isinstance(caught.value.__cause__, ScanResumeError)


def test_the_budget_is_templated_and_kept_in_mind(reviews: Any, run_task: Any, context: Any) -> None:
    """Numbers may come as text; a percentage of a table on demand needs a ceiling."""
    task = _backup(read_units="{{ 100 * 5 }}")
    task.render_template_fields(context)
    assert run_task(task, context)["item_count"] == 20
    with pytest.raises(AirflowFailException, match="state a ceiling"):
        run_task(_backup(task_id="another", read_percent="50"), context)
    with pytest.raises(AirflowFailException, match="read_units: expected a number"):
        run_task(_backup(task_id="third", read_units="plenty"), context)


def test_the_operator_survives_being_copied() -> None:
    """As Airflow does to it before it runs."""
    assert copy.deepcopy(_backup()).workers == 16
