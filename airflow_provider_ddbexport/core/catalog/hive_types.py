"""Arrow types as the Glue Data Catalog writes them, and how such a type may grow."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pat

from airflow_provider_ddbexport.errors import BadCallError

_PLAIN: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
}


def hive_type(arrow: pa.DataType) -> str:
    """Return *arrow* as a Hive type: ``struct<city:string,geo:array<decimal(38,9)>>``.

    Raises BadCallError for a type that no column of this package has.
    """
    if arrow in _PLAIN:
        return _PLAIN[arrow]
    if pat.is_decimal(arrow):
        return f"decimal({arrow.precision},{arrow.scale})"
    if pat.is_struct(arrow):
        fields = (arrow.field(index) for index in range(arrow.num_fields))
        return f"struct<{','.join(f'{field.name}:{hive_type(field.type)}' for field in fields)}>"
    if pat.is_map(arrow):
        return f"map<{hive_type(arrow.key_type)},{hive_type(arrow.item_type)}>"
    if pat.is_list(arrow) or pat.is_large_list(arrow):
        return f"array<{hive_type(arrow.value_type)}>"
    raise BadCallError(f"{arrow}: the Glue Data Catalog has no such type", type=str(arrow))


def grown_type(old: str, new: str) -> str | None:
    """Return the type that holds the values of both, or None where a column would have to change its type.

    Only structs grow, at any depth: *old*'s fields keep their places and *new*'s others follow. That *new* lacks a
    field is fine, for it may be the older of the two.
    """
    if old == new:
        return old
    outer, inner_old = _open(old)
    other, inner_new = _open(new)
    if outer != other or not inner_old or not inner_new:
        return None
    if outer == "struct":
        return _grown_struct(inner_old, inner_new)
    if outer not in {"array", "map"} or len(inner_old) != len(inner_new):
        return None
    grown = [grown_type(was, becomes) for was, becomes in zip(inner_old, inner_new, strict=True)]
    return None if None in grown else f"{outer}<{','.join(part for part in grown if part is not None)}>"


def _grown_struct(old: list[str], new: list[str]) -> str | None:
    fields = dict(_field(text) for text in old)
    for name, becomes in map(_field, new):
        grown = grown_type(fields[name], becomes) if name in fields else becomes
        if grown is None:
            return None
        fields[name] = grown
    return f"struct<{','.join(f'{name}:{kind}' for name, kind in fields.items())}>"


def _field(text: str) -> tuple[str, str]:
    name, _, kind = text.partition(":")
    return name.strip(), kind.strip()


def _open(text: str) -> tuple[str, list[str]]:
    """``map<string,array<int>>`` becomes ``("map", ["string", "array<int>"])``; a plain type has no parts."""
    text = text.strip()
    if not text.endswith(">") or "<" not in text:
        return text, []
    outer, _, rest = text[:-1].partition("<")
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(rest):
        # Parentheses hold the comma of decimal(38,9).
        if sign in "<(":
            depth += 1
        elif sign in ">)":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(rest[start:place].strip())
            start = place + 1
    parts.append(rest[start:].strip())
    return outer.strip(), parts
