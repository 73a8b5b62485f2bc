"""Backups of a table by a parallel scan: plan, scan the shards, finish; in one process or spread over several."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_ddbexport.core.export.manifest import STARTED_NAME, exports_key
from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.scan.finish import abandon_scan, finish_scan
from airflow_provider_ddbexport.core.scan.journal import (
    PLAN_NAME,
    STATE_FOLDER,
    Journal,
    ShardDone,
    read_done,
    shard_folder,
)
from airflow_provider_ddbexport.core.scan.pacing import Pacer, rate_text
from airflow_provider_ddbexport.core.scan.page_source import page_source, usable_workers
from airflow_provider_ddbexport.core.scan.plan import (
    OUTPUT_FORMAT,
    ScanPlan,
    choose_segments,
    require_possible,
    require_same,
)
from airflow_provider_ddbexport.core.scan.progress import Meter, ScanPage, ScanProgress, log
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.resumption import Resumption, find_scan, remember
from airflow_provider_ddbexport.core.scan.settings import Now, ReadBudgetOptions, ScanSettings, utc_now
from airflow_provider_ddbexport.core.scan.shard import WORKERS, GroupLimits, ShardScan
from airflow_provider_ddbexport.core.scan.table import describe_table, read_rate
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.store.retry import RetryPolicy
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import BadCallError


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
    stop: threading.Event | None = None,
    now: Now = utc_now,
    retries: RetryPolicy | None = None,
    limits: GroupLimits | None = None,
    page_items: int | None = None,
) -> Export:
    """Back the table up below ``<prefix>/AWSDynamoDB/<ExportId>`` in *destination*, the root of *bucket*.

    Every segment is scanned to its end. The backup is in an export's layout and marked as a scan: it holds each item
    as it was at some moment while the scan ran. Nothing can be taken for a backup before its manifests are written
    last.

    Without *resumption* each call makes a new backup, and what a failed call wrote is removed. With it, a call goes on
    from the checkpoints of one that ended before its end, however it ended: no item twice, none missing, and of each
    segment no more than one group of pages is read again.

    *dynamodb* is a boto3 client; *table_name* may be an ARN; *segments* is 1 to 1,000,000, by default from the table's
    size and the budget; the read budget is :func:`.table.read_rate`'s; *expression_attribute_values* are DynamoDB
    JSON, with binaries as base64 text or bytes; *retries* bounds how long one page is asked for while DynamoDB
    throttles or fails; *limits* says when pages become a data file; *page_items* is the most
    items of a page. Raises BadCallError,
    ScanResumeError, ScanStoppedError, TableNotFoundError, AccessError, ThrottledError and other ServiceErrors, and the
    store's errors.
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
        page_items=page_items,
        retries=retries or RetryPolicy(),
        on_page=on_page,
        on_progress=on_progress,
        stop=stop or threading.Event(),
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
        return finish_scan(destination, plan)
    except BaseException:
        if resumption is None:
            abandon_scan(destination, plan)
        raise


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
    require_possible(segments, shards)
    budget = budget or ReadBudgetOptions()
    table = describe_table(dynamodb, request.table_name, request.index_name)
    rate = _rate(dynamodb, request, budget, 1.0)()
    prefix = prefix.strip("/") or None if prefix else None
    root = destination.child(exports_key(prefix))
    count = choose_segments(table, segments, rate, shards)
    if resumption is not None and (found := find_scan(root, resumption)) is not None:
        require_same(found, table, request, segments, shards)
        log.info("Scan %s of %s is resumed", found.export_id, table.name)
        return found
    started_at = parse_time(now())
    plan = ScanPlan(
        export_id=f"0{int(started_at.timestamp() * 1000)}-{secrets.token_hex(4)}",
        bucket=bucket,
        prefix=prefix,
        table_name=table.name,
        table_arn=table.arn,
        table_id=table.table_id,
        key_schema=table.key_schema,
        segments=count,
        shards=shards,
        index_name=request.index_name,
        is_consistent=request.is_consistent,
        filter_expression=request.filter_expression,
        projection_expression=request.projection_expression,
        names=dict(request.names),
        values_digest=request.values_digest(),
        output_format=OUTPUT_FORMAT,
        started_at=started_at,
        size_bytes=table.size_bytes,
        pointer_key=None if resumption is None else resumption.key,
    )
    # Before anything is read, which costs: it shows that the destination can be written to.
    root.write(f"{plan.export_id}/{STARTED_NAME}", b"")
    root.create(f"{plan.export_id}/{STATE_FOLDER}/{PLAN_NAME}", plan.to_json())
    if resumption is not None:
        plan = remember(root, resumption, plan)
    log.info("Scan %s of %s: %d segments, read budget %s", plan.export_id, table.name, plan.segments, rate_text(rate))
    return plan


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
    settings = settings or ScanSettings()
    if not 0 <= shard < plan.shards:
        raise BadCallError(f"shard: expected 0 to {plan.shards - 1}, found {shard}")
    root = destination.child(exports_key(plan.prefix))
    folder = shard_folder(plan.export_id, shard)
    if (done := read_done(root, folder)) is not None:
        return done
    table = describe_table(dynamodb, request.table_name, request.index_name)
    require_same(plan, table, request, None, plan.shards)
    journal = Journal(root, plan.export_id, shard, plan.shard_segments(shard))
    rate = _rate(dynamodb, request, settings.budget, 1.0)

    def shared_rate() -> float | None:
        whole = rate()
        return None if whole is None else whole / _shards_left(root, plan)

    pacer = Pacer(
        page_source(dynamodb),
        shared_rate,
        is_consistent=plan.is_consistent,
        retries=settings.retries,
        stop=settings.stop,
        page_items=settings.page_items,
    )
    positions = journal.positions().values()
    spent = sum(position.units for position in positions)
    whole = plan.size_bytes / 4096 * (1.0 if plan.is_consistent else 0.5) / plan.shards
    meter = Meter(
        pacer,
        segments=len(positions),
        segments_done=sum(position.is_done for position in positions),
        expected_units=max(whole - spent, 0.0) or None,
        on_page=settings.on_page,
        on_progress=settings.on_progress,
    )
    ShardScan(
        root,
        plan.export_id,
        journal,
        pacer,
        request.parameters(plan.segments),
        meter=meter,
        stop=settings.stop,
        workers=usable_workers(dynamodb, settings.workers),
        limits=settings.limits,
        clock=settings.retries.clock,
    ).run()
    return journal.finish(_done(journal, settings.now))


