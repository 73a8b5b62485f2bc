"""The footer of a Parquet file, and the column chunks it speaks of, as bytes that can be put into another file.

Where a thing lies in a file is said in the footer and nowhere else, so a column chunk that is copied is right as soon
as the footer of the other file says where it is. Numbers of fields are those of parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from airflow_provider_ddbexport.core.snapshot.parquet_thrift import (
    FALSE,
    I32,
    I64,
    LIST,
    STRUCT,
    Struct,
    damaged,
    read_struct,
    read_structs,
    write_struct,
)

_MAGIC = b"PAR1"
_TAIL_BYTES = 8

# Of a FileMetaData.
_FILE_ROWS, _ROW_GROUPS = 3, 4
# Of a RowGroup.
_CHUNKS, _TOTAL_BYTES, _GROUP_ROWS, _SORTING, _OFFSET, _COMPRESSED_BYTES = 1, 2, 3, 4, 5, 6
# Of a SortingColumn.
_LEAF, _DESCENDING, _NULLS_FIRST = 1, 2, 3
# Of a ColumnChunk.
_META = 3
# Of a ColumnMetaData.
_TYPE, _PATH, _VALUES, _UNCOMPRESSED, _COMPRESSED, _DATA_PAGES, _DICTIONARY_PAGE, _STATISTICS = 1, 3, 5, 6, 7, 9, 11, 12
# Of a Statistics.
_NULLS, _HIGHEST, _LOWEST = 3, 5, 6
_BOUNDS, _EXACTNESS = (1, 2, _HIGHEST, _LOWEST), (7, 8)

_IN_PLACE_CHUNK = frozenset({2, _META})
_IN_PLACE_META = frozenset(
    {_TYPE, 2, _PATH, 4, _VALUES, _UNCOMPRESSED, _COMPRESSED, 8, _DATA_PAGES, _DICTIONARY_PAGE, _STATISTICS, 13, 16}
)
"""Fields that point at nothing but the chunk's own pages. Others may say where an index, a filter or a key is."""

LONGEST_BOUND = 256
"""Bytes of the lowest or highest value of a chunk. Where one is longer both are left out: they help nobody to skip a
row group, and of a table of long texts they would be most of the footer, which waits in memory."""

_PIECE_BYTES = 1 << 19
"""Read at once. Fits into a cache, where it is when it is hashed and written."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Values of one leaf that were put into a file.

    Attributes:
        path: names from the table's column down to the leaf.
        fields: the ColumnChunk for the footer, written.
        size: bytes of the pages in the file.
        uncompressed: bytes of the pages once uncompressed.
    """

    path: tuple[str, ...]
    fields: bytes
    size: int
    uncompressed: int


