"""Lots of the base's parts becoming one part each of the merged snapshot: without the rows whose keys were changed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import RowBuilder, part_schema, restore
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Schema
from airflow_provider_ddbexport.core.columns.widen import can_widen
from airflow_provider_ddbexport.core.merge.built_anew import build_anew
from airflow_provider_ddbexport.core.merge.gather import gather
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan
from airflow_provider_ddbexport.core.merge.records import MergedLot, MergedShard, ShardRecords
from airflow_provider_ddbexport.core.merge.row_batches import row_batches
from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.merge.told_changes import ToldChanges
from airflow_provider_ddbexport.core.snapshot.fetch import fetched, fetched_part, made_again, part_named
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import MOST_COPIED_BYTES, ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError, MergeConflictError, PublishRaceError, SnapshotDamagedError

_PIECE_BYTES = 1 << 20


def merge_shard(plan: MergePlan, number: int, changes: ToldChanges, records: ShardRecords) -> MergedShard:
    """Write what stays of the lots of shard *number*, under the plan's schema, record it, and return the record.

    Repeating it is safe, at the same time as well. A part of its own that loses nothing and has all columns is copied.
    Raises MergeConflictError where rows are not what the increments say they were, SnapshotDamagedError, and
    PublishRaceError rather than write into the folder of a snapshot that is published.
    """
    lots = []
    with workplace() as home:
        for lot in plan.lot_shards[number]:
            with _emptied(home / "lot") as folder:
                lots.append(_merge_lot(plan, lot, changes, folder, records))
    return records.keep(number, lots)


def adapt_shard(plan: MergePlan, number: int, merged: MergedShard, records: ShardRecords) -> MergedShard:
    """Bring *merged*, what became of shard *number*, under the schema of *records*, and record that.

    Raises PublishRaceError where one of its parts is gone: merge that shard again.
    """
    lots = []
    with workplace() as home:
        for lot, narrow in zip(plan.lot_shards[number], merged, strict=True):
            with _emptied(home / "lot") as folder:
                wide, path = _adapted(plan, narrow, records, folder)
                lots.append(records.put(lot, wide, path))
    return records.keep(number, lots)


def check_shard(plan: MergePlan, number: int, changes: ToldChanges, table_store: ObjectStore) -> MergedShard:
    """Return what would become of shard *number*, and write nothing. Raises what :func:`merge_shard` does."""
    lots = []
    with workplace() as home:
        for lot in plan.lot_shards[number]:
            kept = []
            for part in plan.lots[lot]:
                with (
                    _emptied(home / "lot") as folder,
                    fetched_part(table_store, plan.base, part, rewritten=True) as source,
                ):
                    name = part_named(table_store, plan.base, part)
                    kept.append(_without_changed(plan, part, source, changes, folder, name=name)[0])
            lots.append(_sum(kept, None))
    return tuple(lots)


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """Make *folder* if there is none, and remove the files in it afterwards."""
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        for left in folder.iterdir():
            left.unlink()


def _merge_lot(plan: MergePlan, lot: int, changes: ToldChanges, folder: Path, records: ShardRecords) -> MergedLot:
    """Write what stays of *lot*, under the plan's schema, and return what to record."""
    kept = []
    for number in plan.lots[lot]:
        with fetched_part(records.store, plan.base, number, rewritten=True) as source:
            name = part_named(records.store, plan.base, number)
            merged, path = _without_changed(plan, number, source, changes, folder, name=name)
            if path is None:
                base = plan.base.parts[number]
                if len(plan.lots[lot]) == 1 and plan.schema == plan.base.schema and base.size <= MOST_COPIED_BYTES:
                    return records.copy(lot, base, source)
                path = _copied(source, folder / f"kept-{number}")
            kept.append((merged, path))
    merged, path = _together(plan, kept, folder / "gathered")
    merged, path = _under(plan, merged, plan.base.schema, plan.schema, path)
    return records.put(lot, merged, path)


