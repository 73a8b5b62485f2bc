"""Finished parts under a wider schema: only the columns that change are written anew."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns.sparse import SparseBatch, SparseColumn
from airflow_provider_ddbexport.core.columns.widen import widened
from airflow_provider_ddbexport.core.snapshot.hashed_file import HashedFile
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import Encoder, frame_of
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, Movable, RowGroup, SortedBy, row_groups


def widen_part(source: BinaryIO, target: Path, schema: pa.Schema, sort_by: Sequence[str] = ()) -> str:
    """Make *target* the part that *source* would be, byte for byte, had its rows been written under *schema*;
    return its sha256, in hex.

    Columns that *source* lacks are null, and so are those that are null there, whatever their type; numbers and fields
    of structs get wider types and more fields, as :func:`.widened` does; of the other columns those that *schema* has
    are copied as they lie there. At most one row group's changed columns are in memory. Whether the rows are right
    under *schema* is the caller's to know, from :func:`.can_widen`. Rows that are sorted by those columns of *sort_by*
    that *source* has are sorted by all of them.

    A row group whose columns have indexes or filters beside them is written anew as a whole. Raises
    SnapshotDamagedError or pyarrow.ArrowInvalid where *source* is no whole Parquet file, BadCallError or
    pyarrow.ArrowInvalid where *schema* has no room for a value.
    """
    sha256 = hashlib.sha256()
    with (
        HashedFile(target, "wb", sha256) as new,
        pq.ParquetFile(source, pre_buffer=False) as parquet,
    ):
        narrow = parquet.schema_arrow
        assembly = Assembly(new, frame_of(schema))
        encoder = Encoder()
        names = set(schema.names)
        for number, group in enumerate(row_groups(source)):
            changed = _changed(group, narrow, schema)
            kept = names - changed
            chunks: list[Movable] = [chunk for chunk in group.chunks if chunk.column in kept]
            if changed:
                old_columns = [name for name in narrow.names if name in changed]
                columns = parquet.read_row_group(number, old_columns, use_threads=False)
                fields = pa.schema([field for field in schema if field.name in changed])
                chunks += encoder.chunks(_under(fields, columns, group.rows))
            assembly.add(group, _in_order(chunks, schema), _sorted_by(group, narrow, schema, sort_by))
        assembly.finish()
    return sha256.hexdigest()


def _changed(group: RowGroup, narrow: pa.Schema, wide: pa.Schema) -> set[str]:
    """Return the names of the columns to write anew."""
    if not all(chunk.is_movable for chunk in group.chunks):
        return set(wide.names)
    types = dict(zip(narrow.names, narrow.types, strict=True))
    return {field.name for field in wide if types.get(field.name) != field.type}


def _under(fields: pa.Schema, columns: pa.Table, rows: int) -> SparseBatch:
    """Return *columns* under *fields*, those that are not among them, or have no value, as nulls."""
    have = {name for name in columns.column_names if columns.column(name).null_count < rows}
    wide = [
        widened(columns.column(field.name).combine_chunks(), field.type)
        if field.name in have
        else _nulls(rows, field.type)
        for field in fields
    ]
    return SparseBatch(fields, rows, wide)


def _nulls(rows: int, arrow: pa.DataType) -> pa.Array | SparseColumn:
    if pa.types.is_nested(arrow) or not rows:
        return pa.nulls(rows, arrow)
    # Not of Python values: with the first of those pyarrow imports pandas, which takes longer than widening a part.
    no_bits = pa.py_buffer(bytes((rows + 7) // 8))
    return SparseColumn(pa.BooleanArray.from_buffers(pa.bool_(), rows, [None, no_bits]), pa.nulls(0, arrow))


def _in_order(chunks: Iterable[Movable], schema: pa.Schema) -> list[Movable]:
    """Return *chunks* in the order of the columns of *schema*; those of one column are in order already."""
    place = {name: number for number, name in enumerate(schema.names)}
    return sorted(chunks, key=lambda chunk: place[chunk.column])


def _sorted_by(group: RowGroup, narrow: pa.Schema, wide: pa.Schema, sort_by: Sequence[str]) -> list[SortedBy]:
    """Return by what the rows are sorted under *wide*, where numbers that become text have another order."""

    def keeps_order(by: SortedBy) -> bool:
        return narrow.field(by.column).type == wide.field(by.column).type or not pa.types.is_string(
            wide.field(by.column).type
        )

    kept = list(itertools.takewhile(keeps_order, group.sorted_by))
    # By a column of nothing but nulls all rows are sorted.
    if [by.column for by in kept] == [name for name in sort_by if name in narrow.names]:
        return [SortedBy.ascending(name) for name in sort_by if name in wide.names]
    return kept