class Movable(Protocol):
    """Values of one leaf in one row group, which can be put into a file."""

    @property
    def column(self) -> str:
        """Name of the table's column that it is in."""

    @property
    def size(self) -> int:
        """Bytes of its pages."""

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the pages to *target* and return what its footer has to say of them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The values of one leaf in one row group of a file.

    Attributes:
        fields: its ColumnChunk in the footer.
        file: what its bytes are in; seekable.
    """

    fields: Struct
    file: BinaryIO

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the table's column down to the leaf."""
        return tuple(name.decode() for name in self._meta[_PATH][1][1])

    @property
    def column(self) -> str:
        """Name of the table's column that it is in."""
        name: bytes = self._meta[_PATH][1][1][0]
        return name.decode()

    @property
    def size(self) -> int:
        """Bytes of its pages in the file."""
        return int(self._meta[_COMPRESSED][1])

    @property
    def values(self) -> int:
        """How many it has, nulls among them: at least one for each row."""
        return int(self._meta[_VALUES][1])

    @property
    def type(self) -> int:
        """Of its values, as Parquet stores them."""
        return int(self._meta[_TYPE][1])

    @property
    def bounds(self) -> tuple[bytes, bytes] | None:
        """Two values as they are stored, between which all are; None where it has nulls, or does not say."""
        statistics: Struct = self._meta.get(_STATISTICS, (STRUCT, {}))[1]
        if statistics.get(_NULLS, (I64, 1))[1] or not statistics.keys() >= {_LOWEST, _HIGHEST}:
            return None
        return statistics[_LOWEST][1], statistics[_HIGHEST][1]

    @property
    def is_movable(self) -> bool:
        """Whether its pages are all there is of it in the file."""
        return self.fields.keys() <= _IN_PLACE_CHUNK and self._meta.keys() <= _IN_PLACE_META

    def read(self) -> bytes:
        """Return the pages."""
        start = self.start
        # Not left to reading, which makes room for as much as it is asked for.
        if start + self.size > self.file.seek(0, 2):
            raise damaged("has a column chunk that ends behind the end of the file")
        self.file.seek(start)
        return self.file.read(self.size)

    def copy_to(self, target: BinaryIO) -> Copy:
        """Append the pages to *target* and return what its footer has to say of them."""
        (copy,) = _copied([self], target)
        return copy

    def follows(self, other: Chunk) -> bool:
        """Return whether its pages lie directly behind those of *other*."""
        return self.file is other.file and self.start == other.start + other.size

    def moved(self, by: int) -> Copy:
        """Return what a footer has to say of it where its pages lie so many bytes further on."""
        moved = dict(self._meta)
        for number in (_DATA_PAGES, _DICTIONARY_PAGE):
            if place := self._place(number):
                moved[number] = I64, place + by
        if _STATISTICS in moved:
            moved[_STATISTICS] = STRUCT, with_short_bounds(moved[_STATISTICS][1])
        fields = write_struct({**self.fields, _META: (STRUCT, moved)})
        return Copy(self.path, fields, self.size, int(self._meta[_UNCOMPRESSED][1]))

    @property
    def _meta(self) -> Struct:
        meta: Struct = self.fields[_META][1]
        return meta

    @property
    def start(self) -> int:
        """Where its pages begin in the file."""
        places = self._place(_DATA_PAGES), self._place(_DICTIONARY_PAGE)
        start = min(places) or max(places)
        if start < len(_MAGIC) or self.size < 0:
            raise damaged("has a column chunk that is nowhere in the file")
        return start

    def _place(self, number: int) -> int:
        """Return an offset in the file; 0 for none, as which some writers write it and some leave it out."""
        return int(self._meta.get(number, (I64, 0))[1])


def _copied(run: Sequence[Chunk], target: BinaryIO) -> list[Copy]:
    """Append the pages of *run*, which follow each other, to *target*; return what its footer has to say of them."""
    first, last = run[0], run[-1]
    place, start = target.tell(), first.start
    first.file.seek(start)
    left = last.start + last.size - start
    buffer = memoryview(bytearray(min(left, _PIECE_BYTES)))
    while left:
        read = first.file.readinto(buffer[:left])  # type: ignore[attr-defined] # every file that is open has it, BinaryIO has not
        if not read:
            raise damaged("has a column chunk that ends behind the end of the file")
        target.write(buffer[:read])
        left -= read
    return [chunk.moved(place - start) for chunk in run]


def _copies(chunks: Iterable[Movable], target: BinaryIO) -> Iterator[Copy]:
    """Do that with any *chunks*, those at once that follow each other in a file."""
    run: list[Chunk] = []
    for chunk in chunks:
        if run and not (isinstance(chunk, Chunk) and chunk.follows(run[-1])):
            yield from _copied(run, target)
            run = []
        if isinstance(chunk, Chunk):
            run.append(chunk)
        else:
            yield chunk.copy_to(target)
    if run:
        yield from _copied(run, target)


def with_short_bounds(statistics: Struct) -> Struct:
    """Return *statistics* without bounds where one is longer than LONGEST_BOUND."""
    if all(len(statistics[bound][1]) <= LONGEST_BOUND for bound in _BOUNDS if bound in statistics):
        return statistics
    return {number: field for number, field in statistics.items() if number not in (*_BOUNDS, *_EXACTNESS)}


