"""Sidecar schemas as JSON values, there and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema

_TYPES = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
_DECIMAL = re.compile(r"decimal\(([0-9]+),([0-9]+)\)")


def schema_to_json(schema: Schema) -> dict[str, Any]:
    """Return *schema* as JSON values."""
    return {
        "columns": [_column_to_json(column) for column in schema.columns],
        "partition_by": list(schema.partition_by),
    }


def schema_from_json(values: Mapping[str, Any]) -> Schema:
    """Return the schema that :func:`schema_to_json` wrote.

    Raises KeyError, TypeError or ValueError when *values* are something else; the caller knows where they come from.
    """
    return Schema(
        columns=tuple(_column_from_json(column) for column in values["columns"]),
        partition_by=tuple(values["partition_by"]),
    )


def _column_to_json(column: Column) -> dict[str, Any]:
    values: dict[str, Any] = {"attribute": column.attribute, "name": column.name, "kind": column.kind.value}
    if column.arrow is not None:
        values["type"] = _type_to_json(column.arrow)
    if column.children:
        values["children"] = [_column_to_json(child) for child in column.children]
    return values


def _column_from_json(values: Mapping[str, Any]) -> Column:
    kind = Kind(values["kind"])
    return Column(
        attribute=values["attribute"],
        name=values["name"],
        kind=kind,
        arrow=_type_from_json(values["type"]) if kind is Kind.NUMBER else None,
        children=tuple(_column_from_json(child) for child in values.get("children", ())),
    )


def _type_to_json(arrow: pa.DataType) -> str:
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    return next(name for name, known in _TYPES.items() if known == arrow)


def _type_from_json(name: str) -> pa.DataType:
    decimal = _DECIMAL.fullmatch(name)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return _TYPES[name]
