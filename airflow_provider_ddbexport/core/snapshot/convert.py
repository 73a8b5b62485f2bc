"""From an export to a published snapshot: plan, convert each shard, publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Any

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, resolve
from airflow_provider_ddbexport.core.decoder import line_observer, memory_kept, releases_gil
from airflow_provider_ddbexport.core.export.model import DataFile, Export
from airflow_provider_ddbexport.core.export.reader import item_decoder, read_lines
from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.core.snapshot.commit import (
    MOST_RACES,
    BeforeReplace,
    Now,
    is_settled,
    refuse_other_table,
    utc_now,
    withdraw,
)
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, ShardRecord, begin, find_plan
from airflow_provider_ddbexport.core.snapshot.learnt import Learnt
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import (
    ConversionPlan,
    Shard,
    Target,
    make_shards,
    refuse_increment,
)
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress, ProgressCounter
from airflow_provider_ddbexport.core.snapshot.publish import publish
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.rests import Rest
from airflow_provider_ddbexport.core.snapshot.sample import file_sizes, sample_export
from airflow_provider_ddbexport.core.snapshot.shard import begin_shard
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Reopen, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.table_folder import table_folder
from airflow_provider_ddbexport.errors import PublishRaceError


def convert_export(
    root: ObjectStore,
    export: Export,
    lake: ObjectStore,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = ROWS_PER_PART,
    part_bytes: int = PART_BYTES,
    sort_by: Sequence[str] = (),
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    other_table: bool = False,
    progress: OnProgress | None = None,
    reopen: Reopen | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Return the commit record of the published snapshot of *export*, converting it unless it is published already.

    *table* is the folder in the lake, by default made from the DynamoDB table's name. A part ends at *rows_per_part*
    rows or about *part_bytes* bytes; its rows are sorted by the attributes *sort_by*, ascending. With *workers* above 1
    shards are converted by that many threads, if they decode without the GIL; else by processes, if the stores pickle
    or *reopen* opens them anew. *before_replace* is called with the record that *replace* takes away, before it is
    gone, and after the whole export has been verified. With *other_table* the snapshots that are there may be of
    another DynamoDB table.

    Repeating it is safe and, once published, cheap: nothing is read but the ledger. A run that was killed is gone on
    with: shards that are recorded are not converted again. Memory does not grow with the export; temporary files take
    about the size of the parts under way; with *sort_by*, of their rows uncompressed. Raises BadCallError (an
    incremental export, another table's, options that fit nothing), DataFileError and ItemError for damage,
    SnapshotExistsError, SchemaConflictError, StorageError and OutcomeUnknownError.
    """
    target = _target(export, table, options, rows_per_part, part_bytes, sort_by)
    ledger = Ledger(lake.child(target.table))
    replaces = existing = ledger.get(export.summary.as_of)
    with _crew(export, Stores(root, lake), workers, reopen) as crew:
        run = _Run(root, export, lake, target, crew, before_replace, progress, other_table)
        for races_left in reversed(range(MOST_RACES)):
            try:
                # What another run published since this one began is not this run's to replace.
                plan = run.planned(existing, replace=replace and existing == replaces)
                if isinstance(plan, CommitRecord):
                    return plan
                convert_shards(plan, crew, progress=progress)
                return publish(plan, root=root, lake=lake, crew=crew, progress=progress, now=now)
            except PublishRaceError:
                if not races_left:
                    raise
            existing = ledger.get(export.summary.as_of)
    raise AssertionError


def plan_conversion(
    root: ObjectStore,
    export: Export,
    lake: ObjectStore,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = ROWS_PER_PART,
    part_bytes: int = PART_BYTES,
    sort_by: Sequence[str] = (),
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    other_table: bool = False,
    progress: OnProgress | None = None,
    reopen: Reopen | None = None,
) -> ConversionPlan | CommitRecord:
    """Return the plan for converting *export*, recorded in the lake; the commit record, where it is published already.

    Reads the beginnings of a few files. Only where another snapshot is to be replaced it reads and verifies the whole
    export, by *workers*, and then withdraws that. For engines that run the steps themselves: :func:`.convert_shard` for
    each shard, anywhere, and :func:`.publish` once. :func:`convert_export`, with the same arguments, does what is left
    of it in one call. Repeating it is safe; errors are those of convert_export.
    """
    target = _target(export, table, options, rows_per_part, part_bytes, sort_by)
    existing = Ledger(lake.child(target.table)).get(export.summary.as_of)
    with _crew(export, Stores(root, lake), workers, reopen) as crew:
        run = _Run(root, export, lake, target, crew, before_replace, progress, other_table)
        return run.planned(existing, replace=replace)