def _copied(source: BinaryIO, path: Path) -> Path:
    source.seek(0)
    with path.open("wb") as file:
        shutil.copyfileobj(source, file, _PIECE_BYTES)
    return path


def _adapted(plan: MergePlan, merged: MergedLot, records: ShardRecords, folder: Path) -> tuple[MergedLot, Path]:
    """Return *merged* under the schema of *records*, and the file that its part is in."""
    path = folder / "wide"
    if merged.part is None:
        return merged, path
    with fetched(records.store, merged.part, rewritten=True) as source:
        if source is None:
            raise PublishRaceError(
                f"{records.store.uri}/{shown_key(merged.part.key)}: a part of a merge under way is gone or not what "
                "it was; nothing was published, merge again",
                key=merged.part.key,
            )
        wide = _widened(plan, merged, merged.part, source, path, narrow=plan.schema, schema=records.schema)
        return wide, path


def _without_changed(
    plan: MergePlan, number: int, source: BinaryIO, changes: ToldChanges, folder: Path, *, name: str
) -> tuple[MergedLot, Path | None]:
    """Return what stays of part *number* of the base, still under its own name, and the file in *folder* it is in.

    *source* is the part, called *name* in messages. Where all of it stays no file is written, and None returned.
    """
    base, schema = plan.base.parts[number], plan.base.schema
    kept, dropped = folder / f"kept-{number}", folder / "gone"
    # A quiet window changes nothing.
    keys = changes.keys.search(schema, base.partition) if plan.compacted.changed else None
    with damage_named(source, name, made_again(plan.base), as_of=iso(plan.base.as_of)):
        split = None if keys is None else split_part(source, keys, kept, dropped)
    if split is None:
        return MergedLot(base, 0, 0), None
    gone = split.places.num_rows
    if split.rows + gone != base.rows:
        raise SnapshotDamagedError(
            f"{shown_key(base.key)}: expected {base.rows} rows, found {split.rows + gone}; {made_again(plan.base)}",
            as_of=iso(plan.base.as_of),
        )
    comparison = changes.comparison(split.places, schema, base.partition) if plan.tells_before else None
    values: Counter[str] = Counter()
    for batch in row_batches(dropped):
        _count_values(batch, values)
        if comparison is not None:
            comparison.add(batch)
    if comparison is not None and comparison.unlike:
        raise conflict(
            plan,
            comparison.unlike,
            f"{comparison.unlike} of the {gone} items they changed in {shown_key(base.key)} were not there "
            "before as they say",
        )
    there = 0 if comparison is None else comparison.there
    fewer = {name: -count for name, count in values.items()}
    if not split.rows:
        return MergedLot(None, gone, there, fewer), kept
    rescued = _still_rescued(kept, dropped, schema, base)
    # Other parts of the lot follow.
    dropped.unlink()
    part = replace(base, rows=split.rows, rescued=rescued, sha256=split.sha256, crc32=split.crc32)
    return MergedLot(part, gone, there, fewer), kept


def _together(plan: MergePlan, kept: Sequence[tuple[MergedLot, Path]], path: Path) -> tuple[MergedLot, Path]:
    """Return what stays of a lot, and the file it is in: *path* where that has to be gathered."""
    sources = [(merged.part, source) for merged, source in kept if merged.part is not None]
    if len(sources) <= 1:
        part, path = sources[0] if sources else (None, path)
        return _sum([merged for merged, _ in kept], part), path
    sha256 = gather(
        [(source, shown_key(part.key)) for part, source in sources],
        path,
        plan.base.schema,
        plan.survivors.target,
        way_out=made_again(plan.base),
        as_of=iso(plan.base.as_of),
    )
    rescued: Counter[str] = Counter()
    for part, _ in sources:
        rescued.update(part.rescued)
    first, _ = sources[0]
    rows = sum(part.rows for part, _ in sources)
    whole = replace(first, rows=rows, rescued=dict(sorted(rescued.items())), sha256=sha256, crc32=None)
    return _sum([merged for merged, _ in kept], whole), path


