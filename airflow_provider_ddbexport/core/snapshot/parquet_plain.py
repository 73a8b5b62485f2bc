"""Column chunks of plain pages, which we write ourselves: of columns of one level without nulls here.

Values that do not repeat, long texts above all, are most of what a part holds. pyarrow copies them to an encoder, to a
page and to a file in memory, all of which grow by doubling, in memory that is new for every row group. Here they are
copied to a page and compressed, one page after the other.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Copy
from airflow_provider_ddbexport.core.snapshot.parquet_pages import (
    BYTES,
    DOUBLES,
    INTEGERS,
    LARGEST_PAGE,
    PLAIN,
    RLE,
    TYPES,
    ZSTD,
    Bounds,
    Laid,
    Page,
    compressed_page,
    laid,
    room,
    statistics_of,
    stored,
)
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    write_struct,
    write_varint,
)

# Fields up to their values, as in :mod:`.parquet_pages`.
_NEXT_I64 = bytes([1 << 4 | I64])
_DATA_PAGE_OFFSET = bytes([2 << 4 | I64])
_STATISTICS = bytes([3 << 4 | STRUCT])
_ENDS = b"\0\0\0"
"""Of Statistics, ColumnMetaData and ColumnChunk."""


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
    written = [compressed_page(page, rows, values) for page, rows in pages]
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


def chunk_of(name: str, values: int, pages: Iterable[Page], *, rows: int, nulls: int, bounds: Bounds) -> PlainChunk:
    """Return the chunk of the column *name* that has those *pages*."""
    statistics = statistics_of(values, nulls, bounds)
    *written, sizes = zip(*pages, strict=True)
    pieces = tuple(piece for page in zip(*written, strict=True) for piece in page)
    return PlainChunk(name, TYPES[values], rows, pieces, sum(sizes), statistics)


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
