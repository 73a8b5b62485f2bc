"""Ending a scan: the manifests that make it a backup, or its removal."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from airflow_provider_ddbexport.core.export.manifest import FILES_NAME, exports_key
from airflow_provider_ddbexport.core.export.model import (
    DataFile,
    Export,
    ExportSummary,
    ExportType,
    OutputFormat,
    ScanDetails,
)
from airflow_provider_ddbexport.core.export.summary import FULL_VERSION
from airflow_provider_ddbexport.core.export.writer import write_manifests
from airflow_provider_ddbexport.core.scan.journal import ShardDone, read_done, shard_folder
from airflow_provider_ddbexport.core.scan.plan import ScanPlan
from airflow_provider_ddbexport.core.scan.resumption import finished
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import BadCallError, StorageError


def finish_scan(destination: ObjectStore, plan: ScanPlan) -> Export:
    """Return the backup, made complete by its manifests, once every shard is through.

    Repeating it writes the same again. Data files of runs that died before their checkpoint are removed.
    """
    root = destination.child(exports_key(plan.prefix))
    shards = [read_done(root, shard_folder(plan.export_id, shard)) for shard in range(plan.shards)]
    missing = [str(shard) for shard, done in enumerate(shards) if done is None]
    if missing:
        raise BadCallError(f"scan {plan.export_id}: shards {', '.join(missing)} are not through; scan them first")
    done = [shard for shard in shards if shard is not None]
    files = tuple(
        sorted(
            (DataFile(key=file.key, item_count=file.item_count, md5=file.md5) for one in done for file in one.files),
            key=lambda file: file.key,
        )
    )
    export = write_manifests(root, scan_summary(plan, done, files), files)
    finished(root, plan)
    kept = {file.key for file in files}
    for info in list(root.list(f"{plan.export_id}/data")):
        if info.key not in kept:
            root.delete(info.key)
    return export


def abandon_scan(destination: ObjectStore, plan: ScanPlan) -> None:
    """Remove what was written of a scan that will not be gone on with, as far as the store lets us."""
    root = destination.child(exports_key(plan.prefix))
    with contextlib.suppress(StorageError):
        for info in list(root.list(plan.export_id)):
            root.delete(info.key)


def scan_figures(done: Sequence[ShardDone]) -> dict[str, Any]:
    """Return what the shards of a scan came to, as JSON values: numbers, nothing that items hold.

    ``runs`` is of the shard that took most of them; ``busiest_segment_share`` is of the items, and with even keys one
    by the number of segments.
    """
    items = sum(shard.scanned_items for shard in done)
    busiest = max(shard.busiest_share * shard.scanned_items for shard in done) / items if items else 0.0
    return {
        "pages": sum(shard.pages for shard in done),
        "response_bytes": sum(shard.response_bytes for shard in done),
        "runs": max(shard.runs for shard in done),
        "busiest_segment_share": round(busiest, 4),
    }


def scan_summary(plan: ScanPlan, done: Sequence[ShardDone], files: tuple[DataFile, ...]) -> ExportSummary:
    """Return the summary of a scan whose shards came to *done* and *files*."""
    ended_at = max((parse_time(shard.ended_at) for shard in done), default=plan.started_at)
    return ExportSummary(
        version=FULL_VERSION,
        export_arn=f"{plan.table_arn}/scan/{plan.export_id}",
        export_id=plan.export_id,
        export_type=ExportType.SCAN,
        table_arn=plan.table_arn,
        table_id=plan.table_id,
        table_name=plan.table_name,
        as_of=plan.started_at,
        from_time=None,
        started_at=plan.started_at,
        ended_at=max(ended_at, plan.started_at),
        s3_bucket=plan.bucket,
        s3_prefix=plan.prefix,
        manifest_files_key=f"{exports_key(plan.prefix)}/{plan.export_id}/{FILES_NAME}",
        billed_bytes=0,
        item_count=sum(file.item_count for file in files),
        output_format=OutputFormat.DYNAMODB_JSON,
        scan=ScanDetails(
            started_at=plan.started_at,
            ended_at=max(ended_at, plan.started_at),
            segments=plan.segments,
            is_consistent=plan.is_consistent,
            consumed_units=plan.trial_units + sum(shard.units for shard in done),
            filter_expression=plan.filter_expression,
            projection_expression=plan.projection_expression,
            index_name=plan.index_name,
            names=plan.names,
            keys=() if plan.index_name else tuple(sorted(name for name, _ in plan.key_schema)),
        ),
    )