def _sum(lots: Sequence[MergedLot], part: Part | None) -> MergedLot:
    values: Counter[str] = Counter()
    for merged in lots:
        values.update(merged.values)
    return MergedLot(part, sum(merged.gone for merged in lots), sum(merged.there for merged in lots), dict(values))


def _under(plan: MergePlan, merged: MergedLot, narrow: Schema, schema: Schema, path: Path) -> tuple[MergedLot, Path]:
    """Return *merged*, whose rows are in *path* under *narrow*, and the file that has them under *schema*.

    They are built anew where *schema* has places for what was rescued.
    """
    if merged.part is None or schema == narrow:
        return merged, path
    wide = path.with_name("wide")
    with path.open("rb") as source:
        return _widened(plan, merged, merged.part, source, wide, narrow=narrow, schema=schema), wide


def _widened(
    plan: MergePlan, merged: MergedLot, part: Part, source: BinaryIO, wide: Path, *, narrow: Schema, schema: Schema
) -> MergedLot:
    """Make *wide* a part of *schema* of the rows in *source*, *part* of *merged*, and return what becomes of that."""
    with damage_named(source, shown_key(part.key), made_again(plan.base), as_of=iso(plan.base.as_of)):
        if can_widen(narrow, schema, part.rescued):
            try:
                sha256 = widen_part(source, wide, part_schema(schema))
            except (BadCallError, pa.ArrowInvalid):
                # Decimals that turn out not to fit.
                pass
            else:
                return replace(merged, part=replace(part, sha256=sha256, crc32=None))
        rescued, sha256 = build_anew(
            source, narrow, wide, schema, partition=part.partition, target=plan.survivors.target
        )
    more = Counter(merged.values)
    more.update(_values(wide))
    more.subtract(_values(source))
    return replace(merged, part=replace(part, rescued=rescued, sha256=sha256, crc32=None), values=dict(more))


def conflict(plan: MergePlan, items: int, what: str) -> MergeConflictError:
    """Return the error of increments that do not fit the base: *what* is wrong with so many *items*."""
    last = plan.publication.source
    first = last.ancestry[len(plan.base.source.ancestry) or 1]
    count = len(last.ancestry) - (len(plan.base.source.ancestry) or 1)
    increments = f"increment {first.uri}" if count == 1 else f"{count} increments from {first.uri} to {last.uri}"
    return MergeConflictError(
        f"table {plan.base.table}: the {increments} do{'es' if count == 1 else ''} not fit the snapshot as of "
        f"{iso(plan.base.as_of)}: {what}; nothing was published. They do not belong together, or one of them is "
        f"damaged: look which, and give other increments, or {made_again(plan.base)}; a full export begins anew",
        items=items,
        as_of=iso(plan.base.as_of),
    )


def _still_rescued(kept: Path, dropped: Path, schema: Schema, base: Part) -> dict[str, int]:
    """Return the counts of the rescued values of the rows that are kept of *base*, by path."""
    if not base.rescued:
        return {}
    before, gone = Counter(base.rescued), _rescued(dropped, schema, base)
    # Beyond some number of paths all are counted under one, so that there is nothing to subtract from.
    left = _rescued(kept, schema, base) if "*" in before or not gone <= before else before - gone
    return dict(sorted(left.items()))


def _rescued(path: Path, schema: Schema, base: Part) -> Counter[str]:
    """Return the counts of the rescued values of the rows in *path*, as the builder counts them."""
    builder = RowBuilder(schema)
    for batch in row_batches(path):
        for item in restore(batch.filter(batch.column(RESCUED_COLUMN).is_valid()), schema, base.partition):
            builder.add(item)
        builder.finish()
    return builder.rescued


def _values(source: Path | BinaryIO) -> Mapping[str, int]:
    """Return how many values that are not null the rows in *source* have, by column."""
    values: Counter[str] = Counter()
    for batch in row_batches(source):
        _count_values(batch, values)
    return values


def _count_values(batch: pa.RecordBatch, values: Counter[str]) -> None:
    """Add to *values* how many there are in *batch* that are not null, by column."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values[name] += len(column) - column.null_count
