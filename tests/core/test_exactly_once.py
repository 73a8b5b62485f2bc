"""One export for one request, by ledger, token and the list of exports, against the embedded AWS."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config

from airflow_provider_ddbexport.core.exporting.exactly_once import FRESH_S, MAX_FAILED, start_once
from airflow_provider_ddbexport.core.exporting.ledger import ExportLedger, folder_of, ledger_uri
from airflow_provider_ddbexport.core.exporting.listed_exports import started_at
from airflow_provider_ddbexport.core.exporting.point_in_time import ExportStatus, describe, table_identity
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, client_token, cut_windows
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    ExportLedgerError,
    RestorableWindowError,
    ServiceError,
    ThrottledError,
)

BUCKET = "exports"
NOW = datetime(2026, 1, 14, 6, tzinfo=UTC)
LONG = timedelta(hours=9)


class Worker:
    """Asks as a worker does; its clock is the embedded AWS's, and only sleeping moves its stopwatch.

    Attributes:
        calls: operations called, in order.
        on_sleep: called by each sleep.
    """

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.calls: list[str] = []
        self.naps: list[float] = []
        self.seconds = 0.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.dynamodb = aws.client("dynamodb", config=Config(retries={"total_max_attempts": 1}))
        self.dynamodb.meta.events.register(
            "before-call.dynamodb", lambda model, **_: self.calls.append(str(model.name)) or None
        )
        self.s3 = aws.client("s3")

    def ledger(self, request: ExportRequest) -> ExportLedger:
        return ExportLedger(open_store(ledger_uri(request), s3=self.s3))

    def start(self, request: ExportRequest, **patience: Any) -> str:
        self.calls.clear()
        return start_once(
            self.dynamodb,
            self.ledger(request),
            request,
            now=self.aws.clock.now,
            sleep=self.sleep,
            monotonic=lambda: self.seconds,
            **patience,
        )

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.seconds += seconds
        self.on_sleep()


def _make_table(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName="Reviews",
        AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.update_continuous_backups(
        TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )


@pytest.fixture
def worker(local_aws: Any) -> Worker:
    """A worker beside a table with a day of history, and the bucket; exports go on for days."""
    local_aws.clock.set(NOW - timedelta(days=1), frozen=True)
    worker = Worker(local_aws)
    worker.s3.create_bucket(Bucket=BUCKET)
    _make_table(worker.dynamodb)
    local_aws.clock.set(NOW, frozen=True)
    local_aws.configure(export_seconds=10 * 86400)
    return worker


@pytest.fixture
def wanted(worker: Worker) -> ExportRequest:
    table = table_identity(worker.dynamodb, "Reviews")
    return ExportRequest(table.arn, NOW - timedelta(hours=1), BUCKET, prefix="daily", table_id=table.table_id)


def _billed(worker: Worker) -> list[str]:
    return [export["export_arn"] for export in worker.aws.exports_billed()]


def _claim(worker: Worker, wanted: ExportRequest) -> None:
    """What a worker leaves that is killed before its call."""
    worker.ledger(wanted).claim(wanted, 1, worker.aws.clock.now())


def _ledger_keys(worker: Worker) -> list[str]:
    listed = worker.s3.list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")
    return [entry["Key"] for entry in listed.get("Contents", ())]


def _lose_ledger(worker: Worker) -> None:
    for key in _ledger_keys(worker):
        worker.s3.delete_object(Bucket=BUCKET, Key=key)


def _by_hand(worker: Worker, wanted: ExportRequest, **changes: Any) -> str:
    answer = worker.dynamodb.export_table_to_point_in_time(**{**wanted.parameters(), **changes})
    return str(answer["ExportDescription"]["ExportArn"])


def test_the_ledger_says_what_was_asked_for_and_what_came_of_it(worker: Worker, wanted: ExportRequest) -> None:
    """Beside the exports, readable by people, without a value of an item."""
    arn = worker.start(replace(wanted, filter_specification=None))
    folder = f"daily/_ddbexport/exports/{folder_of(wanted)}"
    assert folder.startswith("daily/_ddbexport/exports/Reviews/20260114T050000Z-")
    claim, export = (
        json.loads(worker.s3.get_object(Bucket=BUCKET, Key=f"{folder}/{name}-0001.json")["Body"].read())
        for name in ("claim", "export")
    )
    assert export == {"format": 1, "export_arn": arn}
    assert claim["client_token"] == client_token(wanted)
    assert claim["claimed_at"] == "2026-01-14T06:00:00Z"
    assert claim["request"]["TableId"] == wanted.table_id


def test_values_of_a_filter_do_not_reach_the_ledger(wanted: ExportRequest) -> None:
    """They may be items' values; their digest tells two filters apart."""
    secret = {"FilterExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "hidden"}}}
    facts = replace(wanted, filter_specification=secret).facts()
    assert "hidden" not in json.dumps(facts)
    other = {**secret, "ExpressionAttributeValues": {":a": {"S": "else"}}}
    assert replace(wanted, filter_specification=other).facts() != facts


def test_a_recorded_export_is_used_without_asking_for_it(worker: Worker, wanted: ExportRequest) -> None:
    """Years later the ledger still knows; nothing that could start an export is called."""
    arn = worker.start(wanted)
    worker.aws.clock.advance(timedelta(days=80))
    assert worker.start(wanted) == arn
    assert worker.calls == ["DescribeExport"]


def test_a_recorded_export_that_is_no_longer_known_is_named(worker: Worker, wanted: ExportRequest) -> None:
    """Nothing is started in its place; the way out is in the error."""
    ledger = worker.ledger(wanted)
    forgotten = f"{wanted.table_arn}/export/01605130432834-8a918b87"
    ledger.record(wanted, ledger.claim(wanted, 1, NOW), forgotten)
    with pytest.raises(ServiceError, match=r"8a918b87: s3://exports/daily/_ddbexport.*another generation"):
        worker.start(wanted)
    assert _billed(worker) == []


def test_workers_that_ask_at_once_are_one_export(worker: Worker, wanted: ExportRequest) -> None:
    """All find an empty ledger; one claims, all ask with the same token."""
    together = threading.Barrier(4)
    attempts = ExportLedger.attempts
    met = threading.local()

    def wait_for_all(ledger: ExportLedger, request: ExportRequest) -> Any:
        found = attempts(ledger, request)
        if not hasattr(met, "once"):
            met.once = True
            assert found == ()
            together.wait(timeout=600)
        return found

    with pytest.MonkeyPatch.context() as patching, ThreadPoolExecutor(4) as pool:
        patching.setattr(ExportLedger, "attempts", wait_for_all)
        arns = set(pool.map(worker.start, [wanted] * 4))
    assert list(arns) == _billed(worker)


def test_a_lost_answer_is_looked_for_and_not_asked_for_again(worker: Worker, wanted: ExportRequest) -> None:
    """The one call took effect; the export is found by its token."""
    worker.aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)
    arn = worker.start(wanted)
    assert worker.naps, "the fault did not happen"
    assert worker.calls.count("ExportTableToPointInTime") == 1
    assert _billed(worker) == [arn]


