"""Exports found by asking DynamoDB which there are: of one token, or of one request.

ListExports names those of the last 90 days, in pages of 25, by ARN, status and type; the ARN holds when the export was
started, so that only those that can be meant are described.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_ddbexport.core.exporting.point_in_time import ExportStatus
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, client_token
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.errors import ServiceError

_CLOCKS_DIFFER = timedelta(days=1)
"""Of a worker and of AWS, at the utmost: it only saves calls, and must never hide an export."""

_SAME_MOMENT = timedelta(minutes=1)

_ATTEMPTS = range(1, 65)
"""Attempts at a request whose tokens are known again without the ledger: far more than anybody lets fail."""


@dataclass(slots=True)
class Listing:
    """What DynamoDB has told of a table's exports so far; a look that was broken off goes on from there.

    Attributes:
        summaries: ListExports', page by page.
        next_page: arguments of its next call; None after the last.
        described: DescribeExport's, by ARN.
    """

    summaries: list[dict[str, Any]] = field(default_factory=list)
    next_page: dict[str, Any] | None = field(default_factory=dict)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)


def export_with_token(
    dynamodb: Any, request: ExportRequest, token: str, *, since: datetime, listing: Listing
) -> str | None:
    """Return the export that *token* started at *since* or later, whatever became of it; None if there is none.

    What *listing* knows already is not asked for.

    Needs dynamodb:ListExports and dynamodb:DescribeExport. Raises AccessError, ThrottledError, ServiceError.
    """
    found = [
        description
        for description in _described(dynamodb, request, listing, since=since - _CLOCKS_DIFFER, with_failed=True)
        if description.get("ClientToken") == token
    ]
    return _first(found)


def exports_alike(dynamodb: Any, request: ExportRequest, listing: Listing) -> str | None:
    """Return an export of exactly *request* that did not fail, our own rather than anybody's; None if there is none.

    One of another generation is anybody's: DynamoDB does not tell it from one that was made by hand. An export is not
    older than the time it shows. Needs and raises what :func:`export_with_token` does.
    """
    since = request.export_time - _SAME_MOMENT
    found = [d for d in _described(dynamodb, request, listing, since=since, with_failed=False) if _is_of(request, d)]
    return _first([d for d in found if _is_own(request, d)] or found)


def is_export_of(dynamodb: Any, request: ExportRequest, export_arn: str) -> bool:
    """Return whether the export is of exactly *request* and did not fail; False where DynamoDB does not know it.

    Needs dynamodb:DescribeExport. Raises AccessError, ThrottledError, ServiceError.
    """
    try:
        description = _description(dynamodb, export_arn)
    except ServiceError as error:
        if error.context.get("code") == "ExportNotFoundException":
            return False
        raise
    return description["ExportStatus"] != ExportStatus.FAILED and _is_of(request, description)


def started_at(export_arn: str) -> datetime | None:
    """Return when the export was started, which its ARN tells; None for an ARN of another form."""
    millis = export_arn.rpartition("/")[2].partition("-")[0]
    if not (millis.isascii() and millis.isdigit() and len(millis) <= 14):
        return None
    return datetime.fromtimestamp(int(millis) / 1000, UTC)


def _first(found: list[dict[str, Any]]) -> str | None:
    """Return the one to use: one that did not fail, the oldest of those."""
    found.sort(key=lambda d: (d["ExportStatus"] == ExportStatus.FAILED, str(d["ExportArn"])))
    return str(found[0]["ExportArn"]) if found else None


def _described(
    dynamodb: Any, request: ExportRequest, listing: Listing, *, since: datetime, with_failed: bool
) -> Iterator[dict[str, Any]]:
    wanted = request.parameters()["ExportType"]
    for summary in listed(dynamodb, request.table_arn, listing):
        export_arn = str(summary["ExportArn"])
        started = started_at(export_arn)
        if (
            summary.get("ExportType", wanted) == wanted
            and (with_failed or summary["ExportStatus"] != ExportStatus.FAILED)
            and (started is None or started >= since)
        ):
            if export_arn not in listing.described:
                listing.described[export_arn] = _description(dynamodb, export_arn)
            yield listing.described[export_arn]


def _description(dynamodb: Any, export_arn: str) -> dict[str, Any]:
    with service_errors(f"looking at export {export_arn}"):
        return dict(dynamodb.describe_export(ExportArn=export_arn)["ExportDescription"])


def listed(dynamodb: Any, table_arn: str, listing: Listing | None = None) -> Iterator[dict[str, Any]]:
    """Give ListExports' summary of each export of the table; those of *listing* first, which is carried on.

    Needs dynamodb:ListExports.
    """
    listing = listing or Listing()
    yield from tuple(listing.summaries)
    while listing.next_page is not None:
        with service_errors(f"listing the exports of {table_arn}"):
            answer = dynamodb.list_exports(TableArn=table_arn, **listing.next_page)
        page = answer.get("ExportSummaries", ())
        listing.summaries += page
        listing.next_page = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else None
        yield from page


def _is_own(request: ExportRequest, description: dict[str, Any]) -> bool:
    """Return whether it was started with a token of *request*, which stands for all of it however AWS may spell it."""
    return description.get("ClientToken") in {client_token(request, attempt=attempt) for attempt in _ATTEMPTS}


def _is_of(request: ExportRequest, description: dict[str, Any]) -> bool:
    if _is_own(request, description):
        return True
    asked = {"S3SseAlgorithm": "AES256", **request.parameters()}
    found = {"S3SseAlgorithm": "AES256", "ExportType": "FULL_EXPORT", **description}
    if request.table_id and found.get("TableId") != request.table_id:
        return False
    # Of an increment the service tells ExportTime too, or not; the window is what counts.
    members = {*asked, "S3BucketOwner", "S3Prefix", "S3SseKmsKeyId", "FilterSpecification"}
    return all((asked.get(name) or None) == (found.get(name) or None) for name in members)
