"""Backups of a table by a parallel scan: plan, scan the shards, finish; in one process or spread over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_ddbexport.core.export.manifest import exports_key
from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.scan.finish import abandon_scan, finish_scan
from airflow_provider_ddbexport.core.scan.journal import PLAN_NAME, STATE_FOLDER, ShardDone
from airflow_provider_ddbexport.core.scan.plan import OUTPUT_FORMAT, ScanPlan
from airflow_provider_ddbexport.core.scan.progress import ScanPage, ScanProgress
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.resumption import Resumption
from airflow_provider_ddbexport.core.scan.scanning import begin_scan, read_shard
from airflow_provider_ddbexport.core.scan.settings import Now, ReadBudgetOptions, ScanSettings, utc_now
from airflow_provider_ddbexport.core.scan.shard import WORKERS, GroupLimits, Uploads
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.store.retry import RetryPolicy


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
    index_name: str | None = None,
    read_units: float | None = None,
    read_percent: float | None = None,
    ceiling_units: float | None = None,
    workers: int = WORKERS,
    resumption: Resumption | None = None,
    on_page: Callable[[ScanPage], None] | None = None,
    on_progress: Callable[[ScanProgress], None] | None = None,
    now: Now = utc_now,
    retries: RetryPolicy | None = None,
    limits: GroupLimits | None = None,
) -> Export:
    """Back the table up below ``<prefix>/AWSDynamoDB/<ExportId>`` in *destination*, the root of *bucket*.

    Every segment is scanned to its end. The backup is in an export's layout and marked as a scan: it holds each item
    as it was at some moment while the scan ran. Nothing can be taken for a backup before its manifests are written
    last.

    Without *resumption* each call makes a new backup, and what a call wrote that failed while it read is removed; from
    the manifests on nothing is, for they may be there. With it, a call goes on from the checkpoints of one that ended
    before its end, however it ended: no item twice, none missing, and of each segment no more than one group of pages
    is read again.

    *dynamodb* is a boto3 client; *table_name* may be an ARN; *segments* is 1 to 1,000,000, by default from the table's
    size and the budget; the read budget is :func:`.table.read_rate`'s; *expression_attribute_values* are DynamoDB
    JSON, with binaries as base64 text or bytes; *retries* bounds how long one page is asked for while DynamoDB
    throttles or fails; *limits* says when pages become a data file. Raises BadCallError, ScanResumeError,
    ScanStoppedError where another run took it over, TableNotFoundError, AccessError, ThrottledError and other
    ServiceErrors, and the store's errors.
    """
    request = ScanRequest(
        table_name=table_name,
        index_name=index_name,
        is_consistent=is_consistent,
        filter_expression=filter_expression,
        projection_expression=projection_expression,
        names=expression_attribute_names or {},
        values=expression_attribute_values or {},
    )
    settings = ScanSettings(
        budget=ReadBudgetOptions(read_units=read_units, read_percent=read_percent, ceiling_units=ceiling_units),
        workers=workers,
        limits=limits or GroupLimits(),
        retries=retries or RetryPolicy(),
        on_page=on_page,
        on_progress=on_progress,
        now=now,
    )
    plan = plan_scan(
        dynamodb,
        destination,
        request,
        bucket=bucket,
        prefix=prefix,
        segments=segments,
        resumption=resumption,
        budget=settings.budget,
        now=now,
    )
    try:
        scan_shard(dynamodb, destination, plan, request, settings=settings)
    except BaseException:
        if resumption is None:
            abandon_scan(destination, plan)
        raise
    return finish_scan(destination, plan)


def plan_scan(
    dynamodb: Any,
    destination: ObjectStore,
    request: ScanRequest,
    *,
    bucket: str,
    prefix: str | None = None,
    segments: int | None = None,
    shards: int = 1,
    resumption: Resumption | None = None,
    budget: ReadBudgetOptions | None = None,
    now: Now = utc_now,
) -> ScanPlan:
    """Return the plan of the scan to go on with, or of a new one, written down in *destination*.

    The first thing of a scan to be called; :func:`scan_shard` follows for each of *shards*, in any process, and
    :func:`finish_scan` once they are through. Raises ScanResumeError where *resumption* finds a scan that was started
    as another one.
    """
    prefix = prefix.strip("/") or None if prefix else None
    return begin_scan(
        dynamodb,
        destination.child(exports_key(prefix)),
        request,
        bucket=bucket,
        prefix=prefix,
        output_format=OUTPUT_FORMAT,
        segments=segments,
        shards=shards,
        resumption=resumption,
        budget=budget,
        now=now,
    )


def read_plan(destination: ObjectStore, prefix: str | None, export_id: str) -> ScanPlan:
    """Return the plan of a scan that was begun, for a process that has only its id."""
    root = destination.child(exports_key(prefix.strip("/") or None if prefix else None))
    key = f"{export_id}/{STATE_FOLDER}/{PLAN_NAME}"
    return ScanPlan.from_json(root.read(key), root.uri_of(key))


def scan_shard(
    dynamodb: Any,
    destination: ObjectStore,
    plan: ScanPlan,
    request: ScanRequest,
    *,
    shard: int = 0,
    settings: ScanSettings | None = None,
) -> ShardDone:
    """Read what is missing of one shard, within its part of the budget, and return what it has come to.

    A shard that is through already is not read again. Every process has the budget divided by the shards that are not
    through, so that together they keep it, and the last ones have more of it.
    """
    root = destination.child(exports_key(plan.prefix))
    upload = Uploads(root, f"{plan.export_id}/data")
    return read_shard(dynamodb, root, plan, request, upload, shard=shard, settings=settings or ScanSettings())
