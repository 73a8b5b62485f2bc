"""What writers of column chunks share: how values are stored, pages as they are in a file, and statistics.

Of pages that we write ourselves: see :mod:`.parquet_plain`, :mod:`.parquet_sparse` and :mod:`.parquet_leaves`.
"""

from __future__ import annotations

import math
import struct
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_ddbexport.core.snapshot.parquet_footer import LONGEST_BOUND
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    BINARY,
    I32,
    I64,
    STRUCT,
    TRUE,
    write_struct,
    write_varint,
)
from airflow_provider_ddbexport.core.snapshot.parquet_zstd import compress

if TYPE_CHECKING:
    from typing_extensions import Buffer

LARGEST_PAGE = 1 << 20
"""Bytes of the values of a page; a longer value has a page of its own."""

# As sparse.h numbers them.
BITS, INTEGERS, DOUBLES, DECIMALS, BYTES = range(5)
_NUMBERS = (INTEGERS, DOUBLES, DECIMALS)
# As parquet.thrift does: types, encodings, the codec and pages.
TYPES = {BITS: 0, INTEGERS: 2, DOUBLES: 5, DECIMALS: 7, BYTES: 6}
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
ZSTD = 6
DATA_PAGE, DICTIONARY_PAGE = 0, 2

# Fields up to their values, written by hand: there may be hundreds of chunks in every row group. A byte has the step
# from the field before and the type; numbers that are not negative are doubled.
_NEXT_I32 = bytes([1 << 4 | I32])
_HEADERS = {kind: write_struct({1: (I32, kind)})[:-1] + _NEXT_I32 for kind in (DATA_PAGE, DICTIONARY_PAGE)}
_DATA_HEADER = bytes([2 << 4 | STRUCT]) + _NEXT_I32
_DICTIONARY_HEADER = bytes([4 << 4 | STRUCT]) + _NEXT_I32
_LEVELS = 2 * (_NEXT_I32 + bytes([2 * RLE]))
_NULLS = bytes([3 << 4 | I64])
_HIGHEST, _LOWEST = bytes([2 << 4 | BINARY]), bytes([1 << 4 | BINARY])
_BOTH_ARE_EXACT = bytes([1 << 4 | TRUE, 1 << 4 | TRUE])


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


Page = tuple[bytes, bytes, int]
"""The header of a page, the compressed page, and the bytes of both once uncompressed."""


def compressed_page(page: Buffer, entries: int, values: int, encoding: int = PLAIN) -> Page:
    """Return *page*, the levels of so many *entries* and the *values* of those that have one, as it is in a file."""
    return _compressed(DATA_PAGE, page, entries, values, _header(_DATA_HEADER, entries, encoding) + _LEVELS)


def compressed_dictionary(page: Buffer, entries: int, values: int) -> Page:
    """Return *page*, so many *entries*, which are plain *values*, as it is in a file."""
    return _compressed(DICTIONARY_PAGE, page, entries, values, _header(_DICTIONARY_HEADER, entries, PLAIN))


def _header(beginning: bytes, count: int, encoding: int) -> bytes:
    """Return the first two fields of the header of a kind of pages."""
    header = bytearray(beginning)
    write_varint(header, 2 * count)
    header += _NEXT_I32
    header.append(2 * encoding)
    return bytes(header)


def _compressed(kind: int, page: Buffer, entries: int, values: int, about: bytes) -> Page:
    compressed = compress(page, entries, are_numbers=values in _NUMBERS)
    header = bytearray(_HEADERS[kind])
    size = memoryview(page).nbytes
    write_varint(header, 2 * size)
    header += _NEXT_I32
    write_varint(header, 2 * len(compressed))
    header += about + b"\0\0"
    return bytes(header), compressed, len(header) + size


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
