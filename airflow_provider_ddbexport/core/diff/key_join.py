"""The diff of two snapshots by joining their parts by key.

Rows meet in memory, a bucket of keys at a time where all of them do not fit. Pairs that are written alike are the same;
of the others the items are compared. A part that both snapshots have is not read at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import Schema, restore
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.diff.buckets import DEEPEST, FAN_OUT, KEY_COLUMN, Buckets
from airflow_provider_ddbexport.core.diff.changes import Change, ChangeKind, Counts, Take
from airflow_provider_ddbexport.core.diff.rows import rows_that_differ, whole_rows, without_partitions
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.keys import batch_keys
from airflow_provider_ddbexport.core.snapshot.fetch import fetched_part
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError

HELD_BYTES = 64 << 20
"""Bytes of rows of both snapshots that are joined in memory; joining takes a few times as much."""

_BATCH_ROWS = 16_384
"""Rows read at once, of one row group: those are bounded in bytes by whoever wrote them."""

_ITEM_ROWS = 128
"""Rows made items at once: an item has at most 400 KB."""

OnRows = Callable[[int], None]
"""Told how many rows were read since it was told last."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two snapshots."""

    record: CommitRecord
    parts: Sequence[int]
    schema: Schema
    """Of the rows, which have the columns of the path as well."""


def join_by_key(
    table_store: ObjectStore,
    old: CommitRecord,
    new: CommitRecord,
    key: Sequence[str],
    *,
    take: Take | None = None,
    on_rows: OnRows | None = None,
) -> Counts:
    """Return how the items of *new* differ from those of *old*, and give each change to *take*, in any order.

    *key* are the attributes of the table's key. Items are compared as items: with numbers as decimals and sets as sets,
    whatever columns the two snapshots have. Memory does not grow with the snapshots; temporary files take about the
    size of both as Arrow compresses them, unless they are small.

    Raises BadCallError when an item lacks *key* or two items of one snapshot have the same; SnapshotDamagedError.
    """
    counts = Counts()
    shared = _shared(old, new)
    sides = []
    for record in (old, new):
        left = Counter(shared)
        parts = []
        for number, part in enumerate(record.parts):
            if left[part.sha256, part.partition]:
                left[part.sha256, part.partition] -= 1
            else:
                parts.append(number)
        sides.append(_Side(record, parts, without_partitions(record.schema)))
    read = sum(old.parts[number].rows for number in sides[0].parts)
    counts.unchanged = old.rows - read
    if on_rows is not None and counts.unchanged:
        on_rows(2 * counts.unchanged)
    with workplace() as folder:
        join = _Join(sides[0], sides[1], key, counts, take)
        join.run(
            _rows(table_store, sides[0], key, on_rows),
            _rows(table_store, sides[1], key, on_rows),
            folder / "rows",
        )
    return counts


def _shared(old: CommitRecord, new: CommitRecord) -> Counter[tuple[str, tuple[str | None, ...]]]:
    """Return what parts both snapshots have, by contents and partition."""
    old_parts, new_parts = (Counter((part.sha256, part.partition) for part in record.parts) for record in (old, new))
    return old_parts & new_parts


