"""A part dealt to two files: the rows that stay and the rows that are gone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.merge.changed_keys import Found, Sieve, mask_of
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, PickedChunk, UnsplittableError, compiled
from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32, HashedFile
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import frame_of, part_writer
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, Movable, RowGroup, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_levels import Leaf, read_leaves
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import I64

_GROUP_ROWS = 3
"""num_rows of a RowGroup."""

_GONE_BYTES = 1 << 19
"""Of rows that are gone, of however many row groups, that become one: reading a row group takes longer than reading the
thousand rows that one loses."""


class Wanted(Protocol):
    """What rows are looked for; see :class:`.Search`."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns that :meth:`find` looks at."""

    @property
    def sieves(self) -> Sequence[Sieve]:
        """What all rows pass that :meth:`find` can find; none where it is to be asked for all."""

    def find(self, batch: pa.RecordBatch) -> Found | None:
        """Return those of the rows in *batch*; None where there are none."""


@dataclass(frozen=True, slots=True)
class Split:
    """What became of a part's rows.

    Attributes:
        rows: that stay.
        sha256: of the part they are in, in hex.
        crc32: of its bytes, too.
        places: of the keys of those that are gone, in their order, as :data:`.PLACES`.
    """

    rows: int
    sha256: str
    crc32: int
    places: pa.RecordBatch