def test_an_answer_that_stays_unknown_says_so(worker: Worker, wanted: ExportRequest) -> None:
    """At the deadline the error says what may have happened, and the next asking finds it."""
    worker.aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)
    # Only what looks for the lost answer is to fail, not the look before the claim.
    _claim(worker, wanted)
    worker.aws.fail_next("ListExports", "InternalServerError", status=500)
    with pytest.raises(ServiceError, match="may have started the export all the same: run again"):
        worker.start(wanted, deadline_s=2)
    assert worker.calls == ["ExportTableToPointInTime", "ListExports"]
    worker.aws.clock.advance(LONG)
    assert [worker.start(wanted)] == _billed(worker)


def test_an_old_claim_without_an_export_is_taken_up(worker: Worker, wanted: ExportRequest) -> None:
    """Looked for in vain, the export is started, with the claim's own token."""
    _claim(worker, wanted)
    worker.aws.clock.advance(LONG)
    arn = worker.start(wanted)
    assert worker.calls == ["ListExports", "ExportTableToPointInTime"]
    assert worker.dynamodb.describe_export(ExportArn=arn)["ExportDescription"]["ClientToken"] == client_token(wanted)


def test_a_claim_from_a_clock_that_is_ahead_is_not_trusted(worker: Worker, wanted: ExportRequest) -> None:
    """Its token may be older than it says: the exports are asked first."""
    worker.ledger(wanted).claim(wanted, 1, NOW + timedelta(hours=3))
    worker.start(wanted)
    assert worker.calls[0] == "ListExports"


