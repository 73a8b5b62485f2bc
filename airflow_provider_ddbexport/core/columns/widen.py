"""From narrower columns to wider ones: which schemas have room for all that another holds, and arrays under them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat
from airflow_provider_ddbexport.errors import BadCallError

SAYING_LITTLE = (Kind.LIST, Kind.STRUCT, Kind.MAP, Kind.FLAT, Kind.JSON)
"""Kinds whose column takes values, or what is in them, that are rescued as a whole where there is no column: ``[]``,
lists and maps of nothing but NULL. What other kinds do not hold is rescued with a column and without, alike."""

_INT64_DIGITS = 19

_LOOKED_AT = 1000
"""Values that tell whether a column's repeat."""


def can_widen(narrow: Schema, wide: Schema, rescued: Mapping[str, int]) -> bool:
    """Return whether rows of *narrow* become those of *wide* without their items: by nulls and by wider numbers.

    *rescued* are the counts of the rows' rescued values, as :class:`.RowBuilder` has them. False where one of those
    might have a place under *wide*: then the rows have to be built anew.

    Numbers must all have fitted: a type that grows is one that was chosen from all the numbers of the rows.
    """
    in_path = [column for column in narrow.columns if column.name in narrow.partition_by]
    return (
        narrow.partition_by == wide.partition_by
        and all(column in wide.columns for column in in_path)
        and _can_widen_all(merge_flat(narrow.columns), merge_flat(wide.columns), None, rescued)
    )


def _can_widen_all(
    narrow: Iterable[Column], wide: Iterable[Column], path: str | None, rescued: Mapping[str, int]
) -> bool:
    old = {column.attribute: column for column in narrow}
    for column in wide:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        known = old.pop(column.attribute, None)
        if known is None:
            # Beyond some number of paths all are counted under one.
            if column.kind in SAYING_LITTLE and (here in rescued or "*" in rescued):
                return False
        elif not _can_widen(known, column, here, rescued):
            return False
    return not old


def _can_widen(narrow: Column, wide: Column, path: str, rescued: Mapping[str, int]) -> bool:
    if (narrow.kind, narrow.name) != (wide.kind, wide.name):
        return False
    if narrow.kind in (Kind.STRUCT, Kind.FLAT):
        return _can_widen_all(narrow.children, wide.children, path, rescued)
    return _is_wider_number(narrow.arrow, wide.arrow) and all(
        _can_widen(old, new, path, rescued) for old, new in zip(narrow.children, wide.children, strict=True)
    )


def _is_wider_number(narrow: pa.DataType | None, wide: pa.DataType | None) -> bool:
    """Return whether :func:`widened` can make one of the other; a decimal's values have to be tried."""
    if narrow == wide:
        return True
    if narrow is None or wide is None or not (pa.types.is_int64(narrow) or pa.types.is_decimal(narrow)):
        return False
    return bool(pa.types.is_decimal(wide) or pa.types.is_string(wide))


def widened(array: pa.Array, wide: pa.DataType) -> pa.Array:
    """Return *array* as one of *wide*: the same values in wider types, and null where it has no field.

    Raises BadCallError or pyarrow.ArrowInvalid where *wide* has no room for a value.
    """
    if array.type.equals(wide):
        return array
    if pa.types.is_struct(wide):
        fields = [_widened_field(array, field) for field in wide]
        return pa.StructArray.from_arrays(fields, fields=list(wide), mask=array.is_null())
    if pa.types.is_map(wide):
        entries = pa.StructArray.from_arrays(
            [array.keys, widened(array.items, wide.item_type)], fields=[wide.key_field, wide.item_field]
        )
        return _with_elements(array, entries, wide)
    if pa.types.is_list(wide):
        return _with_elements(array, widened(array.values, wide.value_type), wide)
    return _widened_numbers(array, wide)


def _widened_field(array: pa.StructArray, field: pa.Field) -> pa.Array:
    place = array.type.get_field_index(field.name)
    return pa.nulls(len(array), field.type) if place < 0 else widened(array.field(place), field.type)


def _with_elements(array: pa.Array, elements: pa.Array, wide: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(wide, len(array), array.buffers()[:2], array.null_count, array.offset, [elements])


def _widened_numbers(array: pa.Array, wide: pa.DataType) -> pa.Array:
    is_int64 = pa.types.is_int64(array.type)
    if pa.types.is_string(wide):
        if is_int64:
            return array.cast(wide)
        texts = [None if number is None else canonical(str(number)) for number in array.to_pylist()]
        return pa.array(texts, wide)
    # Arrow multiplies by the power of ten without looking, and gives a wrong number where that is too much.
    most = pc.min_max(array).as_py().values()
    if any(number is not None and abs(number) >= 10 ** (wide.precision - wide.scale) for number in most):
        raise BadCallError(f"a column of numbers too large for {wide} cannot be widened to it; convert its items again")
    if not _repeats(array):
        return _as_decimals(array, wide)
    encoded = array.dictionary_encode()
    return _as_decimals(encoded.dictionary, wide).take(encoded.indices)


def _repeats(array: pa.Array) -> bool:
    """Return whether the first values tell that values repeat: then each is cast once, and looked up."""
    first = array[:_LOOKED_AT]
    return 2 * len(first.unique()) <= len(first)


def _as_decimals(array: pa.Array, wide: pa.Decimal128Type) -> pa.Array:
    # Arrow casts integers only where there is room for any of them.
    if pa.types.is_int64(array.type) and wide.precision - wide.scale < _INT64_DIGITS:
        array = array.cast(pa.decimal128(_INT64_DIGITS, 0))
    return array.cast(wide)
