"""Scans, whatever they are written as: begun under a plan, and read shard by shard into what takes groups of pages."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_ddbexport.core.export.manifest import STARTED_NAME
from airflow_provider_ddbexport.core.scan.budget import WINDOW_S, RateReader, most_shards
from airflow_provider_ddbexport.core.scan.ending import Ending
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
from airflow_provider_ddbexport.core.scan.plan import ScanPlan, choose_segments, require_possible, require_same
from airflow_provider_ddbexport.core.scan.progress import Meter, log
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.resumption import Resumption, find_scan, remember
from airflow_provider_ddbexport.core.scan.settings import Now, ReadBudgetOptions, ScanSettings, utc_now
from airflow_provider_ddbexport.core.scan.shard import Deliver, ShardScan
from airflow_provider_ddbexport.core.scan.table import describe_table, read_rate
from airflow_provider_ddbexport.core.service import is_refusal
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import BadCallError, ScanStoppedError, ServiceError, TableNotFoundError

_UNNOTICED = 0.01
"""Of the budget of a window; its tolerance has room for that."""


def begin_scan(
    dynamodb: Any,
    root: ObjectStore,
    request: ScanRequest,
    *,
    bucket: str,
    prefix: str | None,
    output_format: str,
    segments: int | None = None,
    shards: int = 1,
    resumption: Resumption | None = None,
    accept: Callable[[ScanPlan], None] = lambda _: None,
    budget: ReadBudgetOptions | None = None,
    now: Now = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> ScanPlan:
    """Return the plan of the scan to go on with, or of a new one, written down in *root*.

    *output_format* says all that decides what the pages become. *accept* is called with the plan before anything is
    written down of a new one, and raises where it will not do. So does DynamoDB, where it does not understand the
    expressions of *request*: with any, a new scan first reads one item, whose units the plan has, and waits until the
    read budget has room for the rest. Raises ScanResumeError where *resumption* finds
    a scan that was started as another one.
    """
    require_possible(segments, shards)
    budget = budget or ReadBudgetOptions()
    table = describe_table(dynamodb, request.table_name, request.index_name)
    rate_of = _rate(dynamodb, request, budget)
    if resumption is not None and (found := find_scan(root, resumption)) is not None:
        require_same(found, table, request, segments=segments, shards=shards, output_format=output_format)
        accept(found)
        log.info("Scan %s of %s is resumed", found.export_id, table.name)
        return found
    rate = rate_of()
    shards_asked = shards
    most = most_shards(rate, is_consistent=request.is_consistent)
    if most is not None and most < shards:
        log.warning(
            "%d shards of %d: the read budget of %s is too small to be divided among more",
            most,
            shards,
            rate_text(rate),
        )
        shards = most
    started_at = parse_time(now())
    plan = ScanPlan(
        export_id=f"0{int(started_at.timestamp() * 1000)}-{secrets.token_hex(4)}",
        bucket=bucket,
        prefix=prefix,
        table_name=table.name,
        table_arn=table.arn,
        table_id=table.table_id,
        key_schema=table.key_schema,
        segments=choose_segments(table, segments, rate, shards),
        shards=shards,
        shards_asked=shards_asked,
        index_name=request.index_name,
        is_consistent=request.is_consistent,
        filter_expression=request.filter_expression,
        projection_expression=request.projection_expression,
        names=dict(request.names),
        values_digest=request.values_digest(),
        output_format=output_format,
        started_at=started_at,
        size_bytes=table.size_bytes,
        provisioned_rcu=table.provisioned_rcu,
        pointer_folder=None if resumption is None else resumption.folder,
    )
    accept(plan)
    plan = replace(plan, trial_units=_tried(dynamodb, request, rate, sleep))
    # Before anything is read, which costs: it shows that the destination can be written to.
    root.write(f"{plan.export_id}/{STARTED_NAME}", b"")
    root.create(f"{plan.export_id}/{STATE_FOLDER}/{PLAN_NAME}", plan.to_json())
    if resumption is not None:
        plan = remember(root, resumption, plan)
        require_same(plan, table, request, segments=segments, shards=shards_asked, output_format=output_format)
    log.info("Scan %s of %s: %d segments, read budget %s", plan.export_id, table.name, plan.segments, rate_text(rate))
    return plan


def read_shard(
    dynamodb: Any,
    root: ObjectStore,
    plan: ScanPlan,
    request: ScanRequest,
    deliver: Deliver,
    *,
    shard: int,
    settings: ScanSettings,
) -> ShardDone:
    """Give what is missing of one shard to *deliver*, within its part of the budget; return what it has come to.

    A shard that is through already is not read again. Every process has the budget divided by the shards that are not
    through, so that together they keep it, and the last ones have more of it.
    """
    if not 0 <= shard < plan.shards:
        raise BadCallError(f"shard: expected 0 to {plan.shards - 1}, found {shard}")
    folder = shard_folder(plan.export_id, shard)
    if (done := read_done(root, folder)) is not None:
        return done
    _require_planned(dynamodb, plan, request)
    journal = Journal(root, plan.export_id, shard, plan.shard_segments(shard))
    rate = _rate(dynamodb, request, settings.budget, plan.provisioned_rcu)

    def shared_rate() -> float | None:
        whole, left = rate(), _shards_left(root, plan)
        most = most_shards(whole, is_consistent=plan.is_consistent)
        if most is not None and most < left:
            log.warning(
                "%d shards are left and the read budget of %s has room for %d: where items are large, their pages "
                "together may cost more than it for a while; raise it, or run fewer of these tasks at once",
                left,
                rate_text(whole),
                most,
            )
        return None if whole is None else whole / left

    stop = Ending(settings.stop)
    pacer = Pacer(
        page_source(dynamodb),
        shared_rate,
        is_consistent=plan.is_consistent,
        retries=settings.retries,
        stop=stop,
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
    scan = ShardScan(
        journal,
        pacer,
        request.parameters(plan.segments),
        deliver=deliver,
        meter=meter,
        stop=stop,
        workers=usable_workers(dynamodb, settings.workers),
        limits=settings.limits,
        clock=settings.retries.clock,
    )
    try:
        scan.run()
    except ScanStoppedError as error:
        if plan.pointer_folder is None or not settings.stop.is_set():
            raise
        raise ScanStoppedError(
            f"{error}; what was read until then is kept and can be resumed: another try of the task, or "
            "`ddbexport scan` with --resume, goes on with it",
            **error.context,
        ) from error
    except TableNotFoundError as error:
        raise TableNotFoundError(
            f"table {plan.table_name} was deleted while it was scanned: what was read is no whole table, and nothing "
            "is made of it",
            **error.context,
        ) from error
    # A table that was deleted and made anew meanwhile has answered all the same.
    _require_planned(dynamodb, plan, request)
    return journal.finish(_done(journal, settings.now))


def _tried(dynamodb: Any, request: ScanRequest, rate_rcu: float | None, sleep: Callable[[float], None]) -> float:
    """Try the expressions of *request*, if there are any, by one item, and return the units that it was charged.

    Raises the ServiceError with which DynamoDB refuses them. Whatever else it answers is for those to deal with who
    read. They know nothing of the item that is read here: where it is large for *rate_rcu*, they begin when the window
    of the budget does not hold it any more.
    """
    if not (request.filter_expression or request.projection_expression or request.names or request.values):
        return 0.0
    try:
        page = page_source(dynamodb).page({**request.parameters(1), "Segment": 0, "Limit": 1}, None)
    except ServiceError as error:
        if is_refusal(error):
            raise
        return 0.0
    if rate_rcu is not None and page.consumed_units * page.requests > rate_rcu * WINDOW_S * _UNNOTICED:
        sleep(WINDOW_S)
    return page.consumed_units


def _require_planned(dynamodb: Any, plan: ScanPlan, request: ScanRequest) -> None:
    table = describe_table(dynamodb, request.table_name, request.index_name)
    require_same(plan, table, request, segments=None, shards=plan.shards_asked, output_format=plan.output_format)


def _rate(
    dynamodb: Any, request: ScanRequest, budget: ReadBudgetOptions, before_rcu: float | None = None
) -> RateReader:
    return read_rate(
        dynamodb,
        request.table_name,
        request.index_name,
        read_units=budget.read_units,
        read_percent=budget.read_percent,
        ceiling_units=budget.ceiling_units,
        before_rcu=before_rcu,
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
    durable = journal.durable()
    return ShardDone(
        files=durable.files,
        items=sum(file.item_count for file in durable.files),
        scanned_items=items,
        pages=sum(position.pages for position in positions),
        units=durable.units,
        response_bytes=durable.response_bytes,
        ended_at=iso(parse_time(now())),
        busiest_segment=busiest.segment,
        busiest_share=round(share, 4),
        runs=journal.run,
    )
