"""Lines as the reference decoder takes them: what there is where there is no compiled decoder, and for ION."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import Observation, RowBuilder, Schema, partition_keys, partition_under
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch
from airflow_provider_ddbexport.core.line_blocks import Decode, LineObserver, Lines, Partition, decoded, decoded_from


class ReferenceObserver:
    """Observes the items of lines."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._observation = Observation()
        self.add = self._observation.add

    @property
    def news(self) -> int:
        """As Observation's."""
        return self._observation.news

    def take(self, lines: Lines) -> int:
        """Observe whole *lines* and return how many they are; raises RefusedLineError."""
        before = self._observation.items
        for item in decoded(lines, self._decode):
            self.add(item)
        return self._observation.items - before

    def observation(self) -> Observation:
        """Return what was observed."""
        observation = Observation()
        observation.merge(self._observation)
        return observation


class ReferenceBuilder:
    """The reference :class:`.BlockBuilder`, whose methods are described there."""

    def __init__(self, decode: Decode, schema: Schema) -> None:
        self._decode = decode
        self.row_builder = RowBuilder(schema)
        """What routers give items to."""

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        return self.row_builder.rows

    @property
    def bytes(self) -> int:
        """Estimate of their size."""
        return self.row_builder.bytes

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""
        return self.row_builder.rescued.copy()

    def add_lines(
        self, lines: Lines, start: int, *, most_rows: int, most_bytes: int, observer: LineObserver | None = None
    ) -> int:
        """Append lines, each of them decoded once."""
        if observer is not None and not isinstance(observer, ReferenceObserver):
            raise TypeError("expected an observer of the reference decoder")
        rows = self.row_builder
        rows.mark()
        for item, after in decoded_from(lines, start, self._decode):
            if observer is not None:
                observer.add(item)
            rows.add(item)
            if rows.rows >= most_rows or rows.bytes >= most_bytes:
                return after
        return len(lines)

    def take_back(self) -> None:
        """Forget the rows of the last add_lines()."""
        self.row_builder.take_back()

    def finish(self) -> pa.RecordBatch:
        """Return the rows as one batch."""
        return self.row_builder.finish()

    def finish_sparse(self) -> SparseBatch:
        """Return them with columns that are mostly null as the values they have."""
        return self.row_builder.finish_sparse()


class ReferenceRouter:
    """The reference :class:`.BlockRouter`, whose methods are described there."""

    def __init__(self, decode: Decode, schema: Schema, most_bytes: int) -> None:
        self._decode = decode
        self._most_bytes = most_bytes
        self._schema = schema
        self._keys = partition_keys(schema)
        self._lanes: dict[Partition, RowBuilder] = {}
        self._most_rows: dict[Partition, int] = {}
        self._touched: set[Partition] = set()
        self.bytes = 0
        self.rows = 0
        self.missing: Partition | None = None
        self.full: Partition | None = None

    def open(self, partition: Partition, most_rows: int) -> ReferenceBuilder:
        """Make a builder for *partition*."""
        builder = ReferenceBuilder(self._decode, self._schema)
        self._lanes[partition] = builder.row_builder
        self._most_rows[partition] = most_rows
        return builder

    def close(self, partition: Partition) -> None:
        """Let go of it."""
        self.bytes -= self._lanes.pop(partition).bytes

    def finish_sparse(self, partition: Partition, most_rows: int) -> SparseBatch:
        """Return the rows of *partition*."""
        rows = self._lanes[partition]
        self.bytes -= rows.bytes
        self._most_rows[partition] = most_rows
        return rows.finish_sparse()

    def mark(self) -> None:
        """Remember where the builders are."""
        self._touched.clear()
        self.rows = 0

    def take_back(self) -> None:
        """Forget the rows since then."""
        for partition in self._touched & self._lanes.keys():
            rows = self._lanes[partition]
            before = rows.bytes
            rows.take_back()
            self.bytes += rows.bytes - before

    def add_lines(self, lines: Lines, start: int, *, most_bytes: int, observer: LineObserver | None = None) -> int:
        """Append lines, each of them decoded once."""
        if observer is not None and not isinstance(observer, ReferenceObserver):
            raise TypeError("expected an observer of the reference decoder")
        self.missing = self.full = None
        keys, touched, most_rows = self._keys, self._touched, self._most_rows
        for item, after in decoded_from(lines, start, self._decode):
            partition = partition_under(item, keys) if keys else ()
            rows = self._lanes.get(partition)
            if rows is None:
                self.missing = partition
                return start
            if partition not in touched:
                touched.add(partition)
                rows.mark()
            if observer is not None:
                observer.add(item)
            self.bytes += rows.add(item)
            self.rows += 1
            start = after
            if rows.rows >= most_rows[partition] or rows.bytes >= self._most_bytes:
                self.full = partition
                return start
            if self.bytes >= most_bytes:
                return start
        return start