def test_who_may_not_look_does_not_start_what_may_have_been_started(worker: Worker, wanted: ExportRequest) -> None:
    """Without dynamodb:ListExports an old claim stays open, and nothing is paid for."""
    _claim(worker, wanted)
    worker.aws.clock.advance(LONG)
    worker.aws.fail_next("ListExports", "AccessDeniedException", "no ListExports")
    with pytest.raises(AccessError, match="no ListExports"):
        worker.start(wanted)
    assert _billed(worker) == []


@pytest.mark.parametrize("stopwatch_s", [0.0, FRESH_S + 1], ids=["suspended", "busy"])
def test_a_worker_that_slept_between_looking_and_calling_looks_again(
    worker: Worker, wanted: ExportRequest, stopwatch_s: float
) -> None:
    """It finds what another worker started meanwhile, although its token has been forgotten since."""
    _claim(worker, wanted)
    worker.aws.clock.advance(LONG)
    other = Worker(worker.aws)
    others: list[str] = []

    def sleep_long() -> None:
        if not others:
            others.append(other.start(wanted))
            worker.aws.clock.advance(LONG)
            worker.seconds += stopwatch_s

    assert worker.start(wanted, before_call=sleep_long) == others[0]
    assert _billed(worker) == others


def test_a_new_attempt_is_made_only_after_a_failure(worker: Worker, wanted: ExportRequest) -> None:
    """Once for all who ask, also when the failure is long past and its token forgotten."""
    worker.aws.configure(fail_next_export=("S3AccessDenied", "no"))
    failed = worker.start(wanted)
    assert worker.start(wanted) == failed
    worker.aws.configure(export_seconds=0)
    assert describe(worker.dynamodb, failed).status is ExportStatus.FAILED
    worker.aws.configure(export_seconds=10 * 86400)
    worker.aws.clock.advance(timedelta(days=3))
    second = worker.start(wanted)
    assert second != failed
    worker.aws.clock.advance(timedelta(days=3))
    assert worker.start(wanted) == second
    assert _billed(worker) == [second]


def test_failures_of_long_ago_do_not_count(worker: Worker, wanted: ExportRequest) -> None:
    """Only those of a day stop a request from being asked for again."""
    worker.aws.configure(denied_buckets=[BUCKET], export_seconds=0, export_burst=1000)
    for _ in range(MAX_FAILED):
        describe(worker.dynamodb, worker.start(wanted))
    with pytest.raises(ServiceError, match="within a day"):
        worker.start(wanted)
    worker.aws.clock.advance(timedelta(days=2))
    assert worker.start(wanted)


def test_another_generation_is_another_export_once(worker: Worker, wanted: ExportRequest) -> None:
    """The author asks for it by a name, which is the same for every try."""
    first = worker.start(wanted)
    second = worker.start(replace(wanted, generation="after the repair"))
    worker.aws.clock.advance(LONG)
    assert worker.start(replace(wanted, generation="after the repair")) == second
    assert worker.start(wanted) == first
    assert _billed(worker) == [first, second]


def test_a_request_without_a_generation_takes_what_another_generation_exported(
    worker: Worker, wanted: ExportRequest
) -> None:
    """The other way round it does not; DynamoDB tells no generation from what was made by hand."""
    first = worker.start(replace(wanted, generation="after the repair"))
    assert worker.start(wanted) == first
    assert _billed(worker) == [first]


