"""The rows of a column chunk dealt to two chunks, those that stay and those that are gone, page by page.

No value is decoded: a page is uncompressed, its levels and values are dealt as they are encoded, and compressed again.
Dictionaries are copied as they are compressed, and so are pages that no row leaves. Numbers of fields are those of
parquet.thrift.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    read_struct_at,
    write_struct,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Of a ColumnMetaData.
_TYPE, _CODEC, _VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGES, _DICTIONARY_PAGE = 1, 4, 5, 6, 7, 9, 11
_STATISTICS, _PAGE_COUNTS, _SIZES = 12, 13, 16
_META = 3
# Of a PageHeader.
_PAGE_TYPE, _PAGE_UNCOMPRESSED, _PAGE_COMPRESSED, _DATA_HEADER = 1, 2, 3, 5
# Of a DataPageHeader.
_ENTRIES, _ENCODING, _PAGE_STATISTICS = 1, 2, 5
# Of Statistics: those that are bounds at least when rows are gone.
_NULLS, _DISTINCT, _MAX_IS_EXACT, _MIN_IS_EXACT = 3, 4, 7, 8

_BEGIN = b"PAR1"
_DATA_PAGE, _DICTIONARY = 0, 2
_CODECS = {0: None, 1: "snappy", 6: "zstd", 7: "lz4_raw"}
_BOOLEAN, _BYTE_ARRAY = 0, 6
_WIDTHS = {1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8


class UnsplittableError(Exception):
    """The pages are of a kind that is not known here; read and write the rows instead."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a file's schema says of one leaf: its levels, and the bytes of a fixed-length value."""

    max_rep: int
    max_def: int
    width: int


class _Half:
    """A chunk under way."""

    def __init__(self, codec: pa.Codec | None) -> None:
        self._codec = codec
        # As in a file, because the place 0 stands for none.
        self._file = io.BytesIO(_BEGIN)
        self._file.seek(0, io.SEEK_END)
        self._uncompressed = 0
        self._entries = self._nulls = 0
        self._first_data = self._dictionary = -1
        self._pages: Counter[tuple[int, int]] = Counter()

    def add_dictionary(self, header: Struct, page: bytes, uncompressed: int) -> None:
        self._dictionary = self._file.tell()
        encoding = header[7][1][2][1]
        self._append(_DICTIONARY, encoding, (page,), uncompressed)

    def add_page(self, header: Struct, body: bytes, entries: int, nulls: int) -> None:
        """Compress and append a data page of *entries* like the one with *header*."""
        if not entries:
            return
        compressed = body if self._codec is None else self._codec.compress(body)
        data = {**header[_DATA_HEADER][1], _ENTRIES: (I32, entries)}
        data.pop(_PAGE_STATISTICS, None)
        written = write_struct(
            {
                _PAGE_TYPE: (I32, _DATA_PAGE),
                _PAGE_UNCOMPRESSED: (I32, len(body)),
                _PAGE_COMPRESSED: (I32, len(compressed)),
                _DATA_HEADER: (STRUCT, data),
            }
        )
        self.add_whole(data[_ENCODING][1], (written, compressed), len(written) + len(body), entries, nulls)

    def add_whole(self, encoding: int, pieces: Iterable[Buffer], uncompressed: int, entries: int, nulls: int) -> None:
        """Append a data page with its header as it is, given in *pieces*."""
        if self._first_data < 0:
            self._first_data = self._file.tell()
        self._entries += entries
        self._nulls += nulls
        self._append(_DATA_PAGE, encoding, pieces, uncompressed)

    def _append(self, kind: int, encoding: int, pieces: Iterable[Buffer], uncompressed: int) -> None:
        self._pages[kind, encoding] += 1
        self._file.writelines(pieces)
        self._uncompressed += uncompressed

    def chunk(self, like: Chunk) -> Chunk:
        """Return what was added as a chunk of the same column as *like*."""
        meta = dict(like.fields[_META][1])
        meta.pop(_SIZES, None)
        meta |= {
            _VALUES: (I64, self._entries),
            _UNCOMPRESSED: (I64, self._uncompressed),
            _COMPRESSED: (I64, self._file.tell() - len(_BEGIN)),
            _DATA_PAGES: (I64, self._first_data),
        }
        if _STATISTICS in meta:
            statistics = {k: v for k, v in meta[_STATISTICS][1].items() if k != _DISTINCT}
            statistics |= {_NULLS: (I64, self._nulls), _MAX_IS_EXACT: (FALSE, None), _MIN_IS_EXACT: (FALSE, None)}
            meta[_STATISTICS] = STRUCT, statistics
        counts = [
            {1: (I32, kind), 2: (I32, encoding), 3: (I32, count)}
            for (kind, encoding), count in sorted(self._pages.items())
        ]
        meta[_PAGE_COUNTS] = LIST, (STRUCT, counts)
        if self._dictionary >= 0:
            meta[_DICTIONARY_PAGE] = I64, self._dictionary
        return Chunk({**like.fields, _META: (STRUCT, meta)}, self._file)


