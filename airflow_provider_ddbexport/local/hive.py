"""The catalog's column types: Hive's names for them, Arrow's, and Athena's."""

from __future__ import annotations

import re

import pyarrow as pa

_SIMPLE: dict[str, pa.DataType] = {
    "string": pa.string(),
    "varchar": pa.string(),
    "char": pa.string(),
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "decimal": pa.decimal128(10, 0),
}
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_TOKEN = re.compile(r"\s*([<>,:()]|[^\s<>,:()]+)")


class HiveTypeError(ValueError):
    """Not a Hive type."""


class _TypeParser:
    """Reads one Hive type, such as ``array<struct<city:string,paid:decimal(10,2)>>``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def parse(self) -> pa.DataType:
        parsed = self._type()
        if self._at != len(self._tokens):
            raise HiveTypeError(f"not a Hive type: {self._text}")
        return parsed

    def _next(self, expected: str | None = None) -> str:
        token = self._tokens[self._at] if self._at < len(self._tokens) else ""
        if not token or (expected is not None and token != expected):
            raise HiveTypeError(f"not a Hive type: {self._text}")
        self._at += 1
        return str(token)

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _type(self) -> pa.DataType:
        name = self._next().lower()
        if name == "array":
            self._next("<")
            element = self._type()
            self._next(">")
            return pa.list_(element)
        if name == "map":
            self._next("<")
            key = self._type()
            self._next(",")
            value = self._type()
            self._next(">")
            return pa.map_(key, value)
        if name == "struct":
            return self._struct()
        if name not in _SIMPLE:
            raise HiveTypeError(f"not a Hive type: {self._text}")
        numbers = self._numbers()
        if name == "decimal" and numbers:
            return pa.decimal128(numbers[0], numbers[1] if len(numbers) > 1 else 0)
        return _SIMPLE[name]

    def _struct(self) -> pa.DataType:
        self._next("<")
        fields = []
        while True:
            name = self._next().lower()
            self._next(":")
            fields.append(pa.field(name, self._type()))
            if self._next() == ">":
                return pa.struct(fields)

    def _numbers(self) -> list[int]:
        if self._peek() != "(":
            return []
        self._next("(")
        numbers = []
        while True:
            token = self._next()
            if not token.isdigit():
                raise HiveTypeError(f"not a Hive type: {self._text}")
            numbers.append(int(token))
            if self._next() == ")":
                return numbers


def arrow_type(hive: str) -> pa.DataType:
    """Return the Arrow type in which values of the Hive type *hive* are handled. Raises :class:`HiveTypeError`."""
    return _TypeParser(hive).parse()


def hive_type(arrow: pa.DataType) -> str:  # noqa: PLR0911 one line per type
    """Return the Hive type that the crawler gives a Parquet column of type *arrow*. Raises :class:`HiveTypeError`."""
    if pa.types.is_struct(arrow):
        return "struct<" + ",".join(f"{field.name.lower()}:{hive_type(field.type)}" for field in arrow) + ">"
    if pa.types.is_map(arrow):
        return f"map<{hive_type(arrow.key_type)},{hive_type(arrow.item_type)}>"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return f"array<{hive_type(arrow.value_type)}>"
    if pa.types.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pa.types.is_timestamp(arrow):
        return "timestamp"
    if pa.types.is_large_string(arrow) or pa.types.is_null(arrow):
        return "string"
    if pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow):
        return "binary"
    if pa.types.is_uint64(arrow):
        return "decimal(20,0)"
    if pa.types.is_unsigned_integer(arrow):
        return "bigint" if arrow.bit_width == 32 else "int"
    for name, known in _SIMPLE.items():
        if arrow == known:
            return name
    raise HiveTypeError(f"the catalog has no type for Arrow's {arrow}")


def trino_type(arrow: pa.DataType) -> str:
    """Return *arrow* as Athena's SQL spells it: ``row("city" varchar)``, ``array(bigint)``."""
    if pa.types.is_struct(arrow):
        quoted = ((field.name.replace('"', '""'), trino_type(field.type)) for field in arrow)
        return "row(" + ", ".join(f'"{name}" {kind}' for name, kind in quoted) + ")"
    if pa.types.is_map(arrow):
        return f"map({trino_type(arrow.key_type)}, {trino_type(arrow.item_type)})"
    if pa.types.is_list(arrow):
        return f"array({trino_type(arrow.value_type)})"
    name = hive_type(arrow)
    return {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}.get(name, name)


def reads_as(partition: pa.DataType, table: pa.DataType) -> bool:  # noqa: PLR0911 one line per type
    """Return whether Athena reads a partition's column declared as *partition* as the table's *table*.

    Equal types; integers into wider ones and into text; float into double; decimals into decimals and floats;
    structs whose fields agree by name in order, more at either end. Anything else is a
    HIVE_PARTITION_SCHEMA_MISMATCH (Trino's coercion rules for Hive tables).
    """
    if partition == table:
        return True
    if pa.types.is_struct(partition) and pa.types.is_struct(table):
        pairs = zip(partition, table, strict=False)
        return all(mine.name == theirs.name and reads_as(mine.type, theirs.type) for mine, theirs in pairs)
    if pa.types.is_map(partition) and pa.types.is_map(table):
        return reads_as(partition.key_type, table.key_type) and reads_as(partition.item_type, table.item_type)
    if pa.types.is_list(partition) and pa.types.is_list(table):
        return reads_as(partition.value_type, table.value_type)
    if partition in _INTEGERS:
        return table == pa.string() or (table in _INTEGERS and table.bit_width > partition.bit_width)
    if pa.types.is_float32(partition):
        return bool(pa.types.is_float64(table))
    if pa.types.is_decimal(partition):
        return bool(pa.types.is_decimal(table) or pa.types.is_floating(table))
    return False


def widest(first: pa.DataType, second: pa.DataType) -> pa.DataType:  # noqa: PLR0911 one line per type
    """Return the type the crawler gives a column that is *first* in one file and *second* in another.

    The wider integer, double for mixed numbers, all fields of both structs; text where nothing else holds both.
    """
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if first in _INTEGERS and second in _INTEGERS:
        return max(first, second, key=lambda kind: kind.bit_width)
    numeric = [kind in _INTEGERS or pa.types.is_floating(kind) for kind in (first, second)]
    if all(numeric):
        return pa.float64()
    if pa.types.is_decimal(first) and pa.types.is_decimal(second):
        scale = max(first.scale, second.scale)
        whole = max(first.precision - first.scale, second.precision - second.scale)
        return pa.decimal128(min(38, whole + scale), scale)
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            fields[field.name] = widest(fields[field.name], field.type) if field.name in fields else field.type
        return pa.struct(list(fields.items()))
    if pa.types.is_list(first) and pa.types.is_list(second):
        return pa.list_(widest(first.value_type, second.value_type))
    if pa.types.is_map(first) and pa.types.is_map(second):
        key = widest(first.key_type, second.key_type)
        return pa.map_(key, widest(first.item_type, second.item_type))
    return pa.string()
