"""Column chunks of plain pages, which we write ourselves: of columns of one level without nulls here.

Values that do not repeat, long texts above all, are most of what a part holds. pyarrow copies them to an encoder, to a
page and to a file in memory, all of which grow by doubling, in memory that is new for every row group. Here they are
copied to a page and compressed, one page after the other.
"""

from __future__ import annotations

import bisect
import math
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

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

if TYPE_CHECKING:
    from typing_extensions import Buffer

COMPRESSION_LEVEL = 1
"""Of zstd, everywhere in parts."""

LARGEST_PAGE = 1 << 20
"""Bytes of the values of a page; a longer value has a page of its own."""

# As sparse.h numbers them.
BITS, INTEGERS, DOUBLES, DECIMALS, BYTES = range(5)
# As parquet.thrift does: types, encodings, the codec and pages.
TYPES = {BITS: 0, INTEGERS: 2, DOUBLES: 5, DECIMALS: 7, BYTES: 6}
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
ZSTD = 6
DATA_PAGE, DICTIONARY_PAGE = 0, 2

# Fields up to their values, written by hand: a table that needs this has hundreds of such chunks in every row group. A
# byte has the step from the field before and the type; numbers that are not negative are doubled.
_NEXT_I32, _NEXT_I64 = bytes([1 << 4 | I32]), bytes([1 << 4 | I64])
_HEADERS = {kind: write_struct({1: (I32, kind)})[:-1] + _NEXT_I32 for kind in (DATA_PAGE, DICTIONARY_PAGE)}
_DATA_HEADER = bytes([2 << 4 | STRUCT]) + _NEXT_I32
_DICTIONARY_HEADER = bytes([4 << 4 | STRUCT]) + _NEXT_I32
_LEVELS = 2 * (_NEXT_I32 + bytes([2 * RLE]))
_NULLS = bytes([3 << 4 | I64])
_HIGHEST, _LOWEST = bytes([2 << 4 | BINARY]), bytes([1 << 4 | BINARY])
_BOTH_ARE_EXACT = bytes([1 << 4 | TRUE, 1 << 4 | TRUE])
_DATA_PAGE_OFFSET = bytes([2 << 4 | I64])
_STATISTICS = bytes([3 << 4 | STRUCT])
_ENDS = b"\0\0\0"
"""Of Statistics, ColumnMetaData and ColumnChunk."""

_zstd = pa.Codec("zstd", compression_level=COMPRESSION_LEVEL)


class _Room(threading.local):
    """Where each thread makes its pages."""

    def __init__(self) -> None:
        self.page = bytearray()


room = _Room()
"""Of each thread."""

Bounds = tuple[bytes | None, bytes | None]
"""The lowest and the highest of some values as they are in statistics."""

Laid = tuple[int, int, list[Any]]
"""The offset, the length and the buffers of an array."""


def plain_chunk(name: str, array: pa.Array) -> PlainChunk | None:
    """Return the chunk of the top-level column *name* that is *array* in its row group; its schema may allow for nulls.

    None where it is for others to write: where a row has no value, where values are nested, booleans and decimals. The
    same values give the same bytes with the compiled part and without.
    """
    values, width = stored(array.type)
    if values not in (INTEGERS, DOUBLES, BYTES) or array.null_count or not len(array):
        return None
    kernel = _kernel()
    make = _PlainPages if kernel is None else kernel.PlainPages
    pages = make(values, width, laid(array), LARGEST_PAGE, room.page)
    written = [compressed_page(page, rows) for page, rows in pages]
    return chunk_of(name, values, written, rows=len(array), nulls=0, bounds=pages.bounds)


