"""How the values of parts are written: for readers that scan columns, such as Athena, and quickly."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns.sparse import Batch, SparseColumn, array_of
from airflow_provider_ddbexport.core.snapshot.background import Each, one_by_one
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Movable, read_frame, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_leaves import leaf_chunks
from airflow_provider_ddbexport.core.snapshot.parquet_plain import PlainChunk, plain_chunk
from airflow_provider_ddbexport.core.snapshot.parquet_sparse import distinct_values, sparse_chunk
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import Struct
from airflow_provider_ddbexport.core.snapshot.parquet_zstd import COMPRESSION_LEVEL

_SAMPLE = 1 << 15
"""Values of a leaf that are looked at to choose its encoding."""

_FEW = 100
"""Values that are too few to tell."""

_VALUES_AT_ONCE = 1 << 13
"""Handed to a column's encoder before it looks whether a page is full. pyarrow's 1024 cost columns of little but nulls
a tenth; many more would make pages large that hold long text."""

_MADE_DENSE_AT_ONCE = 1 << 20
"""Values of sparse columns, nulls among them, that pyarrow is handed at once: at most 16 MB."""


class Encoder:
    """Makes column chunks of the row groups of one part.

    Leaves get a dictionary where the values in the first row group repeat: there it makes files smaller and filters
    faster, elsewhere it takes a quarter of the time and is given up in the end. Columns of one level that
    do not repeat are written by :func:`.plain_chunk` where they have no nulls, and by :func:`.sparse_chunk` where they
    have little else; all others by :func:`.leaf_chunks`, or by pyarrow where that cannot. The bytes of a column depend
    on nothing but its own values, so *each* may do several at once.
    """

    def __init__(self, each: Each = one_by_one) -> None:
        self._each = each
        self._repeating: dict[str, bool | None] | None = None

    def chunks(self, rows: Batch) -> list[Movable]:
        """Return the chunks of *rows*, which are one row group, in the order of its schema's leaves."""
        if self._repeating is None:
            self._repeating = _repeating(rows)
        fields, columns = list(rows.schema), dict(zip(rows.schema.names, rows.columns, strict=True))
        # The largest first, so that the last to be done are done at about the same time.
        fields.sort(key=lambda field: columns[field.name].nbytes, reverse=True)
        done = self._each(lambda field: self._own_chunks(field, columns[field.name]), fields)
        by_name = dict(zip((field.name for field in fields), done, strict=True))
        found = {name: by_name[name] for name in columns}
        rest = {name: columns[name] for name, chunks in found.items() if not chunks}
        for names in _few_made_dense(rest):
            fields = pa.schema([rows.schema.field(name) for name in names])
            for chunk in _dense_chunks(rest, fields, _with_dictionary(self._repeating)):
                found[chunk.column].append(chunk)
        return [chunk for chunks in found.values() for chunk in chunks]

    def _own_chunks(self, field: pa.Field, column: pa.Array | SparseColumn) -> list[Movable]:
        repeating = self._repeating or {}
        chunk: PlainChunk | None = None
        repeats = repeating.get(field.name)
        if field.nullable and not repeats:
            chunk = sparse_chunk(field.name, column)
            if chunk is None and repeats is False and isinstance(column, pa.Array):
                chunk = plain_chunk(field.name, column)
        if chunk is not None:
            return [chunk]
        return [*(leaf_chunks(field, column, lambda path: repeating.get(path) is not False) or ())]


def _few_made_dense(columns: Mapping[str, pa.Array | SparseColumn]) -> Iterator[list[str]]:
    """Yield the names of *columns* in such slices that not too many values are made dense in one."""
    names: list[str] = []
    values = 0
    for name, column in columns.items():
        added = len(column) if isinstance(column, SparseColumn) else 0
        if names and values + added > _MADE_DENSE_AT_ONCE:
            yield names
            names, values = [], 0
        names.append(name)
        values += added
    if names:
        yield names


def _dense_chunks(
    columns: Mapping[str, pa.Array | SparseColumn], schema: pa.Schema, dictionary: list[str] | bool
) -> Iterable[Movable]:
    """Return the chunks of those of *columns* that *schema* has, as pyarrow writes them."""
    dense = pa.RecordBatch.from_arrays([array_of(columns[name]) for name in schema.names], schema=schema)
    sink = pa.BufferOutputStream()
    with _writer(sink, schema, dictionary) as writer:
        writer.write_batch(dense, row_group_size=max(1, dense.num_rows))
    return next(row_groups(pa.BufferReader(sink.getvalue()))).chunks


def part_writer(sink: Any, schema: pa.Schema, first: pa.RecordBatch | pa.Table | None = None) -> pq.ParquetWriter:
    """Return pyarrow's writer of row groups of *schema* into *sink*, *first* being the first of them.

    For what is no matter of speed; parts are written by :func:`.open_part`.
    """
    return _writer(sink, schema, True if first is None else _with_dictionary(_repeating(first)))


@lru_cache(maxsize=4)
def frame_of(schema: pa.Schema) -> Struct:
    """Return the footer of a file that says all of *schema*, and has no row group; one for all parts under way."""
    file = io.BytesIO()
    part_writer(file, schema).close()
    return read_frame(file)


def _writer(sink: Any, schema: pa.Schema, dictionary: list[str] | bool) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=dictionary,
        write_batch_size=_VALUES_AT_ONCE,
        # Which lies elsewhere in the file, so that chunks could not be copied.
        write_page_index=False,
    )


def _repeating(rows: Batch | pa.Table) -> dict[str, bool | None]:
    """Return for each leaf whether its values come again and again; None where too few tell."""
    columns = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column for column in rows.columns)
    return {
        path: _repeats(leaf)
        for name, column in zip(rows.schema.names, columns, strict=True)
        for path, leaf in _leaves(name, column)
    }


def _with_dictionary(repeating: Mapping[str, bool | None]) -> list[str] | bool:
    # A dictionary gives itself up where it does not pay.
    return [path for path, repeats in repeating.items() if repeats is not False] or False


def _leaves(path: str, array: pa.Array | SparseColumn) -> Iterator[tuple[str, pa.Array | SparseColumn]]:
    """Yield the path in Parquet's schema and the values of each leaf of *array*."""
    if isinstance(array, SparseColumn):
        yield path, array
    elif pa.types.is_struct(array.type):
        for field, member in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", member)
    elif pa.types.is_map(array.type):
        yield f"{path}.key_value.key", array.keys
        yield from _leaves(f"{path}.key_value.value", array.items)
    elif pa.types.is_list(array.type):
        yield from _leaves(f"{path}.list.element", array.flatten())
    else:
        yield path, array


def _repeats(leaf: pa.Array | SparseColumn) -> bool | None:
    present = len(leaf) - leaf.null_count
    if present < _FEW:
        return None
    # Of a table's hundreds of columns that are mostly null not more is looked at than they have in a few rows.
    values = leaf.values if isinstance(leaf, SparseColumn) else leaf
    distinct, found = distinct_values(values, _SAMPLE if 2 * present > len(leaf) else 5 * _FEW)
    return distinct < 0.75 * found
