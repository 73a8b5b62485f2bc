"""Writing parts: lines in, Parquet files of bounded size out, with bounded memory.

Rows are built while the row group before them is encoded: see :class:`.Background`.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch
from airflow_provider_ddbexport.core.decoder import block_router
from airflow_provider_ddbexport.core.export.reader import item_decoder
from airflow_provider_ddbexport.core.line_blocks import BlockBuilder, LineObserver, Lines, Partition
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.background import Background, Stages
from airflow_provider_ddbexport.core.snapshot.commit import published_meanwhile
from airflow_provider_ddbexport.core.snapshot.deliveries import Deliveries
from airflow_provider_ddbexport.core.snapshot.learnt import Under
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.parquet_part import PartFile, open_part
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.store.port import ObjectStore

ROW_GROUP_BYTES = 24 << 20
"""Bytes of values in memory at which a row group is written. Twice as many are in memory of one shard: row groups that
are being encoded, and rows that wait, of all partitions together."""

ROW_GROUP_ROWS = 1 << 17

ROW_GROUP_VALUES = 8 << 20
"""Values of a row group, nulls among them: those are not in its bytes, and are most of what a wide table takes. Twice
as many where columns that are mostly null are sparse: there nulls take memory only while rows are built in Python."""

OPEN_PARTS = 10_000
"""Parts under way at once. Each has a builder and a local file."""

OPEN_COLUMNS = 200_000
"""Of parts under way together, counted once for a part's builder and once for every row group in its footer: what they
take though no value waits in them."""


class _File:
    """One part under way in a local file."""

    def __init__(self, path: Path, part: PartFile, under: Under) -> None:
        self.path = path
        self.part = part
        self.under = under
        self.rows = 0
        self.values: Counter[str] = Counter()
        self.rescued: Counter[str] = Counter()

    def write(self, batch: SparseBatch) -> None:
        """Write *batch* as one row group."""
        self.rows += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self.values[name] += len(column) - column.null_count
        self.part.write(batch)


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is in the store."""

    part: Part
    under: Under


@dataclass(slots=True)
class _OpenPart:
    """What goes to one partition: rows wait in the builder, row groups go to the file under way, if there is one."""

    builder: BlockBuilder
    file: _File | None = None
    rows: int = 0
    """Handed over to that file."""
    row_groups: int = 0
    """In that file."""
    rescued: Counter[str] = field(default_factory=Counter)
    """By the builder, in all rows that were handed over."""


