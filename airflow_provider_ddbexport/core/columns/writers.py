"""What collects the values of one column, and of each level inside of one, until they become an Arrow array.

A writer's rows are those of the array it makes: items for a column, elements for what is in a list. A row that nothing
was put into is null, so that absent attributes cost nothing. ``put`` returns an estimate of the bytes it kept.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Protocol, TypeAlias

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.arrow_types import arrow_type
from airflow_provider_ddbexport.core.columns.json_text import json_text, json_unlike
from airflow_provider_ddbexport.core.columns.names import join
from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.columns.schema import Column, Kind
from airflow_provider_ddbexport.core.decode import AttributeValue

Steps: TypeAlias = "tuple[Steps | None, str]"
"""Where a value is: where its container is, and the step from there. Linked, because most are never written out."""

Rescue = Callable[[Steps, str, AttributeValue], None]
"""Keeps a value that did not fit; takes its place, the path to count it under, and the value."""


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


def make_writer(column: Column, path: str, rescue: Rescue) -> ValueWriter:
    """Return the writer of *column*, which is not FLAT; *path* is where values are counted that do not fit."""
    return _WRITERS[column.kind](column, path, rescue)


class _Text:
    """Text, kept as it is."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._kind = column.kind.value
        self._type = arrow_type(column)
        self._label = path
        self._rescue = rescue
        self._values: list[Any] = []

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        content = value.get(self._kind)
        if content is None:
            self._rescue(path, self._label, value)
            return 0
        values = self._values
        if len(values) < row:
            values.extend(repeat(None, row - len(values)))
        values.append(content)
        return 8 + len(content)

    def put_texts(self, row: int, contents: list[str]) -> int:
        """Keep the elements of a set, of which none can be anything else, from *row* on."""
        self._values.extend(repeat(None, row - len(self._values)))
        self._values.extend(contents)
        return 8 * len(contents) + sum(map(len, contents))

    def take_back(self, rows: int) -> None:
        del self._values[rows:]

    def finish(self, rows: int) -> pa.Array:
        values, self._values = self._values, []
        values.extend(repeat(None, rows - len(values)))
        return pa.array(values, self._type)


class _Converted(_Text):
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
        values = self._values
        if len(values) < row:
            values.extend(repeat(None, row - len(values)))
        values.append(kept)
        return 8 + len(kept) if self._kind == "B" else 8

    def finish(self, rows: int) -> pa.Array:
        if not pa.types.is_decimal(self._type):
            return super().finish(rows)
        values, self._values = self._values, []
        values.extend(repeat(None, rows - len(values)))
        # From text, which is faster, and because pa.array() makes 0 of a Decimal as small as 1E-95.
        return pa.array(values, pa.string()).cast(self._type)


def _conversion(column: Column) -> Callable[[Any], Any]:
    """Return what makes of a value's content what an array is made from, or None where the column cannot hold it."""
    if column.kind is Kind.NUMBER:
        return fit(column.arrow)
    return a2b_base64 if column.kind is Kind.BINARY else bool


class _JsonText:
    """A map or list as JSON text. Its sets and binaries are in the text as arrays and text, and rescued besides."""

    def __init__(self, _column: Column, path: str, rescue: Rescue) -> None:
        self._label = path
        self._rescue = rescue
        self._values: list[str | None] = []

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        if not ("L" in value or value.get("M")):
            self._rescue(path, self._label, value)
            return 0
        text = json_text(value)
        for steps, label, unlike in json_unlike(value, path, self._label):
            self._rescue(steps, label, unlike)
        self._values.extend(repeat(None, row - len(self._values)))
        self._values.append(text)
        return 8 + len(text)

    def take_back(self, rows: int) -> None:
        del self._values[rows:]

    def finish(self, rows: int) -> pa.Array:
        values, self._values = self._values, []
        values.extend(repeat(None, rows - len(values)))
        return pa.array(values, pa.string())


class FlatWriter:
    """A map without a column: its members have their own."""

    def __init__(self, children: Mapping[str, Writer], path: str, rescue: Rescue) -> None:
        self._children = children
        self._label = path
        self._rescue = rescue

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        return self._put_members(row, members, path)

    def _put_members(self, row: int, members: Mapping[str, AttributeValue], path: Steps) -> int:
        children = self._children
        size = 1
        for key, member in members.items():
            child = children.get(key)
            if child is not None:
                size += child.put(row, member, (path, key))
            else:
                self._rescue((path, key), join(self._label, key), member)
        return size


