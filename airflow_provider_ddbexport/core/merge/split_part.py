"""A part dealt to two files: the rows that stay and the rows that are gone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.merge.changed_keys import Found, Sieve, mask_of
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, UnsplittableError, compiled
from airflow_provider_ddbexport.core.snapshot.hashed_file import HashedFile
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import frame_of, part_writer
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, Movable, RowGroup, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_levels import Leaf, read_leaves
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import I64

_GROUP_ROWS = 3
"""num_rows of a RowGroup."""


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
        keys: of those that are gone, in their order.
    """

    rows: int
    sha256: str
    keys: pa.BinaryArray


def split_part(source: BinaryIO, wanted: Wanted, kept: Path, gone: Path) -> Split | None:
    """Make *kept* a part of the rows of *source* that stay and *gone* one of those that are *wanted*; order is kept.

    None where there are none; then nothing is written. Row groups that lose nothing are copied as bytes, unless
    something beside their pages, an index or a filter, belongs to them. At most one row group is in memory. Raises
    pyarrow.ArrowInvalid, ValueError or SnapshotDamagedError where *source* is no whole Parquet file.
    """
    with ExitStack() as files:
        # Only where rows have to be read: opening it takes as long as looking through thousands of them.
        parquet = cache(lambda: files.enter_context(pq.ParquetFile(source, pre_buffer=False)))
        splitter = _GroupSplitter(parquet, cache(lambda: read_leaves(source)), wanted)
        sha256 = hashlib.sha256()
        halves: tuple[Assembly, ...] = ()
        untouched: list[tuple[int, RowGroup]] = []
        keys: list[pa.BinaryArray] = []
        rows = 0
        for number, group in enumerate(row_groups(source)):
            rows += group.rows
            found = splitter.split(number, group)
            if found is None:
                untouched.append((number, group))
            elif not halves:
                frame = frame_of(parquet().schema_arrow)
                targets = HashedFile(kept, "wb", sha256), gone.open("wb")
                halves = tuple(Assembly(files.enter_context(target), frame) for target in targets)
            if not halves:
                continue
            for place, same in untouched:
                halves[0].add(same, splitter.movable(place, same).chunks, same.sorted_by)
            untouched.clear()
            if found is not None:
                keys.append(found.keys)
                for half, some in zip(halves, (found.stays, found.goes), strict=True):
                    if some is not None:
                        half.add(some.group, some.chunks, group.sorted_by)
        if not halves:
            return None
        for half in halves:
            half.finish()
        all_keys = pa.concat_arrays(keys)
        return Split(rows - len(all_keys), sha256.hexdigest(), all_keys)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as a part takes them: *group*, but of *chunks*."""

    group: RowGroup
    chunks: Sequence[Movable]


@dataclass(frozen=True, slots=True)
class _SplitGroup:
    """A row group in two, and the keys of the rows that go."""

    stays: _Rows | None
    goes: _Rows
    keys: pa.BinaryArray


class _GroupSplitter:
    """Splits the row groups of one part."""

    def __init__(
        self, parquet: Callable[[], pq.ParquetFile], leaves: Callable[[], Sequence[Leaf]], wanted: Wanted
    ) -> None:
        self._parquet = parquet
        self._leaves = leaves
        self._wanted = wanted
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
        keys = found.keys
        gone = len(keys)
        if gone == group.rows:
            return _SplitGroup(None, self.movable(number, group), keys)
        try:
            halves = [
                (opened.pop(place, None) or self._open(group, place)).split(found.marks)
                for place in range(len(group.chunks))
            ]
        except UnsplittableError:
            table = self._parquet().read_row_group(number, use_threads=False)
            mask = mask_of(found.marks)
            return _SplitGroup(_written(table.filter(pc.invert(mask))), _written(table.filter(mask)), keys)
        stays = _rows_of(group, group.rows - gone, [stay for stay, _ in halves])
        return _SplitGroup(stays, _rows_of(group, gone, [go for _, go in halves]), keys)

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
        for sieve in self._wanted.sieves:
            chunk = self._kept_open(group, places[sieve.column,], opened)
            if (chunk.type, chunk.width) != (sieve.type, sieve.width):
                continue
            is_sifted = True
            chunk.sift(sieve.values, marks)
            if 1 not in marks:
                return None
        if not is_sifted:
            raise UnsplittableError
        marked = bytes(marks)
        chunks = [self._kept_open(group, place, opened).take(marked) for place in looked_at]
        rows = _rows_of(group, marks.count(1), chunks)
        schema = pa.schema([field for field in self._parquet().schema_arrow if field.name in self._wanted.columns])
        file = io.BytesIO()
        assembly = Assembly(file, frame_of(schema))
        assembly.add(rows.group, rows.chunks, ())
        assembly.finish()
        found = self._wanted.find(_one_batch(pq.ParquetFile(file).read(use_threads=False)))
        if found is None:
            return None
        kernel.narrow(marks, found.marks)
        return Found(bytes(marks), found.keys)

    def _kept_open(self, group: RowGroup, place: int, opened: dict[int, OpenChunk]) -> OpenChunk:
        if place not in opened:
            opened[place] = self._open(group, place, keeps_pages=True)
        return opened[place]

    def _open(self, group: RowGroup, place: int, *, keeps_pages: bool = False) -> OpenChunk:
        kernel = compiled()
        if kernel is None:
            raise UnsplittableError
        return OpenChunk(kernel, group.chunks[place], self._leaves()[place], self._room, keeps_pages=keeps_pages)


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
