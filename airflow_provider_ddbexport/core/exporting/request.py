"""What an export is asked for: equal requests are one export, and one ClientToken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import BadCallError

SHORTEST_WINDOW = timedelta(minutes=15)
LONGEST_WINDOW = timedelta(hours=24)
"""What DynamoDB exports at once as an increment."""

FILTER_MEMBERS = frozenset(
    {
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "FilterExpression",
        "KeyConditionExpression",
        "ProjectionExpression",
    }
)
"""Of FilterSpecification."""


class ExportView(StrEnum):
    """What an increment tells of each item that changed."""

    NEW_IMAGE = "NEW_IMAGE"
    NEW_AND_OLD_IMAGES = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """An export to ask for, full or incremental; equal requests are one export.

    Attributes:
        table_arn: of the table.
        export_time: the instant of a full export, the window's end (exclusive) of an increment; aware, whole seconds,
            because the wire carries no fractions of them.
        bucket: destination, a bucket's name.
        prefix: destination, kept as written; None for the bucket's root.
        output_format: of the data files.
        sse_algorithm: ``AES256`` or ``KMS``; None for the bucket's default.
        kms_key_id: with ``KMS``.
        bucket_owner: account of the bucket; needed when it is another one than the table's.
        table_id: TableId, so that a table deleted and made again is not taken for the one before it; not sent.
        from_time: start of an increment's window, inclusive, like export_time otherwise; None for a full export.
        view: of an increment; NEW_AND_OLD_IMAGES by default.
        filter_specification: FilterSpecification as the SDK takes it; None exports everything. It does not reduce what
            is billed.
        generation: the author's name for another export of the same, as text; None is none; not sent.
    """

    table_arn: str
    export_time: datetime
    bucket: str
    prefix: str | None = None
    output_format: OutputFormat = OutputFormat.DYNAMODB_JSON
    sse_algorithm: str | None = None
    kms_key_id: str | None = None
    bucket_owner: str | None = None
    table_id: str = ""
    from_time: datetime | None = None
    view: ExportView = ExportView.NEW_AND_OLD_IMAGES
    filter_specification: Mapping[str, Any] | None = field(default=None, hash=False)
    generation: object = ""

    def __post_init__(self) -> None:
        """Check what DynamoDB would only refuse later, or not at all. Raises :class:`BadCallError`."""
        # A template that is rendered natively makes a number of "3".
        object.__setattr__(self, "generation", "" if self.generation is None else str(self.generation))
        if not self.table_arn.startswith("arn:") or ":table/" not in self.table_arn:
            raise BadCallError(
                f"table: expected an ARN such as arn:aws:dynamodb:eu-west-1:123456789012:table/Reviews, "
                f"found {self.table_arn!r}"
            )
        self._check_times()
        if not self.bucket or "/" in self.bucket or ":" in self.bucket:
            raise BadCallError(
                f"bucket: expected a bucket's name, found {self.bucket!r}; a folder goes into the prefix"
            )
        if self.sse_algorithm not in {None, "AES256", "KMS"}:
            raise BadCallError(f"sse_algorithm: expected AES256 or KMS, found {self.sse_algorithm!r}")
        if self.kms_key_id is not None and self.sse_algorithm != "KMS":
            raise BadCallError("kms_key_id: a key is used only with sse_algorithm='KMS'; set both or neither")
        if unknown := sorted(set(self.filter_specification or ()) - FILTER_MEMBERS):
            raise BadCallError(
                f"filter_specification: expected members of {', '.join(sorted(FILTER_MEMBERS))}, found {unknown[0]!r}"
            )

    def _check_times(self) -> None:
        for name, moment in (("export_time", self.export_time), ("from_time", self.from_time)):
            if moment is not None and (moment.tzinfo is None or moment.microsecond):
                raise BadCallError(f"{name}: expected an aware time in whole seconds, found {moment!r}")
        if self.from_time is not None and not SHORTEST_WINDOW <= self.export_time - self.from_time <= LONGEST_WINDOW:
            raise BadCallError(
                f"window: expected 15 minutes to 24 hours, found {self.export_time - self.from_time} "
                f"({iso(self.from_time)} to {iso(self.export_time)}); cut_windows() cuts longer ones"
            )

    @property
    def is_incremental(self) -> bool:
        """Whether it asks for a window's changes rather than for a table as it was."""
        return self.from_time is not None

    def parameters(self) -> dict[str, Any]:
        """Return the call's parameters, without the token."""
        optional = {
            "S3BucketOwner": self.bucket_owner,
            "S3Prefix": self.prefix or None,
            "S3SseAlgorithm": self.sse_algorithm,
            "S3SseKmsKeyId": self.kms_key_id,
            "FilterSpecification": dict(self.filter_specification) if self.filter_specification else None,
        }
        return {
            "TableArn": self.table_arn,
            "S3Bucket": self.bucket,
            "ExportFormat": self.output_format.value,
            **self._times(),
            **{name: value for name, value in optional.items() if value is not None},
        }

    def _times(self) -> dict[str, Any]:
        if self.from_time is None:
            return {"ExportType": "FULL_EXPORT", "ExportTime": self.export_time}
        return {
            "ExportType": "INCREMENTAL_EXPORT",
            "IncrementalExportSpecification": {
                "ExportFromTime": self.from_time,
                "ExportToTime": self.export_time,
                "ExportViewType": self.view.value,
            },
        }

    def facts(self) -> dict[str, Any]:
        """Return what tells this request from any other, as JSON values that hold no value of an item."""
        facts: dict[str, Any] = {**self.parameters(), "TableId": self.table_id, "Generation": self.generation}
        if self.filter_specification:
            # An expression's values may be items' values: only their digest leaves the process.
            text = json.dumps(facts.pop("FilterSpecification"), sort_keys=True, default=repr)
            facts["FilterSha256"] = hashlib.sha256(text.encode()).hexdigest()
        return {name: _plain(value) for name, value in facts.items()}

    def digest(self) -> str:
        """Return the hex SHA-256 of :meth:`facts`: the same for equal requests, on every machine."""
        text = json.dumps(self.facts(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self) -> str:
        moment = iso(self.export_time)
        times = f"as of {moment}" if self.from_time is None else f"from {iso(self.from_time)} to {moment}"
        return f"{self.table_arn} {times} to {destination(self)}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


def client_token(request: ExportRequest, *, attempt: int = 1) -> str:
    """Return the token that stands for *request*: the same for equal requests, on every machine.

    DynamoDB keeps answering a token with its export, also when that FAILED, so *attempt* counts up after each failure.
    """
    text = f"{request.digest()} {attempt}"
    return f"ddbexport-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def destination(request: ExportRequest) -> str:
    """Return where *request* writes, as ``s3://bucket/prefix``."""
    return f"s3://{request.bucket}/{request.prefix}" if request.prefix else f"s3://{request.bucket}"


def export_instant(value: str | datetime, *, what: str = "export_time") -> datetime:
    """Return *value* as the whole second at or before it. Raises InvalidTimeError when it is no time."""
    return parse_time(value, what=what).replace(microsecond=0)


def cut_windows(
    from_time: datetime, to_time: datetime, cut_at: Iterable[datetime] = ()
) -> tuple[tuple[datetime, datetime], ...]:
    """Return windows DynamoDB can export that together are *from_time* to *to_time*, oldest first.

    Each is 24 hours long but the last, which has at least 15 minutes: where less would be left, the one before it is
    shortened. At the times *cut_at* another one begins, as if the windows up to there had been cut before, unless less
    than 15 minutes would be left on either side. The same times give the same windows. Raises BadCallError for less
    than 15 minutes.
    """
    windows: list[tuple[datetime, datetime]] = []
    start = from_time
    for cut in sorted(cut_at):
        if cut - start >= SHORTEST_WINDOW and to_time - cut >= SHORTEST_WINDOW:
            windows += _even_windows(start, cut)
            start = cut
    return (*windows, *_even_windows(start, to_time))


def _even_windows(from_time: datetime, to_time: datetime) -> Iterator[tuple[datetime, datetime]]:
    if to_time - from_time < SHORTEST_WINDOW:
        raise BadCallError(
            f"window: {iso(from_time)} to {iso(to_time)} is {to_time - from_time} long; DynamoDB exports changes of "
            "15 minutes or more: run less often, or name the window"
        )
    start = from_time
    while (left := to_time - start) > timedelta(0):
        length = min(left, LONGEST_WINDOW)
        if timedelta(0) < left - length < SHORTEST_WINDOW:
            length = left - SHORTEST_WINDOW
        yield start, start + length
        start += length
