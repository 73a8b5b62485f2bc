"""Snapshots straight from a table: each group of pages becomes Parquet parts at once, and no backup is kept.

A group of pages waits on the local disk as a data file would, is converted by the converter's own steps as if it were
an export of one file, and only then its checkpoint is written. Once all segments are at their end, the parts of all
groups are brought under the schema that all items ask for, and published together.

What lies in the table's folder meanwhile, and is gone when the snapshot is published::

    _conversions/_scans/<job>/…         which scan a job goes on with; stays
    _conversions/<ScanId>/_scan/…       the scan's plan, which stays, and its checkpoints
    _conversions/<T>/…                  what became of each group
    ddb_export_timestamp=<T>/…          the parts; of no snapshot until it is published
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, resolve
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.export.manifest import STARTED_NAME, digest_of
from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.core.scan.finish import scan_figures
from airflow_provider_ddbexport.core.scan.group_conversion import (
    Conversions,
    data_file,
    export_of,
    group_plan,
    said_to_be_kept,
)
from airflow_provider_ddbexport.core.scan.journal import (
    PLAN_NAME,
    STATE_FOLDER,
    ShardDone,
    read_done,
    shard_folder,
)
from airflow_provider_ddbexport.core.scan.memory import give_large_blocks_back
from airflow_provider_ddbexport.core.scan.plan import ANEW, ScanPlan
from airflow_provider_ddbexport.core.scan.progress import Adapting
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.restage import restaged
from airflow_provider_ddbexport.core.scan.resumption import Resumption, finished
from airflow_provider_ddbexport.core.scan.scanning import begin_scan, read_shard
from airflow_provider_ddbexport.core.scan.settings import ScanSettings
from airflow_provider_ddbexport.core.scan.shard import GroupLimits
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.adapt import widened_shard
from airflow_provider_ddbexport.core.snapshot.ahead import asked_ahead
from airflow_provider_ddbexport.core.snapshot.commit import MOST_RACES, adopt, commit, missing_parts, refuse_other_table
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, Gathered, ShardRecord
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Target
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.snapshot.report import conversion_report
from airflow_provider_ddbexport.core.snapshot.shard import convert_shard
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.table_folder import table_folder
from airflow_provider_ddbexport.errors import BadCallError, OutcomeUnknownError, PublishRaceError, StorageError

GROUPS = GroupLimits(file_bytes=64 << 20)
"""Parts come out about as large as the groups."""

_CONVERSIONS = 1
"""Groups converted at once: each takes memory for two row groups, and one keeps up with 10,000 units a second."""


def scan_to_parquet(
    dynamodb: Any,
    lake: ObjectStore,
    request: ScanRequest,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = ROWS_PER_PART,
    part_bytes: int = PART_BYTES,
    segments: int | None = None,
    other_table: bool = False,
    resumption: Resumption | None = None,
    settings: ScanSettings | None = None,
) -> CommitRecord:
    """Scan the table and return the commit record of the snapshot, which is named by the time the scan began.

    *table* is the folder in the lake, by default made from the DynamoDB table's name; with *other_table* the snapshots
    that are there may be of another DynamoDB table. Readers see the whole snapshot or
    none; it is no point in time, and its record says so. Memory does not grow with the table; temporary files take as
    much as a group of pages for each worker.

    Without *resumption* each call makes a new snapshot, and what a failed call wrote is removed, unless the snapshot
    may be published all the same: after OutcomeUnknownError, or an interrupt while publishing. With it, a call goes on
    from the checkpoints of one that ended before its end, however it ended: no item twice, none missing. Raises as
    :func:`.scan_backup` and :func:`.convert_export` do.
    """
    settings = settings or ScanSettings(limits=GROUPS)
    scan = parquet_scan(lake, request, table=table, options=options, rows_per_part=rows_per_part, part_bytes=part_bytes)
    plan = scan.begin(
        dynamodb, request, segments=segments, other_table=other_table, resumption=resumption, settings=settings
    )
    is_read = False
    try:
        scan.read(dynamodb, plan, request, settings=settings)
        is_read = True
        return scan.publish(plan, settings=settings)
    except BaseException as error:
        # The request that creates the commit record may be under way still: absent now proves nothing.
        is_unsure = is_read and (isinstance(error, OutcomeUnknownError) or not isinstance(error, Exception))
        if resumption is None and not is_unsure:
            scan.abandon(plan)
        raise


def parquet_scan(
    lake: ObjectStore,
    request: ScanRequest,
    *,
    table: str | None = None,
    options: ColumnOptions | None = None,
    rows_per_part: int = ROWS_PER_PART,
    part_bytes: int = PART_BYTES,
) -> ParquetScan:
    """Return the steps of the scan that :func:`scan_to_parquet` makes with these arguments."""
    folder = table_folder(request.table_name.rpartition("/")[2]) if table is None else table
    target = Target(folder, options or ColumnOptions(), rows_per_part, part_bytes)
    target.refuse_large_parts()
    return ParquetScan(lake, target)


class ParquetScan:
    """The three steps of a scan into one table of a lake; shards may be read in any process."""

    def __init__(self, lake: ObjectStore, target: Target) -> None:
        self._lake = lake
        self._target = target
        self._store = lake.child(target.table)
        self._ledger = Ledger(self._store)
        self._root = self._store.child(layout.CONVERSIONS_FOLDER)

    def begin(
        self,
        dynamodb: Any,
        request: ScanRequest,
        *,
        segments: int | None = None,
        shards: int = 1,
        other_table: bool = False,
        resumption: Resumption | None = None,
        settings: ScanSettings | None = None,
    ) -> ScanPlan:
        """Return the plan of the scan to go on with, or of a new one, written down in the lake. Nothing is read yet."""
        settings = settings or ScanSettings()
        # What the options contradict without any item is refused before anything is read.
        resolve(Observation(), self._target.options, self._ledger.table_schema())
        return begin_scan(
            dynamodb,
            self._root,
            request,
            bucket="",
            prefix=None,
            output_format=_format(self._target),
            segments=segments,
            shards=shards,
            resumption=resumption,
            accept=(lambda _: None) if other_table else self._refuse_other_table,
            budget=settings.budget,
            now=settings.now,
        )

    def _refuse_other_table(self, plan: ScanPlan) -> None:
        refuse_other_table(self._lake, self._target.publication(export_of(plan, (), (), "")))

    def planned(self, export_id: str) -> ScanPlan:
        """Return the plan of a scan that was begun, for a process that has only its id."""
        key = f"{export_id}/{STATE_FOLDER}/{PLAN_NAME}"
        return ScanPlan.from_json(self._root.read(key), self._root.uri_of(key))

    def read(
        self,
        dynamodb: Any,
        plan: ScanPlan,
        request: ScanRequest,
        *,
        shard: int = 0,
        settings: ScanSettings | None = None,
    ) -> ShardDone | None:
        """Read what is missing of one shard and convert it; None where the snapshot is published already."""
        if self._ledger.get(plan.started_at) is not None:
            return None
        settings = settings or ScanSettings(limits=GROUPS)
        give_large_blocks_back()
        with ThreadPoolExecutor(_CONVERSIONS, thread_name_prefix="ddbexport-convert") as pool:
            convert = Conversions(pool, self._lake, self._target, plan, self._ledger.table_schema())
            return read_shard(dynamodb, self._root, plan, request, convert, shard=shard, settings=settings)

    def publish(self, plan: ScanPlan, *, settings: ScanSettings | None = None) -> CommitRecord:
        """Return the record of the published snapshot, once every shard is through. Repeating it is safe.

        Raises BadCallError where a shard is not, ScanStoppedError, SchemaConflictError and the store's errors.
        """
        give_large_blocks_back()
        record = self._ledger.get(plan.started_at) or self._published(plan, settings or ScanSettings())
        finished(self._root, plan)
        kept = {
            f"{layout.CONVERSIONS_FOLDER}/{plan.export_id}/{name}"
            for name in (STARTED_NAME, f"{STATE_FOLDER}/{PLAN_NAME}")
        }
        self._remove(plan, kept | {part.key for part in record.parts})
        return record

    def abandon(self, plan: ScanPlan) -> None:
        """Remove what was written of a scan that will not be gone on with, as far as the store lets us."""
        with contextlib.suppress(StorageError):
            if self._ledger.get(plan.started_at) is None:
                self._remove(plan, set())

    def _remove(self, plan: ScanPlan, kept: Set[str]) -> None:
        """Remove what this scan wrote but for *kept*; nobody else has its time."""
        folders = (
            f"{layout.CONVERSIONS_FOLDER}/{plan.export_id}",
            layout.conversions_folder(plan.started_at),
            layout.snapshot_folder(plan.started_at),
        )
        for folder in folders:
            # Of runs that were killed; whoever still writes there has lost, and finds out.
            self._store.remove_unfinished(folder)
        found = [info.key for folder in folders for info in self._store.list(folder)]
        for _ in asked_ahead(self._store.delete, [key for key in found if key not in kept]):
            pass

    def _published(self, plan: ScanPlan, settings: ScanSettings) -> CommitRecord:
        done = self._done(plan)
        files = tuple(data_file(file) for shard in done for file in shard.files)
        publication = self._target.publication(export_of(plan, done, files, digest_of(files)))
        adapting = Adapting(
            settings.on_publish,
            stop=settings.stop,
            clock=settings.retries.clock,
            can_resume=plan.pointer_folder is not None,
        )
        for races_left in reversed(range(MOST_RACES)):
            number, newest = self._ledger.newest_schema()
            groups = [group_plan(plan, self._target, file) for file in files] or [group_plan(plan, self._target, None)]
            gathered = self._recorded(plan, groups, adapting)
            with said_to_be_kept(plan):
                schema = resolve(gathered.seen, self._target.options, newest)
            records: list[ShardRecord] = []
            for group, record in zip(groups, gathered.records, strict=True):
                adapting.tell(len(records), len(groups))
                records.append(self._under(schema, group, record))
            parts = [part for record in records for part in record.parts]
            previous = self._ledger.previous(plan.started_at)
            report = conversion_report(
                gathered.seen, schema, parts, gathered.figures(records), previous, options=self._target.options
            )
            report["scan"] = scan_figures(done)
            try:
                return commit(publication, schema, number, parts, self._lake, report=report)
            except PublishRaceError:
                existing = self._ledger.get(plan.started_at)
                if existing is not None:
                    return adopt(self._store, publication, existing)
                if not races_left:
                    raise
        raise AssertionError

    def _done(self, plan: ScanPlan) -> Sequence[ShardDone]:
        found = [read_done(self._root, shard_folder(plan.export_id, shard)) for shard in range(plan.shards)]
        missing = [str(shard) for shard, done in enumerate(found) if done is None]
        if missing:
            raise BadCallError(f"scan {plan.export_id}: shards {', '.join(missing)} are not through; scan them first")
        return [done for done in found if done is not None]

    def _recorded(self, plan: ScanPlan, groups: Sequence[ConversionPlan], adapting: Adapting) -> Gathered:
        gathered = Gathered()
        for record in asked_ahead(self._record_of, groups):
            adapting.tell(0, len(groups))
            if record is None:
                raise self._gone(plan)
            gathered.add(record)
        parts = [part for record in gathered.records for part in record.parts]
        if missing_parts(self._store, plan.started_at, parts):
            raise self._gone(plan)
        return gathered

    def _record_of(self, group: ConversionPlan) -> ShardRecord | None:
        (shard,) = group.shards
        record = Conversion(self._store, group).recorded(shard.number)
        if record is None and not shard.files:
            # An empty table has one part without rows, so that its columns can be read.
            record = convert_shard(group, shard, root=self._root, lake=self._lake)
        return record

    def _gone(self, plan: ScanPlan) -> PublishRaceError:
        return PublishRaceError(
            f"{self._store.uri}: parts of the scan {plan.export_id} are gone; nothing was published; {ANEW}"
        )

    def _under(self, schema: Schema, group: ConversionPlan, record: ShardRecord) -> ShardRecord:
        """Return *record* with its parts under *schema*: as they are, widened, or built again from their own items."""
        if record.is_under(schema):
            return record
        widened = widened_shard(group, record, schema, lake=self._lake)
        if widened is not None:
            return widened
        with restaged(self._store, group, record) as (root, again):
            return convert_shard(again.under(schema), again.shards[0], root=root, lake=self._lake)


def _format(target: Target) -> str:
    """Return in words what all tries of a scan have to agree on.

    Names and partitions are no part of it: which of them will do may be known only when all of the table was read, and
    parts that have others are built again.
    """
    options = target.options_json()
    agreed = {name: value for name, value in options.items() if name not in ("column_names", "partition_by")}
    return f"PARQUET {target.table} {json.dumps(agreed, sort_keys=True)}"
