"""Rows of many partitions from lines: the compiled counterpart of :class:`.ReferenceRouter`."""

from __future__ import annotations

from types import ModuleType

from airflow_provider_ddbexport.core.columns import Schema, partition_keys, partition_under
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch
from airflow_provider_ddbexport.core.compiled.line_builder import Layout, LineBuilder
from airflow_provider_ddbexport.core.compiled.line_observer import CompiledObserver
from airflow_provider_ddbexport.core.line_blocks import (
    DISAGREEMENT,
    LineObserver,
    Lines,
    Partition,
    UndecodedLineError,
    line_of,
    reference_line,
    refused_at,
)


class LineRouter:
    """The compiled :class:`.BlockRouter`, whose methods are described there.

    What a path holds is the reference's to say, once for each different value.
    """

    def __init__(self, kernel: ModuleType, schema: Schema, most_bytes: int) -> None:
        self._layout = Layout(kernel, schema)
        self._keys = partition_keys(schema)
        self._raw = kernel.Router(tuple(key.attribute for key in self._keys), most_bytes)
        self._lanes: dict[Partition, tuple[int, LineBuilder]] = {}
        self._partitions: dict[int, Partition] = {}
        self.missing: Partition | None = None
        self.full: Partition | None = None

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes, of all partitions."""
        size: int = self._raw.bytes
        return size

    @property
    def rows(self) -> int:
        """How many were appended since the last mark()."""
        rows: int = self._raw.rows
        return rows

    def open(self, partition: Partition, most_rows: int) -> LineBuilder:
        """Make a builder for *partition*."""
        builder = LineBuilder(self._layout)
        lane: int = self._raw.open(builder.raw, most_rows)
        self._lanes[partition] = lane, builder
        self._partitions[lane] = partition
        return builder

    def close(self, partition: Partition) -> None:
        """Let go of it."""
        lane, _ = self._lanes.pop(partition)
        del self._partitions[lane]
        self._raw.close(lane)

    def finish_sparse(self, partition: Partition, most_rows: int) -> SparseBatch:
        """Return the rows of *partition*."""
        lane, builder = self._lanes[partition]
        rows = builder.rows
        return self._layout.sparse_batch(rows, self._raw.finish_sparse(lane, self._layout.arrow.types, most_rows))

    def mark(self) -> None:
        """Remember where the builders are."""
        self._raw.mark()

    def take_back(self) -> None:
        """Forget the rows since then."""
        self._raw.take_back()

    def add_lines(self, lines: Lines, start: int, *, most_bytes: int, observer: LineObserver | None = None) -> int:
        """Append lines, each of them observed in the same go."""
        if observer is not None and not isinstance(observer, CompiledObserver):
            raise TypeError("expected an observer of the compiled decoder")
        raw, seen_by = self._raw, None if observer is None else observer.raw
        self.missing = self.full = None
        while start < len(lines):
            start = raw.add(lines, start, most_bytes, seen_by)
            if raw.is_irregular or raw.is_unrouted:
                start = self._add_one(lines, start, seen_by)
            if observer is not None:
                observer.keep_small()
            self.full = self._partitions.get(raw.full)
            if self.missing is not None or self.full is not None or raw.bytes >= most_bytes:
                break
        return start

    def _add_one(self, lines: Lines, start: int, seen_by: object) -> int:
        """Append the line at *start* if its partition is open, and return where the next one is."""
        item, after = reference_line(lines, start)
        partition = partition_under(item, self._keys)
        if partition not in self._lanes:
            self.missing = partition
            return start
        lane, _ = self._lanes[partition]
        not_in_path = sum(1 << place for place, text in enumerate(partition) if text is None)
        with refused_at(start):
            if self._raw.is_unrouted:
                self._raw.add_to(lane, not_in_path, lines, start, seen_by)
            else:
                self._raw.add_to(lane, not_in_path, line_of(item), 0, seen_by)
        if self._raw.is_irregular:
            raise UndecodedLineError(start, DISAGREEMENT)
        return after
