"""Athena's calls about databases and tables, answered from the Glue Data Catalog as the service does."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.glue_catalog import Catalog, CatalogTable
from airflow_provider_ddbexport.local.hive import hive_type
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler


class MetadataCalls:
    """GetDatabase, ListDatabases, GetTableMetadata, ListTableMetadata."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by operation."""
        return {
            "GetDatabase": self.get_database,
            "ListDatabases": self.list_databases,
            "GetTableMetadata": self.get_table,
            "ListTableMetadata": self.list_tables,
        }

    def get_database(self, call: Call) -> dict[str, Any]:
        """Return one database."""
        return {"Database": self._database(call, call.body.get("DatabaseName") or "")}

    def list_databases(self, call: Call) -> dict[str, Any]:
        """Return all databases, on one page."""
        return {"DatabaseList": [self._database(call, name) for name in self._catalog(call).databases()]}

    def get_table(self, call: Call) -> dict[str, Any]:
        """Return one table's columns and keys."""
        database, name = call.body.get("DatabaseName") or "", (call.body.get("TableName") or "").lower()
        self._database(call, database)
        table = self._catalog(call).table(database.lower(), name)
        if table is None:
            raise AwsError("MetadataException", f"EntityNotFoundException: Table {name} not found.")
        return {"TableMetadata": _metadata(table)}

    def list_tables(self, call: Call) -> dict[str, Any]:
        """Return all tables of a database, on one page."""
        database = call.body.get("DatabaseName") or ""
        self._database(call, database)
        catalog = self._catalog(call)
        tables = [catalog.table(database.lower(), name) for name in catalog.tables(database.lower())]
        return {"TableMetadataList": [_metadata(table) for table in tables if table is not None]}

    def _database(self, call: Call, name: str) -> dict[str, Any]:
        catalog = self._catalog(call)
        if not catalog.has_database(name.lower()):
            raise AwsError("MetadataException", f"EntityNotFoundException: Database {name} not found.")
        found = catalog.glue.databases.get(name.lower())
        described = {
            "Name": name.lower(),
            "Description": found.input.get("Description") if found else None,
            "Parameters": found.input.get("Parameters") if found else None,
        }
        return {key: value for key, value in described.items() if value is not None}

    def _catalog(self, call: Call) -> Catalog:
        return Catalog(self._emulator.moto.glue(call.account, call.region))


def _metadata(table: CatalogTable) -> dict[str, Any]:
    return {
        "Name": table.name,
        "TableType": table.record.get("TableType") or "EXTERNAL_TABLE",
        "Columns": [_column(table, name, kind) for name, kind in table.columns.items()],
        "PartitionKeys": [_column(table, name, kind) for name, kind in table.partition_keys.items()],
        "Parameters": {**(table.record.get("Parameters") or {}), "location": table.location},
    }


def _column(table: CatalogTable, name: str, kind: pa.DataType) -> dict[str, str]:
    column = {"Name": name, "Type": hive_type(kind)}
    return {**column, "Comment": table.comments[name]} if name in table.comments else column
