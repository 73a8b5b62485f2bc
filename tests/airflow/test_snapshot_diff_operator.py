"""The operator that tells what changed since the snapshot before."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from emulated_lake import BUCKET, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException, AirflowSkipException
from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.operators import filtered
from airflow_provider_ddbexport.operators.snapshot_diff import DynamoDBSnapshotDiffOperator


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table of two items, exported by nobody yet."""
    lake = EmulatedLake(aws).create()
    lake.put({"Id": {"S": "sesame-1"}, "Rating": {"N": "5"}}, {"Id": {"S": "sesame-2"}, "Rating": {"N": "4"}})
    return lake


def diff(record: str, *, context: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    operator = DynamoDBSnapshotDiffOperator(task_id="diff", record=record, **arguments)
    figures: dict[str, Any] = json.loads(json.dumps(operator.execute(context or task_context())))
    return figures


def written(lake: EmulatedLake) -> dict[str, Any]:
    """Return when each object of the lake was written, by address."""
    listed = lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="lake/")["Contents"]
    return {f"s3://{BUCKET}/{found['Key']}": found["LastModified"] for found in listed}


def test_what_changed_is_written_once_and_told(lake: EmulatedLake, caplog: pytest.LogCaptureFixture) -> None:
    """XCom and the asset's event have the counts; another try writes nothing; no value is told."""
    first = lake.publish()
    lake.put({"Id": {"S": "sesame-1"}, "Rating": {"N": "5.0"}}, {"Id": {"S": "sesame-3"}})
    lake.delete({"Id": {"S": "sesame-2"}})
    second = lake.publish()
    asset = snapshot_asset(LAKE, "reviews_changes")
    context = task_context()
    figures = diff(second["record"], destination=LAKE, outlets=[asset], context=context)
    assert {
        name: figures[name] for name in ("from", "to", "key", "added", "changed", "removed", "unchanged", "parts")
    } == {
        "from": first["as_of"],
        "to": second["as_of"],
        "key": ["Id"],
        "added": 1,
        "changed": 0,
        "removed": 1,
        "unchanged": 1,
        "parts": 1,
    }
    assert context["outlet_events"][asset].extra == figures
    assert figures["record"] in written(lake)
    before = written(lake)
    assert diff(second["record"], destination=LAKE) == figures
    assert written(lake) == before
    assert "sesame" not in caplog.text + json.dumps(figures)


def test_the_first_snapshot_has_nothing_to_be_compared_with(lake: EmulatedLake) -> None:
    """The task is skipped, and what follows it can go on or not."""
    with pytest.raises(AirflowSkipException, match="No snapshot of reviews is published before"):
        diff(lake.publish()["record"])


def test_another_snapshot_than_the_one_before_can_be_asked_for(lake: EmulatedLake) -> None:
    """By its instant; without a destination changes are counted, and DynamoDB is not asked where the key is given."""
    first = lake.publish()
    lake.put({"Id": {"S": "sesame-3"}})
    lake.publish()
    lake.put({"Id": {"S": "sesame-4"}})
    third = lake.publish()
    assert diff(third["record"])["added"] == 1
    lake.dynamodb.delete_table(TableName="Reviews")
    with pytest.raises(AirflowFailException, match=r"key: no snapshot of 'reviews' .* give its attributes"):
        diff(third["record"])
    figures = diff(third["record"], since=first["as_of"], keys="Id")
    assert (figures["added"], figures["record"], figures["parts"]) == (2, None, 0)


def test_increments_spare_the_reading_of_both_snapshots(lake: EmulatedLake, caplog: pytest.LogCaptureFixture) -> None:
    """Given as addresses or as the incremental export's XCom; the counts are those of the snapshots. Whether one has a
    filter is asked, and where that is not allowed it is logged. They tell the key as well."""
    first = lake.publish()
    lake.put({"Id": {"S": "sesame-1"}, "Rating": {"N": "1"}}, {"Id": {"S": "sesame-3"}})
    lake.aws.clock.advance(timedelta(minutes=20))
    second = lake.publish()
    joined = diff(second["record"], keys="Id")
    made = lake.dynamodb.export_table_to_point_in_time(
        TableArn=second["table_arn"],
        S3Bucket=BUCKET,
        ExportType="INCREMENTAL_EXPORT",
        IncrementalExportSpecification={
            "ExportFromTime": parse_time(first["as_of"]),
            "ExportToTime": parse_time(second["as_of"]),
        },
    )["ExportDescription"]
    source = f"s3://{BUCKET}/AWSDynamoDB/{made['ExportArn'].rpartition('/')[2]}"
    while (
        lake.dynamodb.describe_export(ExportArn=made["ExportArn"])["ExportDescription"]["ExportStatus"] != "COMPLETED"
    ):
        pass
    for increments in (source, [source], {"exports": [{"source": source, "from_time": first["as_of"]}]}):
        assert diff(second["record"], keys="Id", increments=increments) == {**joined, "method": "increments"}
    assert (joined["added"], joined["changed"], joined["method"]) == (1, 1, "key join")
    lake.aws.fail_next("DescribeExport", "AccessDeniedException")
    lake.dynamodb.delete_table(TableName=lake.table)
    assert diff(second["record"], increments=source) == {**joined, "method": "increments"}
    assert "Whether the export was filtered is not known" in caplog.text


def test_one_client_asks_for_the_filters_of_all_exports_of_a_region(
    lake: EmulatedLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each export's own region is asked, whatever the task's is."""
    made: list[str | None] = []

    class Counted(filtered.DynamoDBExportHook):
        def __init__(self, **parameters: Any) -> None:
            made.append(parameters["region_name"])
            super().__init__(**parameters)

    monkeypatch.setattr(filtered, "DynamoDBExportHook", Counted)
    is_filtered = filtered.filter_finder({"region_name": "eu-central-1", "aws_conn_id": "aws_default"})
    for number, region in enumerate(("us-east-1", "us-east-1", "eu-west-1", "us-east-1")):
        assert not is_filtered(
            f"arn:aws:dynamodb:{region}:123456789012:table/Reviews/export/01768385930622-{number:08x}"
        )
    assert made == ["us-east-1", "eu-west-1"]


def test_what_no_retry_can_mend_fails_at_once(lake: EmulatedLake) -> None:
    """A key that is none, a time in the wrong order, an address of something else."""
    lake.publish()
    lake.put({"Id": {"S": "sesame-3"}})
    second = lake.publish()
    for arguments, message in (
        ({"keys": ["Rating", "Nowhere"]}, "no item of the snapshot as of .* has 'Nowhere'"),
        ({"since": second["as_of"]}, "give the earlier snapshot first"),
        ({"since": "noon"}, "since: expected an ISO 8601 time"),
        ({"record": f"{LAKE}/reviews"}, "expected the address of a commit record"),
    ):
        with pytest.raises(AirflowFailException, match=message):
            diff(**{"record": second["record"], **arguments})


def test_arguments_are_assigned_untouched_so_that_templates_work() -> None:
    """Every templated field holds what was given until Airflow has rendered it."""
    given = {name: f"{{{{ {name} }}}}" for name in ("record", "since", "destination", "keys", "s3_bucket_owner")}
    operator = DynamoDBSnapshotDiffOperator(task_id="t", **given)  # type: ignore[arg-type]
    assert {name: getattr(operator, name) for name in given} == given
    assert set(given) <= set(operator.template_fields)
