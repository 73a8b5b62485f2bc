"""The rows of a column chunk dealt to two chunks, those that stay and those that are gone, page by page.

A page is uncompressed, and the levels and values that stay are compressed again as they are encoded; dictionaries are
copied as they are compressed, and so are pages that no row leaves. The rows that are gone are few and soon read: they
are neither compressed nor do they need a dictionary. Numbers of fields are those of parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot import parquet_zstd
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk, Copy, with_short_bounds
from airflow_provider_ddbexport.core.snapshot.parquet_levels import Leaf
from airflow_provider_ddbexport.core.snapshot.parquet_pages import ZSTD
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    damaged,
    read_struct_at,
    write_struct,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

BYTE_ARRAY = 6
"""Type of texts and bytes."""

# Of a ColumnMetaData.
_TYPE, _ENCODINGS, _CODEC, _VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGES, _DICTIONARY_PAGE = 1, 2, 4, 5, 6, 7, 9, 11
_STATISTICS, _PAGE_COUNTS, _SIZES = 12, 13, 16
_META = 3
# Of a PageHeader.
_PAGE_TYPE, _PAGE_UNCOMPRESSED, _PAGE_COMPRESSED, _DATA_HEADER, _DICTIONARY_HEADER = 1, 2, 3, 5, 7
# Of a DataPageHeader, and the first two of a DictionaryPageHeader.
_ENTRIES, _ENCODING, _DEFINITIONS, _REPETITIONS, _PAGE_STATISTICS = 1, 2, 3, 4, 5
# Of Statistics: those that are bounds at least when rows are gone.
_NULLS, _DISTINCT, _MAX_IS_EXACT, _MIN_IS_EXACT = 3, 4, 7, 8

_DATA_PAGE, _DICTIONARY = 0, 2
_LARGEST_PAGE = (1 << 31) - 1
_UNCOMPRESSED_CODEC = 0
_CODECS = {_UNCOMPRESSED_CODEC: None, 1: "snappy", ZSTD: "zstd", 7: "lz4_raw"}
_BOOLEAN, _INT64 = 0, 2
_WIDTHS = {1: 4, 2: 8, 3: 12, 4: 4, 5: 8, BYTE_ARRAY: 0}
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8
_INDEXES = (_PLAIN_DICTIONARY, _RLE_DICTIONARY)


class UnsplittableError(Exception):
    """The pages are of a kind that is not known here; read and write the rows instead."""


def compiled() -> ModuleType | None:
    """Return the compiled part; None where it was not built."""
    return load("_pages")


@dataclass(frozen=True, slots=True)
class _Page:
    """A data page: where it, its body and the next begin, its body's size, and what its header says."""

    start: int
    body: int
    end: int
    uncompressed: int
    entries: int
    encoding: int
    nulls: int | None


@dataclass(frozen=True, slots=True)
class _DictionaryPage:
    """A dictionary's page as it is in the file behind its header, sizes of that and of the page, and what it says."""

    piece: bytes
    header_size: int
    uncompressed: int
    entries: int
    encoding: int


