"""From a published snapshot and the increments since to the snapshot at their end.

::

    increments ─▶ compacted ─┬─▶ items that are left ─▶ converted ─┐
                             └─▶ changed keys                      ├─▶ published
    parts of the base ───────────────▶ without their rows ─────────┘
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from airflow_provider_ddbexport.core.merge.compact import Compacted, Increment, compact
from airflow_provider_ddbexport.core.merge.parts import MergedPart, check_part, conflict, merge_part
from airflow_provider_ddbexport.core.merge.plan import (
    MergeInput,
    MergePlan,
    find_compacted,
    find_input,
    keep_compacted,
    survivors_export,
)
from airflow_provider_ddbexport.core.merge.report import merge_report
from airflow_provider_ddbexport.core.merge.staged import StagedChanges
from airflow_provider_ddbexport.core.snapshot.commit import (
    BeforeReplace,
    Now,
    commit,
    is_settled,
    utc_now,
    withdraw,
)
from airflow_provider_ddbexport.core.snapshot.convert import convert_shards, make_plan
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.publish import Agreed, agree
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.workers import Crew, Stores, Tick
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadDataError, ObjectNotFoundError, PublishRaceError

_RACES = 5
"""Lost to other runs before giving up; each means that another run published, or added columns, meanwhile."""


def merge_increments(
    increments: Sequence[Increment],
    lake: ObjectStore,
    *,
    table: str,
    base: datetime | None = None,
    max_gap: timedelta = timedelta(0),
    workers: int = 1,
    replace: bool = False,
    before_replace: BeforeReplace | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Return the commit record of the published snapshot as of the end of *increments*, merging them unless it is.

    They are merged into the snapshot of *table* as of *base*, by default the newest before them; its options stay. The
    last write of each key wins, by its time. Rows of the base whose keys were changed are dropped, without decoding the
    others; parts that have none are copied. *workers* parts are gone through side by side, by threads.

    Every byte of the increments is verified before anything is published, and every part of the base against its
    record. Where the increments have old images they are compared with the rows that are dropped; not with *max_gap*
    used, nor where the base's time is no whole second. With *replace* all of that is done once before the snapshot
    that is there is withdrawn, and again while merging.

    Repeating it is safe and, once published, cheap; a run that was killed is gone on with. Memory does not grow with
    the table; of the increments it holds the keys that changed, some hundred bytes each, and never their items.
    Temporary files take about the size of the increments, unzipped, and of a part or two for each worker.

    Raises what find_input raises, MergeConflictError, DataFileError and ItemError for damage, SnapshotExistsError,
    SnapshotDamagedError, StorageError and OutcomeUnknownError.
    """
    store = lake.child(table)
    merging = find_input(store, table, increments, base=base, max_gap=max_gap)
    publication = merging.publication
    ledger = Ledger(store)
    replaces = existing = ledger.get(publication.as_of)
    for races_left in reversed(range(_RACES)):
        # What another run published since this one began is not this run's to replace.
        may_replace = replace and existing == replaces
        if existing is not None and is_settled(lake, existing, publication, replace=may_replace):
            return existing
        try:
            compacted = stage(merging, store.child(publication.conversion))
            return _merge(merging, compacted, lake, workers, now, replaces=existing, before_replace=before_replace)
        except PublishRaceError:
            if not races_left:
                raise
            found = ledger.get(publication.as_of)
        except (ObjectNotFoundError, BadDataError):
            # A run that publishes sweeps away what is staged, under the hands of others too.
            found = ledger.get(publication.as_of)
            if not races_left or found is None or found == existing:
                raise
        existing = found
    raise AssertionError


def stage(merging: MergeInput, staging: ObjectStore) -> Compacted:
    """Return what the increments come to, staged in *staging*; they are read only if that is not there yet."""
    compacted = find_compacted(staging)
    if compacted is None:
        compacted = compact(merging.increments, staging, untold_micros=merging.untold_micros)
        keep_compacted(staging, compacted)
    return compacted


def _merge(
    merging: MergeInput,
    compacted: Compacted,
    lake: ObjectStore,
    workers: int,
    now: Now,
    *,
    replaces: CommitRecord | None,
    before_replace: BeforeReplace | None,
) -> CommitRecord:
    store = lake.child(merging.base.table)
    publication = merging.publication
    staging = store.child(publication.conversion)
    export = survivors_export(merging, compacted, staging)
    # Below the merge's own folder, so that one sweep removes both.
    target = dataclasses.replace(merging.target, conversion=f"{publication.conversion}/survivors")
    survivors = make_plan(staging, export, lake, target, None)
    plan = MergePlan(merging.base, publication, survivors, merging.tells_before)
    numbers = range(len(plan.base.parts))
    with (
        Crew(Stores(staging, lake), workers, releases_gil=True) as crew,
        tempfile.TemporaryDirectory(prefix="ddbexport-") as folder,
    ):
        changes = StagedChanges(staging, compacted, Path(folder))
        if replaces is not None:
            _require_all(plan, compacted, [one for _, one in crew.run(_CheckPart(plan, changes), numbers)])
            withdraw(lake, replaces, before_replace)
        convert_shards(survivors, crew)
        agreed = agree(survivors, lake, crew)
        found = dict(crew.run(_MergePart(plan, agreed, changes), numbers))
        merged = [found[number] for number in numbers]
    _require_all(plan, compacted, merged)
    rows = plan.base.rows - sum(one.gone for one in merged) + export.summary.item_count
    kept = [one.part for one in merged if one.part is not None]
    parts = [*kept, *(part for part in agreed.parts if part.rows)] or agreed.parts
    source = dataclasses.replace(publication.source, item_count=rows)
    publication = dataclasses.replace(publication, rows=rows, source=source)
    report = merge_report(plan.base, agreed, merged, parts, Ledger(store).previous(publication.as_of))
    return commit(publication, agreed.schema, agreed.schema_number, parts, lake, report=report, now=now)


def _require_all(plan: MergePlan, compacted: Compacted, merged: Iterable[MergedPart]) -> None:
    """Raise MergeConflictError unless all items that the increments say were there are in the base's parts."""
    if plan.tells_before and (missing := compacted.there - sum(one.there for one in merged)):
        raise conflict(plan, missing, "items are missing in it that")


@dataclass(frozen=True, slots=True)
class _CheckPart:
    """Work on one part of the base, whose result is not kept."""

    plan: MergePlan
    changes: StagedChanges

    def __call__(self, stores: Stores, number: int, _tick: Tick | None) -> MergedPart:
        return check_part(self.plan, number, self.changes, stores.lake.child(self.plan.base.table))


@dataclass(frozen=True, slots=True)
class _MergePart:
    """Work on one part of the base."""

    plan: MergePlan
    agreed: Agreed
    changes: StagedChanges

    def __call__(self, stores: Stores, number: int, _tick: Tick | None) -> MergedPart:
        table_store = stores.lake.child(self.plan.base.table)
        return merge_part(self.plan, number, self.agreed.schema, self.changes, table_store)