@dataclass(frozen=True, slots=True)
class PlainChunk:
    """The values of a column of one level in one row group.

    Attributes:
        type: Parquet's.
        pages: a header and a page, and so on.
        uncompressed: their bytes once uncompressed.
        statistics: fields of the Statistics.
    """

    column: str
    type: int
    rows: int
    pages: tuple[bytes, ...]
    uncompressed: int
    statistics: bytes

    @property
    def size(self) -> int:
        """Bytes of its pages."""
        return sum(map(len, self.pages))

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the pages to *target* and return what its footer has to say of them."""
        fields = bytearray(_beginning(self.column, self.type))
        for number in (self.rows, self.uncompressed, self.size):
            fields += _NEXT_I64
            write_varint(fields, 2 * number)
        fields += _DATA_PAGE_OFFSET
        write_varint(fields, 2 * target.tell())
        fields += _STATISTICS + self.statistics + _ENDS
        target.writelines(self.pages)
        return Copy((self.column,), bytes(fields), self.size, self.uncompressed)


Page = tuple[bytes, bytes, int]
"""The header of a page, the compressed page, and the bytes of both once uncompressed."""


def compressed_page(page: Buffer, entries: int, encoding: int = PLAIN) -> Page:
    """Return *page*, the levels of so many *entries* and the values of those that have one, as it is in a file."""
    return _compressed(DATA_PAGE, page, _header(_DATA_HEADER, entries, encoding) + _LEVELS)


def compressed_dictionary(page: Buffer, values: int) -> Page:
    """Return *page*, so many plain *values*, as it is in a file."""
    return _compressed(DICTIONARY_PAGE, page, _header(_DICTIONARY_HEADER, values, PLAIN))


def _header(beginning: bytes, count: int, encoding: int) -> bytes:
    """Return the first two fields of the header of a kind of pages."""
    header = bytearray(beginning)
    write_varint(header, 2 * count)
    header += _NEXT_I32
    header.append(2 * encoding)
    return bytes(header)


def _compressed(kind: int, page: Buffer, about: bytes) -> Page:
    compressed = _zstd.compress(page, asbytes=True)
    header = bytearray(_HEADERS[kind])
    size = memoryview(page).nbytes
    write_varint(header, 2 * size)
    header += _NEXT_I32
    write_varint(header, 2 * len(compressed))
    header += about + b"\0\0"
    return bytes(header), compressed, len(header) + size


def chunk_of(name: str, values: int, pages: Iterable[Page], *, rows: int, nulls: int, bounds: Bounds) -> PlainChunk:
    """Return the chunk of the column *name* that has those *pages*."""
    statistics = statistics_of(values, nulls, bounds)
    *written, sizes = zip(*pages, strict=True)
    pieces = tuple(piece for page in zip(*written, strict=True) for piece in page)
    return PlainChunk(name, TYPES[values], rows, pieces, sum(sizes), statistics)


def statistics_of(values: int, nulls: int, bounds: Bounds) -> bytes:
    """Return the fields of the Statistics of a chunk."""
    statistics = bytearray(_NULLS)
    write_varint(statistics, 2 * nulls)
    lowest, highest = _of_doubles(bounds) if values == DOUBLES else bounds
    if lowest is not None and highest is not None and max(len(lowest), len(highest)) <= LONGEST_BOUND:
        for place, bound in ((_HIGHEST, highest), (_LOWEST, lowest)):
            statistics += place
            write_varint(statistics, len(bound))
            statistics += bound
        statistics += _BOTH_ARE_EXACT
    return bytes(statistics)


def _of_doubles(bounds: Bounds) -> Bounds:
    """Return *bounds* as parquet.thrift asks for: none where one is no number, and both zeroes within them."""
    lowest, highest = bounds
    if lowest is None or highest is None:
        return bounds
    (low,), (high,) = struct.unpack("<d", lowest), struct.unpack("<d", highest)
    if math.isnan(low) or math.isnan(high):
        return None, None
    return struct.pack("<d", low or -0.0), struct.pack("<d", high or 0.0)


@cache
def _beginning(column: str, parquet_type: int) -> bytes:
    """Return a ColumnChunk up to the codec of its ColumnMetaData."""
    meta = {
        1: (I32, parquet_type),
        2: (LIST, (I32, [PLAIN, RLE])),
        3: (LIST, (BINARY, [column.encode()])),
        4: (I32, ZSTD),
    }
    return write_struct({2: (I64, 0), 3: (STRUCT, meta)})[:-2]


@cache
def stored(arrow: pa.DataType) -> tuple[int | None, int]:
    """Return how values of *arrow* are stored, None for nested ones, and of a decimal the bytes."""
    if pa.types.is_decimal128(arrow):
        return DECIMALS, (int(10**arrow.precision - 1).bit_length() + 8) // 8
    known = {
        pa.bool_(): BITS,
        pa.int64(): INTEGERS,
        pa.float64(): DOUBLES,
        pa.string(): BYTES,
        pa.binary(): BYTES,
    }
    return known.get(arrow), 0


def laid(array: pa.Array) -> Laid:
    """Return *array* as the compiled part is handed it."""
    return array.offset, len(array), array.buffers()


class _PlainPages:
    """What the compiled part has by that name."""

    def __init__(self, values: int, _width: int, array: Laid, most: int, _room: bytearray) -> None:
        offset, rows, buffers = array
        self._arrow = {INTEGERS: pa.int64(), DOUBLES: pa.float64(), BYTES: pa.binary()}[values]
        self._array = pa.Array.from_buffers(self._arrow, rows, [None, *buffers[1:]], 0, offset)
        self._most = most

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        row, rows = 0, len(self._array)
        while row < rows:
            ends = range(row + 2, rows + 1)
            end = row + 1 + bisect.bisect_right(ends, self._most, key=partial(self._bytes, row))
            count = bytearray()
            write_varint(count, (end - row) << 1)
            levels = bytes(count) + b"\1"
            yield len(levels).to_bytes(4, "little") + levels + self._plain(self._array[row:end]), end - row
            row = end

    def _bytes(self, row: int, end: int) -> int:
        if self._arrow != pa.binary():
            return 8 * (end - row)
        at = 4 * self._array.offset
        offsets = self._array.buffers()[1]
        (first,), (last,) = (struct.unpack_from("<i", offsets, at + 4 * place) for place in (row, end))
        return int(4 * (end - row) + last - first)

    def _plain(self, values: pa.Array) -> bytes:
        if self._arrow != pa.binary():
            start = 8 * values.offset
            return bytes(memoryview(values.buffers()[1])[start : start + 8 * len(values)])
        sizes = pa.Array.from_buffers(pa.binary(4), len(values), [None, pc.binary_length(values).buffers()[1]])
        joined = pc.binary_join_element_wise(sizes.cast(pa.binary()), values, b"")
        return bytes(joined.buffers()[2])

    @property
    def bounds(self) -> Bounds:
        values = self._array.to_pylist()
        lowest, highest = min(values), max(values)
        if self._arrow == pa.binary():
            return lowest, highest
        pack = struct.Struct("<q" if self._arrow == pa.int64() else "<d").pack
        return pack(lowest), pack(highest)


_kernel = partial(load, "_pages")
