"""Parts under way in local files, their rows as they come or sorted.

A file is open only while something is written to it, so there may be more parts under way than file handles.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.sparse import Batch, SparseBatch
from airflow_provider_ddbexport.core.snapshot.background import Each, one_by_one
from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32, HashedFile
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import Encoder, frame_of
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, RowGroup, SortedBy
from airflow_provider_ddbexport.core.snapshot.parquet_sort import SortedRows

_GROWN_BYTES = 1 << 20
"""Of thousands of parts that grow by little, asking would take longer than waiting for them."""


class PartFile(Protocol):
    """A part under way."""

    @property
    def bytes(self) -> int:
        """Size of what was written so far, but for columns that are left out of it; of a sorted part an estimate."""

    @property
    def sha256(self) -> str:
        """Hex digest of what was written, once it is whole."""

    @property
    def crc32(self) -> int:
        """Of the same."""

    def write(self, rows: Batch) -> None:
        """Write *rows*, which are enough for a row group."""

    def finish(self) -> None:
        """Make the file whole."""

    def abandon(self) -> None:
        """Remove what was written."""


def open_part(
    path: Path,
    schema: pa.Schema,
    sort_by: Sequence[str] = (),
    *,
    uncounted: Collection[str] = (),
    each: Each = one_by_one,
    grown: Callable[[Path], None] = lambda _: None,
) -> PartFile:
    """Return the part that will be at *path*, sorted by those columns of *sort_by* that *schema* has.

    Ascending, nulls last, rows with equal keys in the order they came in; see :class:`.SortedRows` for what that takes.
    Columns that are *uncounted* are left out of its size, unless it is sorted. *each* has the columns of a row group
    encoded; *grown* is called with *path* when a large one is in the file.
    """
    known = [name for name in sort_by if name in schema.names]
    begin = functools.partial(_Part, path, schema, known, uncounted=uncounted, each=each, grown=grown)
    return _SortedPart(path, schema, known, begin) if known else begin()


class _Part:
    """A row group for each batch."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        sorted_by: Sequence[str],
        *,
        uncounted: Collection[str],
        each: Each,
        grown: Callable[[Path], None],
    ) -> None:
        self._path = path
        self._uncounted = uncounted
        self._sorted_by = [SortedBy.ascending(name) for name in sorted_by]
        self._encoder = Encoder(each)
        self._grown = grown
        self._sha256 = hashlib.sha256()
        self._crc32 = Crc32()
        with self._opened("wb") as file:
            self._assembly = Assembly(file, frame_of(schema))
            self.bytes = file.tell()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def crc32(self) -> int:
        return self._crc32.value

    def write(self, rows: Batch) -> None:
        with self._opened("ab") as file:
            self._assembly.target = file
            chunks = self._encoder.chunks(rows)
            self._assembly.add(RowGroup.new(rows.num_rows), chunks, self._sorted_by)
        if sum(chunk.size for chunk in chunks) >= _GROWN_BYTES:
            self._grown(self._path)
        self.bytes += sum(chunk.size for chunk in chunks if chunk.column not in self._uncounted)

    def finish(self) -> None:
        with self._opened("ab") as file:
            self._assembly.target = file
            self._assembly.finish()

    def abandon(self) -> None:
        self._path.unlink(missing_ok=True)

    def _opened(self, mode: str) -> HashedFile:
        return HashedFile(self._path, mode, self._sha256, self._crc32)


class _SortedPart:
    """Row groups of about the size of the batches."""

    def __init__(self, path: Path, schema: pa.Schema, sort_by: Sequence[str], begin: Callable[[], _Part]) -> None:
        self._path = path
        self._begin = begin
        self._waiting = SortedRows(path.with_suffix(".rows"), schema, sort_by)
        self._shrinks_to: float | None = None
        self.sha256 = ""
        self.crc32 = 0

    @property
    def bytes(self) -> int:
        return round(self._waiting.bytes * (self._shrinks_to or 0))

    def write(self, rows: Batch) -> None:
        if isinstance(rows, SparseBatch):
            rows = rows.dense()
        if self._shrinks_to is None:
            self._shrinks_to = _written_bytes(rows) / max(1, rows.nbytes)
        self._waiting.add(rows)

    def finish(self) -> None:
        part = self._begin()
        for rows in self._waiting.batches():
            part.write(rows)
        part.finish()
        self.sha256, self.crc32 = part.sha256, part.crc32
        self._waiting.remove()

    def abandon(self) -> None:
        self._path.unlink(missing_ok=True)
        self._waiting.remove()


def _written_bytes(rows: pa.RecordBatch) -> int:
    return sum(chunk.size for chunk in Encoder().chunks(rows))
