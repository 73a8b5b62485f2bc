"""Bringing a shard's parts under another schema than they were written under: by widening them where that can be done,
by converting the shard again where not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.columns.widen import can_widen
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, ShardFigures, ShardRecord
from airflow_provider_ddbexport.core.snapshot.fetch import fetched
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.core.snapshot.parts import put_part
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan
from airflow_provider_ddbexport.core.snapshot.shard import convert_shard
from airflow_provider_ddbexport.core.snapshot.workers import Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError


def adapt_shard(
    plan: ConversionPlan,
    record: ShardRecord,
    schema: Schema,
    *,
    root: ObjectStore,
    lake: ObjectStore,
    tick: Tick | None = None,
) -> ShardRecord:
    """Return the record of the shard of *record* with all its parts under *schema*, the one that all items ask for.

    Parts that lack columns or have narrower numbers are widened, without reading the export; otherwise the shard is
    converted again. Either is recorded, so repeating it is safe and cheap.
    """
    widened = widened_shard(plan, record, schema, lake=lake)
    return widened or convert_shard(plan.under(schema), plan.shards[record.shard], root=root, lake=lake, tick=tick)


def widened_shard(
    plan: ConversionPlan, record: ShardRecord, schema: Schema, *, lake: ObjectStore
) -> ShardRecord | None:
    """Return the record of the shard of *record* under *schema*, widened or recorded before; None for neither."""
    store = lake.child(plan.table)
    conversion = Conversion(store, plan.under(schema))
    found = conversion.find(record.shard)
    if found is None and _is_widenable(plan, record, schema):
        found = _widened(plan, record, schema, store)
        if found is not None:
            conversion.keep(found)
    return found


def _is_widenable(plan: ConversionPlan, record: ShardRecord, schema: Schema) -> bool:
    return record.is_built and all(
        can_widen(own, schema, part.rescued) and _keeps_order(own, schema, plan.target.sort_columns(schema))
        for part, own in zip(record.parts, record.schemas, strict=True)
    )


def _keeps_order(narrow: Schema, wide: Schema, sort_by: Sequence[str]) -> bool:
    """Return whether rows sorted under *narrow* are sorted under *wide*: not by numbers that become text."""
    types = {column.name: column.arrow for column in narrow.columns}
    return all(
        column.arrow == types.get(column.name, column.arrow) or not pa.types.is_string(column.arrow)
        for column in wide.columns
        if column.name in sort_by
    )


def _widened(plan: ConversionPlan, record: ShardRecord, schema: Schema, store: ObjectStore) -> ShardRecord | None:
    """Return the record of the same shard with its parts widened; None where that turns out to be impossible."""
    started = time.perf_counter()
    parts = []
    with workplace() as folder:
        wide = folder / "wide.parquet"
        for part, own in zip(record.parts, record.schemas, strict=True):
            if own == schema:
                parts.append(part)
                continue
            with fetched(store, part) as narrow:
                if narrow is None:
                    return None
                try:
                    with damage_named(narrow, layout.shown(part.key), "convert the export again"):
                        sha256 = widen_part(narrow, wide, part_schema(schema), plan.target.sort_columns(schema))
                except (BadCallError, SnapshotDamagedError, pa.ArrowInvalid):
                    return None
            key = layout.renamed_part(part.key, plan.parts_digest(schema))
            made = replace(part, key=key, size=wide.stat().st_size, sha256=sha256)
            put_part(store, plan, made, wide)
            parts.append(made)
    return replace(
        record,
        parts=tuple(parts),
        schemas=(schema,) * len(parts),
        figures=ShardFigures(seconds={"widen": round(time.perf_counter() - started, 3)}, values=record.figures.values),
    )
