"""From an export to a published snapshot.

Two passes over the data files. The first verifies every byte and observes what the attributes hold; then the schema is
resolved. The second writes the parts. In between and afterwards nothing of the items is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, resolve
from airflow_provider_ddbexport.core.decoder import line_observer, releases_gil
from airflow_provider_ddbexport.core.export.model import DataFile, Export
from airflow_provider_ddbexport.core.export.reader import item_decoder, read_lines
from airflow_provider_ddbexport.core.export.verify import CHECKED_BY_READING
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.parts import PartsWriter
from airflow_provider_ddbexport.core.snapshot.plan import (
    ConversionPlan,
    Shard,
    Target,
    identity,
    make_shards,
    refuse_increment,
)
from airflow_provider_ddbexport.core.snapshot.publish import (
    BeforeReplace,
    Now,
    is_settled,
    publish,
    utc_now,
    withdraw,
)
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Reopen, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import PublishRaceError

_RACES = 5
"""Lost to other runs before giving up; each means that the table gained columns while parts were written."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one of the two passes is.

    Attributes:
        items: read so far in this pass.
        total: items in the export.
        bytes: compressed bytes read so far in this pass.
    """

    stage: Literal["verify", "write"]
    items: int
    total: int
    bytes: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Observed:
    """What the first pass found out.

    Attributes:
        sizes: compressed bytes of each data file, by key.
    """

    observation: Observation
    sizes: Mapping[str, int]


def convert_export(
    root: ObjectStore,
    export: Export,
    lake: ObjectStore,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = 1_000_000,
    part_bytes: int = 256 << 20,
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    progress: OnProgress | None = None,
    reopen: Reopen | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Return the commit record of the published snapshot of *export*, converting it unless it is published already.

    *table* is the folder in the lake, by default made from the DynamoDB table's name. A part ends at *rows_per_part*
    rows or about *part_bytes* bytes. With *workers* above 1 files are read by that many threads, if they decode without
    the GIL; else by processes, if the stores pickle or *reopen* opens them anew. *before_replace* is called with the
    record that *replace* takes away, before it is gone.

    Repeating it is safe and, once published, cheap: nothing is read but the ledger. Memory does not grow with the
    export; temporary files take about the size of the parts under way. Raises BadCallError (an incremental export,
    options that fit nothing), DataFileError and ItemError for damage, SnapshotExistsError, SchemaConflictError,
    StorageError and OutcomeUnknownError.
    """
    target = _target(export, table, options, rows_per_part, part_bytes)
    ledger = Ledger(lake.child(target.table))
    replaces = existing = ledger.get(export.summary.as_of)
    observed: Observed | None = None
    with _crew(export, target, Stores(root, lake), workers, reopen) as crew:
        for races_left in reversed(range(_RACES)):
            # What another run published since this one began is not this run's to replace.
            may_replace = replace and existing == replaces
            if existing is not None and is_settled(lake, existing, target, export, replace=may_replace):
                return existing
            observed = observed or observe(export, crew, progress)
            plan = make_plan(export, lake, target, observed, replaces=replaces)
            try:
                withdraw(plan, lake, before_replace)
                return publish(plan, convert_shards(plan, crew, progress), lake, now=now)
            except PublishRaceError:
                if not races_left:
                    raise
            existing = ledger.get(plan.as_of)
    raise AssertionError


def plan_conversion(
    root: ObjectStore,
    export: Export,
    lake: ObjectStore,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = 1_000_000,
    part_bytes: int = 256 << 20,
    workers: int = 1,
    replace: bool = False,
    progress: OnProgress | None = None,
    reopen: Reopen | None = None,
) -> ConversionPlan:
    """Return the plan for converting *export*, after reading and verifying all of it. Writes nothing.

    With *replace*, the plan is to replace the snapshot that is published for this time now, if there is one.

    For engines that run the steps themselves: :func:`.withdraw` once where something is to be replaced,
    :func:`convert_shard` for each shard, :func:`.publish` once. :func:`convert_export` does all of it in one call.
    """
    target = _target(export, table, options, rows_per_part, part_bytes)
    replaces = Ledger(lake.child(target.table)).get(export.summary.as_of) if replace else None
    with _crew(export, target, Stores(root, lake), workers, reopen) as crew:
        observed = observe(export, crew, progress)
    return make_plan(export, lake, target, observed, replaces=replaces)