def test_a_generation_whose_ledger_was_lost_is_found_by_its_token(worker: Worker, wanted: ExportRequest) -> None:
    """It looks like the first one; only DynamoDB still knows which is which."""
    first = worker.start(wanted)
    second = worker.start(replace(wanted, generation="2"))
    _lose_ledger(worker)
    worker.aws.clock.advance(timedelta(days=3))
    assert worker.start(replace(wanted, generation="2")) == second
    assert worker.start(wanted) == first
    assert _billed(worker) == [first, second]


@pytest.mark.parametrize("name", ["claim-0001", "claim-0002", "export-0001", "export-0002"])
def test_a_record_that_was_lost_costs_nothing(worker: Worker, wanted: ExportRequest, name: str) -> None:
    """Neither of an attempt that failed nor of the one that took its place, long after both tokens were forgotten."""
    worker.aws.configure(fail_next_export=("S3AccessDenied", "no"), export_seconds=0)
    describe(worker.dynamodb, worker.start(wanted))
    worker.aws.configure(export_seconds=10 * 86400)
    second = worker.start(wanted)
    worker.s3.delete_object(Bucket=BUCKET, Key=f"daily/_ddbexport/exports/{folder_of(wanted)}/{name}.json")
    assert len(_ledger_keys(worker)) == 3
    worker.aws.clock.advance(timedelta(days=3))
    assert worker.start(wanted) == second
    assert _billed(worker) == [second]


def test_a_lost_ledger_is_not_paid_for_whenever_it_is_lost(worker: Worker, wanted: ExportRequest) -> None:
    """DynamoDB lists exports for 90 days; the window has moved on beyond what they show after 35."""
    first = worker.start(wanted)
    worker.aws.clock.advance(timedelta(days=89))
    _lose_ledger(worker)
    assert worker.start(wanted) == first
    worker.aws.clock.advance(timedelta(days=2))
    _lose_ledger(worker)
    with pytest.raises(RestorableWindowError, match="its history is gone"):
        worker.start(wanted)
    assert worker.calls.count("ExportTableToPointInTime") == 1
    assert _billed(worker) == [first]


def test_without_the_list_a_lost_ledger_costs_nothing_for_eight_hours(worker: Worker, wanted: ExportRequest) -> None:
    """As long as the token is remembered; later, who may not list exports starts and pays for another."""
    first = worker.start(wanted)
    for passed, billed in ((timedelta(hours=7, minutes=59), 1), (timedelta(minutes=2), 2)):
        worker.aws.clock.advance(passed)
        _lose_ledger(worker)
        worker.aws.fail_next("ListExports", "AccessDeniedException")
        assert (worker.start(wanted) == first) == (billed == 1)
        assert len(_billed(worker)) == billed


def test_a_table_made_again_is_another_table(worker: Worker, wanted: ExportRequest) -> None:
    """Same ARN, same time: what was exported of the table before it is not taken for its own."""
    first = worker.start(wanted)
    worker.dynamodb.delete_table(TableName="Reviews")
    worker.aws.clock.set(NOW - timedelta(hours=2), frozen=True)
    _make_table(worker.dynamodb)
    worker.aws.clock.set(NOW, frozen=True)
    again = replace(wanted, table_id=table_identity(worker.dynamodb, "Reviews").table_id)
    assert again.table_id != wanted.table_id
    assert worker.start(again) != first


def test_an_export_in_no_ledger_is_used(worker: Worker, wanted: ExportRequest) -> None:
    """Started by hand or by an earlier version: it is of exactly this request, and 30 newer ones do not hide it."""
    worker.aws.configure(export_burst=1000)
    by_hand = _by_hand(worker, wanted)
    for number in range(30):
        _by_hand(worker, wanted, S3Prefix=f"other{number}")
    assert worker.start(wanted) == by_hand
    assert worker.start(wanted) == by_hand
    assert len(_billed(worker)) == 31


