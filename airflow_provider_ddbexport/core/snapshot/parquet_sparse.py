"""Column chunks of columns that are mostly null.

A table of many kinds of items has hundreds of columns, of which an item has a few. pyarrow looks at every null several
times, and sets every column up anew for every row group; here a null costs a bit, and a page is written in one go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.sparse import SparseColumn, sparse_where_mostly_null
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot.parquet_footer import LONGEST_BOUND, Copy
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    write_struct,
    write_varint,
)

COMPRESSION_LEVEL = 1
"""Of zstd, everywhere in parts."""

_LARGEST_PAGE = 1 << 20

# As sparse.h numbers them.
_BITS, _INTEGERS, _DOUBLES, _DECIMALS, _BYTES = range(5)
# As parquet.thrift does: types, encodings and the codec.
_TYPES = {_BITS: 0, _INTEGERS: 2, _DOUBLES: 5, _DECIMALS: 7, _BYTES: 6}
_PLAIN, _RLE, _ZSTD = 0, 3, 6

# Fields up to their values, written by hand: a table that needs this has hundreds of such chunks in every row group. A
# byte has the step from the field before and the type; numbers that are not negative are doubled.
_NEXT_I32, _NEXT_I64 = bytes([1 << 4 | I32]), bytes([1 << 4 | I64])
_HEADER = write_struct({1: (I32, 0)})[:-1] + _NEXT_I32
_DATA_PAGE = bytes([2 << 4 | STRUCT]) + _NEXT_I32
_PLAIN_WITH_LEVELS = b"".join(_NEXT_I32 + bytes([2 * encoding]) for encoding in (_PLAIN, _RLE, _RLE)) + b"\0\0"
_NULLS = bytes([3 << 4 | I64])
_HIGHEST, _LOWEST = bytes([2 << 4 | BINARY]), bytes([1 << 4 | BINARY])
_BOTH_ARE_EXACT = bytes([1 << 4 | TRUE, 1 << 4 | TRUE])
_DATA_PAGE_OFFSET = bytes([2 << 4 | I64])
_STATISTICS = bytes([3 << 4 | STRUCT])
_ENDS = b"\0\0\0"
"""Of Statistics, ColumnMetaData and ColumnChunk."""

_zstd = pa.Codec("zstd", compression_level=COMPRESSION_LEVEL)

_Page = tuple[bytes, bytes | None, bytes | None]
"""A page, and the lowest and the highest of its values as they are in statistics."""


def sparse_chunk(name: str, column: pa.Array | SparseColumn) -> SparseChunk | None:
    """Return the chunk of the top-level column *name* that is *column* in its row group.

    None where it is for pyarrow: where most rows have a value, where values are nested, and where they are long. The
    same values give the same bytes with the compiled part and without.
    """
    if not isinstance(column, SparseColumn):
        column = sparse_where_mostly_null(column)
    if not isinstance(column, SparseColumn):
        return None
    rows, array = len(column), column.values
    values, width = _stored(array.type)
    if values is None or (values == _BYTES and _data_bytes(array) > _LARGEST_PAGE):
        return None
    kernel = _kernel()
    levels = (column.valid.offset, rows, column.valid.buffers()[1])
    page, lowest, highest = (_page if kernel is None else kernel.sparse)(values, width, _laid_out(array), levels)
    compressed = _zstd.compress(page, asbytes=True)
    header = bytearray(_HEADER)
    write_varint(header, 2 * len(page))
    header += _NEXT_I32
    write_varint(header, 2 * len(compressed))
    header += _DATA_PAGE
    write_varint(header, 2 * rows)
    header += _PLAIN_WITH_LEVELS

    statistics = bytearray(_NULLS)
    write_varint(statistics, 2 * column.null_count)
    if lowest is not None and highest is not None and max(len(lowest), len(highest)) <= LONGEST_BOUND:
        for place, bound in ((_HIGHEST, highest), (_LOWEST, lowest)):
            statistics += place
            write_varint(statistics, len(bound))
            statistics += bound
        statistics += _BOTH_ARE_EXACT
    return SparseChunk(
        name, _TYPES[values], rows, bytes(header) + compressed, len(header) + len(page), bytes(statistics)
    )


def distinct_values(leaf: pa.Array, wanted: int) -> tuple[int, int]:
    """Return how many different values there are among the first *wanted* of *leaf* that are not null, and of how many.

    pyarrow copies the values it counts, which takes as long for long texts as to write them.
    """
    kernel = _kernel()
    values, width = _stored(leaf.type)
    if kernel is None or values is None or not len(leaf):
        sample = leaf.drop_null()[:wanted]
        return pc.count_distinct(sample).as_py(), len(sample)
    found: tuple[int, int] = kernel.distinct(values, width, _laid_out(leaf), wanted)
    return found


@dataclass(frozen=True, slots=True)
class SparseChunk:
    """The values of a column of one level in one row group, as one page.

    Attributes:
        type: Parquet's.
        pages: with their header.
        uncompressed: their bytes once uncompressed.
        statistics: fields of the Statistics.
    """

    column: str
    type: int
    rows: int
    pages: bytes
    uncompressed: int
    statistics: bytes

    @property
    def size(self) -> int:
        """Bytes of its pages."""
        return len(self.pages)

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the page to *target* and return what its footer has to say of it."""
        fields = bytearray(_beginning(self.column, self.type))
        for number in (self.rows, self.uncompressed, self.size):
            fields += _NEXT_I64
            write_varint(fields, 2 * number)
        fields += _DATA_PAGE_OFFSET
        write_varint(fields, 2 * target.tell())
        fields += _STATISTICS + self.statistics + _ENDS
        target.write(self.pages)
        return Copy((self.column,), bytes(fields), self.size, self.uncompressed)


