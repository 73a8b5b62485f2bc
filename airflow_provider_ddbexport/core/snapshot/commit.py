"""Publishing: from parts that nobody sees to a snapshot that everybody sees, in one step that cannot be half done.

The step is the creation of the commit record, on the condition that there is none. Everything before it is invisible
to readers; everything after it is tidying, which the next run does as well. Whoever is killed anywhere leaves either no
snapshot or a whole one.

Query engines read all Parquet in a registered folder. So a snapshot that is to be replaced is withdrawn (unregistered,
then taken out of the ledger) before the first new part is written, a run that finds another one published stops
writing, and what lies in a published snapshot's folder without belonging to it is removed by every run that comes by.
Before a commit nothing is removed: parts have names made from their contents, so the parts that a failed run would
remove may be those another run is about to publish.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import WRITER, ConversionPlan, Target, identity
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part, Source
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import (
    ObjectExistsError,
    PublishRaceError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotExistsError,
)

BeforeReplace = Callable[[CommitRecord], None]
"""Called with the snapshot that is about to be replaced, while it is still whole: unregisters it."""

Now = Callable[[], datetime]

_PART = re.compile(r"part-[0-9]{5,}-[0-9a-f]{8}\.parquet")


def utc_now() -> datetime:
    """Return the current time, aware, UTC."""
    return datetime.now(UTC)


def is_settled(lake: ObjectStore, existing: CommitRecord, target: Target, export: Export, *, replace: bool) -> bool:
    """Return whether *existing*, which is published for the time of *export*, is what converting it would give.

    If so, or if it stays for another reason, what interrupted runs left in its folder is removed. Without *replace*,
    raises SnapshotExistsError when it has other contents, and SnapshotDamagedError when it lost parts.
    """
    store = lake.child(target.table)
    if existing.digest == target.digest(export):
        missing = _missing(store, existing.as_of, existing.parts)
        if not missing:
            _sweep(store, existing)
            return True
        if not replace:
            raise SnapshotDamagedError(
                f"{_named(store, existing)}: {len(missing)} of {len(existing.parts)} parts are missing or of another "
                f"size, the first is {layout.shown(missing[0].key)}; use replace (--replace) to write them again",
                as_of=iso(existing.as_of),
            )
    elif not replace:
        _sweep(store, existing)
        raise SnapshotExistsError(
            f"{_named(store, existing)} is published already, {_difference(existing, target, export)}; it was left as "
            "it is: use replace (--replace) to put the new one in its place",
            as_of=iso(existing.as_of),
        )
    return False


def withdraw(plan: ConversionPlan, lake: ObjectStore, before_replace: BeforeReplace | None = None) -> None:
    """Make sure that the snapshot which *plan* replaces is not published any more; there may be none.

    *before_replace* is called with its record while it is still whole. Its parts stay until the new one is published.
    Call it before :func:`.convert_shard`. Repeating it is safe. Raises PublishRaceError when another snapshot than the
    plan knew of is published.
    """
    ledger = Ledger(lake.child(plan.table))
    existing = _known(ledger, plan)
    if existing is None:
        return
    if before_replace is not None:
        before_replace(existing)
        # That took a while.
        _known(ledger, plan)
    ledger.delete(plan.as_of)


def _known(ledger: Ledger, plan: ConversionPlan) -> CommitRecord | None:
    """Return what is published for the plan's time; raises PublishRaceError if it is not what the plan replaces."""
    existing = ledger.get(plan.as_of)
    if existing is not None and identity(existing) != plan.replaces:
        raise published_meanwhile(existing)
    return existing


def published_meanwhile(other: CommitRecord) -> PublishRaceError:
    """Return the error of a run that finds *other* published, which was not there when it made its plan."""
    return PublishRaceError(
        f"table {other.table}: a snapshot as of {iso(other.as_of)} was published by another run meanwhile; this run "
        "published nothing, plan and convert again",
        as_of=iso(other.as_of),
    )


def publish(plan: ConversionPlan, parts: Sequence[Part], lake: ObjectStore, *, now: Now = utc_now) -> CommitRecord:
    """Make *parts*, which are those of all shards of *plan*, the snapshot of their time, and return its record.

    When the same contents are published already, by another run or this one, that record is returned. What else lies
    in the snapshot's folder is removed afterwards. Repeating it is safe.

    Raises PublishRaceError when the table's columns changed meanwhile or a part is gone: plan and convert again.
    Raises SnapshotExistsError when other contents are published, and OutcomeUnknownError when it cannot be told
    whether the record was written; then nothing is removed.
    """
    store = lake.child(plan.table)
    ledger = Ledger(store)
    _require_rows(plan, parts)
    existing = ledger.get(plan.as_of)
    if existing is not None:
        return _adopt(store, plan, existing)
    missing = _missing(store, plan.as_of, parts)
    if missing:
        raise PublishRaceError(
            f"{store.uri_of(layout.snapshot_folder(plan.as_of))}: {len(missing)} of {len(parts)} parts of this run are "
            "gone, another run of the same time removed them; nothing was published, plan and convert again",
            as_of=iso(plan.as_of),
        )
    _agree_on_schema(ledger, plan, store)
    record = _record(plan, parts, now())
    try:
        ledger.create(record)
    except ObjectExistsError:
        winner = ledger.get(plan.as_of)
        if winner is None:
            raise
        return _adopt(store, plan, winner)
    _sweep(store, record)
    return record