@dataclass(frozen=True, slots=True)
class SortedBy:
    """That rows are sorted by a leaf.

    Attributes:
        path: of the leaf.
        fields: its SortingColumn, which says in which direction.
    """

    path: tuple[str, ...]
    fields: Struct

    @property
    def column(self) -> str:
        """Name of the table's column that the leaf is in."""
        return self.path[0]

    @classmethod
    def ascending(cls, column: str) -> SortedBy:
        """Return that rows are sorted by a column of one level, nulls last."""
        return cls((column,), {_DESCENDING: (FALSE, None), _NULLS_FIRST: (FALSE, None)})


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group of a file.

    Attributes:
        fields: in the footer, its chunks among them.
        chunks: in the order of the schema's leaves.
    """

    fields: Struct
    chunks: tuple[Chunk, ...]

    @classmethod
    def new(cls, rows: int) -> RowGroup:
        """Return a row group that is in no file yet."""
        return cls({_GROUP_ROWS: (I64, rows)}, ())

    @property
    def rows(self) -> int:
        """Their number."""
        return int(self.fields[_GROUP_ROWS][1])

    @property
    def sorted_by(self) -> list[SortedBy]:
        """By what its rows are sorted, the most significant first."""
        _, sorting = self.fields.get(_SORTING, (LIST, (STRUCT, [])))[1]
        return [SortedBy(self.chunks[fields[_LEAF][1]].path, fields) for fields in sorting]


def read_footer(file: BinaryIO) -> bytes:
    """Return the FileMetaData at the end of *file*, as bytes. Raises SnapshotDamagedError."""
    end = file.seek(0, 2)
    file.seek(max(0, end - _TAIL_BYTES))
    tail = file.read()
    start = end - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or start < 0:
        raise damaged("is not at its end")
    file.seek(start)
    return file.read(end - _TAIL_BYTES - start)


def read_frame(file: BinaryIO) -> Struct:
    """Return the footer of *file*, which is without rows, for :class:`Assembly`."""
    return read_struct(read_footer(file))


def row_groups(file: BinaryIO) -> Iterator[RowGroup]:
    """Yield the row groups of *file*. One at a time, because thousands of columns make a large footer."""
    for fields in read_structs(read_footer(file), _ROW_GROUPS):
        _, chunks = fields[_CHUNKS][1]
        group = RowGroup(fields, tuple(Chunk(chunk, file) for chunk in chunks))
        if group.rows < 0:
            raise damaged("has a row group with fewer rows than none")
        # Whoever reads them makes room for so many rows.
        if any(chunk.values < group.rows for chunk in group.chunks):
            raise damaged("has a row group with more rows than a column has values, nulls among them")
        yield group


class Assembly:
    """Puts a Parquet file together from the chunks of others.

    *frame* is the footer of a file without rows: schema and everything else that is not about row groups become those
    of *target*.
    Chunks come to lie in the order of the schema, one row group behind the other, as every writer has it: there are
    readers that tell from the first chunk's place to which split of a file a row group belongs.

    Attributes:
        target: may be closed between row groups, and another one put here that is open at the end of the same file.
    """

    def __init__(self, target: BinaryIO, frame: Struct) -> None:
        self.target = target
        self._frame = frame
        self._rows = 0
        self._groups: list[bytes] = []
        target.write(_MAGIC)

    def add(self, group: RowGroup, chunks: Iterable[Movable], sorted_by: Iterable[SortedBy]) -> None:
        """Append the rows of *group* as *chunks*, in the order of the schema's leaves, which are so sorted."""
        start = self.target.tell()
        copies = list(_copies(chunks, self.target))
        leaves = {chunk.path: number for number, chunk in enumerate(copies)}
        sorting = [{**by.fields, _LEAF: (I32, leaves[by.path])} for by in sorted_by]
        fields = {
            **group.fields,
            _CHUNKS: (LIST, (STRUCT, [chunk.fields for chunk in copies])),
            _TOTAL_BYTES: (I64, sum(chunk.uncompressed for chunk in copies)),
            _SORTING: (LIST, (STRUCT, sorting)),
            _OFFSET: (I64, start),
            _COMPRESSED_BYTES: (I64, sum(chunk.size for chunk in copies)),
        }
        if not sorting:
            del fields[_SORTING]
        self._groups.append(write_struct(fields))
        self._rows += group.rows

    def finish(self) -> None:
        """Write the footer."""
        fields = {**self._frame, _FILE_ROWS: (I64, self._rows), _ROW_GROUPS: (LIST, (STRUCT, self._groups))}
        footer = write_struct(fields)
        self.target.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)
