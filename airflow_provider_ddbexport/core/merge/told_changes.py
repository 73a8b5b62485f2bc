"""What increments came to, for looking up: which rows they change, and what those were before."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns import restore
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_router
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys, int32_array
from airflow_provider_ddbexport.core.merge.split_pages import compiled

_NO_LIMIT = 1 << 40


class ToldChanges:
    """The keys that increments changed, and the items that were there before. Threads may share it."""

    def __init__(
        self,
        key_attributes: Sequence[str],
        tables: Sequence[pa.RecordBatch],
        lines: bytes | mmap.mmap,
        starts: Sequence[int],
    ) -> None:
        """*tables*, one for each bucket, are as KEY_TABLE; what begins in one is so far behind its start in *lines*."""
        self._tables = tables
        self._lines = lines
        self._starts = starts
        self.keys = ChangedKeys(key_attributes, [table.column("key") for table in tables])

    def comparison(self, places: pa.RecordBatch, schema: Schema, partition: Sequence[str | None]) -> Comparison:
        """Return what compares rows of a part of *schema* with what the increments say of their keys, at *places*."""
        return Comparison(self, self._told(places), schema, partition)

    def lines_before(self, told: pa.RecordBatch) -> bytes:
        """Return the lines of the items before the changes, of keys that had one and of which this is *told*."""
        starts = self._line_starts(told.column("bucket"), told.column("before"))
        kernel = compiled()
        if kernel is None:
            return b"".join([self._lines[start : self._lines.find(b"\n", start) + 1] for start in starts])
        lines: bytes = kernel.lines_at(self._lines, starts)
        return lines

    def _line_starts(self, buckets: pa.Int32Array, begins: pa.Int64Array) -> memoryview | array[int]:
        if len(self._starts) == 1:
            numbers = memoryview(begins.buffers()[1]).cast("q")
            return numbers[begins.offset : begins.offset + len(begins)]
        behind = zip(buckets.to_pylist(), begins.to_pylist(), strict=True)
        return array("q", [self._starts[bucket] + begin for bucket, begin in behind])

    def _told(self, places: pa.RecordBatch) -> pa.RecordBatch:
        """Return what the tables of keys say of those at *places*, and in which table each is."""
        which = int32_array(array("i", range(places.num_rows)))
        by_table = places.append_column("which", which).sort_by("table")
        found = []
        start = 0
        for table in pc.value_counts(by_table.column("table")).to_pylist():
            here = by_table.slice(start, table["counts"])
            told = self._tables[table["values"]].select(["was_there", "before"]).take(here.column("place"))
            columns = [here.column("which"), here.column("table"), *told.columns]
            found.append(pa.table(columns, ["which", "bucket", "was_there", "before"]))
            start += here.num_rows
        (batch,) = pa.concat_tables(found).sort_by("which").combine_chunks().to_batches()
        return batch


class Comparison:
    """How rows compare with what increments say they were.

    Attributes:
        there: rows that were to be there.
        unlike: rows that were not to be there, or were to be other items.
    """

    def __init__(
        self, changes: ToldChanges, told: pa.RecordBatch, schema: Schema, partition: Sequence[str | None]
    ) -> None:
        self.there = 0
        self.unlike = 0
        self._changes = changes
        self._told = told
        self._schema = schema
        self._partition = tuple(partition)
        self._built = block_router(decode_line, schema, _NO_LIMIT)
        self._built.open(self._partition, _NO_LIMIT)
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Compare *batch*, the rows behind those of the last call."""
        here = self._told.slice(self._rows, batch.num_rows)
        self._rows += batch.num_rows
        was_there = here.column("was_there")
        self.unlike += was_there.false_count
        self.there += was_there.true_count
        if was_there.true_count < batch.num_rows:
            rows = pc.indices_nonzero(was_there)
            here, batch = here.take(rows), batch.take(rows)
        if batch.num_rows:
            self.unlike += self._unlike(batch, self._changes.lines_before(here))

    def _unlike(self, rows: pa.RecordBatch, lines: bytes) -> int:
        """Return how many of *rows* are not the items of *lines*."""
        # Mostly all are the same and built the same, which is told a hundred times faster than by their items.
        start = self._built.add_lines(lines, 0, most_bytes=_NO_LIMIT)
        while start < len(lines) and self._built.missing is None:
            start = self._built.add_lines(lines, start, most_bytes=_NO_LIMIT)
        if self._built.finish_sparse(self._partition, _NO_LIMIT).dense().equals(rows):
            return 0
        items = restore(rows, self._schema, self._partition)
        return sum(
            not is_same_item(item, decode_line(line)) for item, line in zip(items, lines[:-1].split(b"\n"), strict=True)
        )
