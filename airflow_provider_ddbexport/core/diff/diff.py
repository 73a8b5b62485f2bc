"""From two published snapshots of a table to what changed between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_ddbexport.core.columns import schema_to_json
from airflow_provider_ddbexport.core.diff.by_increments import changes_of_increments
from airflow_provider_ddbexport.core.diff.changes import Counts, Take
from airflow_provider_ddbexport.core.diff.columns import ChangesBuilder, diff_schema
from airflow_provider_ddbexport.core.diff.key_join import OnRows, join_by_key
from airflow_provider_ddbexport.core.diff.layout import changes_folder
from airflow_provider_ddbexport.core.diff.publish import DiffPlace
from airflow_provider_ddbexport.core.diff.record import DiffRecord
from airflow_provider_ddbexport.core.diff.writer import ChangesWriter
from airflow_provider_ddbexport.core.keys import KEY_KINDS
from airflow_provider_ddbexport.core.merge.compact import Increment
from airflow_provider_ddbexport.core.merge.filtered import IsFiltered
from airflow_provider_ddbexport.core.snapshot.commit import Now, utc_now
from airflow_provider_ddbexport.core.snapshot.items import find_snapshot
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import digest_of
from airflow_provider_ddbexport.core.snapshot.record import WRITER, CommitRecord, Part
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import BadCallError, SnapshotNotFoundError

OnProgress = Callable[[int, int], None]
"""Told how many rows have been compared, and how many there are."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two published snapshots of one table, the earlier one first."""

    old: CommitRecord
    new: CommitRecord


def find_pair(table_store: ObjectStore, table: str, old: datetime | None = None, new: datetime | None = None) -> Pair:
    """Return the snapshots as of exactly *old* and *new*: by default the newest, and the one before it.

    Raises SnapshotNotFoundError where one is not published, BadCallError where *old* is not the earlier one.
    """
    later = find_snapshot(table_store, table, new)
    if old is not None and old >= later.as_of:
        raise BadCallError(
            f"from: expected a time before {iso(later.as_of)}, found {iso(old)}; give the earlier snapshot first"
        )
    earlier = Ledger(table_store).previous(later.as_of) if old is None else find_snapshot(table_store, table, old)
    if earlier is None:
        raise SnapshotNotFoundError(
            f"{table_store.uri}: no snapshot of {table!r} is published before {iso(later.as_of)}; there is nothing to "
            "compare it with yet",
            table=table,
        )
    return Pair(earlier, later)


def diff_snapshots(
    table_store: ObjectStore,
    pair: Pair,
    *,
    key: Sequence[str],
    increments: Sequence[Increment] = (),
    output: ObjectStore | None = None,
    replace: bool = False,
    progress: OnProgress | None = None,
    is_filtered: IsFiltered | None = None,
    now: Now = utc_now,
) -> DiffRecord:
    """Return what was added, changed and removed from one snapshot of *pair* to the other.

    *table_store* is the table's folder in the lake, *key* are the attributes of the table's key, in any order. With
    *output* the changes are written there, as :mod:`.layout` and :mod:`.columns` have it; without, they are only
    counted. Items are the same when they are equal as items, whatever their columns are. With *increments*, the
    incremental exports from the one snapshot to the other, neither snapshot is read: the changes are those that the
    increments tell of; one that was exported with a filter, as far as *is_filtered* tells, is refused.

    Readers see all changes or none: the record is written last. Repeating it is safe and, once it is written, cheap.
    Memory does not grow with the snapshots. Raises BadCallError for a key that is none and for increments that do not
    tell the difference, ExportChainError, SnapshotDamagedError, the errors of reading exports, SnapshotExistsError when
    there is a diff of the same times but of other contents, unless *replace* is set, and PublishRaceError when another
    run was in the way. With *replace* the snapshots are compared once before what is there is withdrawn, and again.
    """
    if not key or len(set(key)) < len(key):
        raise BadCallError(f"key: expected the attributes of the table's key, each once, found {', '.join(key)!r}")
    key = sorted(key)
    _refuse_other_key(pair, key)
    schema = diff_schema(pair.old.schema, pair.new.schema)
    arns = tuple(sorted({increment.export.summary.export_arn for increment in increments}))
    digest = digest_of({"old": pair.old.digest, "new": pair.new.digest, "key": key})

    def compare(take: Take | None) -> Counts:
        if increments:
            return changes_of_increments(increments, pair.old, pair.new, key, take=take, is_filtered=is_filtered)
        return join_by_key(table_store, pair.old, pair.new, key, take=take, on_rows=_counter(pair, progress))

    def record(counts: Counts, parts: tuple[Part, ...]) -> DiffRecord:
        return DiffRecord(
            table=pair.new.table,
            old=pair.old.as_of,
            new=pair.new.as_of,
            key=tuple(key),
            counts=counts,
            method="increments" if increments else "key join",
            increments=arns,
            parts=parts,
            schema=schema,
            digest=digest,
            # Cut to what its JSON holds, so that it is equal to the record read back.
            created_at=parse_time(now()),
            writer=WRITER,
        )

    if output is None:
        return record(compare(None), ())
    place = DiffPlace(output.child(changes_folder(pair.new.table)), pair.old.as_of, pair.new.as_of, digest)
    existing = place.existing()
    if existing is not None:
        if place.is_settled(existing, replace=replace):
            return existing
        # Nothing is withdrawn for a comparison that fails.
        compare(None)
        place.withdraw(existing)
    parts_digest = digest_of(
        {"contents": digest, "schema": schema_to_json(schema), "increments": arns, "writer": WRITER}
    )
    with workplace() as local:
        builder = ChangesBuilder(schema, key)
        with ChangesWriter(builder, place.store, place.folder, parts_digest, local) as writer:
            counts = compare(writer.take)
            return place.publish(record(counts, writer.finish()))


def _refuse_other_key(pair: Pair, key: Sequence[str]) -> None:
    """Raise BadCallError where *key* cannot be the table's, by what is known before a row is read."""
    told = {tuple(sorted(record.source.keys)) for record in (pair.old, pair.new) if record.source.keys}
    if told and tuple(key) not in told:
        expected = " or ".join(map(_listed, sorted(told)))
        raise BadCallError(
            f"key: expected {expected}, which the snapshots' records tell, found {_listed(key)}; without it the key is "
            "taken from there",
            table=pair.new.table,
        )
    for record in (pair.old, pair.new):
        held = {column.attribute for column in record.schema.columns if column.kind in KEY_KINDS}
        missing = [attribute for attribute in key if attribute not in held]
        if record.rows and missing:
            raise BadCallError(
                f"key: no item of the snapshot as of {iso(record.as_of)} has {_listed(missing)} that is a string, "
                "number or binary; give the attributes of the table's key",
                table=pair.new.table,
            )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def _counter(pair: Pair, progress: OnProgress | None) -> OnRows | None:
    """Return what adds up the rows compared, and tells *progress*."""
    if progress is None:
        return None
    total = pair.old.rows + pair.new.rows
    compared = 0

    def count(rows: int) -> None:
        nonlocal compared
        compared += rows
        progress(compared, total)

    return count