@dataclass(slots=True)
class _Run:
    """One conversion by one caller."""

    root: ObjectStore
    export: Export
    lake: ObjectStore
    target: Target
    crew: Crew
    before_replace: BeforeReplace | None
    progress: OnProgress | None
    other_table: bool
    seen: Observation | None = None
    """All items, where they had to be verified beforehand."""

    def planned(self, existing: CommitRecord | None, *, replace: bool) -> ConversionPlan | CommitRecord:
        """Return *existing* if it is what the conversion would give; else the plan, after *existing* was withdrawn."""
        publication = self.target.publication(self.export)
        if existing is not None and is_settled(self.lake, existing, publication, replace=replace):
            return existing
        if not self.other_table:
            refuse_other_table(self.lake, publication)
        if existing is None:
            return make_plan(self.root, self.export, self.lake, self.target, self.seen)
        self.seen = self.seen or observe(self.export, self.crew, self.progress)
        plan = make_plan(self.root, self.export, self.lake, self.target, self.seen)
        withdraw(self.lake, existing, self.before_replace)
        return plan


def make_plan(
    root: ObjectStore, export: Export, lake: ObjectStore, target: Target, seen: Observation | None
) -> ConversionPlan:
    """Return the recorded plan; one is made where there is none, from *seen*, all items, or from a sample of them.

    Raises SchemaConflictError where the options contradict the table's columns as they are now.
    """
    store = lake.child(target.table)
    # In the plan, because another version would look for its records elsewhere.
    target = replaced(target, conversion=target.publication(export).conversion)
    plan = find_plan(store, target.conversion)
    if plan is not None:
        # The table may have got other columns since.
        resolve(seen or Observation(), target.options, Ledger(store).newest_schema()[1], is_sample=True)
        return plan
    return begin(store, unrecorded_plan(root, export, lake, target, seen))


def unrecorded_plan(
    root: ObjectStore, export: Export, lake: ObjectStore, target: Target, seen: Observation | None
) -> ConversionPlan:
    """Return a plan as :func:`make_plan` makes it; *target* says which conversion it is of. Raises what that does."""
    table_schema = Ledger(lake.child(target.table)).newest_schema()[1]
    shards = make_shards(
        export.files, file_sizes(root, export), rows_per_part=target.rows_per_part, part_bytes=target.part_bytes
    )
    seen = seen or sample_export(root, export)
    is_sample = seen.items < export.summary.item_count
    schema = resolve(seen, target.options, table_schema, is_sample=is_sample)
    if export.summary.item_count:
        target.refuse_unsortable(schema, is_sample=is_sample)
    return ConversionPlan(export, target, shards, schema, table_schema)


def convert_shards(
    plan: ConversionPlan, crew: Crew, shards: Sequence[Shard] | None = None, progress: OnProgress | None = None
) -> tuple[ShardRecord, ...]:
    """Convert those of *shards*, all of the plan's by default, that are not recorded yet, and return their records."""
    chosen = plan.shards if shards is None else shards
    counter = ProgressCounter("convert", sum(file.item_count for shard in chosen for file in shard.files), progress)
    records = Conversion(crew.stores.lake.child(plan.table), plan).done(shard.number for shard in chosen)
    done = {record.shard for record in records}
    for record in records:
        counter.finish(record.items, record.figures.read_bytes)
    left = [shard for shard in chosen if shard.number not in done]
    with memory_kept():
        for _, record in crew.run_with_rests(_Convert(plan, Learnt(plan)), left, counter.tick):
            # Publishing reads what was observed from the record in the lake.
            records.append(replaced(record, observation=None))
            counter.finish(record.items, record.figures.read_bytes)
    return tuple(records)


def observe(export: Export, crew: Crew, progress: OnProgress | None = None) -> Observation:
    """Return what all items of *export* hold, every data file verified."""
    seen = Observation()
    counter = ProgressCounter("verify", export.summary.item_count, progress)
    for file, (observation, size) in crew.run(_Observe(export), export.files, counter.tick):
        seen.merge(observation)
        counter.finish(file.item_count, size)
    return seen


@dataclass(frozen=True, slots=True)
class _Observe:
    """Work on one data file; a class because it crosses processes, which a closure does not."""

    export: Export

    def __call__(self, stores: Stores, file: DataFile, tick: Tick | None) -> tuple[Observation, int]:
        observer = line_observer(item_decoder(self.export.summary.output_format))
        size = read_lines(stores.root, self.export, file, observer.take).read(tick)
        return observer.observation(), size


@dataclass(frozen=True, slots=True)
class _Convert:
    """Work on one shard."""

    plan: ConversionPlan
    learnt: Learnt

    def __call__(self, stores: Stores, shard: Shard, tick: Tick | None) -> Rest[ShardRecord]:
        return begin_shard(self.plan, shard, root=stores.root, lake=stores.lake, tick=tick, learnt=self.learnt)


def shard_crew(plan: ConversionPlan, stores: Stores, workers: int = 1) -> Crew:
    """Return the workers for shards of *plan*; for :func:`convert_shards`."""
    return _crew(plan.export, stores, workers)


def _crew(export: Export, stores: Stores, workers: int, reopen: Reopen | None = None) -> Crew:
    return Crew(stores, workers, reopen, releases_gil=releases_gil(item_decoder(export.summary.output_format)))


def _target(export: Export, table: str | None, options: ColumnOptions | None, *cutting: Any) -> Target:
    refuse_increment(export)
    folder = table_folder(export.summary.table_name) if table is None else table
    target = Target(folder, options or ColumnOptions(), *cutting)
    target.refuse_large_parts()
    return target
