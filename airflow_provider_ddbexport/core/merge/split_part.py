"""A part dealt to two files: the rows that stay and the rows that are gone."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.merge.changed_keys import Found
from airflow_provider_ddbexport.core.merge.split_pages import Leaf, UnsplittableError, split_chunk
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import part_writer
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, Chunk, RowGroup, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import I64

Find = Callable[[pa.RecordBatch], Found | None]

_ROWS_AT_ONCE = 1 << 20
"""Rows whose keys are looked up in one go: each look-up costs as much as a hundred thousand rows before it begins."""

_BYTES_AT_ONCE = 64 << 20
"""Of their keys and rescued values in the file, uncompressed: a row group more, at most."""

_GROUP_ROWS = 3
"""num_rows of a RowGroup."""


@dataclass(frozen=True, slots=True)
class Split:
    """What became of a part's rows.

    Attributes:
        rows: that stay.
        keys: of those that are gone, in their order.
    """

    rows: int
    keys: pa.BinaryArray


def split_part(source: Path, find: Find, columns: list[str], kept: Path, gone: Path) -> Split | None:
    """Make *kept* a part of the rows of *source* that stay and *gone* one of those that *find* finds; order is kept.

    *find* is given *columns* of it. None where it finds nothing; then nothing is written. Row groups that lose nothing
    are copied as bytes. At most one row group is in memory, and *columns* of a million rows, or of fewer large ones.
    Raises pyarrow.ArrowInvalid, ValueError or SnapshotDamagedError where *source* is no whole Parquet file.
    """
    with pq.ParquetFile(source, pre_buffer=False) as parquet:
        found = list(_found(parquet, find, columns))
        keys = [one.keys for _, _, one in found]
        if not keys:
            return None
        masks = {number: mask for numbers, rows, one in found for number, mask in _by_group(numbers, rows, one.mask)}
        with source.open("rb") as old, kept.open("wb") as stays, gone.open("wb") as goes:
            frame = _file_of(parquet.schema_arrow)
            halves = Assembly(stays, frame), Assembly(goes, frame)
            leaves = [_leaf(parquet.schema.column(number)) for number in range(len(parquet.schema))]
            for number, group in enumerate(row_groups(old)):
                mask = masks.get(number)
                parts = (group, None) if mask is None else _split_group(parquet, number, group, leaves, mask)
                for half, part in zip(halves, parts, strict=True):
                    if part is not None:
                        half.add(part, part.chunks, group.sorted_by)
            for half in halves:
                half.finish()
        all_keys = pa.concat_arrays(keys)
        return Split(parquet.metadata.num_rows - len(all_keys), all_keys)


def _found(parquet: pq.ParquetFile, find: Find, columns: list[str]) -> Iterator[tuple[list[int], list[int], Found]]:
    """Yield row groups, how many rows each has, and what is found in them, where anything is."""
    numbers: list[int] = []
    rows: list[int] = []
    size = 0
    groups = parquet.metadata.num_row_groups
    for number in range(groups):
        numbers.append(number)
        rows.append(parquet.metadata.row_group(number).num_rows)
        size += _bytes_of(parquet.metadata.row_group(number), columns)
        if sum(rows) >= _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE or number == groups - 1:
            table = parquet.read_row_groups(numbers, columns, use_threads=False)
            (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
            one = find(batch)
            if one is not None:
                yield numbers, rows, one
            numbers, rows, size = [], [], 0


def _bytes_of(group: pq.RowGroupMetaData, columns: list[str]) -> int:
    """Return the size of *columns* in *group*, uncompressed."""
    leaves = map(group.column, range(group.num_columns))
    return sum(leaf.total_uncompressed_size for leaf in leaves if leaf.path_in_schema.split(".")[0] in columns)


def _by_group(numbers: list[int], rows: list[int], mask: pa.BooleanArray) -> Iterator[tuple[int, pa.BooleanArray]]:
    start = 0
    for number, count in zip(numbers, rows, strict=True):
        here = mask.slice(start, count)
        if here.true_count:
            yield number, here
        start += count


def _split_group(
    parquet: pq.ParquetFile, number: int, group: RowGroup, leaves: list[Leaf], mask: pa.BooleanArray
) -> tuple[RowGroup | None, RowGroup | None]:
    gone = mask.true_count
    if gone == group.rows:
        return None, group
    try:
        chunks = _split_chunks(group, leaves, mask)
    except UnsplittableError:
        table = parquet.read_row_group(number, use_threads=False)
        return _written(table.filter(pc.invert(mask))), _written(table.filter(mask))
    kept, dropped = ({**group.fields, _GROUP_ROWS: (I64, rows)} for rows in (group.rows - gone, gone))
    return RowGroup(kept, tuple(one for one, _ in chunks)), RowGroup(dropped, tuple(other for _, other in chunks))


def _split_chunks(group: RowGroup, leaves: list[Leaf], mask: pa.BooleanArray) -> list[tuple[Chunk, Chunk]]:
    kernel = _kernel()
    if kernel is None:
        raise UnsplittableError
    marks = mask.cast(pa.uint8())
    gone = marks.buffers()[1].slice(marks.offset, len(marks)).to_pybytes()
    return [split_chunk(kernel, chunk, leaf, gone) for chunk, leaf in zip(group.chunks, leaves, strict=True)]


def _written(table: pa.Table) -> RowGroup:
    return next(row_groups(_file_of(table.schema, table)))


def _file_of(schema: pa.Schema, rows: pa.Table | None = None) -> io.BytesIO:
    """Return a file in memory with *rows* as its one row group, or without any."""
    file = io.BytesIO()
    with part_writer(file, schema, rows) as writer:
        if rows is not None:
            writer.write_table(rows, row_group_size=rows.num_rows)
    return file


def _leaf(column: pq.ColumnSchema) -> Leaf:
    return Leaf(column.max_repetition_level, column.max_definition_level, column.length or 0)


@cache
def _kernel() -> ModuleType | None:
    try:
        return importlib.import_module("airflow_provider_ddbexport.core.compiled._pages")
    except ImportError:
        return None
