"""One part of the base becoming one part of the merged snapshot: without the rows whose keys were changed."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import RowBuilder, part_schema, restore
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Schema
from airflow_provider_ddbexport.core.merge.plan import MergePlan
from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.merge.staged import StagedChanges
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.snapshot.fetch import fetch_part
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.core.snapshot.parts import put_part
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.snapshot.record_json import part_fields, part_from_fields
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import MergeConflictError, ObjectNotFoundError, SnapshotDamagedError


@dataclass(frozen=True, slots=True)
class MergedPart:
    """What became of a part of the base.

    Attributes:
        part: of the merged snapshot; None where no row stays.
        gone: rows that the increments changed.
        there: how many of those the increments say were there.
    """

    part: Part | None
    gone: int
    there: int


def merge_part(
    plan: MergePlan, number: int, schema: Schema, changes: StagedChanges, table_store: ObjectStore
) -> MergedPart:
    """Write what stays of part *number* of the base, under *schema*, record it, and return the record.

    A part that is recorded already, and there, is not gone through again. Repeating it is safe, at the same time as
    well. A part that loses nothing and has all columns is copied. Raises MergeConflictError where rows are not what the
    increments say they were, SnapshotDamagedError, and PublishRaceError rather than write into the folder of a snapshot
    that is published.
    """
    names = plan.parts_digest(schema)
    key = f"{plan.publication.conversion}/part-{number:05d}-{names[:8]}.json"
    found = _recorded(table_store, plan, key)
    if found is not None:
        return found
    with tempfile.TemporaryDirectory(prefix="ddbexport-") as name:
        folder = Path(name)
        base = fetch_part(table_store, plan.base, number, folder / "base")
        merged, path = _without_changed(plan, base, changes, folder)
        if schema != plan.base.schema:
            widen_part(path, folder / "wide", part_schema(schema))
            path = folder / "wide"
        if merged.part is not None:
            part = _described(plan, number, merged.part, path, names)
            put_part(table_store, plan.survivors, part, path)
            merged = replace(merged, part=part)
    table_store.write(key, json.dumps(_to_json(merged), ensure_ascii=False).encode())
    return merged


def _without_changed(plan: MergePlan, base: Part, changes: StagedChanges, folder: Path) -> tuple[MergedPart, Path]:
    """Return what stays of *base*, still under its own name, and the file it is in."""
    schema, source = plan.base.schema, folder / "base"
    split = split_part(
        source,
        lambda batch: changes.keys.find(batch, schema, base.partition),
        changes.keys.columns(schema),
        folder / "kept",
        folder / "gone",
    )
    if split is None:
        return MergedPart(base, 0, 0), source
    gone = len(split.keys)
    if split.rows + gone != base.rows:
        raise SnapshotDamagedError(
            f"{layout.shown(base.key)}: expected {base.rows} rows, found {split.rows + gone}; convert "
            f"{plan.base.source.uri} again with replace (--replace)"
        )
    there = 0
    if plan.tells_before:
        comparison = changes.compare(folder / "gone", split.keys, schema, base.partition)
        if comparison.unlike:
            raise conflict(plan, comparison.unlike, f"items of {layout.shown(base.key)} are not what")
        there = comparison.there
    if not split.rows:
        return MergedPart(None, gone, there), folder / "kept"
    left = dict(base.rescued)
    for path, count in _rescued(folder / "gone", schema, base).items():
        left[path] -= count
    rescued = {path: count for path, count in left.items() if count}
    return MergedPart(replace(base, rows=split.rows, rescued=rescued), gone, there), folder / "kept"


def conflict(plan: MergePlan, items: int, what: str) -> MergeConflictError:
    """Return the error of increments that do not fit the base; *what* goes between the count and their word."""
    return MergeConflictError(
        f"table {plan.base.table}, snapshot as of {iso(plan.base.as_of)}: {items} {what} the increments say they were; "
        "they do not belong together, or one of them is damaged: convert a full export and go on from there",
        items=items,
        as_of=iso(plan.base.as_of),
    )


def _rescued(gone: Path, schema: Schema, base: Part) -> dict[str, int]:
    """Return the counts of the rescued values of the rows in *gone*, by path, as the builder counts them."""
    if not base.rescued:
        return {}
    builder = RowBuilder(schema)
    with pq.ParquetFile(gone, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(1024, use_threads=False):
            for item in restore(batch.filter(batch.column(RESCUED_COLUMN).is_valid()), schema, base.partition):
                builder.add(item)
            builder.finish()
    return dict(builder.rescued)


def _described(plan: MergePlan, number: int, part: Part, path: Path, names: str) -> Part:
    folder = layout.partition_folder(plan.base.schema.partition_by, part.partition)
    with path.open("rb") as body:
        sha256 = hashlib.file_digest(body, "sha256").hexdigest()
    key = f"{layout.snapshot_folder(plan.publication.as_of)}/{folder}{layout.part_name(number, names)}"
    return replace(part, key=key, size=path.stat().st_size, sha256=sha256)


def _recorded(table_store: ObjectStore, plan: MergePlan, key: str) -> MergedPart | None:
    try:
        body = table_store.read(key)
    except ObjectNotFoundError:
        return None
    try:
        fields = json.loads(body)
        part = None if fields["part"] is None else part_from_fields(fields["part"])
        merged = MergedPart(part, fields["gone"], fields["there"])
    except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
        raise SnapshotDamagedError(
            f"{table_store.uri_of(key)}: expected a record of a merge under way, found something else "
            f"({type(error).__name__}); delete it and merge again",
            key=key,
        ) from None
    if merged.part is not None and missing_parts(table_store, plan.publication.as_of, [merged.part]):
        return None
    return merged


def _to_json(merged: MergedPart) -> dict[str, object]:
    part = None if merged.part is None else part_fields(merged.part)
    return {"part": part, "gone": merged.gone, "there": merged.there}
