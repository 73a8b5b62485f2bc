"""Exports as of a point in time, against the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.config import Config

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.exporting.exactly_once import MAX_FAILED, start_once
from airflow_provider_ddbexport.core.exporting.ledger import ExportLedger, ledger_uri
from airflow_provider_ddbexport.core.exporting.point_in_time import (
    ExportDescription,
    ExportStatus,
    describe,
    export_source_uri,
    table_identity,
    wait_for_export,
)
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, ExportView, client_token, export_instant
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow, restorable_window
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    DeadlineError,
    ExportFailedError,
    InvalidTimeError,
    PointInTimeRecoveryError,
    RestorableWindowError,
    ServiceError,
    TableNotFoundError,
    ThrottledError,
)

BUCKET = "exports"
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Reviews"
REQUEST = ExportRequest(table_arn=ARN, export_time=datetime(2026, 1, 14, 10, tzinfo=UTC), bucket=BUCKET)


class Time:
    """A monotonic clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.naps.append(seconds)
        self.on_sleep()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def dynamodb(local_aws: Any) -> Any:
    """A client of an AWS with the bucket, and the table Reviews with PITR since an hour, three items in it.

    Its clock stands still: exports go on until a test lets time pass.
    """
    now = local_aws.clock.now()
    local_aws.clock.set(now - timedelta(hours=1), frozen=True)
    # botocore's own retries would sleep in real time.
    client = local_aws.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    client.create_table(
        TableName="Reviews",
        AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    for user in ("a", "b", "c"):
        client.put_item(TableName="Reviews", Item={"User": {"S": user}})
    local_aws.clock.set(now, frozen=True)
    return client


@pytest.fixture
def start_export(local_aws: Any) -> Callable[..., str]:
    """start_once with the ledger at the destination and by the clock of the embedded AWS."""
    s3 = local_aws.client("s3")

    def start(dynamodb: Any, request: ExportRequest, *, ledger: str | None = None, **patience: Any) -> str:
        store = open_store(ledger or ledger_uri(request), s3=s3)
        return start_once(dynamodb, ExportLedger(store), request, now=local_aws.clock.now, **patience)

    return start


@pytest.fixture
def request_now(dynamodb: Any, local_aws: Any) -> ExportRequest:
    """An export of Reviews as of ten minutes ago."""
    moment = export_instant(local_aws.clock.now() - timedelta(minutes=10))
    table = table_identity(dynamodb, "Reviews")
    return ExportRequest(table.arn, moment, BUCKET, prefix="daily", table_id=table.table_id)


def test_equal_requests_have_the_same_token() -> None:
    """The token depends on nothing but the request: not on the process, nor on how the time was written."""
    same = replace(REQUEST, export_time=REQUEST.export_time.astimezone(timezone(timedelta(hours=2))))
    assert client_token(REQUEST) == client_token(same) == "ddbexport-a4d7912d5827623fbc9b6f7421a03c66"


@pytest.mark.parametrize(
    "change",
    [
        {"table_arn": ARN + "2"},
        {"export_time": REQUEST.export_time + timedelta(seconds=1)},
        {"bucket": "other"},
        {"prefix": "p"},
        {"output_format": OutputFormat.ION},
        {"sse_algorithm": "AES256"},
        {"sse_algorithm": "KMS", "kms_key_id": "key"},
        {"bucket_owner": "210987654321"},
        {"table_id": "another"},
        {"generation": "2"},
        {"filter_specification": {"FilterExpression": "a = :a"}},
        {"from_time": REQUEST.export_time - timedelta(hours=1)},
        {"from_time": REQUEST.export_time - timedelta(hours=1), "view": ExportView.NEW_IMAGE},
    ],
)
def test_each_fact_of_a_request_changes_the_token(change: dict[str, Any]) -> None:
    """Two different exports never share a token, which would be a conflict or the wrong export."""
    assert client_token(replace(REQUEST, **change)) != client_token(REQUEST)


@pytest.mark.parametrize(("given", "text"), [(3, "3"), (0, "0"), (None, ""), ("", "")])
def test_a_generation_is_told_by_its_text(given: Any, text: str) -> None:
    """A number, which is what a template rendered natively makes of its digits, bills no other export."""
    assert client_token(replace(REQUEST, generation=given)) == client_token(replace(REQUEST, generation=text))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"table_arn": "Reviews"}, "expected an ARN"),
        ({"export_time": datetime(2026, 1, 14)}, "aware"),  # noqa: DTZ001 - the mistake
        ({"export_time": datetime(2026, 1, 14, microsecond=1, tzinfo=UTC)}, "whole seconds"),
        ({"bucket": "s3://exports/daily"}, "goes into the prefix"),
        ({"bucket": ""}, "bucket's name"),
        ({"sse_algorithm": "aes"}, "AES256 or KMS"),
        ({"kms_key_id": "key"}, "sse_algorithm='KMS'"),
        ({"filter_specification": {"Filter": "x"}}, "found 'Filter'"),
        ({"from_time": REQUEST.export_time - timedelta(minutes=14)}, "15 minutes to 24 hours"),
        ({"from_time": REQUEST.export_time - timedelta(hours=25)}, "15 minutes to 24 hours"),
        ({"from_time": datetime(2026, 1, 14)}, "aware"),  # noqa: DTZ001 - the mistake
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_before_any_call(change: dict[str, Any], said: str) -> None:
    """The error says what was expected."""
    with pytest.raises(BadCallError, match=said):
        replace(REQUEST, **change)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-01-14T10:00:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Neither a word nor a time without an offset is an instant."""
    with pytest.raises(InvalidTimeError, match="export_time"):
        export_instant(text)


def test_an_instant_is_a_whole_second() -> None:
    """The wire carries no fractions of seconds: the one at or before is exported, and named."""
    assert iso(export_instant("2026-01-14 10:18:50.999+02:00")) == "2026-01-14T08:18:50Z"


def test_an_export_ends_with_its_figures(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """Started, waited for and described: status, counts, the folder where its manifest lies."""
    arn = start_export(dynamodb, request_now)
    time.on_sleep = lambda: local_aws.clock.advance(timedelta(minutes=1))
    looks: list[str] = []
    done = wait_for_export(
        dynamodb, arn, on_look=lambda look: looks.append(look.status), sleep=time.sleep, monotonic=time.monotonic
    )
    assert (done.status, done.item_count) == (ExportStatus.COMPLETED, 3)
    assert done.export_time == request_now.export_time
    assert done.billed_bytes is not None
    assert looks == ["IN_PROGRESS", "COMPLETED"]
    assert time.naps == [30.0]
    source = export_source_uri(done)
    assert source == f"s3://{BUCKET}/daily/AWSDynamoDB/{done.export_id}"
    key = source.removeprefix(f"s3://{BUCKET}/") + "/manifest-summary.json"
    assert local_aws.client("s3").head_object(Bucket=BUCKET, Key=key)


def test_asking_twice_is_one_export(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """The second asking attaches: same ARN, one export paid for."""
    first = start_export(dynamodb, request_now)
    assert start_export(dynamodb, request_now) == first
    assert [billed["export_arn"] for billed in local_aws.exports_billed()] == [first]


def test_a_lost_answer_is_one_export(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """The call took effect but its answer was lost: asked again with the same token, nothing more is paid for."""
    local_aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, times=2, after=True)
    arn = start_export(dynamodb, request_now, sleep=time.sleep, monotonic=time.monotonic)
    assert time.naps, "the fault did not happen"
    assert [billed["export_arn"] for billed in local_aws.exports_billed()] == [arn]


def test_throttling_is_waited_out(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """A throttled call is made again after pauses that grow."""
    local_aws.fail_next("ExportTableToPointInTime", "LimitExceededException", times=4)
    start_export(dynamodb, request_now, sleep=time.sleep, monotonic=time.monotonic)
    assert len(time.naps) == 4
    assert time.naps[-1] > time.naps[0]


def test_throttling_without_end_ends_at_the_deadline(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """No retry goes on for ever, and nothing was paid for."""
    local_aws.fail_next("ExportTableToPointInTime", "LimitExceededException", times=1000)
    with pytest.raises(ThrottledError, match="run it again later"):
        start_export(dynamodb, request_now, deadline_s=60, sleep=time.sleep, monotonic=time.monotonic)
    assert time.now <= 60
    assert local_aws.exports_billed() == []


def test_a_failed_export_is_told_with_its_code_and_message(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """What DynamoDB says about the failure is in the error, and so is what to do."""
    local_aws.configure(fail_next_export=("S3AccessDenied", "no PutObject"), export_seconds=0)
    arn = start_export(dynamodb, request_now)
    with pytest.raises(ExportFailedError, match=r"S3AccessDenied: no PutObject; allow s3:PutObject") as caught:
        wait_for_export(dynamodb, arn, sleep=time.sleep, monotonic=time.monotonic)
    assert caught.value.context == {"code": "S3AccessDenied", "failure_message": "no PutObject", "export_arn": arn}


def test_a_missing_bucket_is_an_export_that_failed(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """DynamoDB finds out after the call."""
    local_aws.configure(export_seconds=0)
    arn = start_export(dynamodb, replace(request_now, bucket="nowhere"), ledger=f"s3://{BUCKET}/ledger")
    with pytest.raises(ExportFailedError, match=r"S3NoSuchBucket.*create the bucket"):
        wait_for_export(dynamodb, arn, sleep=time.sleep, monotonic=time.monotonic)


def test_after_a_failed_export_a_new_one_is_started_once(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """DynamoDB answers a token with its failed export for hours; the next asking gets another, and so do all after."""
    local_aws.configure(fail_next_export=("S3AccessDenied", "no"), export_seconds=0)
    failed = start_export(dynamodb, request_now)
    assert describe(dynamodb, failed).status is ExportStatus.FAILED
    second = start_export(dynamodb, request_now)
    assert second != failed
    assert start_export(dynamodb, request_now) == second
    assert [billed["export_arn"] for billed in local_aws.exports_billed()] == [second]


def test_a_request_that_keeps_failing_is_given_up(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """Not even failed exports are started without end."""
    local_aws.configure(denied_buckets=[BUCKET], export_seconds=0, export_burst=1000)
    for _ in range(MAX_FAILED):
        assert describe(dynamodb, start_export(dynamodb, request_now)).status is ExportStatus.FAILED
    with pytest.raises(ServiceError, match=f"{MAX_FAILED} exports of exactly this request"):
        start_export(dynamodb, request_now)


def test_a_wait_has_an_end(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """At the deadline the export goes on, and the error says how to come back to it."""
    local_aws.configure(export_seconds=86400)
    arn = start_export(dynamodb, request_now)
    with pytest.raises(DeadlineError, match=r"still in progress after 100 s.*run again to attach"):
        wait_for_export(dynamodb, arn, deadline_s=100, sleep=time.sleep, monotonic=time.monotonic)
    assert time.naps == [30.0, 30.0, 30.0, pytest.approx(10.0)]


def test_a_wait_outlives_what_passes(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, time: Time, start_export: Any
) -> None:
    """Failures of the service's own while looking do not end the wait."""
    local_aws.configure(export_seconds=0)
    arn = start_export(dynamodb, request_now)
    local_aws.fail_next("DescribeExport", "InternalServerError", status=500, times=3)
    done = wait_for_export(dynamodb, arn, sleep=time.sleep, monotonic=time.monotonic)
    assert done.status is ExportStatus.COMPLETED
    assert time.naps, "the fault did not happen"


