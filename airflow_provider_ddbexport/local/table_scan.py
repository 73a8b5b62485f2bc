"""Reading the rows of a catalog's table: only the partitions and columns that a query needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from airflow_provider_ddbexport.local.duck import connect
from airflow_provider_ddbexport.local.glue_catalog import Catalog, CatalogPartition, CatalogTable, partition_value
from airflow_provider_ddbexport.local.hive import hive_type, reads_as, trino_type
from airflow_provider_ddbexport.local.lake_objects import LakeError, LakeObject, objects_under, read_columns

PATH_COLUMN = "$path"
_ROW = "row_"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a scan read.

    Attributes:
        scanned_bytes: size of the objects that were read, whole.
    """

    rows: pa.Table
    scanned_bytes: int


@dataclass(frozen=True, slots=True)
class SystemTable:
    """A table whose rows are the catalog's own: ``information_schema.tables``, ``"reviews$partitions"``."""

    rows: pa.Table


@dataclass(frozen=True, slots=True)
class TableScan:
    """One mention of a table in a query.

    Attributes:
        alias: how the query calls it.
    """

    table: CatalogTable
    alias: str

    def read(self, catalog: Catalog, s3: Any, mentioned: set[str], predicates: list[exp.Expr]) -> Rows:
        """Return the rows of the partitions that *predicates* can be true for, with the columns *mentioned*.

        Raises LakeError where a partition's columns contradict the table's or an object cannot be read.
        """
        table = self.table
        columns = {name: kind for name, kind in table.columns.items() if name in mentioned}
        keys = {name: kind for name, kind in table.partition_keys.items() if name in mentioned}
        extra = {PATH_COLUMN: pa.string()} if PATH_COLUMN in mentioned else {}
        # A table needs a column to have rows at all: SELECT count(*) mentions none.
        schema = pa.schema([*columns.items(), *keys.items(), *extra.items(), (_ROW, pa.bool_())])
        chunks: list[pa.Table] = []
        scanned = 0
        for partition in self._partitions(catalog, predicates):
            _check_partition(table, partition, columns)
            constants = {
                name: partition_value(value, kind)
                for (name, kind), value in zip(table.partition_keys.items(), partition.values, strict=True)
                if name in keys
            }
            for item in objects_under(s3, partition.location):
                scanned += item.size
                chunks.append(_with_constants(item, read_columns(item, columns), constants, schema))
        return Rows(pa.concat_tables(chunks) if chunks else schema.empty_table(), scanned)

    def _partitions(self, catalog: Catalog, predicates: list[exp.Expr]) -> list[CatalogPartition]:
        table = self.table
        if not table.partition_keys:
            return [CatalogPartition((), table.location, table.columns)]
        partitions = list(catalog.partitions(table))
        usable = [condition for condition in predicates if self._is_about_partitions(condition)]
        if not usable or not partitions:
            return partitions
        values = {
            name: [partition_value(partition.values[position], kind).as_py() for partition in partitions]
            for position, (name, kind) in enumerate(table.partition_keys.items())
        }
        rows = pa.table(
            {name: pa.array(column, table.partition_keys[name]) for name, column in values.items()}
        ).append_column(_ROW, pa.array(range(len(partitions)), pa.int64()))
        conditions = " AND ".join(f"({condition.sql('duckdb')})" for condition in usable)
        with connect() as connection:
            connection.register("partitions_", rows)
            try:
                kept = connection.sql(
                    f'SELECT {_ROW} FROM partitions_ AS "{self.alias}" WHERE {conditions} ORDER BY 1'  # noqa: S608 DuckDB in memory
                ).fetchall()
            except duckdb.Error:
                return partitions  # a condition that fails has to fail in the query, with its own words
        return [partitions[position] for (position,) in kept]

    def _is_about_partitions(self, condition: exp.Expr) -> bool:
        columns = list(condition.find_all(exp.Column))
        return (
            bool(columns)
            and all(column.table == self.alias and column.name in self.table.partition_keys for column in columns)
            and condition.find(exp.Query, exp.Rand) is None
        )


def _check_partition(table: CatalogTable, partition: CatalogPartition, columns: dict[str, pa.DataType]) -> None:
    for name, declared in columns.items():
        own = partition.columns.get(name, declared)
        if not reads_as(own, declared):
            raise LakeError(
                "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. The "
                f"types are incompatible and cannot be coerced. The column '{name}' in table "
                f"'{table.database}.{table.name}' is declared as type '{hive_type(declared)}', but partition "
                f"'{table.partition_name(partition.values)}' declared column '{name}' as type '{hive_type(own)}'."
            )


def _with_constants(item: LakeObject, rows: pa.Table, constants: dict[str, pa.Scalar], schema: pa.Schema) -> pa.Table:
    count = item.parquet().metadata.num_rows if not rows.num_columns else rows.num_rows
    columns = list(rows.columns)
    columns += [pa.repeat(value, count) for value in constants.values()]
    if PATH_COLUMN in schema.names:
        columns.append(pa.repeat(pa.scalar(item.uri), count))
    columns.append(pa.repeat(pa.scalar(True), count))
    return pa.Table.from_arrays(columns, schema=schema)


def system_table(catalog: Catalog, database: str, name: str) -> SystemTable | None:
    """Return ``information_schema``'s *name* or ``table$partitions``, or None where there is no such table."""
    if name.endswith("$partitions"):
        table = catalog.table(database, name.removesuffix("$partitions"))
        if table is None or not table.partition_keys:
            return None
        values = [partition.values for partition in catalog.partitions(table)]
        return SystemTable(
            pa.table(
                {
                    key: pa.array([partition_value(row[position], kind).as_py() for row in values], kind)
                    for position, (key, kind) in enumerate(table.partition_keys.items())
                }
            )
        )
    texts: dict[str, list[str]]
    if name == "schemata":
        texts = {"catalog_name": [], "schema_name": catalog.databases()}
        texts["catalog_name"] = ["awsdatacatalog"] * len(texts["schema_name"])
        return SystemTable(_text_table(texts))
    tables = [(home, table) for home in catalog.databases() for table in catalog.tables(home)]
    if name == "tables":
        texts = {
            "table_catalog": ["awsdatacatalog"] * len(tables),
            "table_schema": [home for home, _ in tables],
            "table_name": [table for _, table in tables],
            "table_type": ["BASE TABLE"] * len(tables),
        }
        return SystemTable(_text_table(texts))
    if name == "columns":
        return SystemTable(_columns_table(catalog, tables))
    return None


def _columns_table(catalog: Catalog, tables: list[tuple[str, str]]) -> pa.Table:
    rows = []
    for home, name in tables:
        table = catalog.table(home, name)
        if table is not None:
            columns = {**table.columns, **table.partition_keys}
            rows += [(home, name, column, at, trino_type(kind)) for at, (column, kind) in enumerate(columns.items(), 1)]
    return pa.table(
        {
            "table_catalog": pa.array(["awsdatacatalog"] * len(rows), pa.string()),
            "table_schema": pa.array([row[0] for row in rows], pa.string()),
            "table_name": pa.array([row[1] for row in rows], pa.string()),
            "column_name": pa.array([row[2] for row in rows], pa.string()),
            "ordinal_position": pa.array([row[3] for row in rows], pa.int64()),
            "data_type": pa.array([row[4] for row in rows], pa.string()),
        }
    )


def _text_table(texts: dict[str, list[str]]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