def _record(plan: ConversionPlan, parts: Sequence[Part], published_at: datetime) -> CommitRecord:
    export, summary = plan.export, plan.export.summary
    rescued: Counter[str] = Counter()
    for part in parts:
        rescued.update(part.rescued)
    source = Source(
        uri=export.source,
        export_arn=summary.export_arn,
        export_type=summary.export_type.value,
        table_arn=summary.table_arn,
        table_id=summary.table_id,
        output_format=summary.output_format.value,
        digest=export.digest,
        files=len(export.files),
        item_count=summary.item_count,
        billed_bytes=summary.billed_bytes,
        verified=plan.verified,
    )
    return CommitRecord(
        table=plan.table,
        as_of=plan.as_of,
        # Cut to what its JSON holds, so that it is equal to the record read back.
        published_at=parse_time(published_at),
        rows=sum(part.rows for part in parts),
        parts=tuple(parts),
        schema=plan.schema,
        source=source,
        digest=plan.digest,
        options=dict(plan.options),
        rescued=dict(sorted(rescued.items())),
        writer=WRITER,
    )


def _require_rows(plan: ConversionPlan, parts: Sequence[Part]) -> None:
    rows, expected = sum(part.rows for part in parts), plan.export.summary.item_count
    keys = {part.key for part in parts}
    if rows != expected or len(keys) != len(parts) or not parts:
        raise SnapshotError(
            f"{plan.export.source}: expected parts with {expected} rows in all, found {len(keys)} parts with {rows}; "
            f"give the parts of all {len(plan.shards)} shards of the plan, each once",
            source=plan.export.source,
        )


def _adopt(store: ObjectStore, plan: ConversionPlan, winner: CommitRecord) -> CommitRecord:
    """Return the record that another run published if it has the same contents; this run's parts are removed."""
    _sweep(store, winner)
    if winner.digest == plan.digest:
        return winner
    raise SnapshotExistsError(
        f"{_named(store, winner)} is published with other contents ({winner.source.uri}); it was left as it is: look "
        "which of the two is right, and run again with replace (--replace) if it is this",
        as_of=iso(winner.as_of),
    )


def _agree_on_schema(ledger: Ledger, plan: ConversionPlan, store: ObjectStore) -> None:
    """Make the plan's schema the newest of the table's, unless another run changed the table meanwhile."""
    number, newest = ledger.newest_schema()
    if newest == plan.schema:
        return
    if number == plan.schema_number:
        try:
            ledger.append_schema(number + 1, plan.schema)
        except ObjectExistsError:
            pass
        else:
            return
    raise PublishRaceError(
        f"{store.uri}: another run added columns to the table while this one converted; nothing was published, plan "
        "and convert again",
        table=plan.table,
    )


def _missing(store: ObjectStore, as_of: datetime, parts: Sequence[Part]) -> list[Part]:
    """Return those of *parts* that are not there, or are there with another size."""
    sizes = {info.key: info.size for info in store.list(layout.snapshot_folder(as_of))}
    return [part for part in parts if sizes.get(part.key) != part.size]


def _sweep(store: ObjectStore, record: CommitRecord) -> None:
    """Remove the parts in the folder of *record* that are not its own: of interrupted runs, of what it replaced.

    Files that are no parts are left alone. Looks before each that the snapshot is still the published one, because a
    run that replaces it may be writing its parts now.
    """
    own = {part.key for part in record.parts}
    ledger = Ledger(store)
    for info in list(store.list(layout.snapshot_folder(record.as_of))):
        if info.key in own or not _PART.fullmatch(info.key.rpartition("/")[2]):
            continue
        current = ledger.get(record.as_of)
        if current is None or identity(current) != identity(record):
            return
        store.delete(info.key)


def _difference(existing: CommitRecord, target: Target, export: Export) -> str:
    if existing.source.digest != export.digest:
        return f"from other data files ({existing.source.uri})"
    new = target.options_json()
    names = sorted(name for name in {*existing.options, *new} if existing.options.get(name) != new.get(name))
    return f"with other options ({', '.join(names)})"


def _named(store: ObjectStore, record: CommitRecord) -> str:
    return f"{store.uri}: the snapshot as of {iso(record.as_of)}"