class OpenChunk:
    """A column chunk of a row group, read, whose pages are uncompressed when they are needed.

    Raises UnsplittableError, and ValueError or SnapshotDamagedError where the pages are damaged. Not for more threads
    than one.
    """

    def __init__(self, kernel: ModuleType, chunk: Chunk, leaf: Leaf, room: Any, *, keeps_pages: bool = False) -> None:
        """*room* is the compiled part's, for any number of chunks of one thread.

        With *keeps_pages* a page is uncompressed once, and takes its memory.
        """
        self._meta: Struct = chunk.fields[_META][1]
        codec = _CODECS.get(self._meta[_CODEC][1], "")
        if not chunk.is_movable or codec == "":
            raise UnsplittableError
        self.column = chunk.column
        """Name of the table's column that it is in."""
        self._chunk = chunk
        self._leaf = leaf
        self._kernel = kernel
        self._codec = codec
        self._kept: dict[int, Buffer] | None = {} if keeps_pages else None
        self._body = chunk.read()
        self._dictionary: _DictionaryPage | None = None
        self._pages = list(self._parsed())
        self.type: int = self._meta[_TYPE][1]
        """Of its values, as Parquet stores them."""
        self.width = _WIDTHS.get(self.type, leaf.width)
        """Bytes of each of them; 0 where they say it themselves."""
        self._splitter = kernel.Splitter(leaf.max_rep, leaf.max_def, self.width, room)
        self._knows_dictionary = False

    def sift(self, sieve: Any, found: bytearray, *, add: bool = False) -> None:
        """Take away the marks in *found*, which has a byte for each row, of those with a value that *sieve* has not.

        To *add*, give *sieve* the values of those that are marked instead.
        """
        if self._leaf.max_rep or self.type == _BOOLEAN:
            raise UnsplittableError
        row = 0
        for page in self._pages:
            body, values = self._unpacked(page)
            row = self._splitter.sift(body, page.entries, values, sieve, add, found, row)

    def split(self, gone: bytes) -> tuple[PickedChunk, PickedChunk]:
        """Return the chunk of the rows that stay and the chunk of those that are *gone*, a byte for each row."""
        kept, dropped = self._kernel.Half(None if self._codec is None else self._compressed), self._kernel.Half(None)
        self._deal(gone, kept, dropped)
        return PickedChunk(self._chunk, kept, self._dictionary, is_alike=True), PickedChunk(self._chunk, dropped)

    def take(self, rows: bytes) -> PickedChunk:
        """Return the chunk of *rows*, a byte for each that there is, alone."""
        taken = self._kernel.Half(None)
        self._deal(rows, None, taken)
        return PickedChunk(self._chunk, taken)

    def values(self, rows: bytes, arrow: pa.DataType) -> pa.Array | None:
        """Return the values of *rows*, a byte for each that there is, of a column of the type *arrow*.

        None where some are null but not all, or that is neither text, bytes nor int64 and they are not all null.
        """
        pages = self.take(rows).pages
        if pages.nulls == pages.entries:
            return pa.nulls(self._kernel.count_marks(rows), arrow)
        if pages.nulls or self._leaf.max_rep or self._leaf.max_def > 1:
            return None
        bodies = pages.pieces[1::2]
        if self.type == BYTE_ARRAY and arrow in (pa.string(), pa.binary()):
            offsets, texts = self._kernel.texts(bodies, self._leaf.max_def > 0, pages.entries)
            return _array(arrow, pages.entries, offsets, texts)
        if self.type == _INT64 and arrow == pa.int64():
            numbers = b"".join(body[_levels_size(body) if self._leaf.max_def else 0 :] for body in bodies)
            if len(numbers) == 8 * pages.entries:
                return _array(arrow, pages.entries, numbers)
        return None

    def _deal(self, gone: bytes, kept: Any, dropped: Any) -> None:
        try:
            self._splitter.split(self._pages, self._body, self._unpacked, gone, kept, dropped)
        except NotImplementedError:
            raise UnsplittableError from None

    def _parsed(self) -> Iterator[_Page]:
        at = entries = 0
        has_no_nulls = _told_nulls(self._meta.get(_STATISTICS)) == 0
        while entries < self._meta[_VALUES][1]:
            header, start = read_struct_at(self._body, at)
            end = start + header[_PAGE_COMPRESSED][1]
            if not start <= end <= len(self._body) or not 0 <= header[_PAGE_UNCOMPRESSED][1] <= _LARGEST_PAGE:
                raise ValueError("malformed page")
            if header[_PAGE_TYPE][1] == _DICTIONARY:
                about: Struct = header[_DICTIONARY_HEADER][1]
                self._dictionary = _DictionaryPage(
                    self._body[at:end],
                    start - at,
                    header[_PAGE_UNCOMPRESSED][1],
                    about[_ENTRIES][1],
                    about[_ENCODING][1],
                )
            elif header[_PAGE_TYPE][1] == _DATA_PAGE:
                data: Struct = header[_DATA_HEADER][1]
                if data[_DEFINITIONS][1] != _RLE or data[_REPETITIONS][1] != _RLE:
                    raise UnsplittableError
                count = data[_ENTRIES][1]
                if count < 0:
                    raise ValueError("malformed page")
                if count > self._meta[_VALUES][1] - entries:
                    # pyarrow reads what the footer tells of them, as if that were all.
                    raise damaged("tells of fewer values than a column's pages have")
                nulls = 0 if has_no_nulls and not self._leaf.max_rep else _known_nulls(data, self._leaf)
                yield _Page(at, start, end, header[_PAGE_UNCOMPRESSED][1], count, data[_ENCODING][1], nulls)
                entries += count
            else:
                raise UnsplittableError
            at = end

    def _unpacked(self, page: _Page) -> tuple[Buffer, int]:
        """Return *page* uncompressed, and how its values are stored."""
        found = None if self._kept is None else self._kept.get(page.start)
        if found is None:
            found = self._uncompressed(memoryview(self._body)[page.body : page.end], page.uncompressed)
            if self._kept is not None:
                self._kept[page.start] = found
        return found, self._values(page)

    def _compressed(self, page: memoryview, entries: int) -> bytes:
        if self._codec == "zstd":
            return parquet_zstd.compress(page, entries, are_numbers=self.width > 0)
        # Bytes, here and below: the memory of pyarrow's buffers goes back to the system with every page.
        packed: bytes = pa.Codec(self._codec).compress(page, asbytes=True)
        return packed

    def _uncompressed(self, packed: memoryview, size: int) -> Buffer:
        if self._codec is None:
            return packed
        if self._codec == "zstd":
            return parquet_zstd.uncompress(packed, size)
        unpacked: bytes = pa.Codec(self._codec).decompress(packed, size, asbytes=True)
        return unpacked

    def _values(self, page: _Page) -> int:
        """Return how the values of *page* are stored, as the compiled part numbers it."""
        kernel = self._kernel
        if page.encoding in _INDEXES:
            self._read_dictionary()
            indexes: int = kernel.INDEXES
            return indexes
        if self.type == _BOOLEAN and page.encoding in (_PLAIN, _RLE):
            bits: int = kernel.BITS if page.encoding == _PLAIN else kernel.RUN_BITS
            return bits
        if page.encoding != _PLAIN or self.type == _BOOLEAN or not (self.width or self.type == BYTE_ARRAY):
            raise UnsplittableError
        plain: int = kernel.FIXED if self.width else kernel.BYTE_ARRAYS
        return plain

    def _read_dictionary(self) -> None:
        if self._knows_dictionary:
            return
        page = self._dictionary
        if page is None:
            raise ValueError("malformed chunk")
        if page.encoding not in (_PLAIN, _PLAIN_DICTIONARY):
            raise UnsplittableError
        # Of nothing but nulls, for which pyarrow does not look at what it is compressed to, either.
        packed = memoryview(page.piece)[page.header_size :]
        values = self._uncompressed(packed, page.uncompressed) if page.uncompressed else b""
        self._splitter.dictionary(values, page.entries)
        self._knows_dictionary = True