def convert_shard(
    plan: ConversionPlan, shard: Shard, *, root: ObjectStore, lake: ObjectStore, tick: Tick | None = None
) -> tuple[Part, ...]:
    """Write the parts of *shard* and return them. Nobody sees them before :func:`.publish`.

    The same plan and shard give the same names and bytes, so repeating it is safe, at the same time as well. Raises
    PublishRaceError rather than write into the folder of a snapshot that is published: see :func:`.withdraw`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ddbexport-") as folder,
        PartsWriter(plan, shard, lake.child(plan.table), Path(folder)) as parts,
    ):
        for file in shard.files:
            _read(root, plan.export, file, parts.take, tick)
        return parts.finish()


def observe(export: Export, crew: Crew, progress: OnProgress | None = None) -> Observed:
    """Return what all items of *export* hold, every data file verified. Raises BadCallError for an increment."""
    refuse_increment(export)
    observation, sizes = Observation(), {}
    counter = _Counter("verify", export, progress)
    for file, (seen, size) in crew.run(_Observe(export), export.files, counter.tick):
        observation.merge(seen)
        sizes[file.key] = size
        counter.finish(file.item_count, size)
    return Observed(observation, sizes)


def make_plan(
    export: Export, lake: ObjectStore, target: Target, observed: Observed, *, replaces: CommitRecord | None
) -> ConversionPlan:
    """Return the plan that fits the table's columns as they are now. Raises SchemaConflictError."""
    number, newest = Ledger(lake.child(target.table)).newest_schema()
    return ConversionPlan(
        table=target.table,
        export=export,
        schema=resolve(observed.observation, target.options, newest),
        schema_number=number,
        options=target.options_json(),
        rows_per_part=target.rows_per_part,
        part_bytes=target.part_bytes,
        digest=target.digest(export),
        shards=make_shards(
            export.files, observed.sizes, rows_per_part=target.rows_per_part, part_bytes=target.part_bytes
        ),
        replaces=None if replaces is None else identity(replaces),
        verified=(*export.checked, *CHECKED_BY_READING),
    )


def convert_shards(plan: ConversionPlan, crew: Crew, progress: OnProgress | None = None) -> tuple[Part, ...]:
    """Write the parts of all shards of *plan* and return them in order."""
    counter = _Counter("write", plan.export, progress)
    by_number: dict[int, tuple[Part, ...]] = {}
    for shard, parts in crew.run(_Convert(plan), plan.shards, counter.tick):
        by_number[shard.number] = parts
        counter.finish(sum(file.item_count for file in shard.files), 0)
    return tuple(part for number in sorted(by_number) for part in by_number[number])


@dataclass(frozen=True, slots=True)
class _Observe:
    """Work on one data file; a class because it crosses processes, which a closure does not."""

    export: Export

    def __call__(self, stores: Stores, file: DataFile, tick: Tick | None) -> tuple[Observation, int]:
        observer = line_observer(item_decoder(self.export.summary.output_format))
        size = _read(stores.root, self.export, file, observer.take, tick)
        return observer.observation(), size


@dataclass(frozen=True, slots=True)
class _Convert:
    """Work on one shard."""

    plan: ConversionPlan

    def __call__(self, stores: Stores, shard: Shard, tick: Tick | None) -> tuple[Part, ...]:
        return convert_shard(self.plan, shard, root=stores.root, lake=stores.lake, tick=tick)


class _Counter:
    """Adds up what workers tell, and tells the caller.

    Workers in this process tick as they go; those in other processes are heard of when a task is done.
    """

    def __init__(self, stage: Literal["verify", "write"], export: Export, progress: OnProgress | None) -> None:
        self._stage = stage
        self._total = export.summary.item_count
        self._progress = progress
        self._ticked_items = self._ticked_bytes = 0
        self._finished_items = self._finished_bytes = 0

    def tick(self, items: int, size: int) -> None:
        self._ticked_items += items
        self._ticked_bytes += size
        self._tell()

    def finish(self, items: int, size: int) -> None:
        self._finished_items += items
        self._finished_bytes += size
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            items = max(self._ticked_items, self._finished_items)
            size = max(self._ticked_bytes, self._finished_bytes)
            self._progress(Progress(self._stage, items, self._total, size))


def _read(root: ObjectStore, export: Export, file: DataFile, take: Callable[[bytes], int], tick: Tick | None) -> int:
    """Give the lines of *file* to *take*, verify it, and return its compressed bytes; tell *tick* after each block."""
    reader = read_lines(root, export, file, take)
    told_bytes = 0
    for items in reader:
        if tick is not None:
            tick(items, reader.compressed_bytes - told_bytes)
            told_bytes = reader.compressed_bytes
    if tick is not None:
        tick(0, reader.compressed_bytes - told_bytes)
    return reader.compressed_bytes


def _crew(export: Export, target: Target, stores: Stores, workers: int, reopen: Reopen | None) -> Crew:
    is_compiled = releases_gil(item_decoder(export.summary.output_format))
    return Crew(stores, workers, reopen, releases_gil=is_compiled and not target.options.partition_by)


def _target(
    export: Export, table: str | None, options: ColumnOptions | None, rows_per_part: int, part_bytes: int
) -> Target:
    refuse_increment(export)
    folder = layout.table_folder(export.summary.table_name) if table is None else table
    return Target(folder, options or ColumnOptions(), rows_per_part, part_bytes)
