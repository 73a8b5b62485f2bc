"""The Arrow side of a schema: what the columns of the parts, and of the catalog's table, are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema

ATTRIBUTE_KEY = b"ddb_attribute"
"""In a field's metadata: the attribute's name in DynamoDB, or its path where ``nested="flatten"`` took it out."""

RESCUED_TYPE = pa.map_(pa.string(), pa.string())

_PLAIN = {
    Kind.STRING: pa.string(),
    Kind.BINARY: pa.binary(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.JSON: pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of a column that is not FLAT."""
    match column.kind:
        case Kind.NUMBER:
            return column.arrow
        case Kind.LIST | Kind.STRING_SET | Kind.NUMBER_SET | Kind.BINARY_SET:
            # "element" is what Parquet calls it, so that the type read back is the type written.
            return pa.list_(pa.field("element", arrow_type(column.children[0])))
        case Kind.STRUCT:
            return pa.struct([arrow_field(child, child.attribute) for child in column.children])
        case Kind.MAP:
            return pa.map_(pa.string(), arrow_type(column.children[0]))
    return _PLAIN[column.kind]


def arrow_field(column: Column, attribute: str) -> pa.Field:
    """Return the field of a column that is not FLAT; *attribute* becomes its :data:`ATTRIBUTE_KEY`."""
    return pa.field(column.name, arrow_type(column), metadata={ATTRIBUTE_KEY: attribute.encode()})


def leaves(columns: Iterable[Column], path: str | None = None) -> Iterator[tuple[str, Column]]:
    """Yield path and column of everything that has a column of its own, in the order of the columns.

    *columns* are those inside of the FLAT at *path*, or of the whole schema.
    """
    for column in columns:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        if column.kind is Kind.FLAT:
            yield from leaves(column.children, here)
        else:
            yield here, column


def places(columns: Iterable[Column], path: str | None = None) -> Iterator[str]:
    """Yield the path of everything in *columns*, at any depth, as the options of a conversion name it."""
    for column in columns:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        yield here
        inside = column
        while inside.children and inside.kind not in (Kind.STRUCT, Kind.FLAT):
            inside = inside.children[0]
        yield from places(inside.children, here)


@lru_cache(maxsize=4)
def part_schema(schema: Schema) -> pa.Schema:
    """Return the schema of the parts: the columns without those in the path, ``_rescued`` last."""
    fields = []
    for column in schema.columns:
        if column.kind is Kind.FLAT:
            fields += [arrow_field(leaf, path) for path, leaf in leaves((column,))]
        elif column.name not in schema.partition_by:
            fields.append(arrow_field(column, column.attribute))
    return pa.schema([*fields, pa.field(RESCUED_COLUMN, RESCUED_TYPE)])


def table_columns(schema: Schema) -> pa.Schema:
    """Return the columns of the catalog's table: the same as the parts have."""
    return part_schema(schema)


def partition_columns(schema: Schema) -> list[pa.Field]:
    """Return the fields of the ``partition_by`` columns, outermost first."""
    by_name = {column.name: column for column in schema.columns if column.kind is not Kind.FLAT}
    return [arrow_field(by_name[name], by_name[name].attribute) for name in schema.partition_by]
