"""Bringing a shard's parts under another schema than they were written under: by widening them where that can be done,
by converting the shard again where not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.columns.widen import can_widen
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.background import Stages
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, ShardFigures, ShardRecord
from airflow_provider_ddbexport.core.snapshot.deliveries import Deliveries
from airflow_provider_ddbexport.core.snapshot.fetch import fetched
from airflow_provider_ddbexport.core.snapshot.learnt import Under
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.core.snapshot.parts import put_part
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.snapshot.rests import Rest
from airflow_provider_ddbexport.core.snapshot.shard import begin_shard
from airflow_provider_ddbexport.core.snapshot.workers import Tick
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError


def begin_adapting(
    plan: ConversionPlan,
    record: ShardRecord,
    schema: Schema,
    *,
    root: ObjectStore,
    lake: ObjectStore,
    tick: Tick | None = None,
) -> Rest[ShardRecord]:
    """Do what takes a worker of bringing the shard of *record* under *schema*, the one that all items ask for.

    Returns the rest, which has to be called, and gives the record of the shard with all its parts under *schema*.
    Parts that lack columns or have narrower numbers are widened, without reading the export; otherwise the shard is
    converted again. Either is recorded, so repeating it is safe and cheap.
    """
    widening = _begin_widening(plan, record, schema, lake)
    return widening or begin_shard(plan.under(schema), plan.shards[record.shard], root=root, lake=lake, tick=tick)


def widened_shard(
    plan: ConversionPlan, record: ShardRecord, schema: Schema, *, lake: ObjectStore
) -> ShardRecord | None:
    """Return the record of the shard of *record* under *schema*, widened or recorded before; None for neither."""
    finish = _begin_widening(plan, record, schema, lake)
    return None if finish is None else finish()


def _begin_widening(
    plan: ConversionPlan, record: ShardRecord, schema: Schema, lake: ObjectStore
) -> Rest[ShardRecord] | None:
    store = lake.child(plan.table)
    conversion = Conversion(store, plan.under(schema))
    found = conversion.find(record.shard)
    if found is not None:
        return lambda: found
    if not _is_widenable(plan, record, schema):
        return None
    stages = Stages()
    parts: list[Part] = []
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        deliveries = stack.enter_context(Deliveries(plan.target.part_bytes))
        for number, (part, under) in enumerate(zip(record.parts, record.under, strict=True)):
            if under.schema == schema:
                parts.append(part)
                continue
            path = folder / f"{number}.parquet"
            with stages.timed("widen"), fetched(store, part, rewritten=True) as narrow:
                wide = None if narrow is None else _widened(plan, part, narrow, schema, path)
            if wide is None:
                return None
            deliveries.do(wide.size, functools.partial(_put, store, plan, wide, path, stages))
            parts.append(wide)
        under_way = stack.pop_all()

    def finish() -> ShardRecord:
        with under_way:
            deliveries.wait()
        seconds = {stage: round(took, 3) for stage, took in stages.seconds.items()}
        figures = ShardFigures(seconds=seconds, values=record.figures.values)
        wide = replace(
            record,
            parts=tuple(parts),
            under=(Under(schema, schema),) * len(parts),
            figures=figures,
        )
        conversion.keep(wide)
        return wide

    return finish


def _is_widenable(plan: ConversionPlan, record: ShardRecord, schema: Schema) -> bool:
    return record.is_built and all(
        can_widen(under.asked, schema, part.rescued)
        and _keeps_order(under.asked, schema, plan.target.sort_columns(schema))
        for part, under in zip(record.parts, record.under, strict=True)
    )


def _keeps_order(narrow: Schema, wide: Schema, sort_by: Sequence[str]) -> bool:
    """Return whether rows sorted under *narrow* are sorted under *wide*: not by numbers that become text."""
    types = {column.name: column.arrow for column in narrow.columns}
    return all(
        column.arrow == types.get(column.name, column.arrow) or not pa.types.is_string(column.arrow)
        for column in wide.columns
        if column.name in sort_by
    )


def _widened(plan: ConversionPlan, part: Part, narrow: BinaryIO, schema: Schema, path: Path) -> Part | None:
    """Make *path* what *part*, which is in *narrow*, is under *schema*, and return that; None if it is impossible."""
    try:
        with damage_named(narrow, shown_key(part.key), "convert the export again"):
            sha256 = widen_part(narrow, path, part_schema(schema), plan.target.sort_columns(schema))
    except (BadCallError, SnapshotDamagedError, pa.ArrowInvalid):
        return None
    key = layout.renamed_part(part.key, plan.parts_digest(schema))
    return replace(part, key=key, size=path.stat().st_size, sha256=sha256, crc32=None)


def _put(store: ObjectStore, plan: ConversionPlan, part: Part, path: Path, stages: Stages) -> None:
    with stages.timed("store"):
        put_part(store, plan, part, path)