@cache
def _beginning(column: str, parquet_type: int) -> bytes:
    """Return a ColumnChunk up to the codec of its ColumnMetaData."""
    meta = {
        1: (I32, parquet_type),
        2: (LIST, (I32, [_PLAIN, _RLE])),
        3: (LIST, (BINARY, [column.encode()])),
        4: (I32, _ZSTD),
    }
    return write_struct({2: (I64, 0), 3: (STRUCT, meta)})[:-2]


@cache
def _stored(arrow: pa.DataType) -> tuple[int | None, int]:
    """Return how values of *arrow* are stored, None for nested ones, and of a decimal the bytes."""
    if pa.types.is_decimal128(arrow):
        return _DECIMALS, (int(10**arrow.precision - 1).bit_length() + 8) // 8
    known = {
        pa.bool_(): _BITS,
        pa.int64(): _INTEGERS,
        pa.float64(): _DOUBLES,
        pa.string(): _BYTES,
        pa.binary(): _BYTES,
    }
    return known.get(arrow), 0


def _data_bytes(array: pa.Array) -> int:
    if not len(array):
        return 0  # Arrow leaves it open whether there are offsets
    offsets = array.buffers()[1]
    (first,) = struct.unpack_from("<i", offsets, 4 * array.offset)
    (end,) = struct.unpack_from("<i", offsets, 4 * (array.offset + len(array)))
    return int(end - first)


_Array = tuple[int, int, list[Any]]
"""The offset, the length and the buffers of one."""


def _laid_out(array: pa.Array) -> _Array:
    return array.offset, len(array), array.buffers()


def _page(values: int, width: int, array: _Array, levels: tuple[int, int, Any]) -> _Page:
    """Return what the compiled part does: the size of the levels, a bit for each row, and the values that are there."""
    offset, count, buffers = array
    first, rows, valid = levels
    stored, *more = (memoryview(buffer or b"") for buffer in buffers[1:])

    def value(place: int) -> bytes:
        if values == _BYTES:
            start, end = struct.unpack_from("<ii", stored, 4 * place)
            return bytes(more[0][start:end])
        if values == _DECIMALS:
            return bytes(stored[16 * place : 16 * place + 16])[::-1][-width:]
        if values == _BITS:
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
    if values == _BYTES:
        return b"".join(part for one in found for part in (len(one).to_bytes(4, "little"), one))
    if values == _BITS:
        packed = bytearray((len(found) + 7) // 8)
        for number, one in enumerate(found):
            packed[number // 8] |= one[0] << number % 8
        return bytes(packed)
    return b"".join(found)


_ORDER: dict[int, Callable[[bytes], Any]] = {
    _BITS: bytes,
    _INTEGERS: lambda value: int.from_bytes(value, "little", signed=True),
    _DOUBLES: lambda value: struct.unpack("<d", value)[0],
    _DECIMALS: lambda value: int.from_bytes(value, "big", signed=True),
    _BYTES: bytes,
}

_kernel = partial(load, "_pages")
