"""Parts under way in local files, their rows as they come or sorted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.snapshot.parquet_encoding import part_writer
from airflow_provider_ddbexport.core.snapshot.parquet_sort import SortedRows


class PartFile(Protocol):
    """A part under way."""

    @property
    def bytes(self) -> int:
        """Size of what was written so far; of a sorted part an estimate."""

    def write(self, rows: pa.RecordBatch) -> None:
        """Write *rows*, which are enough for a row group."""

    def finish(self) -> None:
        """Make the file whole, and close it."""

    def abandon(self) -> None:
        """Close the file, whose folder is about to be removed."""


def open_part(path: Path, schema: pa.Schema, sort_by: Sequence[str] = ()) -> PartFile:
    """Return the part that will be at *path*, sorted by those columns of *sort_by* that *schema* has.

    Ascending, nulls last, rows with equal keys in the order they came in; see :class:`.SortedRows` for what that takes.
    """
    known = [name for name in sort_by if name in schema.names]
    return _SortedPart(path, schema, known) if known else _Part(path, schema)


class _Part:
    """A row group for each batch."""

    def __init__(self, path: Path, schema: pa.Schema, sorted_by: Sequence[str] = ()) -> None:
        self._schema = schema
        self._sorted_by = sorted_by
        self._sink = pa.OSFile(str(path), "wb")
        self._writer: pq.ParquetWriter | None = None

    @property
    def bytes(self) -> int:
        size: int = self._sink.tell()
        return size

    def write(self, rows: pa.RecordBatch) -> None:
        self._writer = self._writer or part_writer(self._sink, self._schema, rows, self._sorted_by)
        self._writer.write_batch(rows, row_group_size=max(1, rows.num_rows))

    def finish(self) -> None:
        writer = self._writer or part_writer(self._sink, self._schema)
        writer.close()
        self._sink.close()

    def abandon(self) -> None:
        self.finish()


class _SortedPart:
    """Row groups of about the size of the batches."""

    def __init__(self, path: Path, schema: pa.Schema, sort_by: Sequence[str]) -> None:
        self._path = path
        self._schema = schema
        self._sort_by = sort_by
        self._waiting = SortedRows(path.with_suffix(".rows"), schema, sort_by)
        self._shrinks_to: float | None = None

    @property
    def bytes(self) -> int:
        return round(self._waiting.bytes * (self._shrinks_to or 0))

    def write(self, rows: pa.RecordBatch) -> None:
        if self._shrinks_to is None:
            self._shrinks_to = _written_bytes(rows) / max(1, rows.nbytes)
        self._waiting.add(rows)

    def finish(self) -> None:
        part = _Part(self._path, self._schema, self._sort_by)
        try:
            for rows in self._waiting.batches():
                part.write(rows)
        finally:
            part.finish()
            self._waiting.close()

    def abandon(self) -> None:
        self._waiting.close()


def _written_bytes(rows: pa.RecordBatch) -> int:
    sink = pa.BufferOutputStream()
    with part_writer(sink, rows.schema, rows) as writer:
        writer.write_batch(rows)
    return len(sink.getvalue())
