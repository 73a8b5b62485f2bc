"""Registering snapshots in the Glue Data Catalog, without a crawler.

The table's columns only grow and none changes its type; each partition keeps the columns its own parts have, in the
table's order, so a partition written years ago reads as it did then. A snapshot without ``partition_by`` is one
partition and becomes visible whole. With ``partition_by`` it is one partition for each combination of values, which
Glue takes a hundred at a time: who must not see a half of it waits for the task (or its asset event), not for a
partition.

Needs glue:GetDatabase, CreateDatabase, GetTable, CreateTable, UpdateTable, GetPartitions, BatchCreatePartition,
BatchUpdatePartition and BatchDeletePartition on the catalog, the database and the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from airflow_provider_ddbexport.core.catalog.partitions import (
    apply_partitions,
    check_same_lake,
    partition_values,
    registered_partitions,
    remove_partitions,
    snapshot_partitions,
)
from airflow_provider_ddbexport.core.catalog.table import TableAddress, check_same_table, grown_columns, table_input
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.service import service_error, service_errors
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.errors import BadCallError, ServiceError

_GROWTH_TRIES = 10
"""Each lost race means that somebody else's columns were added, so a handful is many."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What registering a snapshot changed in the catalog.

    Attributes:
        database, table: where it is registered.
        created: partitions that were new.
        updated: partitions that were there and said something else.
        removed: partitions of this snapshot that it does not have (any more).
        unchanged: partitions that were right already.
        new_columns: names of the columns the table gained, all of them when it was made.
    """

    database: str
    table: str
    created: int
    updated: int
    removed: int
    unchanged: int
    new_columns: tuple[str, ...]


def register_snapshot(
    glue: Any,
    record: CommitRecord,
    schema_of_table: Schema,
    *,
    database: str,
    lake_uri: str,
    catalog_id: str | None = None,
) -> Registration:
    """Make the catalog show exactly this snapshot's partitions under its timestamp; repeating it changes nothing.

    *glue* is a boto3 Glue client; *schema_of_table* the newest schema of the table, of which the record's is a part;
    *lake_uri* the ``s3://`` folder that holds the table's. Database and table are made when absent.

    Raises SchemaConflictError when a table of that name lies elsewhere, is not Parquet, is partitioned otherwise or
    has a column of another type; BadCallError when the type of a column is longer than Glue takes; AccessError,
    ThrottledError, ServiceError.
    """
    address = TableAddress(database, record.table, _location(lake_uri, record.table), catalog_id)
    with service_errors(f"registering snapshots of {address}"):
        _ensure_database(glue, address)
        columns, gained = _ensure_table(glue, address, schema_of_table)
        wanted = snapshot_partitions(record, address.location, columns)
        found = registered_partitions(glue, address, record.as_of)
        removed = remove_partitions(glue, address, [values for values in found if values not in wanted])
        created, updated = apply_partitions(glue, address, wanted, found)
    return Registration(
        database=database,
        table=record.table,
        created=created,
        updated=updated,
        removed=removed,
        unchanged=len(wanted) - created - updated,
        new_columns=gained,
    )


def is_registered(glue: Any, record: CommitRecord, *, database: str, catalog_id: str | None = None) -> bool:
    """Whether the catalog has a partition for every part of this snapshot, whoever made it; needs glue:GetPartitions.

    Raises AccessError, ThrottledError, ServiceError.
    """
    address = TableAddress(database, record.table, "", catalog_id)
    with service_errors(f"looking for a snapshot of {address}"):
        try:
            found = registered_partitions(glue, address, record.as_of)
        except glue.exceptions.EntityNotFoundException:
            return False
    return {partition_values(record, part) for part in record.parts} <= set(found)


def unregister_snapshot(
    glue: Any,
    record: CommitRecord,
    *,
    database: str,
    lake_uri: str,
    table: str | None = None,
    catalog_id: str | None = None,
) -> int:
    """Make the catalog show no partition under this snapshot's timestamp; return how many there were.

    *table* is its name in the catalog, by default the lake folder's. Table and columns stay. Nothing registered, no
    table or no database: 0. Raises SchemaConflictError, and removes nothing, where the table's partitions of that
    timestamp lie elsewhere than in the ``s3://`` folder *lake_uri*: they are another lake's.
    """
    address = TableAddress(database, table or record.table, _location(lake_uri, record.table), catalog_id)
    with service_errors(f"unregistering a snapshot of {address}"):
        try:
            found = registered_partitions(glue, address, record.as_of)
        except glue.exceptions.EntityNotFoundException:
            return 0
        check_same_lake(address, found.values())
        return remove_partitions(glue, address, list(found))


def catalog_names(registered_in: str) -> dict[str, Any]:
    """Return the database and table, as unregister_snapshot takes them, of ``DATABASE`` or ``DATABASE.TABLE``.

    Raises BadCallError.
    """
    database, dot, table = registered_in.partition(".")
    if not database or (dot and not table):
        raise BadCallError(
            f"registered_in (--registered-in): expected DATABASE or DATABASE.TABLE, found {registered_in!r}"
        )
    return {"database": database, "table": table or None}


def _location(lake_uri: str, table: str) -> str:
    if not lake_uri.startswith("s3://"):
        raise BadCallError(
            f"{lake_uri}: the Glue Data Catalog can only point at s3://; give an s3:// lake or no database",
            uri=lake_uri,
        )
    return f"{lake_uri.rstrip('/')}/{table}/"


def _ensure_database(glue: Any, address: TableAddress) -> None:
    try:
        glue.get_database(Name=address.database, **address.catalog)
    except glue.exceptions.EntityNotFoundException:
        try:
            glue.create_database(
                DatabaseInput={"Name": address.database, "Description": "Snapshots of DynamoDB tables"},
                **address.catalog,
            )
        except glue.exceptions.AlreadyExistsException:
            return  # somebody made it in between


def _ensure_table(glue: Any, address: TableAddress, schema: Schema) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """Return the table's columns, now at least those of *schema*, and the names of those that were added.

    Growth is done when reading the table shows nothing missing. Two that grow it at once do not lose each other's
    columns: the version that was read goes along with the update, and the table is read again after it.
    """
    gained: tuple[str, ...] = ()
    for _ in range(_GROWTH_TRIES):
        try:
            table = glue.get_table(DatabaseName=address.database, Name=address.table, **address.catalog)["Table"]
        except glue.exceptions.EntityNotFoundException:
            made = table_input(address, schema)
            try:
                glue.create_table(DatabaseName=address.database, TableInput=made, **address.catalog)
                gained = tuple(column["Name"] for column in made["StorageDescriptor"]["Columns"])
            except glue.exceptions.AlreadyExistsException:
                pass  # somebody made it in between: look at theirs
            continue
        check_same_table(address, table, schema)
        columns = table["StorageDescriptor"].get("Columns", [])
        grown = grown_columns(address, columns, schema)
        if grown == columns:
            return columns, gained
        try:
            glue.update_table(
                DatabaseName=address.database,
                TableInput=table_input(address, schema, table=table, columns=grown),
                **({"VersionId": table["VersionId"]} if "VersionId" in table else {}),
                **address.catalog,
            )
            gained += tuple(column["Name"] for column in grown[len(columns) :])
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"ConcurrentModificationException", "VersionMismatchException"}:
                raise service_error(error, what=f"adding columns to {address}") from error
    raise ServiceError(
        f"{address}: {_GROWTH_TRIES} tries to add columns met others doing the same; run it again",
        code="ConcurrentModificationException",
    )
