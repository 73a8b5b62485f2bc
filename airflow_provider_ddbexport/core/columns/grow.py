"""Making room in a schema while rows are built under it.

What the rows built so far were given is held: a column keeps the kind it has, whatever is the commonest type by now.
Only new columns, new fields and wider exact numbers are made room for; a schema that would need anything else has no
room to make, and its rows are built again once all items are known.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.numbers import DECIMAL_DIGITS, DEFAULT_SCALE, NumberSpan
from airflow_provider_ddbexport.core.columns.observe import Observation, Shape
from airflow_provider_ddbexport.core.columns.options import ColumnOptions
from airflow_provider_ddbexport.core.columns.resolve import resolve
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat
from airflow_provider_ddbexport.core.columns.widen import SAYING_LITTLE

_HELD = 1 << 60
"""Values that a column stands for: more than any export has, so that no other type becomes the commonest."""

_MAPS = (Kind.STRUCT, Kind.FLAT, Kind.MAP, Kind.JSON)


def grow(schema: Schema, observation: Observation, options: ColumnOptions, table: Schema | None) -> Schema:
    """Return *schema* with room for what *observation* shows; *schema* itself where it has it.

    *table* are the table's columns, which never change. What is returned may be no widening of *schema*: ask
    :func:`.can_widen`. A schema that :func:`.resolve` gave for all items has room for any of them.
    """
    seen = _assumed(schema)
    seen.merge(observation)
    return resolve(seen, options, table, is_sample=True)


def with_columns_of(schema: Schema, other: Schema, options: ColumnOptions, table: Schema | None) -> Schema:
    """Return *schema* with columns for those attributes of *other* that it has none for, as far as it has room.

    Rows without them have the same values and rescue the same under either, so only kinds are taken that hold nothing
    which would be rescued as a whole without a column.
    """
    known = {column.attribute for column in schema.columns}
    new = [column for column in other.columns if column.attribute not in known and column.kind not in SAYING_LITTLE]
    if not new:
        return schema
    seen = _assumed(schema)
    seen.merge(Observation.of(0, _members(new)))
    wide = resolve(seen, options, table, is_sample=True)
    return wide if set(schema.columns) <= set(wide.columns) else schema


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
