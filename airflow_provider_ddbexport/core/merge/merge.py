"""From a published snapshot and the increments since to the snapshot at their end: plan, merge each shard, publish.

::

    increments ─▶ compacted ─┬─▶ items that are left ─▶ converted ─┐
                             └─▶ changed keys                      ├─▶ published
    parts of the base ───────────────▶ without their rows ─────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from airflow_provider_ddbexport.core.merge.compact import Increment
from airflow_provider_ddbexport.core.merge.filtered import IsFiltered
from airflow_provider_ddbexport.core.merge.merge_input import MergeInput, find_input
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan, plan_shards
from airflow_provider_ddbexport.core.merge.publish import publish_merge
from airflow_provider_ddbexport.core.merge.shards import check_base, merge_crew, merge_shards, sweeping_is_a_race
from airflow_provider_ddbexport.core.snapshot.commit import (
    MOST_RACES,
    BeforeReplace,
    Now,
    is_settled,
    utc_now,
    withdraw,
)
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import PublishRaceError


def merge_increments(
    increments: Sequence[Increment],
    lake: ObjectStore,
    *,
    table: str,
    base: datetime | None = None,
    max_gap: timedelta = timedelta(0),
    column_names: Mapping[str, str] | None = None,
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    is_filtered: IsFiltered | None = None,
    progress: OnProgress | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Return the commit record of the published snapshot as of the end of *increments*, merging them unless it is.

    They are merged into the snapshot of *table* as of *base*, by default the newest before them. Its options stay;
    *column_names* are added to its own, for attributes that have no column yet. The last write of each key wins, by its
    time. Rows of the base whose keys were changed are dropped, without decoding the others; parts that have none are
    copied, but that small ones are gathered. *workers* shards are merged side by side, by threads.

    Every byte of the increments is verified before anything is published, and every part of the base against its
    record. Where the increments have old images they are compared with the rows that are dropped; not with *max_gap*
    used, nor where the base's time is no whole second. Exports with a filter are refused, as far as *is_filtered*
    knows; the files do not tell. With *replace* all of that is done once before the snapshot
    that is there is withdrawn, and again while merging.

    Repeating it is safe and, once published, cheap; a run that was killed is gone on with. Memory does not
    grow with the table, nor with the increments: the keys that changed are looked up in files that are mapped into it.
    Temporary files take about the size of the increments, unzipped, and of up to three parts for each worker.

    Raises what find_input raises, MergeConflictError, DataFileError and ItemError for damage, SnapshotExistsError,
    SnapshotDamagedError, StorageError and OutcomeUnknownError.
    """
    merging = find_input(
        lake.child(table),
        table,
        increments,
        base=base,
        max_gap=max_gap,
        column_names=column_names,
        is_filtered=is_filtered,
    )
    ledger = Ledger(lake.child(table))
    replaces = existing = ledger.get(merging.publication.as_of)
    for races_left in reversed(range(MOST_RACES)):
        try:
            # What another run published since this one began is not this run's to replace.
            may_replace = replace and existing == replaces
            plan = _planned(
                merging,
                lake,
                existing,
                workers,
                replace=may_replace,
                before_replace=before_replace,
                progress=progress,
                holds=True,
            )
            if isinstance(plan, CommitRecord):
                return plan
            with merge_crew(plan, lake, workers) as crew:
                merge_shards(plan, crew, progress=progress)
                return publish_merge(plan, crew, progress=progress, now=now)
        except PublishRaceError:
            if not races_left:
                raise
        existing = ledger.get(merging.publication.as_of)
    raise AssertionError


def plan_merge(
    increments: Sequence[Increment],
    lake: ObjectStore,
    *,
    table: str,
    base: datetime | None = None,
    max_gap: timedelta = timedelta(0),
    column_names: Mapping[str, str] | None = None,
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    is_filtered: IsFiltered | None = None,
    progress: OnProgress | None = None,
) -> MergePlan | CommitRecord:
    """Return the plan for merging *increments*, recorded in the lake; the commit record, where it is published already.

    Reads and verifies the increments, and stages what they came to. Only where another snapshot is to be replaced it
    goes through the whole base, by *workers*, and then withdraws that. For engines that run the steps themselves:
    :func:`merge_shards` for some shards of the plan each, anywhere, and :func:`publish_merge` once.
    :func:`merge_increments`, with the same arguments, does what is left of it in one call. Repeating it is safe; errors
    are those of merge_increments, and PublishRaceError where another run publishes meanwhile.
    """
    merging = find_input(
        lake.child(table),
        table,
        increments,
        base=base,
        max_gap=max_gap,
        column_names=column_names,
        is_filtered=is_filtered,
    )
    existing = Ledger(lake.child(table)).get(merging.publication.as_of)
    return _planned(merging, lake, existing, workers, replace=replace, before_replace=before_replace, progress=progress)


def _planned(
    merging: MergeInput,
    lake: ObjectStore,
    existing: CommitRecord | None,
    workers: int,
    *,
    replace: bool,
    before_replace: BeforeReplace | None,
    progress: OnProgress | None,
    holds: bool = False,
) -> MergePlan | CommitRecord:
    """Return *existing* if it is what merging would give; else the plan, after *existing* was withdrawn."""
    if existing is not None and is_settled(lake, existing, merging.publication, replace=replace):
        return existing
    with sweeping_is_a_race(lake, merging.base.table, merging.publication.as_of, known=existing):
        plan = plan_shards(merging, lake, progress, holds=holds)
        if existing is not None:
            with merge_crew(plan, lake, workers) as crew:
                check_base(plan, crew, progress)
            withdraw(lake, existing, before_replace)
    return plan
