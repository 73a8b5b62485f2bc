"""Parts in the folder of a published snapshot that are not of it, which query engines read all the same.

Runs that were killed leave them, runs whose options were others, and what a snapshot has replaced. Each is removed by
the publication in whose folder it lies. There is one that comes later: a task stands still just before it writes a
part, another run publishes, and the task is killed as soon as it has written, before it looks again. Nothing in an
object store refuses that write. So each publication looks after the newest snapshots of its table as well, and
:func:`remove_strays` after any.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ahead import AT_ONCE, asked_ahead
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectInfo, ObjectStore
from airflow_provider_ddbexport.errors import SnapshotDamagedError

LOOKED_AFTER = 3
"""Of the newest other snapshots of a table, those that a publication looks after."""


def find_strays(store: ObjectStore, record: CommitRecord) -> list[ObjectInfo]:
    """Return the parts in the folder of *record* that are not its own. Files that are no parts are nobody's business.

    Those of a run that replaces the snapshot now are among them, once its record is withdrawn: ask for that afterwards.
    """
    own = {part.key for part in record.parts}
    return [
        info
        for info in store.list(layout.snapshot_folder(record.as_of))
        if info.key not in own and layout.is_part(info.key)
    ]


def remove_strays(store: ObjectStore, record: CommitRecord) -> list[ObjectInfo]:
    """Remove what :func:`find_strays` finds, as long as *record* is published, and return what was removed."""
    strays = find_strays(store, record)
    removed = _removed(store, record, [info.key for info in strays])
    return strays[:removed]


def sweep(store: ObjectStore, record: CommitRecord, conversions: str) -> None:
    """Remove the strays in the folder of *record*, and the records of *conversions*, a folder, and files half written.

    Ends where *record* is not the published one any more.
    """
    leftovers = [info.key for info in find_strays(store, record)]
    leftovers += [info.key for info in store.list(conversions)]
    if _removed(store, record, leftovers) < len(leftovers):
        return
    for folder in (layout.snapshot_folder(record.as_of), conversions):
        if not _is_current(store, record):
            return
        store.remove_unfinished(folder)


def sweep_newest(store: ObjectStore, besides: datetime) -> None:
    """Remove the strays of the :data:`LOOKED_AFTER` newest snapshots *besides* the one as of that time."""
    ledger = Ledger(store)
    others = [as_of for as_of in ledger.times() if as_of != besides]
    for as_of in others[-LOOKED_AFTER:]:
        try:
            record = ledger.get(as_of)
        except SnapshotDamagedError:
            # Whoever reads that snapshot is told; it has nothing to do with this one.
            continue
        if record is not None:
            remove_strays(store, record)


def _removed(store: ObjectStore, record: CommitRecord, keys: Sequence[str]) -> int:
    """Remove *keys*, and return how many of them: all, unless *record* is not the published one any more.

    Looks before each few, which are removed at once, because a run that replaces the snapshot may be writing its parts
    now.
    """
    removed = 0
    while removed < len(keys) and _is_current(store, record):
        removed += sum(1 for _ in asked_ahead(store.delete, keys[removed : removed + AT_ONCE]))
    return removed


def _is_current(store: ObjectStore, record: CommitRecord) -> bool:
    current = Ledger(store).get(record.as_of)
    return current is not None and current.identity == record.identity
