"""What a table's key is, from whatever tells: snapshots, increments, DynamoDB. Full exports do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from airflow_provider_ddbexport.core.diff.diff import Pair
from airflow_provider_ddbexport.core.export.changes import read_changes
from airflow_provider_ddbexport.core.exporting.point_in_time import TableIdentity
from airflow_provider_ddbexport.core.merge.compact import Increment
from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, ServiceError

Ask = Callable[[str], TableIdentity]
"""Asks DynamoDB what the table of an ARN is now."""

Key = tuple[str, ...]

_GIVEN = "(--key, keys=)"


def find_key(table_store: ObjectStore, pair: Pair, increments: Sequence[Increment], ask: Ask) -> Key:
    """Return the attributes of the table's key, by name.

    The records of scans and merges have them, and so do increments. Where neither the two snapshots nor *increments*
    tell, *ask* does, unless the table was made again since; else the other snapshots of the same table.

    Raises BadCallError where nothing tells, and what *ask* raises where that may pass; the errors of reading exports.
    """
    if key := next(_told(pair, increments), ()):
        return key
    arn = pair.new.source.table_arn
    try:
        table = ask(arn)
    except ServiceError as error:
        if key := _told_by_others(table_store, pair):
            return key
        if is_transient(error):
            raise type(error)(
                f"{error}; it need not be asked where the key is given {_GIVEN}", **error.context
            ) from error
        raise _unknown(pair, str(error)) from error
    if table.keys and table.table_id in {pair.new.source.table_id, pair.old.source.table_id}:
        return tuple(sorted(table.keys))
    if key := _told_by_others(table_store, pair):
        return key
    raise _unknown(pair, f"{arn} was deleted and made again since, and may have another")


def _told(pair: Pair, increments: Sequence[Increment]) -> Iterator[Key]:
    """Give the key each time that something at hand tells it."""
    yield from (record.source.keys for record in (pair.new, pair.old) if record.source.keys)
    for increment in increments:
        for file in increment.export.files:
            for change in read_changes(increment.root, increment.export, file):
                yield tuple(sorted(change.keys))


def _told_by_others(table_store: ObjectStore, pair: Pair) -> Key:
    """Return the key that the newest other snapshot of the same table tells; nothing where none does."""
    ledger = Ledger(table_store)
    for time in reversed(ledger.times()):
        record = ledger.get(time)
        if record is not None and record.source.keys and record.source.table_id == pair.new.source.table_id:
            return record.source.keys
    return ()


def _unknown(pair: Pair, why: str) -> BadCallError:
    return BadCallError(
        f"key: no snapshot of {pair.new.table!r} was scanned or merged, whose records tell the table's key, and "
        f"DynamoDB does not tell it ({why}); give its attributes {_GIVEN}",
        table=pair.new.table,
    )
