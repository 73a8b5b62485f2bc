"""Converting one shard: each of its files is read once, verified, observed and built on the way.

::

    md5 ─▶ gunzip ─▶ block of lines ─▶ observed and built ─▶ row group ─▶ encoded ─▶ part
                                          │ no room in the schema?         (in the background)
                                          └─ taken back, built under a wider one, in another part
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from airflow_provider_ddbexport.core.columns import grow
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.columns.widen import can_widen
from airflow_provider_ddbexport.core.decoder import line_observer
from airflow_provider_ddbexport.core.export.reader import item_decoder, read_lines
from airflow_provider_ddbexport.core.line_blocks import Lines
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, ShardFigures, ShardRecord
from airflow_provider_ddbexport.core.snapshot.learnt import Learnt
from airflow_provider_ddbexport.core.snapshot.parts import PartsWriter
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard
from airflow_provider_ddbexport.core.snapshot.rests import Rest
from airflow_provider_ddbexport.core.snapshot.workers import Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace

MOST_CUTS = 8
"""Times that a shard goes on under a wider schema; items that need more of them are better built when all are known."""

MOST_CUT_PARTS = 64
"""Parts that end because of that: every partition's does each time."""


def convert_shard(
    plan: ConversionPlan, shard: Shard, *, root: ObjectStore, lake: ObjectStore, tick: Tick | None = None
) -> ShardRecord:
    """Write the parts of *shard*, record them, and return the record. Nobody sees them before :func:`.publish`.

    A shard that is recorded already, with its parts there, is not converted again. The same plan and shard give the
    same names and bytes, so repeating it is safe, at the same time as well. Raises DataFileError and ItemError for
    damage, and PublishRaceError rather than write into the folder of a snapshot that is published.
    """
    return begin_shard(plan, shard, root=root, lake=lake, tick=tick)()


def begin_shard(
    plan: ConversionPlan,
    shard: Shard,
    *,
    root: ObjectStore,
    lake: ObjectStore,
    tick: Tick | None = None,
    learnt: Learnt | None = None,
) -> Rest[ShardRecord]:
    """Do of :func:`convert_shard` what takes a worker, and return the rest, which has to be called.

    All rows are in local files by then, and none in memory. What is *learnt* is known to the plan's other shards.
    """
    store = lake.child(plan.table)
    conversion = Conversion(store, plan)
    record = conversion.find(shard.number)
    if record is not None:
        return lambda: record
    started = time.perf_counter()
    read_bytes = 0
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        writer = stack.enter_context(ShardWriter(plan, shard.number, store, folder, learnt or Learnt(plan)))
        for file in shard.files:
            read_bytes += read_lines(root, plan.export, file, writer.take).read(tick)
        writer.end(read_bytes, time.perf_counter() - started - writer.taking_s)
        under_way = stack.pop_all()

    def finish() -> ShardRecord:
        with under_way:
            record = writer.finish()
        conversion.keep(record)
        return record

    return finish


class ShardWriter:
    """Builds and observes the items of a shard, and makes room in its schema as it goes. A context manager.

    Where the schema cannot be widened, or has been :data:`MOST_CUTS` times, or :data:`MOST_CUT_PARTS` parts would have
    ended because of that, it stops building and goes on observing.
    """

    def __init__(self, plan: ConversionPlan, number: int, store: ObjectStore, folder: Path, learnt: Learnt) -> None:
        self._plan = plan
        self._number = number
        self._learnt = learnt
        self._asked = plan.schema
        self._parts = PartsWriter(plan, number, store, folder, learnt.under(plan.schema))
        self._decode = item_decoder(plan.export.summary.output_format)
        # Where the schema is final there is nothing to be learned.
        self._observer = line_observer(self._decode) if plan.may_grow else None
        self._is_building = True
        self._news = 0
        self._cuts = self._cut_parts = 0
        self._items = 0
        self._read_bytes = 0
        self._seconds: dict[str, float] = {}
        self._json_bytes = 0
        self.taking_s = 0.0
        """Seconds spent in :meth:`take`."""

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._parts.discard()

    def take(self, lines: Lines) -> int:
        """Take in whole *lines* and return how many they are. Raises RefusedLineError."""
        started = time.perf_counter()
        items = self._build(lines) if self._is_building else self._observe(lines)
        self._items += items
        self._json_bytes += len(lines)
        self.taking_s += time.perf_counter() - started
        return items

    def _build(self, lines: Lines) -> int:
        start = items = 0
        while start < len(lines):
            end = self._parts.build(lines, start, self._observer)
            items += self._parts.built
            wider = self._wider_schema()
            if wider is None:
                self._parts.settle()
            else:
                self._parts.take_back()
                if not self._make_room(wider):
                    return items + self._observe(lines[end:])
                self._build_observed(lines[start:end])
            start = end
        return items

    def _build_observed(self, lines: Lines) -> None:
        start = 0
        while start < len(lines):
            start = self._parts.build(lines, start, None)
            self._parts.settle()

    def _observe(self, lines: Lines) -> int:
        # What has a final schema is never stopped from building.
        return 0 if self._observer is None else self._observer.take(lines)

    def _wider_schema(self) -> Schema | None:
        """Return the schema that has room for what was observed; None where the one asked for so far has."""
        observer = self._observer
        if observer is None or observer.news == self._news:
            return None
        self._news = observer.news
        grown = grow(self._asked, observer.observation(), self._plan.target.options, self._plan.table_schema)
        return None if grown == self._asked else grown

    def _make_room(self, wider: Schema) -> bool:
        """Go on under *wider* if that can be done, and return whether it can; stop building otherwise."""
        cut_parts = self._cut_parts + self._parts.under_way
        if self._cuts == MOST_CUTS or cut_parts > MOST_CUT_PARTS or not can_widen(self._asked, wider, {}):
            self._is_building = False
            self._parts.discard()
            return False
        self._cuts += 1
        self._cut_parts = cut_parts
        self._asked = wider
        self._learnt.add(wider)
        self._parts.go_on_under(self._learnt.under(wider))
        return True

    def end(self, read_bytes: int, reading_s: float) -> None:
        """Write what is left of the shard, whose files were read in so many seconds: all of it is in local files."""
        self._read_bytes = read_bytes
        self._seconds = {"read": reading_s, "decode": self.taking_s - self._parts.waited_s}
        if self._is_building:
            self._parts.end()

    def finish(self) -> ShardRecord:
        """Return what became of the shard once its parts are stored."""
        written = self._parts.finish() if self._is_building else []
        seconds = {**self._seconds, **self._parts.stages.seconds}
        return ShardRecord(
            shard=self._number,
            items=self._items,
            parts=tuple(each.part for each in written),
            under=tuple(each.under for each in written),
            is_built=self._is_building,
            observation=None if self._observer is None else self._observer.observation(),
            figures=ShardFigures(
                read_bytes=self._read_bytes,
                json_bytes=self._json_bytes,
                seconds={stage: round(took, 3) for stage, took in seconds.items()},
                values=dict(self._parts.values),
            ),
        )
