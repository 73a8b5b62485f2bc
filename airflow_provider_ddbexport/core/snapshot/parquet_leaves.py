"""Column chunks of any leaves, nested ones among them, with a dictionary where values repeat.

pyarrow sets a writer up for every row group, makes an array of the levels of each value, copies the values twice to
number them, and the pages to a file in memory. Here a leaf's levels, numbers and pages are made in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.sparse import SparseColumn
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Copy
from airflow_provider_ddbexport.core.snapshot.parquet_pages import (
    DATA_PAGE,
    DICTIONARY_PAGE,
    LARGEST_PAGE,
    PLAIN,
    RLE,
    RLE_DICTIONARY,
    TYPES,
    ZSTD,
    Page,
    compressed_dictionary,
    compressed_page,
    laid,
    room,
    statistics_of,
    stored,
)
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import BINARY, I32, I64, LIST, STRUCT, Struct, write_struct

Node = tuple[pa.Buffer | None, int, pa.Buffer | None, bool, bool, bool]
"""An array on the way from a column to its leaf, or the leaf, as the compiled part is handed it: the buffer of its
validity, its offset, the buffer of its offsets and whether it is of lists, whether it may be null, and whether it is
sparse."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    """Values of a leaf in a row group, and what is around them."""

    path: tuple[str, ...]
    nodes: list[Node]
    array: pa.Array


def leaf_chunks(
    field: pa.Field, column: pa.Array | SparseColumn, has_dictionary: Callable[[str], bool]
) -> list[LeafChunk] | None:
    """Return the chunks of the leaves of *column*, which is *field* in its row group; None where pyarrow has to.

    That is where the compiled part is not there, where there are no rows, and of types that no part has. A leaf whose
    path *has_dictionary* gets one, unless that were larger than a page.
    """
    kernel = _kernel()
    if kernel is None or not len(column):
        return None
    chunks = []
    for leaf in _leaves(field, column):
        values, width = stored(leaf.array.type)
        if values is None:
            return None
        last = laid(leaf.array), LARGEST_PAGE, has_dictionary(".".join(leaf.path)), room.page
        chunks.append(_chunk(leaf.path, values, kernel.LeafPages(len(column), leaf.nodes, values, width, *last)))
    return chunks


@dataclass(frozen=True, slots=True)
class LeafChunk:
    """The values of a leaf in one row group.

    Attributes:
        type: Parquet's.
        entries: values, nulls, and what ends above them.
        dictionary: its page, if it has one.
        statistics: the Statistics, written.
    """

    path: tuple[str, ...]
    type: int
    entries: int
    dictionary: Page | None
    pages: tuple[Page, ...]
    statistics: bytes

    @property
    def column(self) -> str:
        """Name of the table's column that it is in."""
        return self.path[0]

    @property
    def size(self) -> int:
        """Bytes of its pages."""
        return sum(len(header) + len(body) for header, body, _ in self._all)

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the pages to *target* and return what its footer has to say of them."""
        size, uncompressed = self.size, sum(page_bytes for *_, page_bytes in self._all)
        start = target.tell()
        encoding = PLAIN if self.dictionary is None else RLE_DICTIONARY
        pages = [(DATA_PAGE, encoding, len(self.pages))]
        first = start
        meta: Struct = {}
        if self.dictionary is not None:
            header, body, _ = self.dictionary
            first += len(header) + len(body)
            meta[11] = I64, start
            pages.append((DICTIONARY_PAGE, PLAIN, 1))
        meta |= {
            1: (I32, self.type),
            2: (LIST, (I32, sorted({RLE, *(encoding for _, encoding, _ in pages)}))),
            3: (LIST, (BINARY, [name.encode() for name in self.path])),
            4: (I32, ZSTD),
            5: (I64, self.entries),
            6: (I64, uncompressed),
            7: (I64, size),
            9: (I64, first),
            12: (STRUCT, self.statistics),
            # Readers ask here whether all values are in the dictionary, to skip what is not there.
            13: (LIST, (STRUCT, [{1: (I32, kind), 2: (I32, how), 3: (I32, count)} for kind, how, count in pages])),
        }
        for header, body, _ in self._all:
            target.writelines((header, body))
        return Copy(self.path, write_struct({2: (I64, 0), 3: (STRUCT, meta)}), size, uncompressed)

    @property
    def _all(self) -> Iterator[Page]:
        if self.dictionary is not None:
            yield self.dictionary
        yield from self.pages


def _leaves(field: pa.Field, column: pa.Array | SparseColumn) -> Iterator[_Leaf]:
    if isinstance(column, SparseColumn):
        valid = column.valid
        node = valid.buffers()[1], valid.offset, None, False, field.nullable, True
        yield _Leaf((field.name,), [node], column.values)
    else:
        yield from _leaves_below((field.name,), [], field.nullable, column)


def _leaves_below(path: tuple[str, ...], above: list[Node], nullable: bool, array: pa.Array) -> Iterator[_Leaf]:
    kind = array.type
    buffers = array.buffers()
    is_list = pa.types.is_list(kind) or pa.types.is_map(kind)
    validity, offsets = buffers[0] if array.null_count else None, buffers[1] if is_list else None
    nodes = [*above, (validity, array.offset, offsets, is_list, nullable, False)]
    if pa.types.is_struct(kind):
        for number, field in enumerate(kind):
            yield from _leaves_below((*path, field.name), nodes, field.nullable, array.field(number))
    elif pa.types.is_map(kind):
        yield from _leaves_below((*path, "key_value", "key"), nodes, False, array.keys)
        yield from _leaves_below((*path, "key_value", "value"), nodes, kind.item_field.nullable, array.items)
    elif is_list:
        yield from _leaves_below((*path, "list", "element"), nodes, kind.value_field.nullable, array.values)
    else:
        yield _Leaf(path, nodes, array)


def _chunk(path: tuple[str, ...], values: int, found: Any) -> LeafChunk:
    encoding, dictionary = PLAIN, None
    if found.dictionary is not None:
        encoding, dictionary = RLE_DICTIONARY, compressed_dictionary(found.dictionary, found.different, values)
    pages = tuple(compressed_page(page, entries, values, encoding) for page, entries in found)
    statistics = statistics_of(values, found.nulls, found.bounds) + b"\0"
    return LeafChunk(path, TYPES[values], found.entries, dictionary, pages, statistics)


_kernel = partial(load, "_pages")
