"""Writing parts: items in, Parquet files of bounded size out, with bounded memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import RowBuilder, part_schema, partition_keys, partition_under
from airflow_provider_ddbexport.core.compiled.line_builder import LineBuilder, LineRouter
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.decoder import line_builder, line_router
from airflow_provider_ddbexport.core.export.reader import item_decoder
from airflow_provider_ddbexport.core.line_blocks import Lines, decoded
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import part_writer
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard
from airflow_provider_ddbexport.core.snapshot.publish import published_meanwhile
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.store.port import ObjectStore

ROW_GROUP_BYTES = 32 << 20
"""Bytes of values in memory at which a row group is written, over all partitions of one shard together."""

ROW_GROUP_ROWS = 1 << 17

ROW_GROUP_VALUES = 8 << 20
"""Values of a row group, nulls among them: those are not in its bytes, and are most of what a wide table takes."""

OPEN_PARTS = 200
"""Partitions with a file open at once; well below the 1024 file handles a process usually has."""

_Partition = tuple[str | None, ...]


@dataclass(slots=True)
class _OpenPart:
    """One part under way: rows wait in the builder, row groups go to a local file."""

    path: Path
    builder: RowBuilder | LineBuilder
    sink: pa.NativeFile
    parquet: pq.ParquetWriter
    rows: int = 0

    @property
    def lines(self) -> LineBuilder:
        """The builder, where rows come from lines."""
        if not isinstance(self.builder, LineBuilder):
            raise TypeError("the rows of this part come from items")
        return self.builder

    def flush(self) -> None:
        """Write the rows that wait as one row group."""
        if self.builder.rows:
            self.rows += self.builder.rows
            self.parquet.write_batch(self.builder.finish())

    def close(self) -> None:
        self.parquet.close()
        self.sink.close()


class PartsWriter:
    """Writes the parts of one shard through local files in *folder*, and hands each to *store* when it is full.

    At most one row group's values are in memory; the folder holds the parts under way, one for each partition. A
    shard with more than :data:`OPEN_PARTS` partitions gets more and smaller parts instead of more open files.
    """

    def __init__(self, plan: ConversionPlan, shard: Shard, store: ObjectStore, folder: Path) -> None:
        self._plan = plan
        self._shard = shard
        self._store = store
        self._folder = folder
        self._decode = item_decoder(plan.export.summary.output_format)
        self._router = line_router(self._decode, plan.schema)
        self._arrow = part_schema(plan.schema)
        self._keys = partition_keys(plan.schema)
        self._digest = plan.parts_digest
        self._open: dict[_Partition, _OpenPart] = {}
        self._closed: Counter[_Partition] = Counter()
        self._files = 0
        self._rows_until_look = 0
        self._parts: list[tuple[int, Part]] = []
        self._row_group_rows = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_VALUES // _width(self._arrow)))
        self._row_group_bytes = min(ROW_GROUP_BYTES, plan.part_bytes)

    def __enter__(self) -> PartsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open; after an error the local files go with their folder."""
        for part in self._open.values():
            part.close()
        self._open.clear()

    def take(self, lines: Lines) -> int:
        """Add a row for each of whole *lines* and return how many they are. Raises RefusedLineError."""
        if self._router is None:
            return sum(self._add(item) for item in decoded(lines, self._decode))
        return self._take_by_partition(lines, self._router) if self._keys else self._take_all(lines)

    def _take_all(self, lines: Lines) -> int:
        start = count = 0
        while start < len(lines):
            part = self._part(())
            count -= part.lines.rows
            most_rows = min(self._plan.rows_per_part - part.rows, self._row_group_rows)
            start = part.lines.add_lines(lines, start, most_rows=most_rows, most_bytes=self._row_group_bytes)
            count += part.lines.rows
            self._after_rows((), part)
        return count

    def _take_by_partition(self, lines: Lines, router: LineRouter) -> int:
        start = count = 0
        while start < len(lines):
            route = router.route(lines, start)
            part = self._part(route.partition)
            if route.item is None:
                part.lines.add_row(lines, start, route.not_in_path)
            else:
                part.lines.add(route.item, route.not_in_path)
            self._after_rows(route.partition, part)
            start = route.next
            count += 1
        return count

    def _add(self, item: Item) -> int:
        partition = partition_under(item, self._keys) if self._keys else ()
        part = self._part(partition)
        part.builder.add(item)
        self._after_rows(partition, part)
        return 1

    def _after_rows(self, partition: _Partition, part: _OpenPart) -> None:
        """Write what is enough for a row group or a part."""
        rows = part.builder.rows
        if part.rows + rows >= self._plan.rows_per_part:
            self._finish(partition)
        elif rows >= self._row_group_rows:
            self._flush(partition, part)
        self._rows_until_look -= 1
        if self._rows_until_look <= 0:
            self._keep_bounded()

    def finish(self) -> tuple[Part, ...]:
        """Write what is left and return all parts of the shard, by number, then partition.

        A shard without items has one part without rows, so that its columns can be read.
        """
        if not self._open and not self._parts:
            self._start(tuple(None for _ in self._plan.schema.partition_by))
        for partition in list(self._open):
            self._finish(partition)
        self._parts.sort(key=lambda entry: (entry[0], entry[1].key))
        return tuple(part for _, part in self._parts)

    def _part(self, partition: _Partition) -> _OpenPart:
        return self._open.get(partition) or self._start(partition)

    def _start(self, partition: _Partition) -> _OpenPart:
        if len(self._open) >= OPEN_PARTS:
            # The one that has waited longest: dictionaries keep the order in which parts were started.
            self._finish(next(iter(self._open)))
        path = self._folder / f"{self._files:06d}.parquet"
        self._files += 1
        sink = pa.OSFile(str(path), "wb")
        parquet = part_writer(sink, self._arrow)
        builder = line_builder(self._decode, self._plan.schema) or RowBuilder(self._plan.schema)
        part = _OpenPart(path, builder, sink, parquet)
        self._open[partition] = part
        return part

    def _keep_bounded(self) -> None:
        """Write row groups, the largest first, until what waits in memory is below the bound."""
        waiting = sum(part.builder.bytes for part in self._open.values())
        if waiting >= self._row_group_bytes:
            by_size = sorted(self._open.items(), key=lambda entry: entry[1].builder.bytes, reverse=True)
            for partition, part in by_size:
                waiting -= part.builder.bytes
                self._flush(partition, part)
                if waiting < self._row_group_bytes / 2:
                    break
        # Summing over all partitions costs; an item has at most 400 KB, so a few rows later is early enough.
        self._rows_until_look = 1 + len(self._open) // 8

    def _flush(self, partition: _Partition, part: _OpenPart) -> None:
        part.flush()
        if part.sink.tell() >= self._plan.part_bytes:
            self._finish(partition)

    def _finish(self, partition: _Partition) -> None:
        """Close the partition's part and put it into the store."""
        part = self._open.pop(partition)
        try:
            part.flush()
        finally:
            part.close()
        shards = len(self._plan.shards)
        # Dense with one shard, and with one part for each shard; never the same number twice.
        number = self._shard.number + shards * self._closed[partition]
        self._closed[partition] += 1
        folder = layout.partition_folder(self._plan.schema.partition_by, partition)
        name = layout.part_name(number, self._digest)
        key = f"{layout.snapshot_folder(self._plan.as_of)}/{folder}{name}"
        with part.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        rescued = dict(sorted(part.builder.rescued.items()))
        made = Part(key, part.rows, part.path.stat().st_size, sha256, partition, rescued)
        self._put(made, part.path)
        part.path.unlink()
        self._parts.append((number, made))

    def _put(self, made: Part, path: Path) -> None:
        """Write *made* unless a snapshot is published in its folder, whose readers would read it as well."""
        published = Ledger(self._store).get(self._plan.as_of)
        if published is None:
            self._store.write_file(made.key, path)
        elif made not in published.parts:
            raise published_meanwhile(published)


def _width(fields: Iterable[pa.Field]) -> int:
    """Return how many values a row has at least, nulls among them."""
    return sum(1 + (_width(field.type) if pa.types.is_struct(field.type) else 0) for field in fields)
