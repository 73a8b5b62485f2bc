"""How the values of parts are written: for readers that scan columns, such as Athena, and quickly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_SAMPLE = 1 << 15
"""Values of a leaf that are looked at to choose its encoding."""

_FEW = 100
"""Values that are too few to tell; a dictionary gives itself up where it does not pay."""

_VALUES_AT_ONCE = 1 << 13
"""Handed to a column's encoder before it looks whether a page is full. pyarrow's 1024 cost columns of little but nulls
a tenth; many more would make pages large that hold long text."""


def part_writer(
    sink: Any, schema: pa.Schema, first: pa.RecordBatch | pa.Table | None = None, sort_by: Sequence[str] = ()
) -> pq.ParquetWriter:
    """Return what writes row groups of *schema* into *sink*, *first* being the first of them.

    Leaves get a dictionary where the values in *first* repeat: there it makes files smaller and filters faster,
    elsewhere it takes a quarter of the time and is given up in the end. The bytes of a column depend on nothing but its
    own values. *sort_by* are columns whose ascending order, nulls last, the file says its rows have.
    """
    order = [(name, "ascending") for name in sort_by]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=True if first is None else _repeating_leaves(first),
        write_batch_size=_VALUES_AT_ONCE,
        sorting_columns=pq.SortingColumn.from_ordering(schema, order, null_placement="at_end") if order else None,
    )


def _repeating_leaves(rows: pa.RecordBatch | pa.Table) -> list[str] | bool:
    leaves = [
        path
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
        for path, leaf in _leaves(name, column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
        if _repeats(leaf)
    ]
    return leaves or False


def _leaves(path: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """Yield the path in Parquet's schema and the values of each leaf of *array*."""
    if pa.types.is_struct(array.type):
        for field, member in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", member)
    elif pa.types.is_map(array.type):
        yield f"{path}.key_value.key", array.keys
        yield from _leaves(f"{path}.key_value.value", array.items)
    elif pa.types.is_list(array.type):
        yield from _leaves(f"{path}.list.element", array.flatten())
    else:
        yield path, array


def _repeats(leaf: pa.Array) -> bool:
    sample = leaf[:_SAMPLE] if not leaf.null_count else leaf.drop_null()[:_SAMPLE]
    return len(sample) < _FEW or pc.count_distinct(sample).as_py() < 0.75 * len(sample)
