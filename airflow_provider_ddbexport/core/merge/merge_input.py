"""What is merged: a published snapshot, and the increments that follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from airflow_provider_ddbexport.core.columns import Observation, resolve
from airflow_provider_ddbexport.core.export.chain import ChainBase, ChainState, chain_increments
from airflow_provider_ddbexport.core.export.model import Export, ExportType
from airflow_provider_ddbexport.core.export.verify import CHECKED_BY_READING
from airflow_provider_ddbexport.core.merge.compact import NEW_IMAGES_ONLY, Increment
from airflow_provider_ddbexport.core.merge.filtered import IsFiltered, refuse_filtered
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import Target, digest_of
from airflow_provider_ddbexport.core.snapshot.record import (
    MERGE,
    OLD_IMAGES,
    WRITER,
    Ancestor,
    CommitRecord,
    Publication,
    Source,
)
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import (
    BadCallError,
    ExportChainError,
    SnapshotNotFoundError,
)


@dataclass(frozen=True, slots=True)
class MergeInput:
    """A published snapshot and the increments that follow it.

    Attributes:
        base: the snapshot's record.
        increments: oldest first.
        tells_before: whether an increment's old images are the base's items: nothing was written between the two.
        column_names: path -> column name, of attributes that have no column yet; those of the base stay.
    """

    base: CommitRecord
    increments: tuple[Increment, ...]
    tells_before: bool
    column_names: Mapping[str, str]

    @property
    def untold_micros(self) -> int | None:
        """When a write may or may not be in the base; None for never.

        A window has the first microsecond of its time. Whether a full export of that time has it too is not documented.
        What was merged ends before it.
        """
        is_merged = self.base.source.export_type == MERGE
        return None if is_merged else int(self.base.as_of.timestamp()) * 1_000_000

    @property
    def target(self) -> Target:
        """Where the merged snapshot goes, with the options of the base and further names."""
        target = Target.from_json(self.base.table, self.base.options)
        names = {**target.options.column_names, **self.column_names}
        return replace(target, options=replace(target.options, column_names=names), is_accepted=True)

    @property
    def publication(self) -> Publication:
        """What the snapshot will be, but for its rows, which are those of the base still."""
        summaries = [increment.export.summary for increment in self.increments]
        last = self.increments[-1].export
        ancestry = (*_ancestry(self.base), *(_ancestor(increment.export) for increment in self.increments))
        # The same full export and increments, merged at once or one after the other, are the same contents.
        contents = digest_of([ancestor.digest for ancestor in ancestry])
        options = self.target.options_json()
        # No column ever gets another name, so names that came later make no other snapshot of what is published.
        digest = digest_of({"source": contents, "options": {**options, "column_names": {}}})
        source = Source(
            uri=last.source,
            export_arn=last.summary.export_arn,
            export_type=MERGE,
            table_arn=last.summary.table_arn,
            table_id=last.summary.table_id,
            output_format=last.summary.output_format.value,
            digest=contents,
            files=sum(len(increment.export.files) for increment in self.increments),
            item_count=self.base.rows,
            billed_bytes=sum(summary.billed_bytes for summary in summaries),
            verified=self._verified,
            ancestry=ancestry,
            keys=self.base.source.keys,
        )
        as_of = last.summary.as_of
        made_of = {
            "contents": digest,
            "column_names": options["column_names"],
            "base": self.base.identity,
            "writer": WRITER,
        }
        return Publication(
            table=self.base.table,
            as_of=as_of,
            digest=digest,
            options=options,
            source=source,
            rows=self.base.rows,
            conversion=layout.conversion_folder(as_of, digest_of(made_of)),
        )

    @property
    def _verified(self) -> tuple[str, ...]:
        exports = [increment.export for increment in self.increments]
        words = [*(word for export in exports for word in export.checked), *CHECKED_BY_READING, "sha256"]
        if self.tells_before and all(export.summary.output_view != NEW_IMAGES_ONLY for export in exports):
            words.append(OLD_IMAGES)
        return tuple(dict.fromkeys(words))


def find_input(
    table_store: ObjectStore,
    table: str,
    increments: Sequence[Increment],
    *,
    base: datetime | None = None,
    max_gap: timedelta = timedelta(0),
    column_names: Mapping[str, str] | None = None,
    is_filtered: IsFiltered | None = None,
) -> MergeInput:
    """Return *increments*, in whatever order they are given, behind the snapshot as of *base*.

    By default that is the newest one published for no later time than the first of them begins. Raises
    ExportChainError where they do not follow it or each other, SnapshotNotFoundError, SchemaConflictError where
    *column_names* has another name for an attribute that has a column, and BadCallError without any increment, or where
    one has a filter, as *is_filtered* tells.
    """
    if not increments:
        raise BadCallError("increments: expected one incremental export at least, found none")
    ledger = Ledger(table_store)
    by_arn = {increment.export.summary.export_arn: increment for increment in increments}
    for increment in by_arn.values():
        if increment.export.summary.export_type is not ExportType.INCREMENTAL:
            raise BadCallError(
                f"{increment.export.source}: expected an incremental export, found "
                f"{increment.export.summary.export_type}; convert a full export, and merge the increments into that"
            )
    begin = min(_from(increment.export) for increment in by_arn.values())
    # A full export's time has milliseconds, where windows have none.
    record = ledger.get(base) if base is not None else ledger.previous(begin + timedelta(seconds=1))
    if record is None:
        raise SnapshotNotFoundError(
            f"{table_store.uri}: no snapshot of {table!r} is published "
            f"{'as of ' + iso(base) if base is not None else 'up to ' + iso(begin) + ', where the increments begin'}; "
            "convert a full export first",
            table=table,
        )
    if record.source.export_type == ExportType.SCAN.value:
        raise ExportChainError(
            f"table {table}: the snapshot as of {iso(record.as_of)} was scanned and shows no single point in time, so "
            "increments cannot follow it; begin a new chain with a full export",
            state=ChainState.NO_FULL_EXPORT.value,
        )
    exports = [increment.export for increment in by_arn.values()]
    ordered, gaps = chain_increments(chain_base(record), exports, max_gap=max_gap)
    if is_filtered is not None:
        refuse_filtered(record, exports, is_filtered)
    chained = tuple(by_arn[export.summary.export_arn] for export in ordered)
    tells_before = not gaps and _from(ordered[0]) == record.as_of
    merging = MergeInput(record, chained, tells_before, column_names or {})
    if column_names:
        # What contradicts the table's columns is told before the increments are read.
        resolve(Observation(), merging.target.options, ledger.newest_schema()[1], is_sample=True)
    return merging


def chain_base(record: CommitRecord) -> ChainBase:
    """Return the snapshot of *record* as what increments can follow."""
    source = record.source
    name = source.table_arn.rpartition("/")[2]
    label = f"snapshot as of {iso(record.as_of)}"
    return ChainBase(label, name, source.table_arn, source.table_id, record.as_of, source.export_arn)


def chain_start(record: CommitRecord) -> datetime:
    """Return the instant of the full export that the snapshot of *record* was made of."""
    return parse_time(_ancestry(record)[0].as_of)


def ends_between(base: CommitRecord, record: CommitRecord) -> tuple[datetime, ...]:
    """Return where the increments end that *record* is made of besides *base*, but for the last; oldest first."""
    return tuple(parse_time(ancestor.as_of) for ancestor in record.source.ancestry[len(_ancestry(base)) : -1])


def merged_into(record: CommitRecord, ledger: Ledger) -> CommitRecord | None:
    """Return the newest snapshot that the increments of *record*, a merged one, can have been merged into.

    That is the one before it made of the first of the exports that it is made of. None where none is published any
    more.
    """
    made_of = [ancestor.export_arn for ancestor in record.source.ancestry]
    earlier = ledger.previous(record.as_of)
    while earlier is not None:
        first = [ancestor.export_arn for ancestor in _ancestry(earlier)]
        if len(first) < len(made_of) and first == made_of[: len(first)]:
            return earlier
        earlier = ledger.previous(earlier.as_of)
    return None


def _from(export: Export) -> datetime:
    return export.summary.from_time or export.summary.as_of


def _ancestry(record: CommitRecord) -> tuple[Ancestor, ...]:
    source = record.source
    if source.ancestry:
        return source.ancestry
    return (
        Ancestor(
            source.uri, source.export_arn, source.export_type, source.digest, source.item_count, None, iso(record.as_of)
        ),
    )


def _ancestor(export: Export) -> Ancestor:
    summary = export.summary
    return Ancestor(
        uri=export.source,
        export_arn=summary.export_arn,
        export_type=summary.export_type.value,
        digest=export.digest,
        item_count=summary.item_count,
        from_time=iso(_from(export)),
        as_of=iso(summary.as_of),
    )