def test_an_export_of_ours_is_known_by_its_token_however_it_is_described(worker: Worker, local_aws: Any) -> None:
    """A key that was given by its id may be told by its ARN; of two that are the same, ours is used."""
    table = table_identity(worker.dynamodb, "Reviews")
    key = local_aws.client("kms").create_key()["KeyMetadata"]
    moment = NOW - timedelta(hours=1)
    request = ExportRequest(
        table.arn, moment, BUCKET, "daily", sse_algorithm="KMS", kms_key_id=key["KeyId"], table_id=table.table_id
    )
    worker.aws.configure(fail_next_export=("KmsAccessDenied", "no"), export_seconds=0)
    describe(worker.dynamodb, worker.start(request))
    worker.aws.configure(export_seconds=10 * 86400)
    _by_hand(worker, request)
    second = worker.start(request)
    told: list[str] = []

    def tell_arn(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ExportDescription"]["S3SseKmsKeyId"] = key["Arn"]
        told.append(parsed["ExportDescription"]["ExportArn"])

    worker.dynamodb.meta.events.register("after-call.dynamodb.DescribeExport", tell_arn)
    worker.aws.clock.advance(timedelta(days=3))
    _lose_ledger(worker)
    assert worker.start(request) == second
    assert len(told) >= 2
    assert len(_billed(worker)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"S3Prefix": "other"},
        {"ExportFormat": "ION"},
        {"ExportTime": NOW - timedelta(hours=2)},
        {"S3SseAlgorithm": "KMS"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_export_of_something_else_is_not_used(worker: Worker, wanted: ExportRequest, changes: Any) -> None:
    """One difference suffices."""
    assert worker.start(wanted) != _by_hand(worker, wanted, **changes)


def test_an_export_that_failed_is_not_adopted(worker: Worker, wanted: ExportRequest) -> None:
    """Nor is one of before, where another generation is asked for."""
    by_hand = _by_hand(worker, wanted)
    assert worker.start(replace(wanted, generation="2")) != by_hand
    worker.aws.configure(fail_next_export=("S3AccessDenied", "no"), export_seconds=0)
    earlier = replace(wanted, export_time=wanted.export_time - timedelta(hours=1))
    failed = _by_hand(worker, earlier)
    assert worker.start(earlier) != failed


def test_who_may_not_list_exports_may_still_start_them(worker: Worker, wanted: ExportRequest) -> None:
    """The ledger says that nobody asked; what is in no ledger is not looked for then."""
    worker.aws.fail_next("ListExports", "AccessDeniedException")
    assert [worker.start(wanted)] == _billed(worker)


def test_a_list_that_is_throttled_midway_is_carried_on(worker: Worker, wanted: ExportRequest) -> None:
    """Where one call is let through at a time, it comes to its end all the same: no answer is asked for twice."""
    others = [_by_hand(worker, wanted, S3Prefix=f"other-{number}") for number in range(4)]

    def throttle_the_next(parsed: dict[str, Any], **_: Any) -> None:
        if "Error" not in parsed:
            worker.aws.fail_next("DescribeExport", "ThrottlingException")

    worker.dynamodb.meta.events.register("after-call.dynamodb.DescribeExport", throttle_the_next)
    assert worker.start(wanted) not in others
    assert len(worker.naps) == len(others) - 1, "throttled after each answer but the last"
    assert (worker.calls.count("ListExports"), worker.calls.count("DescribeExport")) == (1, 2 * len(others) - 1)


def test_a_full_house_is_waited_out(worker: Worker, wanted: ExportRequest) -> None:
    """As many exports at once as AWS allows: the next starts when one has ended, hours later."""
    worker.aws.configure(concurrent_exports=1, export_seconds=3600)
    _by_hand(worker, wanted, S3Prefix="other")
    worker.on_sleep = lambda: worker.aws.clock.advance(timedelta(minutes=10))
    arn = worker.start(wanted, deadline_s=10, turn_s=3600)
    assert len(worker.naps) == 6
    assert _billed(worker)[1:] == [arn]


def test_a_turn_that_does_not_come_ends_the_wait(worker: Worker, wanted: ExportRequest) -> None:
    """After turn_s, and nothing was paid for."""
    worker.aws.configure(concurrent_exports=0)
    with pytest.raises(ThrottledError):
        worker.start(wanted, deadline_s=10, turn_s=600)
    assert 500 < worker.seconds <= 600
    assert _billed(worker) == []


def test_owner_and_key_are_part_of_what_is_asked_for(worker: Worker, local_aws: Any) -> None:
    """They go into the call; another key is another export."""
    table = table_identity(worker.dynamodb, "Reviews")
    key = local_aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    request = ExportRequest(
        table.arn,
        NOW - timedelta(hours=1),
        BUCKET,
        sse_algorithm="KMS",
        kms_key_id=key,
        bucket_owner=local_aws.account_id,
        table_id=table.table_id,
    )
    arn = worker.start(request)
    made = worker.dynamodb.describe_export(ExportArn=arn)["ExportDescription"]
    assert (made["S3SseKmsKeyId"], made["S3BucketOwner"]) == (key, local_aws.account_id)
    assert worker.start(replace(request, kms_key_id=None)) != arn


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "expected an entry"),
        (b"[]", "expected an entry"),
        (b'{"format": 1}', "expected an entry"),
        (b'{"format": 1, "client_token": "t", "claimed_at": "yesterday"}', "expected an entry"),
        (b'{"format": 2}', "upgrade"),
    ],
)
def test_a_ledger_that_cannot_be_read_stops_everything(
    worker: Worker, wanted: ExportRequest, body: bytes, said: str
) -> None:
    """Nobody can tell whether the export was paid for: none is started, and the error says what to do."""
    _claim(worker, wanted)
    worker.s3.put_object(Bucket=BUCKET, Key=f"daily/_ddbexport/exports/{folder_of(wanted)}/claim-0001.json", Body=body)
    with pytest.raises(ExportLedgerError, match=said):
        worker.start(wanted)
    assert _billed(worker) == []


