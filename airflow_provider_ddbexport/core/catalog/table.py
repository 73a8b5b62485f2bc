"""A table of snapshots as Glue describes it: columns that only grow, partitioned by the snapshot's timestamp."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.catalog.hive_types import grown_type, hive_type
from airflow_provider_ddbexport.core.columns import ATTRIBUTE_KEY, partition_columns, shown_attribute, table_columns
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot.layout import SNAPSHOT_COLUMN
from airflow_provider_ddbexport.errors import BadCallError, SchemaConflictError

_INPUT_MEMBERS = (
    "Name",
    "Description",
    "Owner",
    "LastAccessTime",
    "LastAnalyzedTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
)
"""What GetTable answers and UpdateTable takes; an update without one of them would erase it."""

_COMMENT_LENGTH = 255

MAX_TYPE_LENGTH = 131_072
"""Characters of a column's type: https://docs.aws.amazon.com/glue/latest/webapi/API_Column.html"""


@dataclass(frozen=True, slots=True)
class TableAddress:
    """Where a table is in the catalog, and where its files are.

    Attributes:
        location: ``s3://…/<table>/``; "" where it does not matter.
        catalog_id: account of the catalog; None for the caller's.
    """

    database: str
    table: str
    location: str
    catalog_id: str | None = None

    @property
    def catalog(self) -> dict[str, str]:
        """The argument that names the catalog, for any Glue call."""
        return {"CatalogId": self.catalog_id} if self.catalog_id else {}

    @property
    def names(self) -> dict[str, str]:
        """The arguments that name the table, for Glue's partition calls."""
        return {"DatabaseName": self.database, "TableName": self.table, **self.catalog}

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


def storage_descriptor(location: str, columns: list[dict[str, str]]) -> dict[str, Any]:
    """Return the descriptor of Parquet files under *location*."""
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            "Parameters": {"serialization.format": "1"},
        },
        "Compressed": False,
        "StoredAsSubDirectories": False,
    }


def catalog_columns(fields: Iterable[pa.Field]) -> list[dict[str, str]]:
    """Return Arrow fields as Glue columns; the comment is the name DynamoDB knows the attribute by."""
    columns = []
    for field in fields:
        column = {"Name": field.name, "Type": hive_type(field.type)}
        metadata = field.metadata or {}
        if (attribute := metadata.get(ATTRIBUTE_KEY)) is not None:
            column["Comment"] = _comment(attribute.decode())
        columns.append(column)
    return columns


def table_input(
    address: TableAddress,
    schema: Schema,
    *,
    table: dict[str, Any] | None = None,
    columns: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return what to create the table with, or to update *table* with so that its columns are *columns*.

    Raises BadCallError where a column's type is longer than the catalog takes.
    """
    columns = catalog_columns(table_columns(schema)) if columns is None else columns
    _refuse_too_long(address, columns)
    if table is not None:
        kept = {member: table[member] for member in _INPUT_MEMBERS if member in table}
        return {**kept, "StorageDescriptor": {**table["StorageDescriptor"], "Columns": columns}}
    return {
        "Name": address.table,
        "Description": "Snapshots of a DynamoDB table, by airflow-provider-ddbexport",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", "projection.enabled": "false"},
        "PartitionKeys": [
            {"Name": SNAPSHOT_COLUMN, "Type": "string", "Comment": "instant the snapshot shows, UTC"},
            *catalog_columns(partition_columns(schema)),
        ],
        "StorageDescriptor": storage_descriptor(address.location, columns),
    }


def _refuse_too_long(address: TableAddress, columns: list[dict[str, str]]) -> None:
    for column in columns:
        name, length = column["Name"], len(column["Type"])
        if length > MAX_TYPE_LENGTH:
            raise BadCallError(
                f"{address}, column {name}: its type is {length} characters long, and the Glue Data Catalog takes "
                f"{MAX_TYPE_LENGTH}; nothing was registered, though the snapshot is published. Convert into another "
                'table with nested="json" (--nested json), which makes text of maps and lists',
                column=name,
                expected=MAX_TYPE_LENGTH,
                found=length,
            )


def grown_columns(address: TableAddress, columns: list[dict[str, str]], schema: Schema) -> list[dict[str, str]]:
    """Return *columns* with those of *schema* added: old ones keep their places, structs gain fields.

    Raises SchemaConflictError where a column would have to change its type.
    """
    grown = {column["Name"]: column for column in columns}
    for column in catalog_columns(table_columns(schema)):
        name = column["Name"]
        if name not in grown:
            grown[name] = column
            continue
        old, new = grown[name]["Type"], column["Type"]
        both = grown_type(old, new)
        if both is None:
            raise SchemaConflictError(
                f"{address}, column {name}: the catalog has type {old}, the snapshot {new}, and a column never changes "
                "its type; register under another database or table, or drop this one and register its snapshots anew",
                column=name,
                expected=old,
                found=new,
            )
        grown[name] = {**grown[name], "Type": both}
    return list(grown.values())


def check_same_table(address: TableAddress, table: dict[str, Any], schema: Schema) -> None:
    """Raise SchemaConflictError when what the catalog has under this name is not a table of these snapshots."""
    descriptor = table.get("StorageDescriptor") or {}
    found_location = str(descriptor.get("Location", ""))
    if found_location.rstrip("/") != address.location.rstrip("/"):
        raise _other_table(address, "location", address.location, found_location)
    library = str((descriptor.get("SerdeInfo") or {}).get("SerializationLibrary", ""))
    if "parquet" not in library.lower():
        raise _other_table(address, "SerDe", "ParquetHiveSerDe", library)
    expected = [SNAPSHOT_COLUMN, *(field.name for field in partition_columns(schema))]
    found = [key["Name"] for key in table.get("PartitionKeys") or []]
    if found != expected:
        raise _other_table(address, "partition keys", ", ".join(expected), ", ".join(found) or "none")


def _other_table(address: TableAddress, what: str, expected: str, found: str) -> SchemaConflictError:
    return SchemaConflictError(
        f"{address}: a table of this name is in the catalog already and is another one; {what}: expected {expected}, "
        f"found {found}; register under another database, or drop that table if nobody needs it",
        expected=expected,
        found=found,
    )


def _comment(attribute: str) -> str:
    """Glue takes a line of 255 characters."""
    text = shown_attribute(attribute)
    return text if len(text) <= _COMMENT_LENGTH else f"{text[: _COMMENT_LENGTH - 1]}…"
