"""Backups of a table by a parallel scan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_ddbexport.core.boto_values import item_from_boto, value_from_boto, value_to_boto
from airflow_provider_ddbexport.core.decode import check_item
from airflow_provider_ddbexport.core.export.model import Export, ScanDetails
from airflow_provider_ddbexport.core.export.writer import DataFileWriter, ExportWriter
from airflow_provider_ddbexport.core.service import is_transient, service_errors
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.store.retry import RetryPolicy
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import BadCallError, ItemError, ServiceError

MAX_SEGMENTS = 1_000_000
"""DynamoDB's limit."""

_SEGMENT_BYTES = 128 << 20
_FEWEST_SEGMENTS, _MOST_SEGMENTS = 4, 4096
_WORKERS = 16
_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class ScanPage:
    """One page that was scanned and written to its segment's data file.

    Attributes:
        segment: which, from 0.
        items: in this page; may be 0 where a filter is used.
        consumed_units: read capacity units this page was charged.
    """

    segment: int
    items: int
    consumed_units: float


def scan_backup(
    dynamodb: Any,
    destination: ObjectStore,
    *,
    table_name: str,
    bucket: str,
    prefix: str | None = None,
    segments: int | None = None,
    is_consistent: bool = False,
    filter_expression: str | None = None,
    projection_expression: str | None = None,
    expression_attribute_names: Mapping[str, str] | None = None,
    expression_attribute_values: Mapping[str, Any] | None = None,
    on_page: Callable[[ScanPage], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    retries: RetryPolicy | None = None,
    file_bytes: int = _FILE_BYTES,
) -> Export:
    """Back the table up below ``<prefix>/AWSDynamoDB/<ExportId>`` in *destination*, the root of *bucket*.

    Every segment is scanned to its end. The backup is in an export's layout and marked as a scan: it holds each item
    as it was at some moment while the scan ran. Each call makes a new backup and consumes read capacity; nothing can be
    taken for a backup before its manifests are written last, and what a failed call wrote is removed.

    *dynamodb* is a boto3 client; *table_name* may be an ARN; *segments* is 1 to 1,000,000, by default one for each
    128 MB and at least 4, of which up to 16 are scanned at once; *expression_attribute_values* are DynamoDB JSON, with
    binaries as base64 text or bytes; *on_page* is called from several threads, one at a time; *retries* bounds how long
    one page is asked for while DynamoDB throttles or fails; *file_bytes* is the compressed size from which a segment
    starts another data file. Raises BadCallError, TableNotFoundError, AccessError, ThrottledError and other
    ServiceErrors, and the store's errors.
    """
    if segments is not None and not 1 <= segments <= MAX_SEGMENTS:
        raise BadCallError(f"segments: expected 1 to {MAX_SEGMENTS}, found {segments}")
    with service_errors(f"describing table {table_name}"):
        table = dynamodb.describe_table(TableName=table_name)["Table"]
    count = segments or min(max(-(-table.get("TableSizeBytes", 0) // _SEGMENT_BYTES), _FEWEST_SEGMENTS), _MOST_SEGMENTS)
    request = {
        "TableName": table_name,
        "TotalSegments": count,
        "ConsistentRead": is_consistent,
        "ReturnConsumedCapacity": "TOTAL",
        "FilterExpression": filter_expression,
        "ProjectionExpression": projection_expression,
        "ExpressionAttributeNames": dict(expression_attribute_names or {}),
        "ExpressionAttributeValues": {
            name: _request_value(name, value) for name, value in (expression_attribute_values or {}).items()
        },
    }
    # DynamoDB refuses empty expressions.
    request = {name: value for name, value in request.items() if value not in (None, "", {})}
    started_at = parse_time(now())
    writer = ExportWriter(
        destination,
        bucket=bucket,
        prefix=prefix,
        table_arn=table["TableArn"],
        table_id=table.get("TableId", ""),
        started_at=started_at,
    )
    scan = _Scan(dynamodb, request, writer, on_page=on_page, retries=retries or RetryPolicy(), file_bytes=file_bytes)
    try:
        scan.run(count)
        ended_at = parse_time(now())
        return writer.finish(
            ended_at=ended_at,
            scan=ScanDetails(
                started_at=started_at,
                ended_at=ended_at,
                segments=count,
                is_consistent=is_consistent,
                consumed_units=scan.consumed_units,
                filter_expression=filter_expression or None,
                projection_expression=projection_expression or None,
            ),
        )
    except BaseException:
        writer.abandon()
        raise


def _request_value(name: str, value: Any) -> dict[str, Any]:
    """Return an expression's value as boto3 takes it; what is wrong with it is said without quoting it."""
    try:
        converted = value_to_boto(value)
        check_item({"value": value_from_boto(converted)})
    except (AttributeError, TypeError, ValueError, ItemError):
        raise BadCallError(
            f'expression_attribute_values: {name} is no DynamoDB JSON, such as {{"S": "text"}} or {{"N": "1"}}',
            name=name,
        ) from None
    return converted


class _Scan:
    def __init__(
        self,
        dynamodb: Any,
        request: dict[str, Any],
        writer: ExportWriter,
        *,
        on_page: Callable[[ScanPage], None] | None,
        retries: RetryPolicy,
        file_bytes: int,
    ) -> None:
        self._dynamodb = dynamodb
        self._request = request
        self._writer = writer
        self._on_page = on_page
        self._retries = retries
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self._is_stopped = threading.Event()
        self.consumed_units = 0.0

    def run(self, segments: int) -> None:
        """Scan all *segments*; the first failure stops the others after the page they are at."""
        with ThreadPoolExecutor(min(segments, _WORKERS), thread_name_prefix="ddbexport-scan") as pool:
            futures = [pool.submit(self._scan_segment, segment) for segment in range(segments)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            finally:
                # An interrupt of this thread, too, stops the threads that scan.
                self._is_stopped.set()
                pool.shutdown(cancel_futures=True)

    def _scan_segment(self, segment: int) -> None:
        start: dict[str, Any] | None = {}
        while start is not None and not self._is_stopped.is_set():
            with self._writer.data_file() as file:
                while start is not None and file.size < self._file_bytes and not self._is_stopped.is_set():
                    start = self._scan_page(segment, start, file)

    def _scan_page(self, segment: int, start: dict[str, Any], file: DataFileWriter) -> dict[str, Any] | None:
        """Append the page after *start* to *file*; return where the next one starts, None after the last."""
        page = self._ask({**self._request, "Segment": segment, **({"ExclusiveStartKey": start} if start else {})})
        for item in page["Items"]:
            file.add(check_item(item_from_boto(item)))
        units = float(page.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))
        with self._lock:
            self.consumed_units += units
            if self._on_page is not None:
                self._on_page(ScanPage(segment, len(page["Items"]), units))
        return page.get("LastEvaluatedKey") or None

    def _ask(self, request: dict[str, Any]) -> Any:
        what = f"scanning table {request['TableName']}"
        tries = self._retries.tries(what)
        while True:
            try:
                with service_errors(what):
                    return self._dynamodb.scan(**request)
            except ServiceError as error:
                if not is_transient(error) or not tries.pause():
                    raise