def test_a_filter_the_sdk_does_not_know_is_refused(worker: Worker, wanted: ExportRequest) -> None:
    """An older boto3 would raise about a parameter; this says what to do."""
    model = SimpleNamespace(operation_model=lambda _: SimpleNamespace(input_shape=SimpleNamespace(members={})))
    old = SimpleNamespace(meta=SimpleNamespace(service_model=model))
    with pytest.raises(BadCallError, match="upgrade boto3"):
        start_once(old, worker.ledger(wanted), wanted)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (15, [15]),
        (24 * 60, [24 * 60]),
        (24 * 60 + 5, [24 * 60 - 10, 15]),
        (25 * 60, [24 * 60, 60]),
        (72 * 60 + 14, [24 * 60, 24 * 60, 24 * 60 - 1, 15]),
    ],
)
def test_long_times_are_cut_into_windows_dynamodb_exports(minutes: int, expected: list[int]) -> None:
    """Each of 15 minutes to 24 hours, one after the other, without a gap."""
    windows = cut_windows(NOW, NOW + timedelta(minutes=minutes))
    assert [(end - start) / timedelta(minutes=1) for start, end in windows] == expected
    assert [start for start, _ in windows[1:]] == [end for _, end in windows[:-1]]
    assert (windows[0][0], windows[-1][1]) == (NOW, NOW + timedelta(minutes=minutes))


def test_windows_end_where_others_ended_before_unless_too_little_is_left() -> None:
    """What was exported up to there is the same windows again, however they were cut."""
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    ends = [NOW + 25 * hour, NOW + 14 * minute, NOW + 25 * hour + 14 * minute, NOW + 26 * hour]
    windows = cut_windows(NOW, NOW + 26 * hour + 14 * minute, ends)
    assert windows == (*cut_windows(NOW, NOW + 25 * hour), (NOW + 25 * hour, NOW + 26 * hour + 14 * minute))
    assert cut_windows(NOW, NOW + 26 * hour, [NOW - hour, NOW, NOW + 27 * hour]) == cut_windows(NOW, NOW + 26 * hour)


def test_less_than_15_minutes_cannot_be_exported() -> None:
    """The error says what to do."""
    with pytest.raises(BadCallError, match="15 minutes or more"):
        cut_windows(NOW, NOW + timedelta(minutes=14, seconds=59))


def test_an_exports_start_is_in_its_arn() -> None:
    """An ARN of another form tells nothing, so its export is looked at."""
    assert started_at("…/export/01768385930622-efd1a093") == datetime(2026, 1, 14, 10, 18, 50, 622000, tzinfo=UTC)
    assert started_at("…/export/other") is None