def _rate(dynamodb: Any, request: ScanRequest, budget: ReadBudgetOptions, share: float) -> Callable[[], float | None]:
    return read_rate(
        dynamodb,
        request.table_name,
        request.index_name,
        read_units=budget.read_units,
        read_percent=budget.read_percent,
        ceiling_units=budget.ceiling_units,
        share=share,
    )


def _shards_left(root: ObjectStore, plan: ScanPlan) -> int:
    """Return how many shards may still read. A shard that is through never reads again, so this only falls."""
    if plan.shards == 1:
        return 1
    return max(
        1,
        sum(not root.exists(f"{shard_folder(plan.export_id, shard)}/done.json") for shard in range(plan.shards)),
    )


def _done(journal: Journal, now: Now) -> ShardDone:
    positions = sorted(journal.positions().values(), key=lambda position: position.items)
    items = sum(position.items for position in positions)
    busiest = positions[-1]
    share = busiest.items / items if items else 0.0
    even = 1 / len(positions)
    if items and share > 3 * even:
        log.warning(
            "Scan: segment %d has %.0f %% of the items, %.1f times its even share; the table's keys are skewed",
            busiest.segment,
            100 * share,
            share / even,
        )
    files = [checkpoint.file for checkpoint in journal.checkpoints if checkpoint.file is not None]
    return ShardDone(
        files=files,
        items=sum(file.item_count for file in files),
        scanned_items=items,
        pages=sum(position.pages for position in positions),
        units=sum(checkpoint.units for checkpoint in journal.checkpoints),
        response_bytes=sum(checkpoint.response_bytes for checkpoint in journal.checkpoints),
        ended_at=iso(parse_time(now())),
        busiest_segment=busiest.segment,
        busiest_share=round(share, 4),
        runs=journal.run,
    )
