"""What a caller of ExportTableToPointInTime asks for, and what the service refuses at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_ddbexport.local.scan import item_filter, item_projection, refuse_unused_names
from airflow_provider_ddbexport.local.wire import AwsError

SHORTEST_WINDOW = timedelta(minutes=15)
LONGEST_WINDOW = timedelta(hours=24)
LONGEST_FILTER_BYTES = 4096

TABLE_ARN = re.compile(r"arn:aws[a-z-]*:dynamodb:[a-z0-9-]+:[0-9]{12}:table/([a-zA-Z0-9_.-]{3,255})\Z")
EXPORT_ARN = re.compile(TABLE_ARN.pattern[:-2] + r"/export/([0-9]{14}-[0-9a-f]{8})\Z")

_CHOICES = {
    "ExportFormat": ("DYNAMODB_JSON", "ION"),
    "ExportType": ("FULL_EXPORT", "INCREMENTAL_EXPORT"),
    "S3SseAlgorithm": ("AES256", "KMS"),
}
_VIEWS = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """The parameters a ClientToken stands for, with the service's defaults filled in.

    Attributes:
        as_of: ExportTime of a full export; None for the moment of the call.
        from_time, to_time: window of an incremental export; a to_time of None is the moment of the call.
        narrowing: FilterSpecification; it selects what is written, not what is billed.
    """

    table_arn: str
    bucket: str
    bucket_owner: str | None
    prefix: str | None
    sse: str
    kms_key: str | None
    output_format: str
    export_type: str
    as_of: datetime | None
    from_time: datetime | None
    to_time: datetime | None
    view: str | None
    narrowing: dict[str, Any] | None = field(default=None, hash=False)

    @property
    def is_incremental(self) -> bool:
        """Return whether it asks for a window rather than a moment."""
        return self.export_type == "INCREMENTAL_EXPORT"


def parse_request(body: dict[str, Any]) -> ExportRequest:
    """Return what *body* asks for; raises AwsError(ValidationException) for what no table could answer."""
    arn, bucket = body.get("TableArn"), body.get("S3Bucket")
    if not isinstance(arn, str) or not TABLE_ARN.match(arn):
        raise _invalid("Invalid TableArn")
    if not isinstance(bucket, str) or not re.match(r"^[a-z0-9A-Z]+[.\-\w]*[a-z0-9A-Z]+$", bucket):
        raise _invalid("1 validation error detected: Value at 's3Bucket' failed to satisfy constraint")
    prefix = body.get("S3Prefix") or None
    if prefix is not None and len(prefix) > 1024:
        raise _invalid(
            "1 validation error detected: Value at 's3Prefix' failed to satisfy constraint: "
            "Member must have length less than or equal to 1024"
        )
    chosen = {member: _choice(body, member, choices[0], choices) for member, choices in _CHOICES.items()}
    if body.get("S3SseKmsKeyId") and chosen["S3SseAlgorithm"] != "KMS":
        raise _invalid("S3SseKmsKeyId can only be specified when S3SseAlgorithm is KMS")
    window = body.get("IncrementalExportSpecification") or {}
    incremental = chosen["ExportType"] == "INCREMENTAL_EXPORT"
    if incremental and "ExportFromTime" not in window:
        raise _invalid("ExportFromTime in IncrementalExportSpecification is required for an INCREMENTAL_EXPORT")
    if incremental and "ExportTime" in body:
        raise _invalid("ExportTime cannot be specified for an INCREMENTAL_EXPORT")
    if window and not incremental:
        raise _invalid("IncrementalExportSpecification can only be specified for an INCREMENTAL_EXPORT")
    narrowing = body.get("FilterSpecification") or None
    if narrowing:
        _check_narrowing(narrowing)
    return ExportRequest(
        table_arn=arn,
        bucket=bucket,
        bucket_owner=body.get("S3BucketOwner"),
        prefix=prefix,
        sse=chosen["S3SseAlgorithm"],
        kms_key=body.get("S3SseKmsKeyId"),
        output_format=chosen["ExportFormat"],
        export_type=chosen["ExportType"],
        as_of=_time(body.get("ExportTime")),
        from_time=_time(window.get("ExportFromTime")),
        to_time=_time(window.get("ExportToTime")),
        view=_choice(window, "ExportViewType", "NEW_AND_OLD_IMAGES", _VIEWS) if incremental else None,
        narrowing=narrowing,
    )


def _check_narrowing(narrowing: dict[str, Any]) -> None:
    """Refuse what the service refuses, and what of filters is not known well enough to be emulated."""
    if "KeyConditionExpression" in narrowing:
        raise _invalid(
            "The embedded AWS filters by FilterExpression and ProjectionExpression: what the service bills for an "
            "export of one key has not been seen"
        )
    if len(msgspec.json.encode(narrowing)) > LONGEST_FILTER_BYTES:
        raise _invalid("FilterSpecification exceeds the maximum size of 4 KB")
    refuse_unused_names(narrowing)
    item_filter(narrowing)
    item_projection(narrowing)


def check_times(request: ExportRequest, *, earliest: datetime, latest: datetime, now: datetime) -> None:
    """Raise AwsError(InvalidExportTimeException) for times that cannot be exported (yet, or any more).

    A full export reaches up to the latest restorable time, an incremental one up to now: AWS has made increments whose
    window ended seconds before the call.
    """
    if request.as_of is not None and not _second(earliest) <= request.as_of <= latest:
        raise _unavailable("ExportTime", request.as_of, earliest, latest)
    if request.from_time is None:
        return
    end = request.to_time or now
    if request.from_time < _second(earliest) or end > now:
        raise _unavailable("The window", request.from_time, earliest, now)
    if request.from_time >= end:
        raise _invalid("Export from time must be before export to time")
    length = end - request.from_time
    if length < SHORTEST_WINDOW:
        raise _invalid("Difference between export period from time and export period to time is less than 15 minutes")
    if length > LONGEST_WINDOW:
        raise _invalid("Difference between export period from time and export period to time is greater than 24 hours")


def _choice(body: dict[str, Any], member: str, default: str, choices: tuple[str, ...]) -> str:
    value = body.get(member) or default
    if value not in choices:
        shown = member[0].lower() + member[1:]
        raise _invalid(
            f"1 validation error detected: Value '{value}' at '{shown}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(choices)}]"
        )
    return str(value)


def _time(epoch_s: float | None) -> datetime | None:
    if epoch_s is None:
        return None
    if not isinstance(epoch_s, int | float):
        raise AwsError("SerializationException", "Expected a number of seconds since the epoch")
    try:
        moment = datetime.fromtimestamp(round(epoch_s, 6), UTC)
    except (ValueError, OverflowError, OSError):
        raise AwsError("SerializationException", "Expected a number of seconds since the epoch") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _second(moment: datetime) -> datetime:
    """Clients send whole seconds: the one PITR was enabled in counts."""
    return moment.replace(microsecond=0)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _unavailable(what: str, moment: datetime, earliest: datetime, latest: datetime) -> AwsError:
    return AwsError(
        "InvalidExportTimeException",
        f"{what} {moment.isoformat()} is outside of the point in time recovery window "
        f"{_second(earliest).isoformat()} to {latest.isoformat()}",
    )
