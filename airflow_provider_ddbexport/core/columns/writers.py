"""What collects the values of any column: of each level inside of one until they become an Arrow array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.arrow_types import arrow_type
from airflow_provider_ddbexport.core.columns.names import join
from airflow_provider_ddbexport.core.columns.plain_writers import (
    ConvertedWriter,
    JsonWriter,
    PlainWriter,
    Put,
    Rescue,
    Steps,
    ValueWriter,
    Writer,
    cut,
    is_valid,
    number_writer,
)
from airflow_provider_ddbexport.core.columns.schema import Column, Kind
from airflow_provider_ddbexport.core.decode import AttributeValue


def make_writer(column: Column, path: str, rescue: Rescue) -> ValueWriter:
    """Return the writer of *column*, which is not FLAT; *path* is where values are counted that do not fit."""
    return _WRITERS[column.kind](column, path, rescue)


class FlatWriter:
    """A map without a column: its members have their own."""

    def __init__(self, children: Mapping[str, Writer], path: str, rescue: Rescue) -> None:
        self._puts: dict[str, Put] = {key: child.put for key, child in children.items()}
        self._label = path
        self._rescue = rescue

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        return self._put_members(row, members, path)

    def _put_members(self, row: int, members: Mapping[str, AttributeValue], path: Steps) -> int:
        puts = self._puts
        size = 1
        for key, member in members.items():
            put = puts.get(key)
            if put is not None:
                size += put(row, member, (path, key))
            else:
                self._rescue((path, key), join(self._label, key), member)
        return size


class _Struct(FlatWriter):
    """A map with a known set of keys. An empty one is null and rescued, for no reader tells it from an absent one."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._fields = list(arrow_type(column))
        self._members = {
            child.attribute: make_writer(child, join(path, child.attribute), rescue) for child in column.children
        }
        self._rows = array("i")
        super().__init__(self._members, path, rescue)

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        self._rows.append(row)
        return self._put_members(row, members, path)

    def take_back(self, rows: int) -> None:
        cut(self._rows, rows)
        for member in self._members.values():
            member.take_back(rows)

    def finish(self, rows: int) -> pa.Array:
        at, self._rows = self._rows, array("i")
        is_null = None if len(at) == rows else pc.invert(is_valid(at, rows))
        arrays = [member.finish(rows) for member in self._members.values()]
        return pa.StructArray.from_arrays(arrays, fields=self._fields, mask=is_null)

    def finish_sparse(self, rows: int) -> pa.Array:
        return self.finish(rows)


class _Repeated(ABC):
    """What has several elements in a row, which follow each other in a writer of their own."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        self._kind = "M" if column.kind is Kind.MAP else column.kind.value
        self._type = arrow_type(column)
        self._label = path
        self._rescue = rescue
        self._rows = array("i")
        self._starts = array("i")
        self._count = 0

    def _begin(self, row: int, count: int) -> int:
        """Make room for *count* elements in *row*, and return the number of the first."""
        start = self._count
        self._rows.append(row)
        self._starts.append(start)
        self._count = start + count
        return start

    def take_back(self, rows: int) -> None:
        left = cut(self._rows, rows)
        self._count = self._starts[left] if left < len(self._starts) else self._count
        del self._starts[left:]

    def _offsets(self, rows: int) -> pa.Array:
        """Return where each row's elements begin, null where there are none, and where the last end; start anew."""
        starts: list[int | None] = [*self._starts]
        if len(starts) < rows:
            starts = [None] * rows
            for row, start in zip(self._rows, self._starts, strict=True):
                starts[row] = start
        offsets = pa.array([*starts, self._count], pa.int32())
        self._rows, self._starts, self._count = array("i"), array("i"), 0
        return offsets

    @abstractmethod
    def finish(self, rows: int) -> pa.Array:
        """As ValueWriter has it."""

    def finish_sparse(self, rows: int) -> pa.Array:
        return self.finish(rows)


class _TextSet(_Repeated):
    """A set of text, of which no element can be anything else."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        super().__init__(column, path, rescue)
        self._texts: list[str] = []

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        texts = value.get("SS")
        if texts is None:
            self._rescue(path, self._label, value)
            return 0
        self._begin(row, len(texts))
        self._texts += texts
        return 8 + 8 * len(texts) + sum(map(len, texts))

    def take_back(self, rows: int) -> None:
        super().take_back(rows)
        del self._texts[self._count :]

    def finish(self, rows: int) -> pa.Array:
        texts, self._texts = self._texts, []
        return pa.ListArray.from_arrays(self._offsets(rows), pa.array(texts, pa.string()), type=self._type)


class _List(_Repeated):
    """A list or a set. An element that does not fit is null in its place, and rescued by its index."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        super().__init__(column, path, rescue)
        self._elements = make_writer(column.children[0], path, rescue)
        self._wrap = None if column.kind is Kind.LIST else column.children[0].kind.value

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        contents = value.get(self._kind)
        if contents is None:
            self._rescue(path, self._label, value)
            return 0
        start = self._begin(row, len(contents))
        size = 8
        wrap = self._wrap
        elements = contents if wrap is None else [{wrap: content} for content in contents]
        for index, element in enumerate(elements):
            size += self._elements.put(start + index, element, (path, str(index)))
        return size

    def take_back(self, rows: int) -> None:
        super().take_back(rows)
        self._elements.take_back(self._count)

    def finish(self, rows: int) -> pa.Array:
        count = self._count
        return pa.ListArray.from_arrays(self._offsets(rows), self._elements.finish(count), type=self._type)


class _Map(_Repeated):
    """A map with any keys. Where it is nested, its keys are part of paths but not of what they are counted under."""

    def __init__(self, column: Column, path: str, rescue: Rescue) -> None:
        super().__init__(column, path, rescue)
        self._elements = make_writer(column.children[0], path, rescue)
        self._keys: list[str] = []

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:
        members = value.get("M")
        if not members:
            self._rescue(path, self._label, value)
            return 0
        start = self._begin(row, len(members))
        # By key, so that the same item is the same row however its attributes were ordered.
        keys = sorted(members)
        self._keys += keys
        put = self._elements.put
        size = 8 + 8 * len(keys) + sum(map(len, keys))
        for place, key in enumerate(keys, start):
            size += put(place, members[key], (path, key))
        return size

    def take_back(self, rows: int) -> None:
        super().take_back(rows)
        del self._keys[self._count :]
        self._elements.take_back(self._count)

    def finish(self, rows: int) -> pa.Array:
        keys, self._keys = self._keys, []
        offsets = self._offsets(rows)
        values = self._elements.finish(len(keys))
        return pa.MapArray.from_arrays(offsets, pa.array(keys, pa.string()), values).cast(self._type)


_WRITERS: dict[Kind, Callable[[Column, str, Rescue], ValueWriter]] = {
    Kind.STRING: PlainWriter,
    Kind.NUMBER: number_writer,
    Kind.BINARY: ConvertedWriter,
    Kind.BOOLEAN: ConvertedWriter,
    Kind.JSON: JsonWriter,
    Kind.STRUCT: _Struct,
    Kind.MAP: _Map,
    Kind.LIST: _List,
    Kind.STRING_SET: _TextSet,
    Kind.NUMBER_SET: _List,
    Kind.BINARY_SET: _List,
}
