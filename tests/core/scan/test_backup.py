"""Backups of a table by a parallel scan."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from fake_time import FakeTime
from faulty_road import Fault, FaultyRoad

from airflow_provider_ddbexport.core.export import Export, ExportType, read_export, read_items, verify_export
from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    ReadBudgetOptions,
    Resumption,
    ScanPage,
    ScanRequest,
    scan_backup,
)
from airflow_provider_ddbexport.core.scan.scanning import begin_scan
from airflow_provider_ddbexport.core.store import LocalStore, ObjectStore, S3Store
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    ObjectNotFoundError,
    ServiceError,
    StoreNotWritableError,
    TableNotFoundError,
    ThrottledError,
)

START = datetime(2026, 1, 14, 10, 18, 50, 622999, UTC)


@pytest.fixture(scope="session")
def dynamodb(client: Callable[[str], Any]) -> Any:
    return client("dynamodb")


@pytest.fixture
def table(dynamodb: Any, road: FaultyRoad) -> str:
    """An empty table of this test's own: User (S, hash) and Book (S, range)."""
    name = f"Reviews-{uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("User", "Book")],
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}, {"AttributeName": "Book", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    road.requests.clear()
    return name


def put(dynamodb: Any, table: str, count: int, **attributes: Any) -> None:
    for start in range(0, count, 25):
        requests = [
            {
                "PutRequest": {
                    "Item": {"User": {"S": f"user {n}"}, "Book": {"S": "Emma"}, "n": {"N": str(n)}, **attributes}
                }
            }
            for n in range(start, min(start + 25, count))
        ]
        dynamodb.batch_write_item(RequestItems={table: requests})


def items_of(destination: ObjectStore, backup: Export, folder: str = "AWSDynamoDB") -> list[dict[str, Any]]:
    root = destination.child(folder)
    assert read_export(root, backup.summary.export_id) == backup
    assert verify_export(root, backup).items == backup.summary.item_count
    return [item for file in backup.files for item in read_items(root, backup, file)]


@pytest.fixture
def destination(tmp_path: Any) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.mark.parametrize("segments", [1, 7, None])
def test_every_item_is_in_the_backup_once(
    dynamodb: Any, table: str, destination: LocalStore, segments: int | None
) -> None:
    """However many segments, each item once."""
    put(dynamodb, table, 60)
    backup = scan_backup(dynamodb, destination, table_name=table, bucket="b", prefix="daily", segments=segments)
    items = items_of(destination, backup, "daily/AWSDynamoDB")

    assert sorted(int(item["n"]["N"]) for item in items) == list(range(60))
    assert backup.summary.export_type is ExportType.SCAN
    assert backup.summary.scan is not None
    assert backup.summary.scan.segments == (segments or 4)


def test_a_backup_says_what_it_is(dynamodb: Any, table: str, destination: LocalStore) -> None:
    """Its times are whole milliseconds of the given clock, its ARN a scan's, its units what was charged."""
    put(dynamodb, table, 5)
    moments = iter([START, START + timedelta(seconds=9)])
    pages: list[ScanPage] = []
    backup = scan_backup(
        dynamodb,
        destination,
        table_name=table,
        bucket="reviews",
        is_consistent=True,
        segments=3,
        on_page=pages.append,
        now=lambda: next(moments),
    )
    summary, scan = backup.summary, backup.summary.scan

    assert scan is not None
    start = START.replace(microsecond=622000)
    assert (summary.as_of, summary.started_at, scan.started_at) == (start, start, start)
    assert summary.ended_at == scan.ended_at == start + timedelta(seconds=9)
    assert summary.export_arn == f"{summary.table_arn}/scan/{summary.export_id}"
    assert summary.table_name == table
    assert (summary.s3_bucket, summary.s3_prefix, scan.is_consistent) == ("reviews", None, True)
    assert scan.keys == ("Book", "User")
    assert scan.consumed_units == sum(page.consumed_units for page in pages) > 0
    assert sorted({page.segment for page in pages}) == [0, 1, 2]
    assert sum(page.items for page in pages) == 5


def test_values_come_through_unchanged(dynamodb: Any, table: str, destination: LocalStore) -> None:
    """Every type, at every depth; numbers digit for digit and binaries as base64."""
    attributes: dict[str, Any] = {
        "B": {"B": b"\x00\xff"},
        "Big": {"N": "9007199254740993.000000000000000000001"},
        "Tags": {"SS": ["a", "é"]},
        "Scans": {"BS": [b"\x01"]},
        "Scores": {"NS": ["1", "2.5"]},
        "Nested": {"M": {"M": {"L": [{"B": b""}, {"NULL": True}, {"BOOL": False}, {"M": {}}, {"L": []}]}}},
    }
    put(dynamodb, table, 1, **attributes)
    backup = scan_backup(dynamodb, destination, table_name=table, bucket="b", segments=1)
    (item,) = items_of(destination, backup)

    assert item["B"] == {"B": "AP8="}
    assert item["Big"] == attributes["Big"]
    assert sorted(item["Tags"]["SS"]) == ["a", "é"]
    assert item["Scans"] == {"BS": ["AQ=="]}
    assert sorted(item["Scores"]["NS"]) == ["1", "2.5"]
    assert item["Nested"] == {"M": {"M": {"L": [{"B": ""}, {"NULL": True}, {"BOOL": False}, {"M": {}}, {"L": []}]}}}


def test_a_table_of_many_pages_is_scanned_to_its_end(
    dynamodb: Any, table: str, destination: LocalStore, road: FaultyRoad
) -> None:
    """Pages end at 1 MB and are followed; a segment's data file is followed by another when it is large."""
    noise = base64.b64encode(bytes(n * 7919 % 251 for n in range(100_000))).decode()
    put(dynamodb, table, 25, Review={"S": noise})
    pages: list[ScanPage] = []
    backup = scan_backup(
        dynamodb,
        destination,
        table_name=table,
        bucket="b",
        segments=1,
        on_page=pages.append,
        limits=GroupLimits(file_bytes=1),
    )

    assert len(items_of(destination, backup)) == 25
    assert len(pages) == 4
    assert len(backup.files) >= 2
    assert sum(file.item_count for file in backup.files) == 25


def test_an_empty_table_is_an_empty_backup(dynamodb: Any, table: str, destination: LocalStore) -> None:
    """No items, but a complete backup."""
    backup = scan_backup(dynamodb, destination, table_name=table, bucket="b")

    assert items_of(destination, backup) == []
    assert backup.summary.item_count == 0


def test_expressions_choose_items_and_attributes(dynamodb: Any, table: str, destination: LocalStore) -> None:
    """Filter and projection are applied and noted in the summary; a binary value may be base64 text or bytes."""
    put(dynamodb, table, 4, Cover={"B": b"\x01"})
    put(dynamodb, table, 2, Cover={"B": b"\x02"})
    for value in ({"B": "Ag=="}, {"B": b"\x02"}):
        backup = scan_backup(
            dynamodb,
            destination,
            table_name=table,
            bucket="b",
            filter_expression="Cover = :cover",
            projection_expression="#n",
            expression_attribute_names={"#n": "n"},
            expression_attribute_values={":cover": value},
        )
        assert sorted(item["n"]["N"] for item in items_of(destination, backup)) == ["0", "1"]
        assert all(list(item) == ["n"] for item in items_of(destination, backup))
        assert backup.summary.scan is not None
        assert backup.summary.scan.filter_expression == "Cover = :cover"
        assert backup.summary.scan.projection_expression == "#n"


def test_a_backup_goes_to_s3_where_it_says(dynamodb: Any, table: str, s3: Any, bucket: str) -> None:
    """Bucket and prefix of the summary are where it lies, which the reader insists on."""
    put(dynamodb, table, 3)
    destination = S3Store(s3, bucket)
    backup = scan_backup(dynamodb, destination, table_name=table, bucket=bucket, prefix="a/b/")

    assert backup.source == f"s3://{bucket}/a/b/AWSDynamoDB/{backup.summary.export_id}"
    assert len(items_of(destination, backup, "a/b/AWSDynamoDB")) == 3


@pytest.mark.parametrize(
    "answer",
    [(400, "ProvisionedThroughputExceededException"), (400, "ThrottlingException"), (500, "InternalServerError")],
)
def test_a_page_that_is_throttled_or_fails_is_asked_for_again(
    dynamodb: Any, table: str, destination: LocalStore, road: FaultyRoad, answer: tuple[int, str]
) -> None:
    """No item is lost or double for it."""
    put(dynamodb, table, 10)
    time = FakeTime()
    fault = fail_scans(road, *answer, times=3)
    backup = scan_backup(dynamodb, destination, table_name=table, bucket="b", segments=1, retries=time.policy())
    assert sorted(int(item["n"]["N"]) for item in items_of(destination, backup)) == list(range(10))
    assert fault.happened == 3
    assert time.pauses == pytest.approx([0.2, 0.4, 0.8])


def fail_scans(road: FaultyRoad, status: int, code: str, times: int) -> Fault:
    """Let scans, which only their header tells from other calls, fail."""
    return road.add(Fault("status", "POST", target="DynamoDB_20120810.Scan", status=status, code=code, times=times))


def test_throttling_without_end_ends_at_the_deadline(
    dynamodb: Any, table: str, destination: LocalStore, road: FaultyRoad
) -> None:
    """A ThrottledError, and nothing of the backup is left."""
    time = FakeTime()
    fault = fail_scans(road, 400, "ThrottlingException", times=1000)
    with pytest.raises(ThrottledError, match=f"scanning table {table}"):
        scan_backup(dynamodb, destination, table_name=table, bucket="b", segments=1, retries=time.policy(30))
    assert fault.happened > 3
    assert time.now == pytest.approx(30)
    assert list(destination.list()) == []


@pytest.mark.parametrize("refusal", [("AccessDeniedException", AccessError), ("ValidationException", ServiceError)])
def test_a_refused_scan_is_not_tried_again(
    dynamodb: Any, table: str, destination: LocalStore, road: FaultyRoad, refusal: tuple[str, type[ServiceError]]
) -> None:
    """One refusal stops all segments, and what was written is removed."""
    time = FakeTime()
    code, kind = refusal
    fault = fail_scans(road, 400, code, times=1000)
    with pytest.raises(kind):
        scan_backup(dynamodb, destination, table_name=table, bucket="b", segments=100, retries=time.policy())
    assert 1 <= fault.happened <= 32
    assert time.pauses == []
    assert list(destination.list()) == []


def test_a_failure_in_one_segment_stops_the_others(dynamodb: Any, table: str, destination: LocalStore) -> None:
    """The callback's own error comes out, segments not begun are not scanned, nothing is left."""
    put(dynamodb, table, 50)
    seen: list[int] = []
    lock = threading.Lock()

    def fail(page: ScanPage) -> None:
        with lock:
            seen.append(page.segment)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        scan_backup(dynamodb, destination, table_name=table, bucket="b", segments=500, on_page=fail)
    assert 1 <= len(seen) < 100
    assert list(destination.list()) == []


def test_a_failure_in_one_segment_stops_another_in_the_middle(destination: LocalStore) -> None:
    """A segment of very many pages is left after the page it is at."""

    class EndlessTable:
        """A table whose segment 0 fails and whose segment 1 has a million pages."""

        pages = 0

        def describe_table(self, **request: Any) -> dict[str, Any]:
            return {"Table": {"TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/T"}}

        def scan(self, **request: Any) -> dict[str, Any]:
            if request["Segment"] == 0:
                raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Scan")
            self.pages += 1
            return {"Items": [], "LastEvaluatedKey": {"User": {"S": "ann"}} if self.pages < 1_000_000 else {}}

    endless = EndlessTable()
    with pytest.raises(AccessError):
        scan_backup(endless, destination, table_name="T", bucket="b", segments=2)
    assert endless.pages < 1_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"filter_expression": "Rating = = :least", "expression_attribute_values": {":least": {"N": "1"}}},
        {"projection_expression": "Name"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_expressions_that_are_refused_leave_nothing_behind(
    dynamodb: Any, table: str, destination: LocalStore, wrong: dict[str, Any]
) -> None:
    """No scan is begun, and the unfinished one that a new one would have replaced can be gone on with."""
    put(dynamodb, table, 5)
    arguments: dict[str, Any] = {"table_name": table, "bucket": "b", "segments": 2}

    def fail(_: ScanPage) -> None:
        raise ValueError("enough")

    with pytest.raises(ServiceError, match="ValidationException"):
        scan_backup(dynamodb, destination, **arguments, resumption=Resumption("job"), **wrong)
    assert list(destination.list()) == []
    with pytest.raises(ValueError, match="enough"):
        scan_backup(dynamodb, destination, **arguments, resumption=Resumption("job"), on_page=fail)
    unfinished = list(destination.list())
    anew = Resumption("job", policy="restart")
    with pytest.raises(ServiceError, match="ValidationException"):
        scan_backup(dynamodb, destination, **arguments, resumption=anew, **wrong)
    assert list(destination.list()) == unfinished
    needed = Resumption("job", policy="require")
    assert scan_backup(dynamodb, destination, **arguments, resumption=needed).summary.item_count == 5


@pytest.mark.parametrize(("read_units", "waits"), [(5.0, [10.0]), (1000.0, [])])
def test_the_item_that_expressions_are_tried_on_is_within_the_budget(
    dynamodb: Any, table: str, destination: LocalStore, read_units: float, waits: list[float]
) -> None:
    """Whoever reads knows nothing of it, so they begin later where it is large for the budget."""
    put(dynamodb, table, 1, weight={"S": "x" * 390_000})
    waited: list[float] = []
    for projection in (None, "weight"):
        begin_scan(
            dynamodb,
            destination,
            ScanRequest(table, projection_expression=projection),
            bucket="b",
            prefix=None,
            output_format="any",
            budget=ReadBudgetOptions(read_units=read_units),
            sleep=waited.append,
        )
    assert waited == waits


def test_a_missing_table_is_named(dynamodb: Any, destination: LocalStore, road: FaultyRoad) -> None:
    """Before anything is written."""
    with pytest.raises(TableNotFoundError, match="NoSuchTable"):
        scan_backup(dynamodb, destination, table_name="NoSuchTable", bucket="b")
    assert list(destination.list()) == []


def test_a_missing_bucket_is_found_before_anything_is_read(
    dynamodb: Any, table: str, s3: Any, road: FaultyRoad
) -> None:
    """A scan costs capacity: the destination is tried first."""
    with pytest.raises(ObjectNotFoundError, match="no such bucket"):
        scan_backup(dynamodb, S3Store(s3, "no-such-bucket-x"), table_name=table, bucket="no-such-bucket-x")
    assert not [request for request in road.requests if request.headers.get("x-amz-target", "").endswith(".Scan")]


def test_a_destination_that_refuses_in_the_middle_leaves_nothing(
    dynamodb: Any, table: str, s3: Any, bucket: str, road: FaultyRoad
) -> None:
    """Denied while writing the data files: StoreNotWritableError, and what was written before is removed."""
    put(dynamodb, table, 20)
    denied = road.add(Fault("status", "PUT", "/data/", status=403, code="AccessDenied", times=100))
    with pytest.raises(StoreNotWritableError):
        scan_backup(dynamodb, S3Store(s3, bucket), table_name=table, bucket=bucket)
    assert denied.happened >= 1
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    "value", ["ann", {}, {"S": "ann", "N": "1"}, {"B": "not base64: ann"}, {"L": ["ann"]}, {"X": "ann"}]
)
def test_a_value_that_is_none_is_refused_without_being_told(
    dynamodb: Any, table: str, destination: LocalStore, value: Any
) -> None:
    """Expression values are DynamoDB JSON; the error names the placeholder and never the value."""
    with pytest.raises(BadCallError, match=":user") as caught:
        scan_backup(
            dynamodb,
            destination,
            table_name=table,
            bucket="b",
            filter_expression="#u = :user",
            expression_attribute_names={"#u": "User"},
            expression_attribute_values={":user": value},
        )
    assert "ann" not in str(caught.value)
    assert list(destination.list()) == []


@pytest.mark.parametrize("segments", [0, -1, 1_000_001])
def test_segments_out_of_range_are_refused(dynamodb: Any, destination: LocalStore, segments: int) -> None:
    """DynamoDB's limits, said before it is asked."""
    with pytest.raises(BadCallError, match="1 to 1000000"):
        scan_backup(dynamodb, destination, table_name="any", bucket="b", segments=segments)
