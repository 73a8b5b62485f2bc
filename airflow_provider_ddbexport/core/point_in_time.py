"""Point-in-time exports: asked for once, however often the asking is repeated.

The ClientToken is what makes it so. DynamoDB answers a token it has seen during the last 8 hours with the export that
token started, so a token that is a function of what is asked for turns "try again" into "attach".
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from posixpath import dirname
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.restorable_window import outside_window, restorable_window, table_name_of
from airflow_provider_ddbexport.core.service import is_transient, service_error, service_errors
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import (
    BadCallError,
    DeadlineError,
    ExportFailedError,
    RestorableWindowError,
    ServiceError,
)

PATIENCE_S = 24 * 3600.0
"""Default deadline of a wait for an export, seconds. Small tables take minutes; AWS promises nothing."""

POLL_S = 30.0
"""Default time between two looks at an export, seconds."""

MAX_FAILED_BEFORE = 8
"""How many FAILED exports of one request :func:`start_export` steps over before it gives up."""


class ExportStatus(StrEnum):
    """Where an export is; there is no way back and no way to cancel one."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A full export to ask for; equal requests are one export.

    Attributes:
        table_arn: of the table, as :func:`table_arn` finds it.
        export_time: the instant to export; aware, whole seconds, because the wire carries no fractions of them.
        bucket: destination, a bucket's name.
        prefix: destination, kept as written; None for the bucket's root.
        output_format: of the data files.
        sse_algorithm: ``AES256`` or ``KMS``; None for the bucket's default.
        kms_key_id: with ``KMS``.
        bucket_owner: account of the bucket; needed when it is another one than the table's.
    """

    table_arn: str
    export_time: datetime
    bucket: str
    prefix: str | None = None
    output_format: OutputFormat = OutputFormat.DYNAMODB_JSON
    sse_algorithm: str | None = None
    kms_key_id: str | None = None
    bucket_owner: str | None = None

    def __post_init__(self) -> None:
        """Check what DynamoDB would only refuse later, or not at all. Raises :class:`BadCallError`."""
        if not self.table_arn.startswith("arn:") or ":table/" not in self.table_arn:
            raise BadCallError(
                f"table: expected an ARN such as arn:aws:dynamodb:eu-west-1:123456789012:table/Reviews, "
                f"found {self.table_arn!r}"
            )
        if self.export_time.tzinfo is None or self.export_time.microsecond:
            raise BadCallError(f"export_time: expected an aware time in whole seconds, found {self.export_time!r}")
        if not self.bucket or "/" in self.bucket or ":" in self.bucket:
            raise BadCallError(
                f"bucket: expected a bucket's name, found {self.bucket!r}; a folder goes into the prefix"
            )
        if self.sse_algorithm not in {None, "AES256", "KMS"}:
            raise BadCallError(f"sse_algorithm: expected AES256 or KMS, found {self.sse_algorithm!r}")
        if self.kms_key_id is not None and self.sse_algorithm != "KMS":
            raise BadCallError("kms_key_id: a key is used only with sse_algorithm='KMS'; set both or neither")

    def parameters(self) -> dict[str, Any]:
        """Return the call's parameters, without the token."""
        optional = {
            "S3BucketOwner": self.bucket_owner,
            "S3Prefix": self.prefix or None,
            "S3SseAlgorithm": self.sse_algorithm,
            "S3SseKmsKeyId": self.kms_key_id,
        }
        return {
            "TableArn": self.table_arn,
            "ExportTime": self.export_time,
            "S3Bucket": self.bucket,
            "ExportFormat": self.output_format.value,
            "ExportType": "FULL_EXPORT",
            **{name: value for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True, slots=True)
class ExportDescription:
    """What DescribeExport says about a full or incremental export.

    Attributes:
        export_time: the instant exported; the window's end for an incremental export.
        manifest_key: of manifest-summary.json or manifest-files.json, relative to the bucket; None until COMPLETED.
        item_count, billed_bytes: None until COMPLETED.
        failure_code, failure_message: of a FAILED export.
    """

    export_arn: str
    status: ExportStatus
    table_arn: str
    export_time: datetime | None
    bucket: str
    prefix: str | None
    manifest_key: str | None
    item_count: int | None
    billed_bytes: int | None
    failure_code: str | None
    failure_message: str | None

    @property
    def export_id(self) -> str:
        """The last part of the ARN, which names the export's folder."""
        return self.export_arn.rpartition("/")[2]


def table_arn(dynamodb: Any, table: str) -> str:
    """Return the ARN of *table*, a name or already an ARN (which is returned unasked).

    Raises TableNotFoundError, AccessError. Needs dynamodb:DescribeTable for a name.
    """
    if table.startswith("arn:"):
        return table
    with service_errors(f"finding table {table}"):
        return str(dynamodb.describe_table(TableName=table)["Table"]["TableArn"])


def export_instant(value: str | datetime) -> datetime:
    """Return *value* as the whole second at or before it. Raises InvalidTimeError when it is no time."""
    return parse_time(value, what="export_time").replace(microsecond=0)


def client_token(request: ExportRequest, *, failed_before: int = 0) -> str:
    """Return the token that stands for *request*: the same for equal requests, on every machine.

    *failed_before* counts the exports of this request that FAILED: DynamoDB keeps answering a token with its failed
    export, so another try needs another token.
    """
    facts = {**request.parameters(), "ExportTime": iso(request.export_time), "FailedBefore": failed_before}
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return f"ddbexport-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def start_export(
    dynamodb: Any,
    request: ExportRequest,
    *,
    deadline_s: float = 300.0,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Return the ARN of the one export of *request*, started now or attached to.

    Repeating it within 8 hours bills nothing more. Where the request's export has FAILED already, a new one is
    started, once for all who repeat this. Throttling and the service's own failures are retried with the same token
    for *deadline_s* seconds. Raises TableNotFoundError, PointInTimeRecoveryError, RestorableWindowError (context has
    ``export_time``, ``earliest``, ``latest``), ExportConflictError, AccessError, ThrottledError, ServiceError.
    """
    what = f"exporting {request.table_arn} as of {iso(request.export_time)} to {destination(request)}"
    give_up_at = monotonic() + deadline_s
    for failed_before in range(MAX_FAILED_BEFORE):
        parameters = {**request.parameters(), "ClientToken": client_token(request, failed_before=failed_before)}
        answer = _call_with_patience(
            functools.partial(dynamodb.export_table_to_point_in_time, **parameters),
            what=what,
            explain=lambda error: _with_window(error, dynamodb, request),
            give_up_at=give_up_at,
            sleep=sleep,
            monotonic=monotonic,
        )
        description = answer["ExportDescription"]
        if description["ExportStatus"] != ExportStatus.FAILED:
            return str(description["ExportArn"])
    raise ServiceError(
        f"{what}: {MAX_FAILED_BEFORE} exports of exactly this request have failed during the last 8 hours; "
        f"find out why before asking again (the last one is {description['ExportArn']})",
        code=description.get("FailureCode"),
    )


def destination(request: ExportRequest) -> str:
    """Return where *request* writes, as ``s3://bucket/prefix``."""
    return f"s3://{request.bucket}/{request.prefix}" if request.prefix else f"s3://{request.bucket}"


def describe(dynamodb: Any, export_arn: str) -> ExportDescription:
    """Return what the service says about the export now. Raises AccessError, ThrottledError, ServiceError."""
    with service_errors(f"looking at export {export_arn}"):
        answer = dynamodb.describe_export(ExportArn=export_arn)["ExportDescription"]
    window = answer.get("IncrementalExportSpecification") or {}
    moment = answer.get("ExportTime") or window.get("ExportToTime")
    return ExportDescription(
        export_arn=str(answer["ExportArn"]),
        status=ExportStatus(answer["ExportStatus"]),
        table_arn=str(answer["TableArn"]),
        export_time=None if moment is None else moment.astimezone(UTC),
        bucket=str(answer["S3Bucket"]),
        prefix=answer.get("S3Prefix") or None,
        manifest_key=answer.get("ExportManifest") or None,
        item_count=answer.get("ItemCount"),
        billed_bytes=answer.get("BilledSizeBytes"),
        failure_code=answer.get("FailureCode"),
        failure_message=answer.get("FailureMessage"),
    )


def wait_for_export(
    dynamodb: Any,
    export_arn: str,
    *,
    deadline_s: float = PATIENCE_S,
    poll_s: float = POLL_S,
    on_look: Callable[[ExportDescription], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> ExportDescription:
    """Return the COMPLETED export; look every *poll_s* seconds, for *deadline_s* at most.

    Throttling, the service's own failures and a lost connection are waited out up to the same deadline. Raises
    ExportFailedError, DeadlineError (the export goes on), AccessError, ServiceError.
    """
    give_up_at = monotonic() + deadline_s
    while True:
        try:
            description = describe(dynamodb, export_arn)
        except ServiceError as error:
            if not is_transient(error) or monotonic() >= give_up_at:
                raise
        else:
            if on_look is not None:
                on_look(description)
            if description.status is not ExportStatus.IN_PROGRESS or monotonic() >= give_up_at:
                return completed(description, waited_s=deadline_s)
        sleep(min(poll_s, max(0.0, give_up_at - monotonic())))


def completed(description: ExportDescription, *, waited_s: float) -> ExportDescription:
    """Return *description* if the export is COMPLETED; raise ExportFailedError or DeadlineError if it is not."""
    if description.status is ExportStatus.COMPLETED:
        return description
    if description.status is ExportStatus.IN_PROGRESS:
        raise DeadlineError(
            f"export {description.export_arn}: still in progress after {waited_s:g} s; it goes on and is billed: "
            f"run again to attach to it, or wait longer",
            export_arn=description.export_arn,
            waited_s=waited_s,
        )
    code = description.failure_code or "Unknown"
    raise ExportFailedError(
        f"export {description.export_arn} to s3://{description.bucket}/{description.prefix or ''} failed: "
        f"{code}: {description.failure_message or 'no message'}; {_FAILURE_ADVICE.get(code, _ASK_AGAIN)}",
        code=code,
        failure_message=description.failure_message or "",
        export_arn=description.export_arn,
    )


def export_source_uri(description: ExportDescription) -> str:
    """Return the address of the export's folder: ``s3://bucket/prefix/AWSDynamoDB/<ExportId>``."""
    folder = dirname(description.manifest_key) if description.manifest_key else ""
    if not folder.endswith(f"AWSDynamoDB/{description.export_id}"):
        folder = "/".join(filter(None, (description.prefix, "AWSDynamoDB", description.export_id)))
    return f"s3://{description.bucket}/{folder}"


_ASK_AGAIN = "nothing usable was written; run again to start a new one"
_CLEARED = "and run again, which starts a new export"
_FAILURE_ADVICE = {
    "S3NoSuchBucket": f"create the bucket or correct its name, {_CLEARED}",
    "S3AccessDenied": (
        f"allow s3:PutObject, s3:PutObjectAcl and s3:AbortMultipartUpload on the destination, name the bucket's owner "
        f"if it is another account, {_CLEARED}"
    ),
    "KmsAccessDenied": f"allow kms:GenerateDataKey and kms:Decrypt on the key, {_CLEARED}",
    "KmsNotFoundException": f"correct the key's id, {_CLEARED}",
}

PERMANENT_FAILURE_CODES = frozenset(_FAILURE_ADVICE)
"""FailureCodes that another export would meet as well, until somebody changes something."""


def _with_window(error: ServiceError, dynamodb: Any, request: ExportRequest) -> ServiceError:
    """Return *error*, with the restorable window's ends if that is what it is about."""
    if not isinstance(error, RestorableWindowError):
        return error
    try:
        window = restorable_window(dynamodb, table_name_of(request.table_arn))
    except ServiceError:
        # Looking is a courtesy, and another permission than exporting: the refusal stands without it.
        return RestorableWindowError(str(error), **error.context, export_time=iso(request.export_time))
    return outside_window(request.export_time, window, what=f"exporting {request.table_arn}")


def _call_with_patience(
    call: Callable[[], Any],
    *,
    what: str,
    explain: Callable[[ServiceError], ServiceError],
    give_up_at: float,
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
) -> Any:
    pause_s = 1.0
    while True:
        try:
            return call()
        except (ClientError, BotoCoreError) as cause:
            error = explain(service_error(cause, what=what))
            if not is_transient(error) or monotonic() + pause_s > give_up_at:
                raise error from cause
        # Jitter, because a backfill's tasks are throttled together.
        sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
        pause_s = min(pause_s * 2, 30.0)
