"""A snapshot's partitions in the Glue Data Catalog."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from airflow_provider_ddbexport.core.answers import says
from airflow_provider_ddbexport.core.catalog.table import (
    TableAddress,
    catalog_columns,
    storage_descriptor,
)
from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.partition import DEFAULT_PARTITION
from airflow_provider_ddbexport.core.snapshot.layout import SNAPSHOT_COLUMN
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part
from airflow_provider_ddbexport.core.times import iso, snapshot_timestamp
from airflow_provider_ddbexport.errors import SchemaConflictError, ServiceError

_WRITE_BATCH = 100
_DELETE_BATCH = 25
"""What one Batch…Partition call takes."""

PartitionValues = tuple[str, ...]
T = TypeVar("T")


def snapshot_partitions(
    record: CommitRecord, table_location: str, table_columns: Sequence[Mapping[str, str]]
) -> dict[PartitionValues, dict[str, Any]]:
    """Return the partitions the snapshot consists of, as Glue takes them, by their values.

    Each has the columns its own parts have, in the table's order, so that they agree with the table's by name and,
    as far as they go, by place.
    """
    places = {column["Name"]: place for place, column in enumerate(table_columns)}
    columns = sorted(catalog_columns(part_schema(record.schema)), key=lambda column: places[column["Name"]])
    partitions: dict[PartitionValues, dict[str, Any]] = {}
    rows: dict[PartitionValues, int] = {}
    for part in record.parts:
        values = partition_values(record, part)
        rows[values] = rows.get(values, 0) + part.rows
        folder = part.key.rpartition("/")[0]
        partitions[values] = {
            "Values": list(values),
            "StorageDescriptor": storage_descriptor(f"{table_location}{folder}/", columns),
            "Parameters": {
                "classification": "parquet",
                "recordCount": str(rows[values]),
                "ddbexport.digest": record.digest,
                "ddbexport.published_at": iso(record.published_at),
            },
        }
    return partitions


def partition_values(record: CommitRecord, part: Part) -> PartitionValues:
    """Return the values of the partition that *part* of the snapshot belongs to."""
    inner = part.partition or (None,) * len(record.schema.partition_by)
    return snapshot_timestamp(record.as_of), *(DEFAULT_PARTITION if value is None else value for value in inner)


def registered_partitions(glue: Any, address: TableAddress, as_of: datetime) -> dict[PartitionValues, dict[str, Any]]:
    """Return what the catalog has for the snapshot of *as_of*, by values. Raises EntityNotFoundException."""
    pages = glue.get_paginator("get_partitions").paginate(
        **address.names, Expression=f"{SNAPSHOT_COLUMN} = '{snapshot_timestamp(as_of)}'"
    )
    return {tuple(partition["Values"]): partition for page in pages for partition in page["Partitions"]}


def check_same_lake(address: TableAddress, partitions: Iterable[Mapping[str, Any]]) -> None:
    """Raise SchemaConflictError where one of *partitions* does not lie in the table's folder."""
    for partition in partitions:
        # The folders behind it are named by items' values.
        found, folder, _ = str(partition["StorageDescriptor"].get("Location", "")).partition(f"/{SNAPSHOT_COLUMN}=")
        if not folder or f"{found}/" != address.location:
            raise SchemaConflictError(
                f"{address}: the catalog has a snapshot of that time in another folder; expected {address.location}, "
                f"found {found}/; it was left as it is: name the table that the lake's snapshots are registered in",
                expected=address.location,
                found=f"{found}/",
            )


def apply_partitions(
    glue: Any,
    address: TableAddress,
    wanted: Mapping[PartitionValues, dict[str, Any]],
    found: Mapping[PartitionValues, dict[str, Any]],
) -> tuple[int, int]:
    """Make the catalog have every one of *wanted*; return how many were created and how many updated."""
    missing = [wanted[values] for values in wanted if values not in found]
    differing = [wanted[values] for values in wanted if values in found and not says(found[values], wanted[values])]
    raced = []
    for batch in _batches(missing, _WRITE_BATCH):
        answer = glue.batch_create_partition(**address.names, PartitionInputList=batch)
        there = {
            tuple(error["PartitionValues"])
            for error in _refused(answer, f"adding partitions to {address}", fine="AlreadyExistsException")
        }
        # Somebody registered the same snapshot in between: what is there may still say something else.
        raced += [partition for partition in batch if tuple(partition["Values"]) in there]
    for batch in _batches([*differing, *raced], _WRITE_BATCH):
        entries = [{"PartitionValueList": partition["Values"], "PartitionInput": partition} for partition in batch]
        answer = glue.batch_update_partition(**address.names, Entries=entries)
        list(_refused(answer, f"updating partitions of {address}"))
    return len(missing) - len(raced), len(differing) + len(raced)


def remove_partitions(glue: Any, address: TableAddress, values: Sequence[PartitionValues]) -> int:
    """Make the catalog have none of the partitions with these values; return how many were there."""
    removed = len(values)
    for batch in _batches(values, _DELETE_BATCH):
        answer = glue.batch_delete_partition(
            **address.names, PartitionsToDelete=[{"Values": list(those)} for those in batch]
        )
        gone = _refused(answer, f"removing partitions of {address}", fine="EntityNotFoundException")
        removed -= sum(1 for _ in gone)
    return removed


def _refused(answer: Mapping[str, Any], what: str, *, fine: str = "") -> Iterator[Mapping[str, Any]]:
    """Yield the refusals with the code *fine*; any other is a ServiceError, without the values it was for."""
    for error in answer.get("Errors") or ():
        code = str((error.get("ErrorDetail") or {}).get("ErrorCode") or "Unknown")
        if code != fine:
            raise ServiceError(f"{what}: Glue refused at least one ({code}); run it again", code=code)
        yield error


def _batches(things: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(things), size):
        yield list(things[start : start + size])
