"""What a merge will do, decided and recorded once, so that its shards can be merged anywhere and give the same parts.

A shard is some parts of the base, from which the rows that the increments changed are taken, or one of the conversion
of the items that they left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from airflow_provider_ddbexport.core.columns import schema_to_json
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.export.model import Export, ExportType
from airflow_provider_ddbexport.core.merge.compact import Compacted, Held, can_hold, compact, hold
from airflow_provider_ddbexport.core.merge.lots import Lot, LotShard, lot_shards, lots_of
from airflow_provider_ddbexport.core.merge.merge_input import MergeInput
from airflow_provider_ddbexport.core.merge.settled import Settled
from airflow_provider_ddbexport.core.snapshot.conversion import find_plan
from airflow_provider_ddbexport.core.snapshot.convert import make_plan, unrecorded_plan
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, digest_of
from airflow_provider_ddbexport.core.snapshot.progress import OnProgress
from airflow_provider_ddbexport.core.snapshot.record import WRITER, CommitRecord, Part, Publication
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import ObjectExistsError, ObjectNotFoundError, SnapshotDamagedError

_PLAN = "merge.json"


@dataclass(frozen=True, slots=True)
class MergePlan:
    """Everything that merging a shard, and publishing all of them, needs to know.

    Attributes:
        base: the snapshot that is merged into.
        publication: what the snapshot will be, but for its rows.
        compacted: what the increments came to; it is staged in the conversion's folder, unless it is held.
        tells_before: whether what they say was there before is the base's items.
        survivors: how the items that they left are converted.
        lots: which parts of the base become one.
        lot_shards: which lots are merged together.
        held: what the increments came to, where this process has it and nothing is staged.
    """

    base: CommitRecord
    publication: Publication
    compacted: Compacted
    tells_before: bool
    survivors: ConversionPlan
    lots: tuple[Lot, ...]
    lot_shards: tuple[LotShard, ...]
    held: Settled | None = None

    @property
    def shards(self) -> range:
        """The numbers of the shards: those of the lots first, then those of the survivors."""
        return range(len(self.lot_shards) + len(self.survivors.shards))

    @property
    def schema(self) -> Schema:
        """What parts are written under at first: it has room for the base, and for what a sample of the items shows."""
        return self.survivors.schema

    def base_parts(self, *shards: int) -> list[Part]:
        """Return the parts of the base that are in the lots of *shards*."""
        lots = (lot for shard in shards for lot in self.lot_shards[shard])
        return [self.base.parts[number] for lot in lots for number in self.lots[lot]]

    def parts_digest(self, schema: Schema) -> str:
        """Hex digest of all that decides the rows of the base's parts under *schema*; their names are made of it."""
        return digest_of(
            {
                "contents": self.publication.digest,
                "base": [part.sha256 for part in self.base.parts],
                "first": schema_to_json(self.schema),
                "schema": schema_to_json(schema),
                "lots": self.lots,
                "lot_shards": self.lot_shards,
                "writer": WRITER,
            }
        )


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is recorded of a plan; the rest follows from it."""

    base: datetime
    base_identity: str
    publication: Publication
    compacted: Compacted
    tells_before: bool
    lots: tuple[Lot, ...]
    lot_shards: tuple[LotShard, ...]


def plan_shards(
    merging: MergeInput, lake: ObjectStore, progress: OnProgress | None = None, *, holds: bool = False
) -> MergePlan:
    """Return the recorded plan of *merging*; where none is, or what was staged is gone, the increments are read.

    With *holds*, for a process that does all of the merge, nothing is staged or recorded then, if there is not too much
    of it: the same is planned again from the same increments as soon as from what was staged.
    """
    store = lake.child(merging.base.table)
    publication = merging.publication
    staging = store.child(publication.conversion)
    planned = _find(staging)
    held: Held | None = None
    if planned is None or not _is_staged(planned.compacted, staging):
        if holds and can_hold(merging.increments):
            held = hold(merging.increments, untold_micros=merging.untold_micros, progress=progress)
            compacted = held.compacted
        else:
            compacted = compact(merging.increments, staging, untold_micros=merging.untold_micros, progress=progress)
        lots = lots_of(merging.base.parts, merging.target)
        made = _Planned(
            merging.base.as_of,
            merging.base.identity,
            publication,
            compacted,
            tells_before=merging.tells_before,
            lots=lots,
            lot_shards=lot_shards(merging.base.parts, lots),
        )
        planned = _recorded(made, staging) if held is None else replace(planned or made, compacted=compacted)
    export = _survivors(merging, planned.compacted, staging)
    # Below the merge's own folder, so that one sweep removes both.
    target = replace(merging.target, conversion=_survivors_folder(publication.conversion))
    if held is None:
        return _plan(merging.base, planned, make_plan(staging, export, lake, target, None))
    survivors = unrecorded_plan(staging, export, lake, target, None)
    return replace(_plan(merging.base, planned, survivors), held=held.changes)


def find_merge(table_store: ObjectStore, folder: str) -> MergePlan | None:
    """Return the plan recorded in *folder*; None where there is none, or its base is not published any more.

    There is none where the merge has ended: a snapshot of its time is published. What was staged since that swept it
    away stays for a while. Nor is there where what was staged was found damaged: whoever publishes plans again.
    """
    planned = _find(table_store.child(folder))
    survivors = find_plan(table_store, _survivors_folder(folder))
    if planned is None or survivors is None:
        return None
    ledger = Ledger(table_store)
    base = ledger.get(planned.base)
    if base is None or base.identity != planned.base_identity or ledger.get(planned.publication.as_of) is not None:
        return None
    return _plan(base, planned, survivors)


def forget_plan(staging: ObjectStore) -> None:
    """Remove the plan recorded in *staging*, so that the next one stages the increments again; shards stay done."""
    staging.delete(_PLAN)


def _plan(base: CommitRecord, planned: _Planned, survivors: ConversionPlan) -> MergePlan:
    return MergePlan(
        base=base,
        publication=planned.publication,
        compacted=planned.compacted,
        tells_before=planned.tells_before,
        survivors=survivors,
        lots=planned.lots,
        lot_shards=planned.lot_shards,
    )


def _survivors_folder(folder: str) -> str:
    return f"{folder}/survivors"


def _survivors(merging: MergeInput, compacted: Compacted, staging: ObjectStore) -> Export:
    """Return the items that *compacted* left, staged in *staging*, as a full export of the merged snapshot's time."""
    # They follow from the increments, whether or not they were staged.
    digest = digest_of([increment.export.digest for increment in merging.increments])
    last = merging.increments[-1].export
    files = compacted.survivors
    summary = replace(
        last.summary,
        export_type=ExportType.FULL,
        from_time=None,
        output_view=None,
        item_count=sum(file.item_count for file in files),
    )
    return Export(staging.uri, summary, files, digest, ())


def _is_staged(compacted: Compacted, staging: ObjectStore) -> bool:
    """Return whether all that *compacted* names is there: a run that swept it away may have been killed half-way."""
    there = {info.key for info in staging.list()}
    files = [file for bucket in compacted.buckets for file in (bucket.keys, bucket.survivors, bucket.before)]
    return there.issuperset(file.key for file in files if file is not None)


def _recorded(made: _Planned, staging: ObjectStore) -> _Planned:
    """Record *made*; return what is recorded already, where that is so: shards may have been merged by it."""
    try:
        staging.create(_PLAN, msgspec.json.encode(made))
    except ObjectExistsError:
        return _find(staging) or made
    return made


def _find(staging: ObjectStore) -> _Planned | None:
    try:
        return msgspec.json.decode(staging.read(_PLAN), type=_Planned)
    except ObjectNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise SnapshotDamagedError(
            f"{staging.uri_of(_PLAN)}: expected a record of a merge under way, found something else "
            f"({type(error).__name__}); delete the folder it is in and merge again"
        ) from None