class PartsWriter:
    """Writes the parts of shard *number* through local files in *folder*, and hands each to *store* when it is full.

    At most two row groups' values are in memory, those being encoded among them; the folder holds the parts under way,
    one for each partition. A shard with more of them than :data:`OPEN_PARTS` and :data:`OPEN_COLUMNS` allow gets more
    and smaller parts. End with :meth:`finish`, or, after an error, with :meth:`discard`.

    Attributes:
        stages: what it took.
        values: of the finished parts that are not null, by column.
    """

    def __init__(
        self,
        plan: ConversionPlan,
        number: int,
        store: ObjectStore,
        folder: Path,
        under: Under,
    ) -> None:
        self._plan = plan
        self._number = number
        self._store = store
        self._folder = folder
        self.stages = Stages()
        self._decode = item_decoder(plan.export.summary.output_format)
        self._open: dict[Partition, _OpenPart] = {}
        self._row_groups = 0
        self._closed: Counter[Partition] = Counter()
        self._files = 0
        self._parts: list[tuple[int, WrittenPart]] = []
        self.values: Counter[str] = Counter()
        self._row_group_bytes = min(ROW_GROUP_BYTES, plan.target.part_bytes)
        self._background = Background()
        self._deliveries = Deliveries(plan.target.part_bytes)
        self._encoding_bytes = 0
        self._build_under(under)

    def _build_under(self, under: Under) -> None:
        self._under = under
        schema, asked = under.schema, part_schema(under.asked)
        self._arrow = part_schema(schema)
        self._uncounted = set(self._arrow.names).difference(asked.names)
        self._router = block_router(self._decode, schema, self._row_group_bytes)
        self._digest = self._plan.parts_digest(schema)
        self._sort_by = self._plan.target.sort_columns(schema)
        self._columns = _width(asked)
        self._row_group_rows = row_group_rows(asked, is_sparse=not self._sort_by)

    @property
    def waited_s(self) -> float:
        """Seconds spent waiting for row groups to be encoded and parts to be stored."""
        return self._background.waited_s

    @property
    def under_way(self) -> int:
        """Parts that :meth:`go_on_under` would finish."""
        return sum(part.file is not None or part.builder.rows > 0 for part in self._open.values())

    def build(self, lines: Lines, start: int, observer: LineObserver | None) -> int:
        """Build rows of whole *lines* from offset *start*, each in its partition, until there is something to write.

        Returns where the next line is. *observer* observes them on the way. Follow it with :meth:`take_back` or not,
        and with :meth:`settle`.
        """
        router = self._router
        router.mark()
        while start < len(lines):
            start = router.add_lines(lines, start, most_bytes=self._room, observer=observer)
            if router.missing is None or self._is_too_much(OPEN_PARTS - 1):
                break
            self._start(router.missing)
        return start

    @property
    def built(self) -> int:
        """Rows of the last :meth:`build`."""
        return self._router.rows

    def take_back(self) -> None:
        """Forget the rows of the last :meth:`build`."""
        self._router.take_back()

    def settle(self) -> None:
        """Hand over to the files under way what is enough for row groups, or for parts, and make room for another."""
        full = self._router.full
        if full is not None:
            part = self._open[full]
            if part.rows + part.builder.rows >= self._plan.target.rows_per_part:
                self._finish(full)
            else:
                self._flush(full)
        if self._router.bytes >= self._room:
            self._flush_largest()
            self._keep_few(OPEN_PARTS)
        if self._router.missing is not None:
            self._keep_few(OPEN_PARTS - 1)

    def go_on_under(self, under: Under) -> None:
        """Finish the parts under way, and build what follows under another schema."""
        for partition in list(self._open):
            self._finish(partition)
        self._build_under(under)

    def end(self) -> None:
        """Write what is left: all parts are whole afterwards, and on their way into the store.

        A shard without rows has one part without rows, so that its columns can be read.
        """
        for partition in list(self._open):
            self._finish(partition)
        if not self._closed:
            nowhere: Partition = tuple(None for _ in self._under.schema.partition_by)
            self._end(nowhere, self._new_file())
        self._background.wait()

    def finish(self) -> list[WrittenPart]:
        """Return all parts once they are stored, by number, then partition."""
        self._deliveries.wait()
        self._parts.sort(key=lambda entry: (entry[0], entry[1].part.key))
        return [written for _, written in self._parts]

    def discard(self) -> None:
        """Forget the parts under way; those that are in the store stay there, known to nobody."""
        with self._deliveries, self._background:
            pass
        for partition, part in self._open.items():
            if part.file is not None:
                part.file.part.abandon()
            self._router.close(partition)
        self._open.clear()

    @property
    def _room(self) -> int:
        """Bytes of values that may wait. Those handed over last may be encoded by now, which nothing may depend on."""
        return max(self._row_group_bytes, 2 * self._row_group_bytes - self._encoding_bytes)

    def _start(self, partition: Partition) -> None:
        self._open[partition] = _OpenPart(self._router.open(partition, self._rows_left(0)))

    def _rows_left(self, rows: int) -> int:
        """Return at how many rows the row group ends that a part of *rows* gets next."""
        return min(self._plan.target.rows_per_part - rows, self._row_group_rows)

    def _is_too_much(self, most: int) -> bool:
        """Return whether more than *most* parts are under way, or fewer with too many columns."""
        return len(self._open) > most or (
            len(self._open) > 1 and (len(self._open) + self._row_groups) * self._columns > OPEN_COLUMNS
        )

    def _keep_few(self, most: int) -> None:
        """End parts, those that began first, until that is not too much."""
        # Dictionaries keep the order in which parts were started.
        while self._is_too_much(most):
            self._finish(next(iter(self._open)))

    def _new_file(self) -> _File:
        self._files += 1
        path = self._folder / f"{self._files:06d}.parquet"
        part = open_part(
            path,
            self._arrow,
            self._sort_by,
            uncounted=self._uncounted,
            each=self._background.each,
            grown=self._store.will_move,
        )
        return _File(path, part, self._under)

    def _flush_largest(self) -> None:
        """Write row groups, the largest first: enough to be encoded for a while, and few, so that others can grow."""
        by_size = sorted(self._open, key=lambda partition: self._open[partition].builder.bytes, reverse=True)
        sizes = accumulate(self._open[partition].builder.bytes for partition in by_size)
        count = sum(1 for _ in takewhile(lambda size: size < self._row_group_bytes / 4, sizes))
        self._flush(*by_size[: count + 1])

    def _flush(self, *partitions: Partition) -> None:
        """Hand the rows that wait over to be encoded: to the files under way, or to new ones if those are large enough.

        Waits for the row groups before them, so that the files' sizes do not depend on who is faster.
        """
        self._background.wait()
        waiting = self._router.bytes
        row_groups = [self._row_group(partition) for partition in partitions if self._open[partition].builder.rows]
        if row_groups:
            self._encoding_bytes = waiting - self._router.bytes
            self._background.do(functools.partial(self._encode, row_groups))

    def _row_group(self, partition: Partition) -> tuple[_File, SparseBatch]:
        """Return the rows that wait for *partition*, and the file that they are for."""
        part = self._open[partition]
        if part.file is not None and part.file.part.bytes >= self._plan.target.part_bytes:
            self._end(partition, part.file)
            self._row_groups -= part.row_groups
            part.file, part.rows, part.row_groups = None, 0, 0
        file = part.file = part.file or self._new_file()
        part.rows += part.builder.rows
        part.row_groups += 1
        self._row_groups += 1
        batch = self._router.finish_sparse(partition, self._rows_left(part.rows))
        rescued = part.builder.rescued
        file.rescued += rescued - part.rescued
        part.rescued = rescued
        return file, batch

    def _encode(self, row_groups: Iterable[tuple[_File, SparseBatch]]) -> None:
        with self.stages.timed("encode"):
            for file, batch in row_groups:
                file.write(batch)

    def _finish(self, partition: Partition) -> None:
        """Write what waits for the partition, and end its part."""
        part = self._open[partition]
        self._flush(partition)
        if part.file is not None:
            self._end(partition, part.file)
        # Not before: what was written until now may fail here, and the file is then for discard to close.
        self._row_groups -= part.row_groups
        self._router.close(partition)
        del self._open[partition]

    def _end(self, partition: Partition, file: _File) -> None:
        """Close *file*, which has all its rows, and have it put into the store, both in the background."""
        shards = len(self._plan.shards)
        # Dense with one shard, and with one part for each shard; never the same number twice.
        number = self._number + shards * self._closed[partition]
        self._closed[partition] += 1
        folder = layout.partition_folder(self._under.schema.partition_by, partition)
        key = f"{layout.snapshot_folder(self._plan.as_of)}/{folder}{layout.part_name(number, self._digest)}"
        self._background.do(functools.partial(self._deliver, number, key, partition, file))

    def _deliver(self, number: int, key: str, partition: Partition, file: _File) -> None:
        with self.stages.timed("encode"):
            file.part.finish()
        self.values.update(file.values)
        stored = functools.partial(self._store_file, number, key, partition, file)
        self._deliveries.do(file.path.stat().st_size, stored)

    def _store_file(self, number: int, key: str, partition: Partition, file: _File) -> None:
        with self.stages.timed("store"):
            rescued = dict(sorted(file.rescued.items()))
            size, sums = file.path.stat().st_size, file.part
            made = Part(key, file.rows, size, sums.sha256, partition, rescued, sums.crc32)
            put_part(self._store, self._plan, made, file.path)
        self._parts.append((number, WrittenPart(made, file.under)))


