"""What collects the values of a column of one level until they become an Arrow array.

A writer's rows are those of the array it makes: items for a column, elements for what is in a list. A row that nothing
was put into is null, so that absent attributes cost nothing. ``put`` returns an estimate of the bytes it kept.
"""

from __future__ import annotations

from array import array
from binascii import a2b_base64
from bisect import bisect_left
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.arrow_types import arrow_type
from airflow_provider_ddbexport.core.columns.json_text import json_text, json_unlike
from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.columns.schema import Column, Kind
from airflow_provider_ddbexport.core.columns.sparse import SparseColumn, array_of
from airflow_provider_ddbexport.core.decode import AttributeValue

Steps: TypeAlias = "tuple[Steps | None, str]"
"""Where a value is: where its container is, and the step from there. Linked, because most are never written out."""

Rescue = Callable[[Steps, str, AttributeValue], None]
"""Keeps a value that did not fit; takes its place, the path to count it under, and the value."""


Put = Callable[[int, AttributeValue, Steps], int]
"""A writer's :meth:`~Writer.put`, kept where it is called for every value: finding it each time takes a while."""


class Writer(Protocol):
    """Takes the values of one place."""

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        """Keep *value* as the one of *row*, which is higher than any before, or rescue it."""


class ValueWriter(Writer, Protocol):
    """A writer with an array."""

    def take_back(self, rows: int) -> None:
        """Forget all rows but the first *rows*."""

    def finish(self, rows: int) -> pa.Array:
        """Return the array of all rows, *rows* of them, and start anew."""

    def finish_sparse(self, rows: int) -> pa.Array | SparseColumn:
        """Do the same; a column of one level that is mostly null is given as the values it has."""


def cut(at: array[int], rows: int) -> int:
    """Forget those of the rows *at* that are not among the first *rows*, and return how many are left."""
    left = bisect_left(at, rows)
    del at[left:]
    return left


def is_valid(at: Iterable[int], rows: int) -> pa.BooleanArray:
    """Return of each of *rows* rows whether it is among *at*."""
    marks = bytearray(rows)
    for row in at:
        marks[row] = 1
    return pa.Array.from_buffers(pa.uint8(), rows, [None, pa.py_buffer(marks)]).cast(pa.bool_())


class PlainWriter:
    """Text, kept as it is."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._kind = column.kind.value
        self._type = arrow_type(column)
        self._label = path
        self._rescue = rescue
        self._rows = array("i")
        self._values = self._none_yet()

    def _none_yet(self) -> MutableSequence[Any]:
        return []

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        content = value.get(self._kind)
        if content is None:
            self._rescue(path, self._label, value)
            return 0
        self._rows.append(row)
        self._values.append(content)
        return 8 + len(content)

    def take_back(self, rows: int) -> None:
        del self._values[cut(self._rows, rows) :]

    def finish(self, rows: int) -> pa.Array:
        return array_of(self.finish_sparse(rows))

    def finish_sparse(self, rows: int) -> pa.Array | SparseColumn:
        at, self._rows = self._rows, array("i")
        values, self._values = self._array(self._values), self._none_yet()
        if len(values) == rows:
            return values
        column = SparseColumn(is_valid(at, rows), values)
        return column if 2 * column.null_count >= rows else column.array()

    def _array(self, values: MutableSequence[Any]) -> pa.Array:
        return pa.array(values, self._type)


class ConvertedWriter(PlainWriter):
    """A number, binary or boolean: kept as what its array is made from, where that is possible."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        super().__init__(column, path, rescue)
        self._convert = _conversion(column)

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        content = value.get(self._kind)
        kept = None if content is None else self._convert(content)
        if kept is None:
            self._rescue(path, self._label, value)
            return 0
        self._rows.append(row)
        self._values.append(kept)
        return 8 + len(kept) if self._kind == "B" else 8

    def _array(self, values: MutableSequence[Any]) -> pa.Array:
        if not pa.types.is_decimal(self._type):
            return super()._array(values)
        # From text, which is faster, and because pa.array() makes 0 of a Decimal as small as 1E-95.
        return pa.array(values, pa.string()).cast(self._type)


class WholeNumberWriter(PlainWriter):
    """A number of 64 bits, kept as Arrow has it."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        super().__init__(column, path, rescue)
        self._fit = fit(column.arrow)

    def _none_yet(self) -> MutableSequence[Any]:
        return array("q")

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        try:
            self._values.append(int(value["N"]))
        except (KeyError, ValueError, OverflowError):
            # 1.0 and 1E3 are whole, too.
            kept = self._fit(value["N"]) if "N" in value else None
            if kept is None:
                self._rescue(path, self._label, value)
                return 0
            self._values.append(int(kept))
        self._rows.append(row)
        return 8

    def _array(self, values: MutableSequence[Any]) -> pa.Array:
        return pa.Array.from_buffers(self._type, len(values), [None, pa.py_buffer(values)])


def number_writer(column: Column, path: str, rescue: Rescue) -> PlainWriter:
    """Return the writer of a column of numbers."""
    return (WholeNumberWriter if pa.types.is_int64(column.arrow) else ConvertedWriter)(column, path, rescue)


def _conversion(column: Column) -> Callable[[Any], Any]:
    """Return what makes of a value's content what an array is made from, or None where the column cannot hold it."""
    if column.kind is Kind.NUMBER:
        return fit(column.arrow)
    return a2b_base64 if column.kind is Kind.BINARY else bool


class JsonWriter(PlainWriter):
    """A map or list as JSON text. Its sets and binaries are in the text as arrays and text, and rescued besides."""

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        if not ("L" in value or value.get("M")):
            self._rescue(path, self._label, value)
            return 0
        for steps, label, unlike in json_unlike(value, path, self._label):
            self._rescue(steps, label, unlike)
        text = json_text(value)
        self._rows.append(row)
        self._values.append(text)
        return 8 + len(text)
