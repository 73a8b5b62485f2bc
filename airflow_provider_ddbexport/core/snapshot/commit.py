"""Committing: from parts that nobody sees to a snapshot that everybody sees, in one step that cannot be half done.

The step is the creation of the commit record, on the condition that there is none. Everything before it is invisible
to readers; everything after it is tidying, which the next run does as well. Whoever is killed anywhere leaves either no
snapshot or a whole one.

Query engines read all Parquet in a registered folder. So a snapshot that is to be replaced is withdrawn (unregistered,
then taken out of the ledger) before the first new part is written, a run that finds another one published stops
writing, and what lies in a published snapshot's folder without belonging to it is removed by every run that comes by
(see :mod:`.strays`).
Before a commit nothing is removed: parts have names made from their contents, so the parts that a failed run would
remove may be those another run is about to publish.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import WRITER, CommitRecord, Part, Publication
from airflow_provider_ddbexport.core.snapshot.strays import sweep, sweep_newest
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import (
    BadCallError,
    ObjectExistsError,
    PublishRaceError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotExistsError,
)

BeforeReplace = Callable[[CommitRecord], None]
"""Called with the snapshot that is about to be replaced, while it is still whole: unregisters it."""

Now = Callable[[], datetime]

MOST_RACES = 5
"""Lost to other runs before giving up; each means that another run published, or added columns, meanwhile."""


def utc_now() -> datetime:
    """Return the current time, aware, UTC."""
    return datetime.now(UTC)


def is_settled(lake: ObjectStore, existing: CommitRecord, publication: Publication, *, replace: bool) -> bool:
    """Return whether *existing*, which is published for the time of *publication*, is what that would give.

    If so, or if it stays for another reason, what interrupted runs left is removed. Without *replace*, raises
    SnapshotExistsError when it has other contents, and SnapshotDamagedError when it lost parts.
    """
    store = lake.child(publication.table)
    if existing.digest == publication.digest:
        missing = missing_parts(store, existing.as_of, existing.parts)
        if not missing:
            sweep(store, existing, publication.conversion)
            return True
        if not replace:
            raise SnapshotDamagedError(
                f"{_named(store, existing)}: {len(missing)} of {len(existing.parts)} parts are missing or of another "
                f"size, the first is {shown_key(missing[0].key)}; use replace (--replace) to write them again",
                as_of=iso(existing.as_of),
            )
    elif not replace:
        sweep(store, existing, publication.conversion)
        raise SnapshotExistsError(
            f"{_named(store, existing)} is published already, {_difference(existing, publication)}; it was left as "
            "it is: use replace (--replace) to put the new one in its place",
            as_of=iso(existing.as_of),
        )
    return False


def refuse_other_table(lake: ObjectStore, publication: Publication) -> None:
    """Raise BadCallError when the snapshot before, or else the first after, is one of another DynamoDB table.

    A table that was deleted and made again is the same one: it has its ARN, and another TableId, which commit records
    tell.
    """
    store = lake.child(publication.table)
    ledger = Ledger(store)
    times = ledger.times()
    nearest = max((time for time in times if time <= publication.as_of), default=min(times, default=None))
    neighbour = None if nearest is None else ledger.get(nearest)
    found = publication.source.table_arn
    if neighbour is not None and neighbour.source.table_arn != found:
        raise BadCallError(
            f"{store.uri}: the snapshot as of {iso(neighbour.as_of)} is of {neighbour.source.table_arn}, and "
            f"{publication.source.uri} is an export of {found}; convert it into a table of its own with table= "
            "(--table), or, where it is the same table under another name, accept that with other_table=True "
            "(--other-table)",
            expected=neighbour.source.table_arn,
            found=found,
        )


def withdraw(lake: ObjectStore, record: CommitRecord, before_replace: BeforeReplace | None = None) -> None:
    """Make sure that the snapshot of *record*, which is to be replaced, is not published any more.

    *before_replace* is called with it while it is still whole. Its parts stay until the new one is published. Call it
    before :func:`.convert_shard`, and once all of what replaces it was verified. Repeating it is safe. Raises
    PublishRaceError when another snapshot is published.
    """
    ledger = Ledger(lake.child(record.table))
    if not _is_published(ledger, record):
        return
    if before_replace is not None:
        before_replace(record)
        # That took a while.
        _is_published(ledger, record)
    ledger.delete(record.as_of)


def _is_published(ledger: Ledger, record: CommitRecord) -> bool:
    """Return whether *record* is published, or nothing; raises PublishRaceError if something else is."""
    existing = ledger.get(record.as_of)
    if existing is not None and existing.identity != record.identity:
        raise published_meanwhile(existing)
    return existing is not None


def published_meanwhile(other: CommitRecord) -> PublishRaceError:
    """Return the error of a run that finds *other* published, which was not there when it began."""
    return PublishRaceError(
        f"table {other.table}: a snapshot as of {iso(other.as_of)} was published by another run meanwhile; this run "
        "published nothing, run it again",
        as_of=iso(other.as_of),
    )


def commit(
    publication: Publication,
    schema: Schema,
    schema_number: int,
    parts: Sequence[Part],
    lake: ObjectStore,
    *,
    report: Mapping[str, Any] | None = None,
    now: Now = utc_now,
) -> CommitRecord:
    """Make *parts*, all of *schema*, the snapshot of *publication*, and return its record.

    *schema* was agreed with link *schema_number* of the table's chain. When the same contents are published already, by
    another run or this one, that record is returned. What else lies in the snapshot's folder is removed afterwards, and
    what does not belong there in those of the table's newest snapshots.
    Repeating it is safe.

    Raises PublishRaceError when the table's columns changed meanwhile or a part is gone, also in the moment of the
    commit, which is taken back then: convert again what is not there, and publish again. Raises SnapshotExistsError
    when other contents are published, and OutcomeUnknownError when it cannot be told whether the record was written;
    then nothing is removed.
    """
    store = lake.child(publication.table)
    ledger = Ledger(store)
    _require_rows(store, publication, parts)
    existing = ledger.get(publication.as_of)
    if existing is not None:
        return adopt(store, publication, existing)
    missing = missing_parts(store, publication.as_of, parts)
    if missing:
        raise PublishRaceError(
            f"{store.uri_of(layout.snapshot_folder(publication.as_of))}: {len(missing)} of {len(parts)} parts of this "
            "run are gone, another run of the same time removed them; nothing was published, run it again",
            as_of=iso(publication.as_of),
        )
    _agree_on_schema(ledger, schema_number, schema, store)
    record = _record(publication, schema, parts, report or {}, now())
    try:
        ledger.create(record)
    except ObjectExistsError:
        winner = ledger.get(publication.as_of)
        if winner is None:
            raise
        return adopt(store, publication, winner)
    _withdraw_if_lost(store, ledger, record)
    sweep(store, record, layout.conversions_folder(record.as_of))
    sweep_newest(store, record.as_of)
    return record


def _withdraw_if_lost(store: ObjectStore, ledger: Ledger, record: CommitRecord) -> None:
    """Raise PublishRaceError, with *record* not published any more, where a part of it is gone since it was looked for.

    A run that swept up after the snapshot before may be slow to remove what was no part of that; see :mod:`.strays`.
    """
    lost = missing_parts(store, record.as_of, record.parts)
    current = ledger.get(record.as_of) if lost else None
    # What was published whole, and replaced since, is no matter of this run any more.
    if current is None or current.identity != record.identity:
        return
    ledger.delete(record.as_of)
    raise PublishRaceError(
        f"{_named(store, record)}: {len(lost)} of {len(record.parts)} parts were removed by another run while it was "
        f"published, the first is {shown_key(lost[0].key)}; it was withdrawn, run it again",
        as_of=iso(record.as_of),
    )


def _record(
    publication: Publication,
    schema: Schema,
    parts: Sequence[Part],
    report: Mapping[str, Any],
    published_at: datetime,
) -> CommitRecord:
    rescued: Counter[str] = Counter()
    for part in parts:
        rescued.update(part.rescued)
    return CommitRecord(
        table=publication.table,
        as_of=publication.as_of,
        # Cut to what its JSON holds, so that it is equal to the record read back.
        published_at=parse_time(published_at),
        rows=sum(part.rows for part in parts),
        parts=tuple(parts),
        schema=schema,
        source=publication.source,
        digest=publication.digest,
        options=publication.options,
        rescued=dict(sorted(rescued.items())),
        writer=WRITER,
        report=dict(report),
    )


def _require_rows(store: ObjectStore, publication: Publication, parts: Sequence[Part]) -> None:
    rows = sum(part.rows for part in parts)
    keys = {part.key for part in parts}
    if rows != publication.rows or len(keys) != len(parts) or not parts:
        uri = publication.source.uri
        raise SnapshotError(
            f"{uri}: expected parts with {publication.rows} rows in all, found {len(keys)} parts with {rows}; nothing "
            f"was published, delete the folder {store.uri_of(publication.conversion)} and run again",
            source=uri,
        )


def adopt(store: ObjectStore, publication: Publication, winner: CommitRecord) -> CommitRecord:
    """Return *winner*, which is published for the same time, if it has the same contents.

    What else lies in its folder is removed. Raises SnapshotExistsError if it has others.
    """
    sweep(store, winner, publication.conversion)
    if winner.digest == publication.digest:
        return winner
    raise SnapshotExistsError(
        f"{_named(store, winner)} is published with other contents ({winner.source.uri}); it was left as it is: look "
        "which of the two is right, and run again with replace (--replace) if it is this",
        as_of=iso(winner.as_of),
    )


def _agree_on_schema(ledger: Ledger, agreed_with: int, schema: Schema, store: ObjectStore) -> None:
    """Make *schema* the newest of the table's, unless another run changed the table meanwhile."""
    number, newest = ledger.newest_schema()
    if newest == schema:
        return
    if number == agreed_with:
        try:
            ledger.append_schema(number + 1, schema)
        except ObjectExistsError:
            pass
        else:
            return
    raise PublishRaceError(
        f"{store.uri}: another run added columns to the table while this one converted; nothing was published, "
        "publish again",
        uri=store.uri,
    )


def missing_parts(store: ObjectStore, as_of: datetime, parts: Sequence[Part]) -> list[Part]:
    """Return those of *parts* that are not there, or are there with another size."""
    sizes = {info.key: info.size for info in store.list(layout.snapshot_folder(as_of))}
    return [part for part in parts if sizes.get(part.key) != part.size]


def _difference(existing: CommitRecord, publication: Publication) -> str:
    if existing.source.digest != publication.source.digest:
        return f"from other data files ({existing.source.uri})"
    new = publication.options
    names = sorted(name for name in {*existing.options, *new} if existing.options.get(name) != new.get(name))
    return f"with other options ({', '.join(names)})"


def _named(store: ObjectStore, record: CommitRecord) -> str:
    return f"{store.uri}: the snapshot as of {iso(record.as_of)}"
