"""A published snapshot, found by the address of its commit record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import BadCallError, SnapshotNotFoundError


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot and where it lies.

    Attributes:
        record: its commit record.
        table_uri: folder of its table, without a trailing ``/``.
        ledger: of its table.
    """

    record: CommitRecord
    table_uri: str
    ledger: Ledger

    def previous(self) -> CommitRecord | None:
        """Return the newest snapshot before this one; None where there is none."""
        return self.ledger.previous(self.record.as_of)


def find_published(record_uri: str, *, s3: Any | None = None) -> Published:
    """Return the snapshot whose commit record is at *record_uri*, ``<lake>/<table>/_snapshots/<T>.json``.

    *s3* is a boto3 client, needed for ``s3://``. Raises BadCallError for another kind of address,
    SnapshotNotFoundError where nothing is published, AccessError and StorageDeadlineError.
    """
    table_uri, separator, name = str(record_uri).rpartition(f"/{layout.RECORDS_FOLDER}/")
    as_of = layout.as_of_in(f"{layout.RECORDS_FOLDER}/{name}") if separator else None
    if as_of is None or not table_uri:
        raise BadCallError(
            f"record: expected the address of a commit record, <lake>/<table>/{layout.RECORDS_FOLDER}/<T>.json, as "
            f"the conversion's XCom has it under 'record'; found {record_uri!r}",
            record=str(record_uri),
        )
    ledger = Ledger(open_store(table_uri, s3=s3))
    record = ledger.get(as_of)
    if record is None:
        raise SnapshotNotFoundError(
            f"{record_uri}: no snapshot is published as of {iso(as_of)}; convert the export of that time first",
            record=str(record_uri),
        )
    return Published(record, table_uri, ledger)


def find_awaited(lake: str, table: str, as_of: str, *, at_or_after: bool, s3: Any) -> CommitRecord | None:
    """Return the published snapshot of *as_of*, or the first one since then; None where there is none yet.

    Exports show whole seconds, and a run's logical date need not be one: one of the second it lies in will do. Raises
    BadCallError when no table can be called so, and ObjectNotFoundError when there is no such bucket, which no waiting
    would mend.
    """
    ledger = Ledger(open_store(lake, s3=s3).child(check_table(table)))
    moment = parse_time(as_of, what="as_of")
    second = moment.replace(microsecond=0)
    wanted = (time for time in ledger.times() if time in {moment, second} or (at_or_after and time > moment))
    found = next(wanted, None)
    return None if found is None else ledger.get(found)
