"""Column chunks of columns that are mostly null.

A table of many kinds of items has hundreds of columns, of which an item has a few. pyarrow looks at every null several
times, and sets every column up anew for every row group; here a null costs a bit, and a page is written in one go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.sparse import SparseColumn, sparse_where_mostly_null
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot.parquet_pages import (
    BITS,
    BYTES,
    DECIMALS,
    DOUBLES,
    INTEGERS,
    LARGEST_PAGE,
    Laid,
    compressed_page,
    laid,
    stored,
)
from airflow_provider_ddbexport.core.snapshot.parquet_plain import PlainChunk, chunk_of
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import write_varint

_Page = tuple[bytes, bytes | None, bytes | None]
"""A page, and the lowest and the highest of its values as they are in statistics."""


def sparse_chunk(name: str, column: pa.Array | SparseColumn) -> PlainChunk | None:
    """Return the chunk of the top-level column *name* that is *column* in its row group.

    None where it is for others: where most rows have a value, where values are nested, and where they are long. The
    same values give the same bytes with the compiled part and without.
    """
    if not isinstance(column, SparseColumn):
        column = sparse_where_mostly_null(column)
    if not isinstance(column, SparseColumn):
        return None
    rows, array = len(column), column.values
    values, width = stored(array.type)
    if values is None or (values == BYTES and _data_bytes(array) > LARGEST_PAGE):
        return None
    kernel = _kernel()
    levels = (column.valid.offset, rows, column.valid.buffers()[1])
    page, lowest, highest = (_page if kernel is None else kernel.sparse)(values, width, laid(array), levels)
    written = compressed_page(page, rows, values)
    return chunk_of(name, values, [written], rows=rows, nulls=column.null_count, bounds=(lowest, highest))


def distinct_values(leaf: pa.Array, wanted: int) -> tuple[int, int]:
    """Return how many different values there are among the first *wanted* of *leaf* that are not null, and of how many.

    pyarrow copies the values it counts, which takes as long for long texts as to write them.
    """
    kernel = _kernel()
    values, width = stored(leaf.type)
    if kernel is None or values is None or not len(leaf):
        sample = leaf.drop_null()[:wanted]
        return pc.count_distinct(sample).as_py(), len(sample)
    found: tuple[int, int] = kernel.distinct(values, width, laid(leaf), wanted)
    return found


def _data_bytes(array: pa.Array) -> int:
    if not len(array):
        return 0  # Arrow leaves it open whether there are offsets
    offsets = array.buffers()[1]
    (first,) = struct.unpack_from("<i", offsets, 4 * array.offset)
    (end,) = struct.unpack_from("<i", offsets, 4 * (array.offset + len(array)))
    return int(end - first)


def _page(values: int, width: int, array: Laid, levels: tuple[int, int, Any]) -> _Page:
    """Return what the compiled part does: the size of the levels, a bit for each row, and the values that are there."""
    offset, count, buffers = array
    first, rows, valid = levels
    stored, *more = (memoryview(buffer or b"") for buffer in buffers[1:])

    def value(place: int) -> bytes:
        if values == BYTES:
            start, end = struct.unpack_from("<ii", stored, 4 * place)
            return bytes(more[0][start:end])
        if values == DECIMALS:
            return bytes(stored[16 * place : 16 * place + 16])[::-1][-width:]
        if values == BITS:
            return bytes([stored[place // 8] >> place % 8 & 1])
        return bytes(stored[8 * place : 8 * place + 8])

    bits = memoryview(valid)[first // 8 : (first + rows + 7) // 8]
    packed = (int.from_bytes(bits, "little") >> first % 8 & (1 << rows) - 1).to_bytes((rows + 7) // 8, "little")
    found = [value(place) for place in range(offset, offset + count)]
    run = bytearray()
    write_varint(run, len(packed) << 1 | 1)
    run += packed
    lowest, highest = (best(found, key=_ORDER[values], default=None) for best in (min, max))
    return len(run).to_bytes(4, "little") + run + _plain(values, found), lowest, highest


def _plain(values: int, found: list[bytes]) -> bytes:
    if values == BYTES:
        return b"".join(part for one in found for part in (len(one).to_bytes(4, "little"), one))
    if values == BITS:
        packed = bytearray((len(found) + 7) // 8)
        for number, one in enumerate(found):
            packed[number // 8] |= one[0] << number % 8
        return bytes(packed)
    return b"".join(found)


_ORDER: dict[int, Callable[[bytes], Any]] = {
    BITS: bytes,
    INTEGERS: lambda value: int.from_bytes(value, "little", signed=True),
    DOUBLES: lambda value: struct.unpack("<d", value)[0],
    DECIMALS: lambda value: int.from_bytes(value, "big", signed=True),
    BYTES: bytes,
}

_kernel = partial(load, "_pages")