def split_chunk(kernel: ModuleType, chunk: Chunk, leaf: Leaf, gone: bytes) -> tuple[Chunk, Chunk]:
    """Return the chunk of the rows that stay and the chunk of those that are *gone*, a byte for each row.

    Neither may be all of them. Raises UnsplittableError, and ValueError where the pages are damaged.
    """
    meta: Struct = chunk.fields[_META][1]
    name = _CODECS.get(meta[_CODEC][1], "")
    if not chunk.is_movable or name == "":
        raise UnsplittableError
    codec = None if name is None else pa.Codec(name)
    kept, dropped = _Half(codec), _Half(codec)
    split = kernel.Splitter().split
    body = chunk.read()
    at = row = entries = 0
    while entries < meta[_VALUES][1]:
        header, start = read_struct_at(body, at)
        end = start + header[_PAGE_COMPRESSED][1]
        uncompressed = header[_PAGE_UNCOMPRESSED][1]
        if header[_PAGE_TYPE][1] == _DICTIONARY:
            for half in (kept, dropped):
                half.add_dictionary(header, body[at:end], start - at + uncompressed)
        elif header[_PAGE_TYPE][1] == _DATA_PAGE:
            data: Struct = header[_DATA_HEADER][1]
            count = data[_ENTRIES][1]
            nulls = _known_nulls(data, leaf)
            entries += count
            if nulls is not None and gone.find(1, row, row + count) < 0:
                kept.add_whole(data[_ENCODING][1], (body[at:end],), start - at + uncompressed, count, nulls)
                at, row = end, row + count
                continue
            page = body[start:end] if codec is None else codec.decompress(body[start:end], uncompressed)
            values, width = _values(kernel, meta[_TYPE][1], data[_ENCODING][1], leaf)
            levels = leaf.max_rep, leaf.max_def
            stay, go, row = split(page, count, levels, values, width, gone, row)
            kept.add_page(header, *stay)
            dropped.add_page(header, *go)
        else:
            raise UnsplittableError
        at = end
    return kept.chunk(chunk), dropped.chunk(chunk)


def _known_nulls(data: Struct, leaf: Leaf) -> int | None:
    """Return how many nulls a page has where each of its entries is a row and it says so itself; else None."""
    if leaf.max_rep:
        return None
    if not leaf.max_def:
        return 0
    _, statistics = data.get(_PAGE_STATISTICS, (STRUCT, {}))
    nulls: int | None = statistics.get(_NULLS, (I64, None))[1]
    return nulls


def _values(kernel: ModuleType, physical: int, encoding: int, leaf: Leaf) -> tuple[Any, int]:
    if encoding in (_PLAIN_DICTIONARY, _RLE_DICTIONARY):
        return kernel.INDEXES, 0
    if physical == _BOOLEAN and encoding in (_PLAIN, _RLE):
        return (kernel.BITS if encoding == _PLAIN else kernel.RUN_BITS), 0
    if encoding != _PLAIN or physical == _BOOLEAN:
        raise UnsplittableError
    return (kernel.BYTE_ARRAYS, 0) if physical == _BYTE_ARRAY else (kernel.FIXED, _WIDTHS.get(physical, leaf.width))
