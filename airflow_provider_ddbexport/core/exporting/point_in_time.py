"""Point-in-time exports that were started: what the service says about them, and waiting for their end.

:mod:`.exactly_once` starts them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from posixpath import dirname
from typing import Any

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.service import is_transient, service_errors
from airflow_provider_ddbexport.errors import DeadlineError, ExportFailedError, ServiceError

PATIENCE_S = 24 * 3600.0
"""Default deadline of a wait for an export, seconds. Small tables take minutes; AWS promises nothing."""

POLL_S = 30.0
"""Default time between two looks at an export, seconds."""


class ExportStatus(StrEnum):
    """Where an export is; there is no way back and no way to cancel one."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class TableIdentity:
    """A table, told from one of the same name that was deleted before it.

    Attributes:
        table_id: TableId.
        keys: attributes of its key, the partition key first.
    """

    arn: str
    table_id: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportDescription:
    """What DescribeExport says about a full or incremental export.

    Attributes:
        export_time: the instant exported; the window's end for an incremental export.
        manifest_key: of manifest-summary.json or manifest-files.json, relative to the bucket; None until COMPLETED.
        item_count, billed_bytes: None until COMPLETED.
        failure_code, failure_message: of a FAILED export.
        from_time: start of an incremental export's window; None for a full export.
        is_filtered: whether only some items were asked for, or some of their attributes.
        output_format: of the data files.
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
    from_time: datetime | None = None
    is_filtered: bool = False
    output_format: str = OutputFormat.DYNAMODB_JSON

    @property
    def export_id(self) -> str:
        """The last part of the ARN, which names the export's folder."""
        return self.export_arn.rpartition("/")[2]


def table_identity(dynamodb: Any, table: str) -> TableIdentity:
    """Return what *table*, a name or an ARN, is now. Raises TableNotFoundError, AccessError.

    Needs dynamodb:DescribeTable.
    """
    with service_errors(f"finding table {table}"):
        found = dynamodb.describe_table(TableName=table)["Table"]
    keys = tuple(str(key["AttributeName"]) for key in found.get("KeySchema", ()))
    return TableIdentity(str(found["TableArn"]), str(found.get("TableId") or ""), keys)


def describe(dynamodb: Any, export_arn: str) -> ExportDescription:
    """Return what the service says about the export now. Raises AccessError, ThrottledError, ServiceError."""
    with service_errors(f"looking at export {export_arn}"):
        return description_of(dynamodb.describe_export(ExportArn=export_arn)["ExportDescription"])


def is_filtered(dynamodb: Any, export_arn: str) -> bool:
    """Return whether the export is known to hold only some items, or some attributes; False if it is not known.

    Its files do not tell, and DynamoDB does for 90 days at least. Raises AccessError, ThrottledError, ServiceError.
    """
    try:
        return describe(dynamodb, export_arn).is_filtered
    except ServiceError as error:
        if error.context.get("code") == "ExportNotFoundException":
            return False
        raise


def description_of(answer: Mapping[str, Any]) -> ExportDescription:
    """Return the service's ExportDescription *answer* as a value."""
    window = answer.get("IncrementalExportSpecification") or {}
    moment = answer.get("ExportTime") or window.get("ExportToTime")
    from_time = window.get("ExportFromTime")
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
        from_time=None if from_time is None else from_time.astimezone(UTC),
        is_filtered=bool(answer.get("FilterSpecification")),
        output_format=str(answer.get("ExportFormat") or OutputFormat.DYNAMODB_JSON),
    )


def wait_for_export(
    dynamodb: Any,
    export_arn: str,
    *,
    deadline_s: float = PATIENCE_S,
    waited_s: float | None = None,
    poll_s: float = POLL_S,
    on_look: Callable[[ExportDescription], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> ExportDescription:
    """Return the COMPLETED export; look every *poll_s* seconds, for *deadline_s* at most.

    Throttling, the service's own failures and a lost connection are waited out up to the same deadline. *waited_s* is
    what the error at the deadline calls the wait, where it began before this one. Raises
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
                return completed(description, waited_s=deadline_s if waited_s is None else waited_s)
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
