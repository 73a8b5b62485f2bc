"""One export, in progress or ended, and how the service describes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.local.export_files import ExportIdentity, Lines
from airflow_provider_ddbexport.local.export_request import ExportRequest


@dataclass(slots=True)
class ExportJob:
    """One export, in progress or ended.

    Attributes:
        as_of: the moment it shows, or the end of its window.
        lines: what its data files will hold, fixed at the call; empty once they are written.
        started_elapsed: by the emulator's stopwatch.
        planned_failure: FailureCode and FailureMessage it will end with, as a test asked for.
    """

    identity: ExportIdentity
    request: ExportRequest
    account: str
    region: str
    client_token: str | None
    as_of: datetime
    lines: Lines
    billed_bytes: int
    started_elapsed: float
    planned_failure: tuple[str, str] | None = None
    status: str = "IN_PROGRESS"
    item_count: int = 0
    ended_at: datetime | None = None
    manifest_key: str | None = None
    failure: tuple[str, str] | None = None


def job_description(job: ExportJob) -> dict[str, Any]:
    """Return ExportDescription, without the members that have no value yet."""
    request = job.request
    found: dict[str, Any] = {
        "ExportArn": job.identity.export_arn,
        "ExportStatus": job.status,
        "StartTime": job.identity.started_at.timestamp(),
        "EndTime": job.ended_at.timestamp() if job.ended_at else None,
        "ExportManifest": job.manifest_key,
        "TableArn": job.identity.table_arn,
        "TableId": job.identity.table_id,
        "ExportTime": None if request.is_incremental else job.as_of.timestamp(),
        "ClientToken": job.client_token,
        "S3Bucket": request.bucket,
        "S3BucketOwner": request.bucket_owner,
        "S3Prefix": request.prefix,
        "S3SseAlgorithm": request.sse,
        "S3SseKmsKeyId": request.kms_key,
        "FailureCode": job.failure[0] if job.failure else None,
        "FailureMessage": job.failure[1] if job.failure else None,
        "ExportFormat": request.output_format,
        "ExportType": request.export_type,
        "FilterSpecification": request.narrowing,
    }
    if request.from_time is not None:
        found["IncrementalExportSpecification"] = {
            "ExportFromTime": request.from_time.timestamp(),
            "ExportToTime": job.as_of.timestamp(),
            "ExportViewType": request.view,
        }
    if job.status == "COMPLETED":
        found["BilledSizeBytes"] = job.billed_bytes
        found["ItemCount"] = job.item_count
    return {name: value for name, value in found.items() if value is not None}