def _rows(
    table_store: ObjectStore, side: _Side, key: Sequence[str], on_rows: OnRows | None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *side* with their keys, part by part."""
    for number in side.parts:
        part = side.record.parts[number]
        with (
            fetched_part(table_store, side.record, number) as file,
            pq.ParquetFile(file, pre_buffer=False) as parquet,
        ):
            for group in range(parquet.num_row_groups):
                for batch in parquet.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
                    rows = whole_rows(batch, side.record.schema, part.partition)
                    keys = batch_keys(rows, side.schema, key)
                    if keys.null_count:
                        raise BadCallError(
                            f"key: {keys.null_count} items of part {number + 1} of the snapshot as of "
                            f"{iso(side.record.as_of)} have no {' and '.join(map(repr, key))} that is a string, number "
                            "or binary; give the attributes of the table's key",
                            as_of=iso(side.record.as_of),
                        )
                    yield rows.append_column(KEY_COLUMN, keys)
                    if on_rows is not None:
                        on_rows(batch.num_rows)


class _Join:
    def __init__(self, old: _Side, new: _Side, key: Sequence[str], counts: Counts, take: Take | None) -> None:
        self._old = old
        self._new = new
        self._key = key
        self._counts = counts
        self._take = take

    def run(self, old: Iterator[pa.RecordBatch], new: Iterator[pa.RecordBatch], folder: Path, level: int = 0) -> None:
        """Join the rows of both, through *folder* if they are many."""
        held: tuple[list[pa.RecordBatch], list[pa.RecordBatch]] = ([], [])
        held_bytes = 0
        for batches, kept in zip((old, new), held, strict=True):
            for batch in batches:
                kept.append(batch)
                held_bytes += batch.nbytes
                if held_bytes > HELD_BYTES and level < DEEPEST:
                    self._deal(chain(held[0], old), chain(held[1], new), folder, level)
                    return
        self._compare(_one(held[0]), _one(held[1]))

    def _deal(self, old: Iterable[pa.RecordBatch], new: Iterable[pa.RecordBatch], folder: Path, level: int) -> None:
        folder.mkdir()
        with Buckets(folder / "old", level) as old_buckets:
            for batch in old:
                old_buckets.add(batch)
        with Buckets(folder / "new", level) as new_buckets:
            for batch in new:
                new_buckets.add(batch)
        for number in range(FAN_OUT):
            self.run(old_buckets.read(number), new_buckets.read(number), folder / f"{number:02d}", level + 1)

    def _compare(self, old: pa.RecordBatch | None, new: pa.RecordBatch | None) -> None:
        """Find the changes among rows that are in memory."""
        self._require_distinct(self._old, old)
        self._require_distinct(self._new, new)
        if old is None or new is None:
            self._removed(old)
            self._added(new)
            return
        in_old = pc.index_in(new[KEY_COLUMN], value_set=old[KEY_COLUMN])
        self._removed(old.filter(pc.invert(pc.is_in(old[KEY_COLUMN], value_set=new[KEY_COLUMN]))))
        self._added(new.filter(in_old.is_null()))
        self._paired(old.take(in_old.drop_null()), new.filter(in_old.is_valid()))

    def _require_distinct(self, side: _Side, rows: pa.RecordBatch | None) -> None:
        distinct = 0 if rows is None else pc.count_distinct(rows[KEY_COLUMN]).as_py()
        if rows is not None and distinct != rows.num_rows:
            raise BadCallError(
                f"key: in the snapshot as of {iso(side.record.as_of)}, several items have the same "
                f"{' and '.join(map(repr, self._key))}; give all attributes of the table's key",
                as_of=iso(side.record.as_of),
            )

    def _removed(self, rows: pa.RecordBatch | None) -> None:
        if rows is not None:
            self._counts.removed += rows.num_rows
            if self._take is not None:
                for item in _items(rows, self._old):
                    self._take(Change(ChangeKind.REMOVED, item, None))

    def _added(self, rows: pa.RecordBatch | None) -> None:
        if rows is not None:
            self._counts.added += rows.num_rows
            if self._take is not None:
                for item in _items(rows, self._new):
                    self._take(Change(ChangeKind.ADDED, None, item))

    def _paired(self, old: pa.RecordBatch, new: pa.RecordBatch) -> None:
        differ = rows_that_differ(old.drop_columns([KEY_COLUMN]), new.drop_columns([KEY_COLUMN]))
        self._counts.unchanged += old.num_rows
        pairs = zip(_items(old.filter(differ), self._old), _items(new.filter(differ), self._new), strict=True)
        for old_item, new_item in pairs:
            if not is_same_item(old_item, new_item):
                self._counts.unchanged -= 1
                self._counts.changed += 1
                if self._take is not None:
                    self._take(Change(ChangeKind.CHANGED, old_item, new_item))


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch | None:
    """Return *batches* as one; None for none."""
    if not batches:
        return None
    whole = pa.Table.from_batches(batches).combine_chunks().to_batches()
    batches.clear()
    return whole[0] if whole else None


def _items(rows: pa.RecordBatch, side: _Side) -> Iterator[Item]:
    for start in range(0, rows.num_rows, _ITEM_ROWS):
        yield from restore(rows.slice(start, _ITEM_ROWS), side.schema)