class _Struct(FlatWriter):
    """A map with a known set of keys. An empty one is null and rescued, for no reader tells it from an absent one."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._fields = list(arrow_type(column))
        self._members = [make_writer(child, join(path, child.attribute), rescue) for child in column.children]
        self._is_null: list[bool] = []
        super().__init__(
            {child.attribute: w for child, w in zip(column.children, self._members, strict=True)}, path, rescue
        )

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        self._is_null.extend(repeat(True, row - len(self._is_null)))
        self._is_null.append(False)
        return self._put_members(row, members, path)

    def take_back(self, rows: int) -> None:
        del self._is_null[rows:]
        for member in self._members:
            member.take_back(rows)

    def finish(self, rows: int) -> pa.Array:
        is_null, self._is_null = self._is_null, []
        is_null.extend(repeat(True, rows - len(is_null)))
        arrays = [member.finish(rows) for member in self._members]
        return pa.StructArray.from_arrays(arrays, fields=self._fields, mask=pa.array(is_null, pa.bool_()))


class _List:
    """A list or a set. An element that does not fit is null in its place, and rescued by its index."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        element = column.children[0]
        self._kind = column.kind.value
        self._wrap = None if column.kind is Kind.LIST else element.kind.value
        self._type = arrow_type(column)
        self._elements = make_writer(element, path, rescue)
        self._count = 0
        self._starts: list[int | None] = []
        self._label = path
        self._rescue = rescue

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        contents = value.get(self._kind)
        if contents is None:
            self._rescue(path, self._label, value)
            return 0
        self._starts.extend(repeat(None, row - len(self._starts)))
        self._starts.append(self._count)
        count, self._count = self._count, self._count + len(contents)
        if self._kind == "SS" and isinstance(self._elements, _Text):
            return 8 + self._elements.put_texts(count, contents)
        if self._wrap is not None:
            contents = [{self._wrap: content} for content in contents]
        size = 8
        for index, element in enumerate(contents):
            size += self._elements.put(count + index, element, (path, str(index)))
        return size

    def take_back(self, rows: int) -> None:
        self._count = _first_of(self._starts[rows:], self._count)
        del self._starts[rows:]
        self._elements.take_back(self._count)

    def finish(self, rows: int) -> pa.Array:
        starts, self._starts = self._starts, []
        count, self._count = self._count, 0
        starts.extend(repeat(None, rows - len(starts)))
        offsets = pa.array([*starts, count], pa.int32())
        return pa.ListArray.from_arrays(offsets, self._elements.finish(count), type=self._type)


class _Map:
    """A map with any keys. Where it is nested, its keys are part of paths but not of what they are counted under."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._type = arrow_type(column)
        self._values = make_writer(column.children[0], path, rescue)
        self._keys: list[str] = []
        self._starts: list[int | None] = []
        self._label = path
        self._rescue = rescue

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        self._starts.extend(repeat(None, row - len(self._starts)))
        self._starts.append(len(self._keys))
        size = 8
        # By key, so that the same item is the same row however its attributes were ordered.
        for key in sorted(members):
            size += 8 + len(key) + self._values.put(len(self._keys), members[key], (path, key))
            self._keys.append(key)
        return size

    def take_back(self, rows: int) -> None:
        count = _first_of(self._starts[rows:], len(self._keys))
        del self._starts[rows:]
        del self._keys[count:]
        self._values.take_back(count)

    def finish(self, rows: int) -> pa.Array:
        starts, self._starts = self._starts, []
        keys, self._keys = self._keys, []
        starts.extend(repeat(None, rows - len(starts)))
        offsets = pa.array([*starts, len(keys)], pa.int32())
        values = self._values.finish(len(keys))
        return pa.MapArray.from_arrays(offsets, pa.array(keys, pa.string()), values).cast(self._type)


def _first_of(starts: list[int | None], count: int) -> int:
    """Return where the first of *starts* is that is no null; else *count*, where the next one would be."""
    return next((start for start in starts if start is not None), count)


_WRITERS: dict[Kind, Callable[[Column, str, Rescue], ValueWriter]] = {
    Kind.STRING: _Text,
    Kind.NUMBER: _Converted,
    Kind.BINARY: _Converted,
    Kind.BOOLEAN: _Converted,
    Kind.JSON: _JsonText,
    Kind.STRUCT: _Struct,
    Kind.MAP: _Map,
    Kind.LIST: _List,
    Kind.STRING_SET: _List,
    Kind.NUMBER_SET: _List,
    Kind.BINARY_SET: _List,
}
