"""manifest-summary.json and back."""

# ruff: noqa: N815 (members are called as in the file)

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.export.model import ExportSummary, ExportType, OutputFormat, ScanDetails
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import InvalidTimeError

FULL_VERSION = "2020-06-30"
INCREMENTAL_VERSION = "2023-08-01"

_ARN = re.compile(r"(arn:[^:]+:dynamodb:[^:]*:[^:]*:table/([A-Za-z0-9_.-]+))/(export|scan)/([^/]+)")


class SummaryError(ValueError):
    """Says what of the summary is not as documented; the reader adds where."""


class _Scan(msgspec.Struct, rename="camel", frozen=True):
    started_at: str
    ended_at: str
    segments: int
    is_consistent: bool
    consumed_units: float
    filter_expression: str | None = None
    projection_expression: str | None = None
    index_name: str | None = None
    names: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    # Said for people who open the file: writes during the scan may or may not be in it.
    is_point_in_time: bool = False


class _Summary(msgspec.Struct, frozen=True):
    version: str
    exportArn: str
    startTime: str
    endTime: str
    tableArn: str
    tableId: str
    s3Bucket: str
    manifestFilesS3Key: str
    billedSizeBytes: int
    itemCount: int
    outputFormat: str
    s3Prefix: str | None = None
    exportTime: str | None = None
    exportFromTime: str | None = None
    exportToTime: str | None = None
    exportType: str | None = None
    outputView: str | None = None
    scan: _Scan | None = None


class _Version(msgspec.Struct):
    version: str


def parse_summary(body: bytes) -> ExportSummary:
    """Return what *body* says, each member checked by itself and against the others. Raises SummaryError."""
    try:
        version = msgspec.json.decode(body, type=_Version).version
        if version not in {FULL_VERSION, INCREMENTAL_VERSION}:
            raise SummaryError(
                f"expected version {FULL_VERSION} or {INCREMENTAL_VERSION}, found {version!r}; "
                "a newer version of this package may know it"
            )
        raw = msgspec.json.decode(body, type=_Summary)
    except msgspec.DecodeError as error:
        raise SummaryError(f"expected the summary of an export as a JSON object: {error}") from None
    except UnicodeDecodeError:
        raise SummaryError("expected UTF-8 text") from None
    export_type = _export_type(raw)
    match = _ARN.fullmatch(raw.exportArn)
    if match is None or match[1] != raw.tableArn or (match[3] == "scan") != (export_type is ExportType.SCAN):
        raise SummaryError(f"exportArn {raw.exportArn!r} is no export of tableArn {raw.tableArn!r}")
    if raw.itemCount < 0 or raw.billedSizeBytes < 0:
        raise SummaryError(f"itemCount {raw.itemCount} and billedSizeBytes {raw.billedSizeBytes} must not be negative")
    if raw.outputFormat not in set(OutputFormat):
        raise SummaryError(f"outputFormat: expected {' or '.join(OutputFormat)}, found {raw.outputFormat!r}")
    started_at, ended_at = _time(raw, "startTime"), _time(raw, "endTime")
    if ended_at < started_at:
        raise SummaryError(f"endTime {raw.endTime} is before startTime {raw.startTime}")
    as_of, from_time = _times(raw, export_type)
    return ExportSummary(
        version=version,
        export_arn=raw.exportArn,
        export_id=match[4],
        export_type=export_type,
        table_arn=raw.tableArn,
        table_id=raw.tableId,
        table_name=match[2],
        as_of=as_of,
        from_time=from_time,
        started_at=started_at,
        ended_at=ended_at,
        s3_bucket=raw.s3Bucket,
        s3_prefix=raw.s3Prefix or None,
        manifest_files_key=raw.manifestFilesS3Key,
        billed_bytes=raw.billedSizeBytes,
        item_count=raw.itemCount,
        output_format=OutputFormat(raw.outputFormat),
        output_view=raw.outputView,
        scan=_scan(raw.scan, export_type),
    )


def scan_summary_json(summary: ExportSummary) -> bytes:
    """Return the manifest-summary.json of a backup made by a scan; parse_summary gives *summary* back."""
    scan = summary.scan
    if scan is None:
        raise ValueError("only backups made by a scan are written here")
    return msgspec.json.encode(
        {
            "version": summary.version,
            "exportArn": summary.export_arn,
            "startTime": manifest_time(summary.started_at),
            "endTime": manifest_time(summary.ended_at),
            "tableArn": summary.table_arn,
            "tableId": summary.table_id,
            "exportTime": manifest_time(summary.as_of),
            "s3Bucket": summary.s3_bucket,
            "s3Prefix": summary.s3_prefix,
            "s3SseAlgorithm": None,
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": summary.manifest_files_key,
            "billedSizeBytes": summary.billed_bytes,
            "itemCount": summary.item_count,
            "outputFormat": summary.output_format.value,
            "exportType": summary.export_type.value,
            "scan": _Scan(
                started_at=manifest_time(scan.started_at),
                ended_at=manifest_time(scan.ended_at),
                segments=scan.segments,
                is_consistent=scan.is_consistent,
                consumed_units=scan.consumed_units,
                filter_expression=scan.filter_expression,
                projection_expression=scan.projection_expression,
                index_name=scan.index_name,
                names=scan.names,
                keys=scan.keys,
            ),
        }
    )


def manifest_time(moment: datetime) -> str:
    """Return *moment* as manifests write it: ``2026-01-14T10:18:50.622Z``, always with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _export_type(raw: _Summary) -> ExportType:
    # Full exports made by AWS have no exportType.
    text = raw.exportType or ExportType.FULL
    if text not in set(ExportType):
        raise SummaryError(f"exportType: expected {', '.join(ExportType)} or none, found {text!r}")
    return ExportType(text)


def _times(raw: _Summary, export_type: ExportType) -> tuple[datetime, datetime | None]:
    if export_type is not ExportType.INCREMENTAL:
        return _time(raw, "exportTime"), None
    from_time, to_time = _time(raw, "exportFromTime"), _time(raw, "exportToTime")
    if from_time >= to_time:
        raise SummaryError(f"exportFromTime {raw.exportFromTime} is not before exportToTime {raw.exportToTime}")
    if raw.outputView not in {"NEW_IMAGE", "NEW_AND_OLD_IMAGES"}:
        raise SummaryError(f"outputView: expected NEW_IMAGE or NEW_AND_OLD_IMAGES, found {raw.outputView!r}")
    return to_time, from_time


def _scan(raw: _Scan | None, export_type: ExportType) -> ScanDetails | None:
    if (raw is not None) != (export_type is ExportType.SCAN):
        raise SummaryError(f"exportType {export_type}: expected a scan member in backups made by a scan only")
    if raw is None:
        return None
    return ScanDetails(
        started_at=_time(raw, "started_at"),
        ended_at=_time(raw, "ended_at"),
        segments=raw.segments,
        is_consistent=raw.is_consistent,
        consumed_units=raw.consumed_units,
        filter_expression=raw.filter_expression,
        projection_expression=raw.projection_expression,
        index_name=raw.index_name,
        names=raw.names,
        keys=raw.keys,
    )


def _time(raw: Any, member: str) -> datetime:
    text = getattr(raw, member)
    if text is None:
        raise SummaryError(f"{member} is missing")
    try:
        return parse_time(text, what=member)
    except InvalidTimeError as error:
        raise SummaryError(str(error)) from None