def put_part(store: ObjectStore, plan: ConversionPlan, made: Part, path: Path) -> None:
    """Move *made*, which is in *path*, into *store*, unless a snapshot is published in its folder: for its readers.

    Raises PublishRaceError if one is, and *made* is not of it.
    """
    _put(store, plan, made, lambda: store.move_file(made.key, path))


def copy_part(store: ObjectStore, plan: ConversionPlan, made: Part, source: Part, opened: BinaryIO) -> None:
    """Copy *source*, a part in *store* that is *opened*, as *made*; else do what :func:`put_part` does."""
    _put(store, plan, made, lambda: store.copy(source.key, made.key, opened))


def _put(store: ObjectStore, plan: ConversionPlan, made: Part, put: Callable[[], None]) -> None:
    ledger = Ledger(store)
    published = ledger.get(plan.as_of)
    if published is None:
        put()
        # That took a while. Whoever published meanwhile has removed what was there, and this was not yet.
        published = ledger.get(plan.as_of)
        if published is not None and made.key not in {part.key for part in published.parts}:
            store.delete(made.key)
    if published is not None and made not in published.parts:
        raise published_meanwhile(published)


def row_group_rows(schema: pa.Schema, *, is_sparse: bool = False) -> int:
    """Return how many rows a row group of *schema* has at most."""
    return max(1, min(ROW_GROUP_ROWS, (2 if is_sparse else 1) * ROW_GROUP_VALUES // _width(schema)))


def _width(fields: Iterable[pa.Field]) -> int:
    """Return how many values a row has at least, nulls among them."""
    return sum(1 + (_width(field.type) if pa.types.is_struct(field.type) else 0) for field in fields)
