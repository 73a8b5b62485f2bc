"""Making room in a schema while rows are built under it, and telling what was made.

What the rows built so far were given is held: a column keeps the kind it has, whatever is the commonest type by now.
Only new columns, new fields and wider exact numbers are made room for; a schema that would need anything else has no
room to make, and its rows are built again once all items are known.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.numbers import DECIMAL_DIGITS, DEFAULT_SCALE, NumberSpan
from airflow_provider_ddbexport.core.columns.observe import Observation, Shape
from airflow_provider_ddbexport.core.columns.options import ColumnOptions
from airflow_provider_ddbexport.core.columns.resolve import resolve
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat

_HELD = 1 << 60
"""Values that a column stands for: more than any export has, so that no other type becomes the commonest."""

_MAPS = (Kind.STRUCT, Kind.FLAT, Kind.MAP, Kind.JSON)


def grow(schema: Schema, observation: Observation, options: ColumnOptions, table: Schema | None) -> Schema:
    """Return *schema* with room for what *observation* shows; *schema* itself where it has it.

    *table* are the table's columns, which never change. What is returned may be no widening of *schema*: ask
    :func:`additions`. A schema that :func:`.resolve` gave for all items has room for any of them.
    """
    seen = _assumed(schema)
    seen.merge(observation)
    return resolve(seen, options, table, is_sample=True)


def additions(narrow: Schema, wide: Schema) -> frozenset[str] | None:
    """Return the paths of the columns and fields that *wide* has beyond *narrow*; None where it is no widening of it.

    It is one if rows built under *narrow* become rows of *wide* by adding nulls and by casting exact numbers to a wider
    type, as far as columns tell: values rescued at one of the paths may have a place now.
    """
    if narrow.partition_by != wide.partition_by:
        return None
    found: set[str] = set()
    return frozenset(found) if _widen(merge_flat(narrow.columns), merge_flat(wide.columns), None, found) else None


def _widen(narrow: Iterable[Column], wide: Iterable[Column], path: str | None, found: set[str]) -> bool:
    known = {column.attribute: column for column in narrow}
    for column in wide:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        old = known.pop(column.attribute, None)
        if old is None:
            found.add(here)
        elif not _widen_column(old, column, here, found):
            return False
    return not known


def _widen_column(old: Column, new: Column, path: str, found: set[str]) -> bool:
    if (old.name, old.kind) != (new.name, new.kind):
        return False
    if old.kind is Kind.NUMBER:
        return _holds(new.arrow, old.arrow)
    if old.kind in (Kind.STRUCT, Kind.FLAT):
        return _widen(old.children, new.children, path, found)
    return all(_widen_column(one, two, path, found) for one, two in zip(old.children, new.children, strict=True))


def _holds(wide: pa.DataType, narrow: pa.DataType) -> bool:
    """Return whether *wide* is *narrow*, or what exact numbers of that type are cast to when there are wider ones."""
    if pa.types.is_decimal(wide) and not pa.types.is_float64(narrow):
        return not pa.types.is_string(narrow)
    is_wider: bool = wide == narrow or (pa.types.is_string(wide) and not pa.types.is_float64(narrow))
    return is_wider


def _assumed(schema: Schema) -> Observation:
    """Return an observation that :func:`.resolve` makes *schema* of."""
    return Observation.of(0, _members(merge_flat(schema.columns)))


def _members(columns: Iterable[Column]) -> dict[str, Shape]:
    return {column.attribute: _shape(column) for column in columns}


def _shape(column: Column) -> Shape:
    kind = column.kind
    values = "M" if kind in _MAPS else kind.value
    shape = Shape({values: _HELD})
    if kind is Kind.NUMBER:
        shape.numbers = _span(column.arrow)
    elif kind is Kind.NUMBER_SET:
        shape.set_numbers = _span(column.children[0].arrow)
    elif kind is Kind.LIST:
        shape.elements = _shape(column.children[0])
    elif kind is Kind.MAP:
        shape.map_values = _shape(column.children[0])
    elif kind in (Kind.STRUCT, Kind.FLAT):
        shape.members = _members(column.children)
    return shape


def _span(arrow: pa.DataType) -> NumberSpan:
    """Return the least that makes a number column of *arrow*; whatever the type, where an option asks for it."""
    if pa.types.is_decimal(arrow):
        if arrow.scale < DEFAULT_SCALE:
            return NumberSpan(DECIMAL_DIGITS - DEFAULT_SCALE + 1, arrow.scale, is_int64=False)
        return NumberSpan(0, arrow.scale if arrow.scale > DEFAULT_SCALE else 0, is_int64=False)
    if pa.types.is_string(arrow):
        return NumberSpan(DECIMAL_DIGITS, DECIMAL_DIGITS, is_int64=False)
    return NumberSpan()
