"""Athena's statements about the catalog: SHOW, DESCRIBE, CREATE, DROP, ALTER, MSCK."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_ddbexport.local.ddl_tokens import Tokens, TokensError
from airflow_provider_ddbexport.local.glue_catalog import Catalog, CatalogTable, parquet_storage
from airflow_provider_ddbexport.local.hive import HiveTypeError, arrow_type, hive_type
from airflow_provider_ddbexport.local.lake_objects import folder_partition, objects_under, split_uri
from airflow_provider_ddbexport.local.sql_parse import QueryError

_TASK = "FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask."


@dataclass(frozen=True, slots=True)
class Listing:
    """What a statement prints.

    Attributes:
        columns: their names, all of type string.
        lines: the rows, each one text; fields within are separated by tabs.
    """

    columns: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)


class CatalogStatements:
    """Runs statements about the catalog.

    :param s3: moto's S3 of the account.
    :param database: where names without a database are looked up.
    """

    def __init__(self, catalog: Catalog, s3: Any, database: str) -> None:
        self._catalog = catalog
        self._s3 = s3
        self._database = database or "default"

    def run(self, text: str) -> Listing:
        """Do what *text* says and return what it prints. Raises QueryError with Hive's or Athena's words."""
        statements: tuple[tuple[str, Callable[[Tokens], Listing]], ...] = (
            ("SHOW DATABASES", self._show_databases),
            ("SHOW SCHEMAS", self._show_databases),
            ("SHOW TABLES", self._show_tables),
            ("SHOW PARTITIONS", self._show_partitions),
            ("SHOW COLUMNS", self._show_columns),
            ("DESCRIBE", self._describe),
            ("DESC", self._describe),
            ("MSCK REPAIR TABLE", self._repair),
            ("CREATE DATABASE", self._create_database),
            ("CREATE SCHEMA", self._create_database),
            ("CREATE EXTERNAL TABLE", self._create_table),
            ("DROP DATABASE", self._drop_database),
            ("DROP SCHEMA", self._drop_database),
            ("DROP TABLE", self._drop_table),
            ("ALTER TABLE", self._alter_table),
        )
        try:
            for words, statement in statements:
                tokens = Tokens(text)
                if tokens.accept(words):
                    return statement(tokens)
        except TokensError as error:
            raise QueryError(f"FAILED: ParseException {error}") from error
        except HiveTypeError as error:
            raise QueryError(f"FAILED: SemanticException {error}") from error
        raise QueryError("NOT_SUPPORTED: statements of this kind are not in the emulated Athena")

    def _show_databases(self, tokens: Tokens) -> Listing:
        tokens.accept("LIKE")
        pattern = tokens.take_string() if not tokens.is_done else None
        return Listing(("database_name",), _matching(self._catalog.databases(), pattern))

    def _show_tables(self, tokens: Tokens) -> Listing:
        database = tokens.take_name() if tokens.accept("IN") or tokens.accept("FROM") else self._database
        tokens.accept("LIKE")
        pattern = tokens.take_string() if not tokens.is_done else None
        self._existing_database(database)
        return Listing(("tab_name",), _matching(self._catalog.tables(database), pattern))

    def _show_partitions(self, tokens: Tokens) -> Listing:
        table = self._take_table(tokens)
        tokens.end()
        if not table.partition_keys:
            raise QueryError(f"{_TASK} Table {table.database}.{table.name} is not a partitioned table")
        names = [table.partition_name(partition.values) for partition in self._catalog.partitions(table)]
        return Listing(("partition",), sorted(names))

    def _show_columns(self, tokens: Tokens) -> Listing:
        if not (tokens.accept("IN") or tokens.accept("FROM")):
            raise TokensError("expected IN or FROM")
        table = self._take_table(tokens)
        return Listing(("field",), [name.ljust(20) for name in (*table.columns, *table.partition_keys)])

    def _describe(self, tokens: Tokens) -> Listing:
        if tokens.accept("EXTENDED") or tokens.accept("FORMATTED"):
            raise QueryError("NOT_SUPPORTED: DESCRIBE EXTENDED and FORMATTED are not in the emulated Athena")
        table = self._take_table(tokens)
        tokens.end()

        def line(name: str, kind: str) -> str:
            return "\t".join(text.ljust(20) for text in (name, kind, table.comments.get(name, "")))

        lines = [line(name, hive_type(kind)) for name, kind in {**table.columns, **table.partition_keys}.items()]
        if table.partition_keys:
            lines += ["\t \t ", "# Partition Information\t \t ", line("# col_name", "data_type"), "\t \t "]
            lines += [line(name, hive_type(kind)) for name, kind in table.partition_keys.items()]
        return Listing(("col_name", "data_type", "comment"), lines)

    def _repair(self, tokens: Tokens) -> Listing:
        """Register the partitions that are in the table's folders and not in the catalog."""
        table = self._take_table(tokens)
        tokens.end()
        _, prefix = split_uri(table.location)
        depth = len(table.partition_keys)
        base = prefix.rstrip("/") + "/" if prefix.strip("/") else ""
        missing: dict[tuple[str, ...], str] = {}
        for item in objects_under(self._s3, table.location) if depth else ():
            folders = item.key[len(base) :].split("/")[:-1][:depth]
            pairs = [pair for folder in folders if (pair := folder_partition(folder))]
            values = tuple(value for _, value in pairs)
            if [key for key, _ in pairs] == list(table.partition_keys) and not self._catalog.has_partition(
                table, values
            ):
                missing[values] = f"{table.location.rstrip('/')}/{'/'.join(folders)}/"
        names = [f"{table.name}:{table.partition_name(values)}" for values in missing]
        for values, location in missing.items():
            self._catalog.add_partition(table, values, location)
        if not names:
            return Listing(("result",))
        found = "Partitions not in metastore:\t" + "\t".join(names)
        return Listing(("result",), [found, *(f"Repair: Added partition to metastore {name}" for name in names)])

    def _create_database(self, tokens: Tokens) -> Listing:
        is_optional = tokens.accept("IF NOT EXISTS")
        name = tokens.take_name()
        comment = tokens.take_string() if tokens.accept("COMMENT") else ""
        location = tokens.take_string() if tokens.accept("LOCATION") else ""
        tokens.end()
        if not self._catalog.has_database(name):
            self._catalog.create_database(name, comment, location)
        elif not is_optional:
            raise QueryError(f"{_TASK} Database {name} already exists")
        return Listing()

    def _drop_database(self, tokens: Tokens) -> Listing:
        is_optional = tokens.accept("IF EXISTS")
        name = tokens.take_name()
        cascades = tokens.accept("CASCADE")
        tokens.accept("RESTRICT")
        tokens.end()
        if name not in self._catalog.glue.databases:
            if is_optional:
                return Listing()
            raise QueryError(f"{_TASK} Database does not exist: {name}")
        if self._catalog.tables(name) and not cascades:
            raise QueryError(
                f"{_TASK} InvalidOperationException(message:Database {name} is not empty. One or more tables exist.)"
            )
        self._catalog.glue.delete_database(name)
        return Listing()

    def _create_table(self, tokens: Tokens) -> Listing:
        is_optional = tokens.accept("IF NOT EXISTS")
        database, name = self._take_table_name(tokens)
        columns = _take_columns(tokens)
        comment = tokens.take_string() if tokens.accept("COMMENT") else ""
        keys = _take_columns(tokens) if tokens.accept("PARTITIONED BY") else []
        if tokens.accept("ROW FORMAT SERDE"):
            serde = tokens.take_string()
            if "parquet" not in serde.lower():
                raise QueryError(f"NOT_SUPPORTED: only Parquet is in the emulated Athena, not {serde}")
            if tokens.accept("WITH SERDEPROPERTIES"):
                tokens.take_properties()
        if tokens.accept("STORED AS INPUTFORMAT"):
            tokens.take_string()
            tokens.expect("OUTPUTFORMAT")
            tokens.take_string()
        else:
            tokens.expect("STORED AS PARQUET")
        tokens.expect("LOCATION")
        location = tokens.take_string()
        properties = tokens.take_properties() if tokens.accept("TBLPROPERTIES") else {}
        tokens.end()
        self._existing_database(database)
        if self._catalog.table(database, name) is not None:
            if is_optional:
                return Listing()
            raise QueryError(f"{_TASK} AlreadyExistsException(message:Table {name} already exists)")
        table = {
            "Name": name,
            "Owner": "hadoop",
            "Description": comment,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": keys,
            "Parameters": {"EXTERNAL": "TRUE", **properties},
            "StorageDescriptor": parquet_storage(location, columns, {}),
        }
        if database not in self._catalog.glue.databases:
            self._catalog.create_database(database)
        self._catalog.glue.create_table(database, name, table)
        return Listing()

    def _drop_table(self, tokens: Tokens) -> Listing:
        is_optional = tokens.accept("IF EXISTS")
        database, name = self._take_table_name(tokens)
        tokens.end()
        if self._catalog.table(database, name) is not None:
            self._catalog.glue.delete_table(database, name)
        elif not is_optional:
            raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {name}")
        return Listing()

    def _alter_table(self, tokens: Tokens) -> Listing:
        table = self._take_table(tokens)
        if tokens.accept("ADD COLUMNS"):
            added = _take_columns(tokens)
            tokens.end()
            storage = dict(table.record["StorageDescriptor"])
            storage["Columns"] = [*storage["Columns"], *added]
            changed = {**table.record, "StorageDescriptor": storage}
            self._catalog.glue.update_table(table.database, table.name, changed)
        elif tokens.accept("ADD"):
            self._add_partitions(table, tokens)
        elif tokens.accept("DROP"):
            self._drop_partitions(table, tokens)
        else:
            raise QueryError("NOT_SUPPORTED: this ALTER TABLE is not in the emulated Athena")
        return Listing()

    def _add_partitions(self, table: CatalogTable, tokens: Tokens) -> None:
        is_optional = tokens.accept("IF NOT EXISTS")
        while not tokens.is_done:
            tokens.expect("PARTITION")
            values = _partition_values(table, tokens.take_properties())
            default = f"{table.location.rstrip('/')}/{table.partition_name(values)}/"
            location = tokens.take_string() if tokens.accept("LOCATION") else default
            if not self._catalog.has_partition(table, values):
                self._catalog.add_partition(table, values, location)
            elif not is_optional:
                raise QueryError(f"{_TASK} AlreadyExistsException(message:Partition already exists.)")

    def _drop_partitions(self, table: CatalogTable, tokens: Tokens) -> None:
        is_optional = tokens.accept("IF EXISTS")
        while not tokens.is_done:
            tokens.accept(",")
            tokens.expect("PARTITION")
            values = _partition_values(table, tokens.take_properties())
            if self._catalog.has_partition(table, values):
                self._catalog.drop_partition(table, values)
            elif not is_optional:
                raise QueryError(
                    f"FAILED: SemanticException [Error 10006]: Partition not found {table.partition_name(values)}"
                )

    def _take_table_name(self, tokens: Tokens) -> tuple[str, str]:
        name = tokens.take_name()
        return (name, tokens.take_name()) if tokens.accept(".") else (self._database, name)

    def _take_table(self, tokens: Tokens) -> CatalogTable:
        database, name = self._take_table_name(tokens)
        self._existing_database(database)
        table = self._catalog.table(database, name)
        if table is None:
            raise QueryError(f"FAILED: SemanticException [Error 10001]: Table not found {database}.{name}")
        return table

    def _existing_database(self, name: str) -> None:
        if not self._catalog.has_database(name):
            raise QueryError(f"FAILED: SemanticException [Error 10072]: Database does not exist: {name}")


def _partition_values(table: CatalogTable, given: dict[str, str]) -> tuple[str, ...]:
    named = {key.lower(): value for key, value in given.items()}
    if list(named) != list(table.partition_keys):
        raise QueryError(
            f"FAILED: SemanticException partition spec {sorted(named)} does not match the partition keys "
            f"{list(table.partition_keys)} of {table.database}.{table.name}"
        )
    return tuple(named.values())


def _take_columns(tokens: Tokens) -> list[dict[str, str]]:
    columns = []
    tokens.expect("(")
    while True:
        name, kind = tokens.take_name(), tokens.take_type()
        arrow_type(kind)
        column = {"Name": name, "Type": kind}
        if tokens.accept("COMMENT"):
            column["Comment"] = tokens.take_string()
        columns.append(column)
        if tokens.accept(")"):
            return columns
        tokens.expect(",")


def _matching(names: list[str], pattern: str | None) -> list[str]:
    """Return the names that match Hive's *pattern*: ``*`` stands for anything, ``|`` between alternatives."""
    if pattern is None:
        return names
    return [name for name in names if re.fullmatch(pattern.replace("*", ".*"), name, re.IGNORECASE)]
