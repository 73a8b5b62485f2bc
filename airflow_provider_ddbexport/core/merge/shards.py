"""The shards of a merge, by threads of this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan, forget_plan
from airflow_provider_ddbexport.core.merge.parts import check_shard, conflict, merge_shard
from airflow_provider_ddbexport.core.merge.parts_counter import PartsCounter
from airflow_provider_ddbexport.core.merge.records import MergedLot, MergedShard, ShardRecords, parts_of
from airflow_provider_ddbexport.core.merge.staged import open_held, open_staged
from airflow_provider_ddbexport.core.merge.told_changes import ToldChanges
from airflow_provider_ddbexport.core.snapshot.commit import published_meanwhile
from airflow_provider_ddbexport.core.snapshot.convert import convert_shards
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import (
    BadCallError,
    BadDataError,
    DataFileError,
    ItemError,
    ObjectNotFoundError,
    PublishRaceError,
)


def merge_crew(plan: MergePlan, lake: ObjectStore, workers: int = 1) -> Crew:
    """Return the workers for shards of *plan*; for :func:`merge_shards` and :func:`publish_merge`."""
    staging = lake.child(plan.base.table).child(plan.publication.conversion)
    return Crew(Stores(staging, lake), workers, releases_gil=True)


def merge_shards(
    plan: MergePlan, crew: Crew, shards: Sequence[int] | None = None, progress: OnProgress | None = None
) -> tuple[Part, ...]:
    """Merge those of *shards*, all of the plan's by default, that are not recorded yet, and return their parts.

    Nobody sees these before :func:`publish_merge`. Parts of the same name have the same bytes, whoever makes them, so
    repeating it is safe, at the same time as well. Raises MergeConflictError, SnapshotDamagedError where the base is
    not what its record says, and PublishRaceError rather than write into the folder of a snapshot that is published, or
    where what was staged is gone or damaged: plan again.
    """
    chosen = plan.shards if shards is None else shards
    if outside := [number for number in chosen if number not in plan.shards]:
        raise BadCallError(
            f"shards: expected numbers below {len(plan.shards)}, found {outside[0]}; give those that the plan has"
        )
    first = len(plan.lot_shards)
    of_lots = [number for number in chosen if number < first]
    lake = crew.stores.lake
    with staging_again(crew), sweeping_is_a_race(lake, plan.base.table, plan.publication.as_of):
        survivors = [plan.survivors.shards[number - first] for number in chosen if number >= first]
        converted = convert_shards(plan.survivors, crew, survivors, progress) if survivors else ()
        records = ShardRecords(lake.child(plan.base.table), plan, plan.schema)
        counter = PartsCounter("merge", plan.base_parts(*of_lots), progress)
        merged = records.done(of_lots)
        counter.finish(plan.base_parts(*merged))
        if left := [number for number in of_lots if number not in merged]:
            with _changes(plan, crew) as changes:
                for number, one in crew.run(_MergeShard(plan, changes, records), left):
                    merged[number] = one
                    counter.finish(plan.base_parts(number))
    kept = [part for number in of_lots for part in parts_of(merged[number])]
    return (*kept, *(part for record in converted for part in record.parts))


def check_base(plan: MergePlan, crew: Crew, progress: OnProgress | None = None) -> None:
    """Go through the whole base as merging does, and write nothing. Raises what that does."""
    checked: list[MergedLot] = []
    shards = range(len(plan.lot_shards))
    counter = PartsCounter("verify", plan.base.parts, progress)
    with staging_again(crew), _changes(plan, crew) as changes:
        for number, merged in crew.run(_CheckShard(plan, changes), shards):
            checked += merged
            counter.finish(plan.base_parts(number))
    require_all(plan, checked)


def require_all(plan: MergePlan, merged: Iterable[MergedLot]) -> None:
    """Raise MergeConflictError unless all items that the increments say were there are in the base's parts."""
    expected = plan.compacted.there
    if plan.tells_before and (missing := expected - sum(one.there for one in merged)):
        raise conflict(
            plan, missing, f"expected the {expected} items that they say were there before, found {expected - missing}"
        )


@contextmanager
def staging_again(crew: Crew) -> Iterator[None]:
    """Raise PublishRaceError where what was staged is gone or damaged, and have the next plan stage it again.

    It was verified when it was made of the increments, so nothing is wrong with those. An ItemError is of a file whose
    md5 is right: staged again it would be the same.
    """
    try:
        yield
    except ItemError:
        raise
    except (DataFileError, ObjectNotFoundError) as error:
        staging = crew.stores.root
        forget_plan(staging)
        raise PublishRaceError(
            f"{error.context.get('uri', staging.uri)}: what was staged for a merge is gone or not what was written; "
            "nothing was published, plan the merge again",
            uri=staging.uri,
        ) from None


@contextmanager
def sweeping_is_a_race(
    lake: ObjectStore, table: str, as_of: datetime, known: CommitRecord | None = None
) -> Iterator[None]:
    """Raise PublishRaceError where what is missing or damaged is so because a snapshot besides *known* is published.

    A run that publishes sweeps away what is staged, under the hands of others too.
    """
    try:
        yield
    except (ObjectNotFoundError, BadDataError):
        published = Ledger(lake.child(table)).get(as_of)
        if published is None or published == known:
            raise
        raise published_meanwhile(published) from None


@contextmanager
def _changes(plan: MergePlan, crew: Crew) -> Iterator[ToldChanges]:
    if plan.held is not None:
        yield open_held(plan.held, plan.compacted)
        return
    with workplace() as folder:
        yield open_staged(crew.stores.root, plan.compacted, folder)


@dataclass(frozen=True, slots=True)
class _CheckShard:
    """Work on one shard of the base's parts, whose result is not kept."""

    plan: MergePlan
    changes: ToldChanges

    def __call__(self, stores: Stores, number: int, _tick: Tick | None) -> MergedShard:
        return check_shard(self.plan, number, self.changes, stores.lake.child(self.plan.base.table))


@dataclass(frozen=True, slots=True)
class _MergeShard:
    """Work on one shard of the base's parts."""

    plan: MergePlan
    changes: ToldChanges
    records: ShardRecords

    def __call__(self, _stores: Stores, number: int, _tick: Tick | None) -> MergedShard:
        return merge_shard(self.plan, number, self.changes, self.records)
