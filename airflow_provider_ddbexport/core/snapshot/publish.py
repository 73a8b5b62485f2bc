"""Publishing: the shards' parts brought under the one schema that all items ask for, and committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_ddbexport.core.columns import Observation, resolve
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot.adapt import begin_adapting
from airflow_provider_ddbexport.core.snapshot.ahead import asked_ahead
from airflow_provider_ddbexport.core.snapshot.commit import Now, adopt, commit, utc_now
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, Gathered, ShardFigures, ShardRecord
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress, ProgressCounter
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part
from airflow_provider_ddbexport.core.snapshot.report import conversion_report
from airflow_provider_ddbexport.core.snapshot.rests import Rest
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import PublishRaceError


def publish(
    plan: ConversionPlan,
    *,
    root: ObjectStore,
    lake: ObjectStore,
    crew: Crew | None = None,
    progress: OnProgress | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Make the shards of *plan*, all of them converted, the snapshot of their time, and return its record.

    Shards whose parts do not have the columns that all items together, and the table, ask for are gone through again:
    by *crew*, or one after the other. When the same contents are published already, that record is returned. Repeating
    it is safe.

    Raises PublishRaceError when a shard is not recorded as converted or its parts are gone (convert it again), or when
    the table's columns changed meanwhile (publish again). Raises SnapshotExistsError when other contents are published,
    and OutcomeUnknownError when it cannot be told whether the record was written; then nothing is removed.
    """
    store = lake.child(plan.table)
    ledger = Ledger(store)
    existing = ledger.get(plan.as_of)
    if existing is not None:
        return adopt(store, plan.publication, existing)
    agreed = agree(plan, lake, crew or Crew(Stores(root, lake)), progress)
    previous, options = ledger.previous(plan.as_of), plan.target.options
    report = conversion_report(agreed.seen, agreed.schema, agreed.parts, agreed.figures, previous, options=options)
    return commit(plan.publication, agreed.schema, agreed.schema_number, agreed.parts, lake, report=report, now=now)


@dataclass(frozen=True, slots=True)
class Agreed:
    """The parts of a conversion under one schema.

    Attributes:
        schema_number: link of the table's chain that the schema was agreed with.
        seen: what all items hold.
        figures: of all that was done to the shards.
    """

    schema: Schema
    schema_number: int
    parts: tuple[Part, ...]
    seen: Observation
    figures: tuple[ShardFigures, ...]


def agree(plan: ConversionPlan, lake: ObjectStore, crew: Crew, progress: OnProgress | None = None) -> Agreed:
    """Return the parts of all shards of *plan* under the schema that their items, and the table, ask for.

    That parts which need no change are there is looked for by :func:`.commit`.
    Raises PublishRaceError when a shard is not recorded as converted, BadCallError when rows cannot be sorted as asked.
    """
    store = lake.child(plan.table)
    gathered = _recorded(plan, store)
    seen = gathered.seen
    number, newest = Ledger(store).newest_schema()
    schema = resolve(seen, plan.target.options, newest)
    if seen.items:
        plan.target.refuse_unsortable(schema)
    adapted = _adapted(plan, gathered.records, schema, crew, progress)
    parts = tuple(part for record in adapted for part in record.parts)
    return Agreed(schema, number, parts, seen, gathered.figures(adapted))


def _recorded(plan: ConversionPlan, store: ObjectStore) -> Gathered:
    conversion = Conversion(store, plan)
    gathered = Gathered()
    missing = []
    numbers = [shard.number for shard in plan.shards]
    # That their parts are there is looked for once, before the commit.
    for number, record in zip(numbers, asked_ahead(conversion.recorded, numbers), strict=True):
        if record is None:
            missing.append(number)
        else:
            gathered.add(record)
    if missing:
        raise PublishRaceError(
            f"{store.uri}: {len(missing)} of {len(plan.shards)} shards of the snapshot as of {iso(plan.as_of)} are not "
            f"recorded as converted, the first is {missing[0]}; nothing was published, convert them",
            as_of=iso(plan.as_of),
        )
    return gathered


def _adapted(
    plan: ConversionPlan,
    records: Sequence[ShardRecord],
    schema: Schema,
    crew: Crew,
    progress: OnProgress | None,
) -> list[ShardRecord]:
    """Return the *records* of all shards, in order, under *schema*."""
    by_shard = {record.shard: record for record in records}
    others = [record for record in records if not record.is_under(schema)]
    counter = ProgressCounter("adapt", sum(record.items for record in others), progress)
    for before, after in crew.run_with_rests(_Adapt(plan, schema), others, counter.tick):
        by_shard[after.shard] = after
        counter.finish(before.items, after.figures.read_bytes)
    return [by_shard[number] for number in sorted(by_shard)]


@dataclass(frozen=True, slots=True)
class _Adapt:
    """Work on one shard; a class because it crosses processes, which a closure does not."""

    plan: ConversionPlan
    schema: Schema

    def __call__(self, stores: Stores, record: ShardRecord, tick: Tick | None) -> Rest[ShardRecord]:
        return begin_adapting(self.plan, record, self.schema, root=stores.root, lake=stores.lake, tick=tick)