@dataclass(frozen=True, slots=True)
class PickedChunk:
    """Some rows of a column chunk, in memory; see :class:`.Movable`.

    Attributes:
        like: the chunk they are of.
        pages: of data, the compiled part's.
        dictionary: the page that lies before them.
        is_alike: whether bodies are compressed as those of *like* are, and values between its bounds; else they are
            not compressed.
    """

    like: Chunk
    pages: Any
    dictionary: _DictionaryPage | None = None
    is_alike: bool = False

    @property
    def column(self) -> str:
        """Name of the table's column that it is in."""
        return self.like.column

    @property
    def size(self) -> int:
        """Bytes of its pages."""
        return int(self.pages.size) + (0 if self.dictionary is None else len(self.dictionary.piece))

    def extend(self, more: PickedChunk) -> None:
        """Add the rows of *more*, of the same leaf in another row group; neither is alike, nor has a dictionary."""
        self.pages.extend(more.pages)

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the pages to *target* and return what its footer has to say of them."""
        start = data = target.tell()
        uncompressed = self.pages.uncompressed
        meta = {number: field for number, field in self.like.fields[_META][1].items() if number != _SIZES}
        pages = {(_DATA_PAGE, encoding): count for encoding, count in self.pages.encodings.items()}
        meta.pop(_DICTIONARY_PAGE, None)
        if self.dictionary is not None:
            target.write(self.dictionary.piece)
            data += len(self.dictionary.piece)
            uncompressed += self.dictionary.header_size + self.dictionary.uncompressed
            pages[_DICTIONARY, self.dictionary.encoding] = 1
            meta[_DICTIONARY_PAGE] = I64, start
        target.writelines(self.pages.pieces)
        if not self.is_alike:
            meta[_CODEC] = I32, _UNCOMPRESSED_CODEC
            meta.pop(_STATISTICS, None)
        if _STATISTICS in meta:
            statistics = {k: v for k, v in meta[_STATISTICS][1].items() if k != _DISTINCT}
            statistics |= {_NULLS: (I64, self.pages.nulls), _MAX_IS_EXACT: (FALSE, None), _MIN_IS_EXACT: (FALSE, None)}
            meta[_STATISTICS] = STRUCT, with_short_bounds(statistics)
        counts = [
            {1: (I32, kind), 2: (I32, encoding), 3: (I32, count)} for (kind, encoding), count in sorted(pages.items())
        ]
        meta |= {
            _ENCODINGS: (LIST, (I32, sorted({_RLE, *(encoding for _, encoding in pages)}))),
            _VALUES: (I64, self.pages.entries),
            _UNCOMPRESSED: (I64, uncompressed),
            _COMPRESSED: (I64, self.size),
            _DATA_PAGES: (I64, data),
            _PAGE_COUNTS: (LIST, (STRUCT, counts)),
        }
        fields = write_struct({**self.like.fields, _META: (STRUCT, meta)})
        return Copy(self.like.path, fields, self.size, uncompressed)


def _array(arrow: pa.DataType, count: int, *buffers: Buffer) -> pa.Array:
    return pa.Array.from_buffers(arrow, count, [None, *map(pa.py_buffer, buffers)])


def _levels_size(body: bytes) -> int:
    return 4 + int.from_bytes(body[:4], "little")


def _known_nulls(data: Struct, leaf: Leaf) -> int | None:
    """Return how many nulls a page has where each of its entries is a row and that is told; else None."""
    if leaf.max_rep:
        return None
    if not leaf.max_def:
        return 0
    return _told_nulls(data.get(_PAGE_STATISTICS))


def _told_nulls(statistics: tuple[int, Struct] | None) -> int | None:
    """Return the count of nulls in the *statistics* of a chunk or a page; None where there is none."""
    nulls: int | None = None if statistics is None else statistics[1].get(_NULLS, (I64, None))[1]
    return nulls
