"""Parquet on the emulated S3: which objects are data, what is in them, and how they become a table's columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.local.hive import arrow_type, hive_type, trino_type

DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"


class LakeError(Exception):
    """Data that cannot be read; the message starts with Athena's name for the error."""


@dataclass(frozen=True, slots=True)
class LakeObject:
    """One object that holds data.

    Attributes:
        key: whole key in its bucket.
        size: bytes.
        stored: moto's object.
    """

    bucket: str
    key: str
    size: int
    stored: Any

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"

    def parquet(self) -> pq.ParquetFile:
        """Return the object opened as Parquet. Raises LakeError."""
        body: bytes = self.stored.value
        try:
            return pq.ParquetFile(pa.BufferReader(body))
        except (pa.ArrowInvalid, OSError) as error:
            found = body[-4:].hex(" ") or "nothing"
            raise LakeError(
                f"HIVE_BAD_DATA: Malformed Parquet file. Expected magic number: PAR1 got: {found} ({self.uri})"
            ) from error

    def is_parquet(self) -> bool:
        """Return whether the object begins and ends as Parquet does."""
        body: bytes = self.stored.value
        return len(body) >= 12 and body[:4] == b"PAR1" and body[-4:] == b"PAR1"


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` address. Raises LakeError."""
    found = re.fullmatch(r"s3[an]?://([^/]+)/?(.*)", uri, re.DOTALL)
    if not found:
        raise LakeError(f"HIVE_METASTORE_ERROR: not an address on S3: {uri}")
    return found[1], found[2]


def is_hidden(path: str) -> bool:
    """Return whether a folder or file of *path* begins with ``_`` or ``.``: Hive, Athena and the crawler skip it."""
    return any(step.startswith(("_", ".")) for step in path.split("/"))


def objects_under(s3: Any, location: str) -> list[LakeObject]:
    """Return what Athena reads below *location*, at any depth, by key: no hidden paths, no empty objects.

    :param s3: moto's S3 of one account.
    """
    bucket, prefix = split_uri(location)
    if bucket not in s3.buckets:
        raise LakeError(f"HIVE_FILESYSTEM_ERROR: The specified bucket does not exist: {bucket}")
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    found = []
    for key, stored in s3.get_bucket(bucket).keys.items():
        size = getattr(stored, "size", 0)  # a delete marker of a versioned bucket has none
        if key.startswith(folder) and size and not key.endswith("/") and not is_hidden(key[len(folder) :]):
            found.append(LakeObject(bucket, key, int(size), stored))
    return sorted(found, key=lambda item: item.key)


def folder_partition(folder: str) -> tuple[str, str] | None:
    """Return key and value of a folder named ``key=value``, unescaped; None for any other."""
    key, separator, value = folder.partition("=")
    return (unquote(key).lower(), unquote(value)) if separator and key else None


def read_columns(item: LakeObject, wanted: dict[str, pa.DataType]) -> pa.Table:
    """Return *item*'s rows with exactly the columns *wanted*, in order; null where the file has no such column.

    Columns are found by name, whatever their case. Raises LakeError (HIVE_BAD_DATA) where a column's type in the file
    cannot be read as the type wanted.
    """
    file = item.parquet()
    names = {name.lower(): name for name in file.schema_arrow.names}
    present = [names[column] for column in wanted if column in names]
    # use_threads=False: the emulator must not leave a pool of threads busy behind a request.
    table = file.read(columns=present, use_threads=False)
    columns = []
    for column, target in wanted.items():
        if column not in names:
            columns.append(pa.nulls(file.metadata.num_rows, target))
            continue
        source = table.column(names[column]).combine_chunks()
        chunk = source if isinstance(source, pa.Array) else pa.concat_arrays(source.chunks)
        try:
            columns.append(conform(chunk, target))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError) as error:
            raise LakeError(
                f"HIVE_BAD_DATA: Field {column}'s type {chunk.type} in parquet file {item.uri} is incompatible with "
                f"type {trino_type(target)} defined in table schema"
            ) from error
    return pa.Table.from_arrays(columns, schema=pa.schema(list(wanted.items())))


def conform(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Return *array* as *target*, as Athena reads Parquet: structs by field name, integers and floats widened.

    Raises TypeError where Athena would not, and pa.ArrowInvalid where a value does not fit.
    """
    source = array.type
    if source == target:
        return array
    if pa.types.is_null(source):
        return pa.nulls(len(array), target)
    if array.offset and pa.types.is_nested(source):
        array = array.take(pa.array(range(len(array))))
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        return _conform_struct(array, target)
    if pa.types.is_map(source) and pa.types.is_map(target):
        keys, items = conform(array.keys, target.key_type), conform(array.items, target.item_type)
        return pa.MapArray.from_arrays(array.offsets, keys, items, mask=array.is_null()).cast(target)
    if pa.types.is_list(source) and pa.types.is_list(target):
        values = conform(array.values, target.value_type)
        return pa.ListArray.from_arrays(array.offsets, values, mask=array.is_null()).cast(target)
    if not _same_family(source, target):
        raise TypeError(f"{source} is not read as {target}")
    return array.cast(target)


def _conform_struct(array: pa.Array, target: pa.DataType) -> pa.Array:
    by_name = {field.name.lower(): position for position, field in enumerate(array.type)}
    children = []
    for field in target:
        if field.name in by_name:
            children.append(conform(pc.struct_field(array, [by_name[field.name]]), field.type))
        else:
            children.append(pa.nulls(len(array), field.type))
    return pa.StructArray.from_arrays(children, fields=list(target), mask=array.is_null())


def _same_family(source: pa.DataType, target: pa.DataType) -> bool:
    return _family(source) == _family(target)


def _family(kind: pa.DataType) -> str:  # noqa: PLR0911 one line per type
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "bytes"  # Parquet's BYTE_ARRAY, whatever it is annotated with
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return "bytes"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return str(kind)


def catalog_schema(item: LakeObject) -> dict[str, pa.DataType]:
    """Return the columns of *item* as the crawler sees them, in order: lower-case names, the catalog's types."""
    return {field.name.lower(): arrow_type(hive_type(field.type)) for field in item.parquet().schema_arrow}
