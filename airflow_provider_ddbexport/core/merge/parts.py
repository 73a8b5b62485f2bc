"""One part of the base becoming one part of the merged snapshot: without the rows whose keys were changed."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import RowBuilder, part_schema, restore
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Schema
from airflow_provider_ddbexport.core.columns.widen import can_widen
from airflow_provider_ddbexport.core.merge.built_anew import build_anew
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
from airflow_provider_ddbexport.errors import (
    BadCallError,
    MergeConflictError,
    ObjectNotFoundError,
    SnapshotDamagedError,
)


@dataclass(frozen=True, slots=True)
class MergedPart:
    """What became of a part of the base.

    Attributes:
        part: of the merged snapshot; None where no row stays.
        gone: rows that the increments changed.
        there: how many of those the increments say were there.
        values: how many more values that are not null it has than the base's, by column; less than 0 are fewer.
    """

    part: Part | None
    gone: int
    there: int
    values: dict[str, int] = field(default_factory=dict, hash=False)


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
        merged, path = _under(plan, merged, schema, path)
        if merged.part is not None:
            part = _described(plan, number, merged.part, path, names)
            put_part(table_store, plan.survivors, part, path)
            merged = replace(merged, part=part)
    table_store.write(key, json.dumps(_to_json(merged), ensure_ascii=False).encode())
    return merged


def check_part(plan: MergePlan, number: int, changes: StagedChanges, table_store: ObjectStore) -> MergedPart:
    """Return what would become of part *number* of the base, and write nothing. Raises what :func:`merge_part` does."""
    with tempfile.TemporaryDirectory(prefix="ddbexport-") as name:
        folder = Path(name)
        base = fetch_part(table_store, plan.base, number, folder / "base")
        merged, _ = _without_changed(plan, base, changes, folder)
        return merged


def _without_changed(plan: MergePlan, base: Part, changes: StagedChanges, folder: Path) -> tuple[MergedPart, Path]:
    """Return what stays of *base*, still under its own name, and the file it is in."""
    schema, source = plan.base.schema, folder / "base"
    split = split_part(source, changes.keys.search(schema, base.partition), folder / "kept", folder / "gone")
    if split is None:
        return MergedPart(base, 0, 0), source
    gone = len(split.keys)
    if split.rows + gone != base.rows:
        raise SnapshotDamagedError(
            f"{layout.shown(base.key)}: expected {base.rows} rows, found {split.rows + gone}; convert "
            f"{plan.base.source.uri} again with replace (--replace)",
            as_of=iso(plan.base.as_of),
        )
    there = 0
    if plan.tells_before:
        comparison = changes.compare(folder / "gone", split.keys, schema, base.partition)
        if comparison.unlike:
            raise conflict(plan, comparison.unlike, f"items of {layout.shown(base.key)} are not what")
        there = comparison.there
    fewer = {name: -count for name, count in _values(folder / "gone").items()}
    if not split.rows:
        return MergedPart(None, gone, there, fewer), folder / "kept"
    part = replace(base, rows=split.rows, rescued=_still_rescued(folder, schema, base))
    return MergedPart(part, gone, there, fewer), folder / "kept"


def _under(plan: MergePlan, merged: MergedPart, schema: Schema, path: Path) -> tuple[MergedPart, Path]:
    """Return *merged*, whose rows are in *path*, with them under *schema*, and the file they are in then.

    They are built anew where *schema* has places for what was rescued.
    """
    part, wide = merged.part, path.with_name("wide")
    if part is None or schema == plan.base.schema:
        return merged, path
    if can_widen(plan.base.schema, schema, part.rescued):
        try:
            widen_part(path, wide, part_schema(schema))
        except (BadCallError, pa.ArrowInvalid):
            # Decimals that turn out not to fit.
            pass
        else:
            return merged, wide
    rescued = build_anew(path, plan.base.schema, wide, schema, partition=part.partition, target=plan.survivors.target)
    more = Counter(merged.values)
    more.update(_values(wide))
    more.subtract(_values(path))
    return replace(merged, part=replace(part, rescued=rescued), values=dict(more)), wide


def conflict(plan: MergePlan, items: int, what: str) -> MergeConflictError:
    """Return the error of increments that do not fit the base; *what* goes between the count and their word."""
    return MergeConflictError(
        f"table {plan.base.table}, snapshot as of {iso(plan.base.as_of)}: {items} {what} the increments say they were; "
        "they do not belong together, or one of them is damaged: convert a full export and go on from there",
        items=items,
        as_of=iso(plan.base.as_of),
    )


def _still_rescued(folder: Path, schema: Schema, base: Part) -> dict[str, int]:
    """Return the counts of the rescued values of the rows that are kept of *base*, by path."""
    if not base.rescued:
        return {}
    before, gone = Counter(base.rescued), _rescued(folder / "gone", schema, base)
    # Beyond some number of paths all are counted under one, so that there is nothing to subtract from.
    left = _rescued(folder / "kept", schema, base) if "*" in before or not gone <= before else before - gone
    return dict(sorted(left.items()))


def _rescued(path: Path, schema: Schema, base: Part) -> Counter[str]:
    """Return the counts of the rescued values of the rows in *path*, as the builder counts them."""
    builder = RowBuilder(schema)
    with pq.ParquetFile(path, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(1024, use_threads=False):
            for item in restore(batch.filter(batch.column(RESCUED_COLUMN).is_valid()), schema, base.partition):
                builder.add(item)
            builder.finish()
    return builder.rescued


def _values(path: Path) -> Mapping[str, int]:
    """Return how many values that are not null the rows in *path* have, by column."""
    values: Counter[str] = Counter()
    with pq.ParquetFile(path, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(1024, use_threads=False):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                values[name] += len(column) - column.null_count
    return values


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
        merged = MergedPart(part, fields["gone"], fields["there"], dict(fields["values"]))
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
    return {"part": part, "gone": merged.gone, "there": merged.there, "values": merged.values}
