"""How Athena prints values and names their types in results."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.local.hive import trino_type

_NAMES = {"real": "float", "varbinary": "varbinary"}
_PRECISION: dict[str, int] = {
    "varchar": 2147483647,
    "varbinary": 1073741824,
    "bigint": 19,
    "integer": 10,
    "smallint": 5,
    "tinyint": 3,
    "double": 17,
    "float": 17,
    "timestamp": 3,
    "timestamp with time zone": 3,
    "time": 3,
}


def column_info(name: str, kind: pa.DataType) -> dict[str, Any]:
    """Return the ColumnInfo of a SELECT's column."""
    type_name = athena_type_name(kind)
    is_decimal = pa.types.is_decimal(kind)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": type_name,
        "Precision": kind.precision if is_decimal else _PRECISION.get(type_name, 0),
        "Scale": kind.scale if is_decimal else 0,
        "Nullable": "UNKNOWN",
        "CaseSensitive": type_name in {"varchar", "char"},
    }


def text_column_info(name: str) -> dict[str, Any]:
    """Return the ColumnInfo of a column of SHOW and DESCRIBE."""
    return {**column_info(name, pa.string()), "Type": "string", "Precision": 0, "CaseSensitive": False}


def athena_type_name(kind: pa.DataType) -> str:  # noqa: PLR0911 one line per type
    """Return what ColumnInfo.Type says for *kind*: a name without its parameters."""
    if pa.types.is_struct(kind):
        return "row"
    if pa.types.is_map(kind):
        return "map"
    if pa.types.is_list(kind):
        return "array"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_timestamp(kind):
        return "timestamp with time zone" if kind.tz else "timestamp"
    if pa.types.is_time(kind):
        return "time"
    if pa.types.is_interval(kind) or pa.types.is_duration(kind):
        return "interval day to second"
    if pa.types.is_null(kind):
        return "unknown"
    spelled = trino_type(kind)
    return _NAMES.get(spelled, spelled)


def printer(kind: pa.DataType) -> Callable[[Any], str]:  # noqa: PLR0911 one line per type
    """Return what turns a non-null Python value of the Arrow type *kind* into Athena's text for it."""
    if pa.types.is_struct(kind):
        return _struct_printer(kind)
    if pa.types.is_map(kind):
        key, item = printer(kind.key_type), _or_null(printer(kind.item_type))
        return lambda pairs: "{" + ", ".join(f"{key(name)}={item(value)}" for name, value in pairs) + "}"
    if pa.types.is_list(kind):
        element = _or_null(printer(kind.value_type))
        return lambda values: "[" + ", ".join(element(value) for value in values) + "]"
    if pa.types.is_boolean(kind):
        return lambda value: "true" if value else "false"
    if pa.types.is_floating(kind):
        return java_double
    if pa.types.is_decimal(kind):
        return _plain_decimal
    if pa.types.is_timestamp(kind):
        return _timestamp
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return lambda value: bytes(value).hex(" ")
    if pa.types.is_time(kind):
        return _time
    if pa.types.is_date(kind):
        return date.isoformat
    return str


def java_double(value: float) -> str:
    """Return *value* as Java prints a double: ``1.0``, ``1.0E10``, ``1.0E-5``, ``Infinity``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        plain = format(Decimal(repr(value)), "f")
        return plain if "." in plain else f"{plain}.0"
    sign, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    exponent = Decimal(repr(value)).adjusted()
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{exponent}"


def _struct_printer(kind: pa.DataType) -> Callable[[Any], str]:
    fields = [(field.name, _or_null(printer(field.type))) for field in kind]
    return lambda value: "{" + ", ".join(f"{name}={show(value[name])}" for name, show in fields) + "}"


def _or_null(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "null" if value is None else show(value)


def _plain_decimal(value: Decimal) -> str:
    return format(value, "f")


def _timestamp(value: datetime) -> str:
    zone = "" if value.tzinfo is None else " UTC"
    utc = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(sep=" ", timespec="milliseconds") + zone


def _time(value: time) -> str:
    return value.isoformat(timespec="milliseconds")
