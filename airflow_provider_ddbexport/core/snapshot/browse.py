"""Looking around in a lake."""

from __future__ import annotations

from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.table_folder import check_table


def lake_tables(lake: ObjectStore) -> tuple[str, ...]:
    """Return the folders of all tables with a published snapshot, sorted. Lists the whole lake."""
    tables = set()
    for info in lake.list():
        table, _, key = info.key.partition("/")
        if layout.as_of_in(key) is not None:
            tables.add(table)
    return tuple(sorted(tables))


def lake_records(lake: ObjectStore, table: str | None = None) -> tuple[CommitRecord, ...]:
    """Return the published snapshots of *table*, or of all tables, by table and time."""
    tables = lake_tables(lake) if table is None else (check_table(table),)
    return tuple(record for name in tables for record in Ledger(lake.child(name)).records())