def test_a_table_without_point_in_time_recovery_cannot_be_exported(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """The error says how to turn it on."""
    dynamodb.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    with pytest.raises(PointInTimeRecoveryError, match="update-continuous-backups"):
        start_export(dynamodb, request_now)
    with pytest.raises(PointInTimeRecoveryError, match="off for table Reviews; turn"):
        restorable_window(dynamodb, "Reviews")


def test_a_time_too_early_names_the_window(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """The error holds the window's ends, and says that the history is gone."""
    early = replace(request_now, export_time=request_now.export_time - timedelta(days=40))
    window = restorable_window(dynamodb, "Reviews")
    assert window.earliest is not None
    with pytest.raises(RestorableWindowError, match="history is gone") as caught:
        start_export(dynamodb, early)
    assert iso(window.earliest) in str(caught.value)
    assert caught.value.context["earliest"] == iso(window.earliest)
    assert caught.value.context["is_past"] is True
    assert local_aws.exports_billed() == []


def test_a_time_in_the_future_names_the_window(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """The error says what waits for it."""
    late = replace(request_now, export_time=request_now.export_time + timedelta(days=1))
    with pytest.raises(RestorableWindowError, match=r"cannot be exported yet.*DynamoDBRestorableTimeSensor") as caught:
        start_export(dynamodb, late)
    assert caught.value.context["is_past"] is False
    assert local_aws.exports_billed() == []


def test_a_refused_time_stands_without_the_window(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """Who may export but not look at the window still learns that the time was wrong."""
    local_aws.fail_next("DescribeContinuousBackups", "AccessDeniedException")
    late = replace(request_now, export_time=request_now.export_time + timedelta(days=1))
    with pytest.raises(RestorableWindowError, match="choose a time inside"):
        start_export(dynamodb, late)


def test_a_missing_table_is_named(dynamodb: Any, request_now: ExportRequest, start_export: Any) -> None:
    """By its name, by its ARN, and when its window is asked for."""
    with pytest.raises(TableNotFoundError, match="Nobody"):
        table_identity(dynamodb, "Nobody")
    with pytest.raises(TableNotFoundError, match="Nobody"):
        start_export(dynamodb, replace(request_now, table_arn=request_now.table_arn.replace("Reviews", "Nobody")))
    with pytest.raises(TableNotFoundError, match="Nobody"):
        restorable_window(dynamodb, "Nobody")


def test_denied_access_is_told_with_what_was_tried(
    dynamodb: Any, request_now: ExportRequest, local_aws: Any, start_export: Any
) -> None:
    """And is not tried again."""
    local_aws.fail_next("ExportTableToPointInTime", "AccessDeniedException", "not authorized")
    with pytest.raises(AccessError, match=r"exporting arn:.*Reviews as of .*not authorized"):
        start_export(dynamodb, request_now)


def test_the_window_ends_five_minutes_ago(dynamodb: Any, local_aws: Any) -> None:
    """It begins when point-in-time recovery was turned on, and holds both its ends."""
    window = restorable_window(dynamodb, "Reviews")
    now = local_aws.clock.now()
    assert window.earliest is not None
    assert window.latest is not None
    assert timedelta(minutes=59) < now - window.earliest < timedelta(minutes=61)
    assert timedelta(seconds=290) < now - window.latest < timedelta(seconds=310)
    assert window.is_past(window.earliest - timedelta(seconds=1))
    assert not window.is_past(window.earliest)
    assert not window.is_before(window.latest)
    assert window.is_before(window.latest + timedelta(seconds=1))


def test_a_window_that_holds_nothing_yet_is_still_to_come() -> None:
    """Just after PITR was turned on, every time is to be waited for."""
    window = RestorableWindow(None, None)
    assert window.is_before(datetime(2020, 1, 1, tzinfo=UTC))
    assert not window.is_past(datetime(2020, 1, 1, tzinfo=UTC))
    assert "nothing yet" in str(window)


@pytest.mark.parametrize(
    ("manifest_key", "expected"),
    [
        ("daily/AWSDynamoDB/01-ab/manifest-files.json", "s3://exports/daily/AWSDynamoDB/01-ab"),
        ("daily/AWSDynamoDB/01-ab/manifest-summary.json", "s3://exports/daily/AWSDynamoDB/01-ab"),
        (None, "s3://exports/daily/AWSDynamoDB/01-ab"),
    ],
)
def test_the_folder_of_an_export_is_where_its_manifest_is(manifest_key: str | None, expected: str) -> None:
    """Whichever manifest DynamoDB names; from the prefix while it names none."""
    description = ExportDescription(
        export_arn=f"{ARN}/export/01-ab",
        status=ExportStatus.COMPLETED,
        table_arn=ARN,
        export_time=REQUEST.export_time,
        bucket=BUCKET,
        prefix="daily",
        manifest_key=manifest_key,
        item_count=0,
        billed_bytes=0,
        failure_code=None,
        failure_message=None,
    )
    assert export_source_uri(description) == expected