def split_part(source: BinaryIO, wanted: Wanted, kept: Path, gone: Path) -> Split | None:
    """Make *kept* a part of the rows of *source* that stay and *gone* one of those that are *wanted*; order is kept.

    None where there are none; then nothing is written. Row groups that lose nothing are copied as bytes, unless
    something beside their pages, an index or a filter, belongs to them. At most one row group is in memory, and some
    rows of those before it that are gone. Raises pyarrow.ArrowInvalid, ValueError or SnapshotDamagedError where
    *source* is no whole Parquet file.
    """
    with ExitStack() as files:
        # Only where rows have to be read: opening it takes as long as looking through thousands of them.
        parquet = cache(lambda: files.enter_context(pq.ParquetFile(source, pre_buffer=False)))
        splitter = _GroupSplitter(parquet, cache(lambda: read_leaves(source)), wanted)
        sha256, crc32 = hashlib.sha256(), Crc32()
        stays: Assembly | None = None
        goes: _GoneRows | None = None
        untouched: list[tuple[int, RowGroup]] = []
        places: list[pa.RecordBatch] = []
        rows = 0
        for number, group in enumerate(row_groups(source)):
            rows += group.rows
            found = splitter.split(number, group)
            if found is None:
                untouched.append((number, group))
            elif stays is None:
                frame = frame_of(parquet().schema_arrow)
                file = HashedFile(kept, "wb", sha256, crc32, size=source.seek(0, 2))
                stays = Assembly(files.enter_context(file), frame)
                goes = _GoneRows(Assembly(files.enter_context(HashedFile(gone, "wb")), frame))
            if stays is None or goes is None:
                continue
            for place, same in untouched:
                stays.add(same, splitter.movable(place, same).chunks, same.sorted_by)
            untouched.clear()
            if found is not None:
                places.append(found.places)
                goes.add(found.goes)
                if found.stays is not None:
                    stays.add(found.stays.group, found.stays.chunks, group.sorted_by)
        if stays is None or goes is None:
            return None
        stays.finish()
        goes.finish()
        all_places = _one_batch(pa.Table.from_batches(places))
        return Split(rows - all_places.num_rows, sha256.hexdigest(), crc32.value, all_places)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as a part takes them: *group*, but of *chunks*."""

    group: RowGroup
    chunks: Sequence[Movable]


@dataclass(frozen=True, slots=True)
class _SplitGroup:
    """A row group in two, and the places of the keys of the rows that go."""

    stays: _Rows | None
    goes: _Rows
    places: pa.RecordBatch


class _GoneRows:
    """Puts the rows that are gone into the file of *assembly*: those of row groups that lose few as one."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._rows = 0
        self._waiting: list[PickedChunk] = []

    def add(self, rows: _Rows) -> None:
        """Append *rows*, of one row group."""
        chunks = [chunk for chunk in rows.chunks if isinstance(chunk, PickedChunk)]
        if len(chunks) < len(rows.chunks):
            self._flush()
            self._assembly.add(rows.group, rows.chunks, ())
            return
        if self._waiting:
            for chunk, more in zip(self._waiting, chunks, strict=True):
                chunk.extend(more)
        else:
            self._waiting = chunks
        self._rows += rows.group.rows
        if sum(chunk.size for chunk in self._waiting) >= _GONE_BYTES:
            self._flush()

    def finish(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._assembly.finish()

    def _flush(self) -> None:
        if self._waiting:
            self._assembly.add(RowGroup.new(self._rows), self._waiting, ())
            self._waiting, self._rows = [], 0


class _GroupSplitter:
    """Splits the row groups of one part."""

    def __init__(
        self, parquet: Callable[[], pq.ParquetFile], leaves: Callable[[], Sequence[Leaf]], wanted: Wanted
    ) -> None:
        self._parquet = parquet
        self._leaves = leaves
        self._wanted = wanted
        self._passed: dict[str, int] = {}
        """Rows of a row group that the sieve of a column let pass, when it was the first."""
        kernel = compiled()
        self._room = None if kernel is None else kernel.Room()

    def split(self, number: int, group: RowGroup) -> _SplitGroup | None:
        """Return row group *number*, which is *group*, in two; None where it loses nothing."""
        opened: dict[int, OpenChunk] = {}
        try:
            found = self._found(group, opened)
        except UnsplittableError:
            table = self._parquet().read_row_group(number, self._wanted.columns, use_threads=False)
            found = self._wanted.find(_one_batch(table))
        if found is None:
            return None
        places = found.places
        gone = places.num_rows
        if gone == group.rows:
            return _SplitGroup(None, self.movable(number, group), places)
        try:
            halves = [
                (opened.pop(place, None) or self._open(group, place)).split(found.marks)
                for place in range(len(group.chunks))
            ]
        except UnsplittableError:
            table = self._parquet().read_row_group(number, use_threads=False)
            mask = mask_of(found.marks)
            return _SplitGroup(_written(table.filter(pc.invert(mask))), _written(table.filter(mask)), places)
        stays = _rows_of(group, group.rows - gone, [stay for stay, _ in halves])
        return _SplitGroup(stays, _rows_of(group, gone, [go for _, go in halves]), places)

    def movable(self, number: int, group: RowGroup) -> _Rows:
        """Return row group *number*, which is *group*, written anew if its pages are not all there is of it."""
        if all(chunk.is_movable for chunk in group.chunks):
            return _Rows(group, group.chunks)
        return _written(self._parquet().read_row_group(number, use_threads=False))

    def _found(self, group: RowGroup, opened: dict[int, OpenChunk]) -> Found | None:
        """Return which rows of *group* are wanted; the chunks that it takes are put into *opened*."""
        kernel = compiled()
        if kernel is None:
            raise UnsplittableError
        looked_at = [place for place, chunk in enumerate(group.chunks) if chunk.column in self._wanted.columns]
        places = {group.chunks[place].path: place for place in looked_at}
        for sieve in self._wanted.sieves:
            if sieve.reach is not None and not sieve.reach.into(group.chunks[places[sieve.column,]]):
                return None
        marks = bytearray(b"\1") * group.rows
        is_sifted = False
        # Each is the first once, and from then on the one that least passes: the others are asked for little then.
        for sieve in sorted(self._wanted.sieves, key=lambda sieve: self._passed.get(sieve.column, -1)):
            chunk = self._kept_open(group, places[sieve.column,], opened)
            if (chunk.type, chunk.width) != (sieve.type, sieve.width):
                continue
            chunk.sift(sieve.values, marks)
            if 1 not in marks:
                return None
            if not is_sifted:
                self._passed[sieve.column] = kernel.count_marks(marks)
            is_sifted = True
        if not is_sifted:
            raise UnsplittableError
        marked = bytes(marks)
        chunks = {place: self._kept_open(group, place, opened) for place in looked_at}
        batch = _held(chunks, marked, self._looked_at)
        found = self._wanted.find(self._read(group, chunks, marked) if batch is None else batch)
        if found is None:
            return None
        kernel.narrow(marks, found.marks)
        return Found(bytes(marks), found.places)

    @cached_property
    def _looked_at(self) -> pa.Schema:
        """Of the columns that are looked at."""
        return pa.schema([field for field in self._parquet().schema_arrow if field.name in self._wanted.columns])

    def _read(self, group: RowGroup, chunks: Mapping[int, OpenChunk], marked: bytes) -> pa.RecordBatch:
        """Return the columns of *chunks* in the rows that are *marked*."""
        rows = _rows_of(group, marked.count(1), [chunk.take(marked) for chunk in chunks.values()])
        file = io.BytesIO()
        assembly = Assembly(file, frame_of(self._looked_at))
        assembly.add(rows.group, rows.chunks, ())
        assembly.finish()
        return _one_batch(pq.ParquetFile(file).read(use_threads=False))

    def _kept_open(self, group: RowGroup, place: int, opened: dict[int, OpenChunk]) -> OpenChunk:
        if place not in opened:
            opened[place] = self._open(group, place, keeps_pages=True)
        return opened[place]

    def _open(self, group: RowGroup, place: int, *, keeps_pages: bool = False) -> OpenChunk:
        kernel = compiled()
        if kernel is None:
            raise UnsplittableError
        return OpenChunk(kernel, group.chunks[place], self._leaves()[place], self._room, keeps_pages=keeps_pages)


def _held(chunks: Mapping[int, OpenChunk], marked: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """Return the columns of *schema* in the rows that are *marked*; None where only Arrow reads one of them.

    Reading a Parquet file takes longer than all else that is done to a thousand rows.
    """
    columns: dict[str, pa.Array] = {}
    for chunk in chunks.values():
        found = chunk.values(marked, schema.field(chunk.column).type)
        if found is None:
            return None
        columns[chunk.column] = found
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _rows_of(group: RowGroup, rows: int, chunks: Sequence[Movable]) -> _Rows:
    return _Rows(RowGroup({**group.fields, _GROUP_ROWS: (I64, rows)}, ()), chunks)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    (batch,) = table.combine_chunks().to_batches()
    return batch


def _written(table: pa.Table) -> _Rows:
    file = io.BytesIO()
    with part_writer(file, table.schema, table) as writer:
        writer.write_table(table, row_group_size=table.num_rows)
    group = next(row_groups(file))
    return _Rows(group, group.chunks)
