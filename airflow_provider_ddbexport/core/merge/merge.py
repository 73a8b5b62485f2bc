"""From a published snapshot and the increments since to the snapshot at their end.

::

    increments ─▶ compacted ─┬─▶ items that are left ─▶ converted ─┐
                             └─▶ changed keys                      ├─▶ published
    parts of the base ───────────────▶ without their rows ─────────┘
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from airflow_provider_ddbexport.core.merge.compact import Compacted, Increment, compact
from airflow_provider_ddbexport.core.merge.parts import MergedPart, conflict, merge_part
from airflow_provider_ddbexport.core.merge.plan import (
    MergeInput,
    MergePlan,
    find_compacted,
    find_input,
    keep_compacted,
    survivors_export,
)
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
from airflow_provider_ddbexport.errors import PublishRaceError

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
    used, nor where the base's time is no whole second.

    Repeating it is safe and, once published, cheap; a run that was killed is gone on with. Memory grows neither with
    the snapshot nor with the increments; temporary files take about the size of the increments, unzipped, and of a
    part or two for each worker. Raises what find_input raises, MergeConflictError, DataFileError and ItemError for
    damage, SnapshotExistsError, SnapshotDamagedError, StorageError and OutcomeUnknownError.
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
        compacted = stage(merging, store.child(publication.conversion))
        try:
            if existing is not None:
                withdraw(lake, existing, before_replace)
            return _merge(merging, compacted, lake, workers, now)
        except PublishRaceError:
            if not races_left:
                raise
        existing = ledger.get(publication.as_of)
    raise AssertionError


def stage(merging: MergeInput, staging: ObjectStore) -> Compacted:
    """Return what the increments come to, staged in *staging*; they are read only if that is not there yet."""
    compacted = find_compacted(staging)
    if compacted is None:
        compacted = compact(merging.increments, staging)
        keep_compacted(staging, compacted)
    return compacted


def _merge(merging: MergeInput, compacted: Compacted, lake: ObjectStore, workers: int, now: Now) -> CommitRecord:
    staging = lake.child(merging.base.table).child(merging.publication.conversion)
    export = survivors_export(merging, compacted, staging)
    survivors = make_plan(staging, export, lake, merging.target, None)
    plan = MergePlan(merging.base, merging.publication, survivors, merging.tells_before)
    with Crew(Stores(staging, lake), workers, releases_gil=True) as crew:
        convert_shards(survivors, crew)
        agreed = agree(survivors, lake, crew)
        with tempfile.TemporaryDirectory(prefix="ddbexport-") as folder:
            changes = StagedChanges(staging, compacted, Path(folder))
            found = dict(crew.run(_MergePart(plan, agreed, changes), range(len(plan.base.parts))))
        merged = [found[number] for number in sorted(found)]
    if plan.tells_before and (missing := changes.there - sum(one.there for one in merged)):
        raise conflict(plan, missing, "items are missing in it that")
    rows = plan.base.rows - sum(one.gone for one in merged) + export.summary.item_count
    parts = [*(one.part for one in merged if one.part is not None), *(part for part in agreed.parts if part.rows)]
    publication = plan.publication
    source = dataclasses.replace(publication.source, item_count=rows)
    publication = dataclasses.replace(publication, rows=rows, source=source)
    return commit(publication, agreed.schema, agreed.schema_number, parts or agreed.parts, lake, now=now)


@dataclass(frozen=True, slots=True)
class _MergePart:
    """Work on one part of the base."""

    plan: MergePlan
    agreed: Agreed
    changes: StagedChanges

    def __call__(self, stores: Stores, number: int, _tick: Tick | None) -> MergedPart:
        table_store = stores.lake.child(self.plan.base.table)
        return merge_part(self.plan, number, self.agreed.schema, self.changes, table_store)
