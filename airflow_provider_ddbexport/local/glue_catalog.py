"""The Glue Data Catalog as Athena and the crawler use it, over moto's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from airflow_provider_ddbexport.local.glue_limits import MAX_TYPE_LENGTH, too_long
from airflow_provider_ddbexport.local.hive import HiveTypeError, arrow_type, hive_type
from airflow_provider_ddbexport.local.lake_objects import DEFAULT_PARTITION, LakeError

PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
PARQUET_INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
PARQUET_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"


def parquet_storage(location: str, columns: list[dict[str, str]], parameters: dict[str, str]) -> dict[str, Any]:
    """Return the StorageDescriptor of Parquet at *location*."""
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": PARQUET_INPUT,
        "OutputFormat": PARQUET_OUTPUT,
        "Compressed": False,
        "NumberOfBuckets": -1,
        "SerdeInfo": {"SerializationLibrary": PARQUET_SERDE, "Parameters": {"serialization.format": "1"}},
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": parameters,
        "StoredAsSubDirectories": False,
    }


def glue_columns(columns: dict[str, pa.DataType]) -> list[dict[str, str]]:
    """Return *columns* as Glue lists them. Raises LakeError where it would not take one."""
    listed = [{"Name": name, "Type": hive_type(kind)} for name, kind in columns.items()]
    for number, column in enumerate(listed, start=1):
        if len(column["Type"]) > MAX_TYPE_LENGTH:
            raise LakeError(too_long(f"table.storageDescriptor.columns.{number}"))
    return listed


@dataclass(frozen=True, slots=True)
class CatalogPartition:
    """One partition.

    Attributes:
        values: one for each partition key, as text.
        columns: as the partition itself declares them; the table's where it declares none.
    """

    values: tuple[str, ...]
    location: str
    columns: dict[str, pa.DataType]


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """One table.

    Attributes:
        columns: without the partition keys, in order.
        partition_keys: in order; empty for a table without partitions.
        comments: of columns and partition keys that have one.
        record: the table as Glue holds it (TableInput).
    """

    database: str
    name: str
    columns: dict[str, pa.DataType]
    partition_keys: dict[str, pa.DataType]
    location: str
    comments: dict[str, str]
    record: dict[str, Any]

    def partition_name(self, values: tuple[str, ...]) -> str:
        """Return ``key=value/key=value`` with the values escaped as Hive does."""
        pairs = zip(self.partition_keys, values, strict=False)
        return "/".join(f"{key}={quote(value, safe=' -_.~!$&()+,;@')}" for key, value in pairs)


class Catalog:
    """Reads and changes one account's and region's catalog.

    :param glue: moto's Glue backend.
    """

    def __init__(self, glue: Any) -> None:
        self.glue = glue

    def has_database(self, name: str) -> bool:
        """Return whether there is such a database; ``default`` always is."""
        return name in self.glue.databases or name == "default"

    def databases(self) -> list[str]:
        """Return all databases, sorted."""
        return sorted({*self.glue.databases, "default"})

    def create_database(self, name: str, description: str = "", location: str = "") -> None:
        """Create a database that is not there yet."""
        database = {"Name": name, "Description": description, "LocationUri": location}
        self.glue.create_database(name, {key: value for key, value in database.items() if value})

    def tables(self, database: str) -> list[str]:
        """Return the database's tables, sorted."""
        found = self.glue.databases.get(database)
        return sorted(found.tables) if found else []

    def table(self, database: str, name: str) -> CatalogTable | None:
        """Return one table, or None. Raises LakeError where the catalog holds a type that Athena does not know."""
        found = self.glue.databases.get(database)
        if found is None or name not in found.tables:
            return None
        record = found.tables[name].get_version(str(found.tables[name]._current_version))
        storage = record.get("StorageDescriptor") or {}
        keys = record.get("PartitionKeys") or []
        return CatalogTable(
            database=database,
            name=name,
            columns=_columns(storage.get("Columns") or [], f"{database}.{name}"),
            partition_keys=_columns(keys, f"{database}.{name}"),
            location=storage.get("Location") or "",
            comments={
                column["Name"].lower(): column["Comment"]
                for column in [*(storage.get("Columns") or []), *keys]
                if column.get("Comment")
            },
            record=record,
        )

    def partitions(self, table: CatalogTable) -> Iterator[CatalogPartition]:
        """Yield the table's partitions in the order they were added."""
        found = self.glue.databases[table.database].tables[table.name]
        for partition in found.partitions.values():
            storage = partition.partition_input.get("StorageDescriptor") or {}
            declared = storage.get("Columns")
            yield CatalogPartition(
                values=tuple(str(value) for value in partition.values),
                location=storage.get("Location") or f"{table.location.rstrip('/')}/",
                columns=_columns(declared, f"{table.database}.{table.name}") if declared else table.columns,
            )

    def has_partition(self, table: CatalogTable, values: tuple[str, ...]) -> bool:
        """Return whether the partition is registered."""
        return str(list(values)) in self.glue.databases[table.database].tables[table.name].partitions

    def add_partition(
        self, table: CatalogTable, values: tuple[str, ...], location: str, columns: list[dict[str, str]] | None = None
    ) -> None:
        """Register a partition with the table's storage, at *location*, declaring *columns* or else the table's."""
        storage = {**(table.record.get("StorageDescriptor") or {}), "Location": location}
        if columns is not None:
            storage["Columns"] = columns
        partition = {"Values": list(values), "StorageDescriptor": storage, "Parameters": {}}
        self.glue.create_partition(table.database, table.name, partition)

    def drop_partition(self, table: CatalogTable, values: tuple[str, ...]) -> None:
        """Take a registered partition out of the catalog; its objects stay."""
        self.glue.delete_partition(table.database, table.name, list(values))


def partition_value(text: str, kind: pa.DataType) -> pa.Scalar:
    """Return a partition's value as its key's type; null for Hive's default partition."""
    if text == DEFAULT_PARTITION:
        return pa.scalar(None, kind)
    try:
        return pa.scalar(text).cast(kind)
    except pa.ArrowInvalid as error:
        raise LakeError(f"HIVE_INVALID_PARTITION_VALUE: Invalid partition value '{text}' for {kind} key") from error


def _columns(columns: list[dict[str, Any]], where: str) -> dict[str, pa.DataType]:
    try:
        return {column["Name"].lower(): arrow_type(column.get("Type") or "string") for column in columns}
    except HiveTypeError as error:
        raise LakeError(f"HIVE_INVALID_METADATA: {where}: {error}") from error
