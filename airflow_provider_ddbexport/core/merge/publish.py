"""Publishing a merge: the parts of its shards brought under the one schema that all items ask for, and committed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan
from airflow_provider_ddbexport.core.merge.parts import adapt_shard
from airflow_provider_ddbexport.core.merge.parts_counter import PartsCounter
from airflow_provider_ddbexport.core.merge.records import MergedShard, ShardRecords, parts_of
from airflow_provider_ddbexport.core.merge.report import merge_report
from airflow_provider_ddbexport.core.merge.shards import require_all, staging_again, sweeping_is_a_race
from airflow_provider_ddbexport.core.snapshot.commit import Now, adopt, commit, utc_now
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress
from airflow_provider_ddbexport.core.snapshot.publish import agree
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import PublishRaceError


def publish_merge(
    plan: MergePlan, crew: Crew, *, progress: OnProgress | None = None, now: Now = utc_now
) -> CommitRecord:
    """Make the shards of *plan*, all of them merged, the snapshot of their time, and return its record.

    Parts that do not have the columns that the base, the survivors and the table ask for are gone through again by
    *crew*. When the same contents are published already, that record is returned. Repeating it is safe.

    Raises MergeConflictError unless all items that the increments say were there were found, PublishRaceError when a
    shard is not recorded as merged, its part is gone (merge it again), what was staged is (plan again) or the table's
    columns changed meanwhile (publish again), SnapshotExistsError when other contents are published, and
    OutcomeUnknownError.
    """
    lake = crew.stores.lake
    store, publication = lake.child(plan.base.table), plan.publication
    ledger = Ledger(store)
    existing = ledger.get(publication.as_of)
    if existing is not None:
        return adopt(store, publication, existing)
    with staging_again(crew), sweeping_is_a_race(lake, plan.base.table, publication.as_of):
        agreed = agree(plan.survivors, lake, crew, progress)
        shards = _adapted(plan, _recorded(plan, store), agreed.schema, crew, progress)
    merged = [one for shard in shards for one in shard]
    require_all(plan, merged)
    rows = plan.base.rows - sum(one.gone for one in merged) + plan.survivors.export.summary.item_count
    parts = [part for part in (*parts_of(merged), *agreed.parts) if part.rows] or agreed.parts
    keys = plan.compacted.key_attributes or publication.source.keys
    source = dataclasses.replace(publication.source, item_count=rows, keys=keys)
    publication = dataclasses.replace(publication, rows=rows, source=source)
    report = merge_report(plan, agreed, merged, parts, ledger.previous(publication.as_of))
    return commit(publication, agreed.schema, agreed.schema_number, parts, lake, report=report, now=now)


def _recorded(plan: MergePlan, store: ObjectStore) -> list[MergedShard]:
    records = ShardRecords(store, plan, plan.schema)
    # That the parts are there is looked for once, before the commit.
    found = [records.recorded(number) for number in range(len(plan.lot_shards))]
    merged = [one for one in found if one is not None]
    if len(merged) < len(found):
        raise PublishRaceError(
            f"{store.uri}: {len(found) - len(merged)} of {len(plan.shards)} shards of the snapshot as of "
            f"{iso(plan.publication.as_of)} are not recorded as merged, the first is {found.index(None)}; nothing was "
            "published, merge them",
            as_of=iso(plan.publication.as_of),
        )
    return merged


def _adapted(
    plan: MergePlan, merged: list[MergedShard], schema: Schema, crew: Crew, progress: OnProgress | None
) -> list[MergedShard]:
    """Return the records of all lots' shards, in order, under *schema*."""
    if schema == plan.schema:
        return merged
    records = ShardRecords(crew.stores.lake.child(plan.base.table), plan, schema)
    adapted = records.done(range(len(merged)))
    left = [(number, one) for number, one in enumerate(merged) if number not in adapted]
    counter = PartsCounter("adapt", [part for _, one in left for part in parts_of(one)], progress)
    for (number, before), one in crew.run(_AdaptShard(plan, records), left):
        adapted[number] = one
        counter.finish(parts_of(before))
    return [adapted[number] for number in range(len(merged))]


@dataclass(frozen=True, slots=True)
class _AdaptShard:
    """Work on one shard of lots that was merged."""

    plan: MergePlan
    records: ShardRecords

    def __call__(self, _stores: Stores, shard: tuple[int, MergedShard], _tick: Tick | None) -> MergedShard:
        number, merged = shard
        return adapt_shard(self.plan, number, merged, self.records)
