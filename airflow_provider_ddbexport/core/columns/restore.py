"""Rows to items: the exact inverse of building them."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from airflow_provider_ddbexport.core.columns.json_text import from_json_text
from airflow_provider_ddbexport.core.columns.names import steps_of
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.columns.partition import partition_keys
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema, merge_flat
from airflow_provider_ddbexport.core.decode import AttributeValue, Item
from airflow_provider_ddbexport.errors import SnapshotDamagedError

_Hole = tuple[Any, Any]
"""A list or map, and the index or key of a null in it, which must be among the rescued values."""

_Read = Callable[[Any, list[_Hole]], AttributeValue]
"""From what Arrow gives for a value that is not null to the value, entering its holes."""

_ReadRow = Callable[[int, list[_Hole]], AttributeValue | None]


def restore(batch: pa.RecordBatch, schema: Schema, partition: Sequence[str | None] = ()) -> Iterator[Item]:
    """Yield the item of each row of *batch*, in order.

    *schema* is the one that *batch* was built with, *partition* the (unescaped) values of its ``partition_by`` columns.
    Values are what they were; numbers are in their canonical spelling. Raises :class:`.SnapshotDamagedError` when the
    batch is not one of the schema.
    """
    keys = partition_keys(schema)
    if len(partition) != len(keys):
        raise SnapshotDamagedError(f"expected {len(keys)} partition values, found {len(partition)}")
    in_path = {key.attribute: key.value(text) for key, text in zip(keys, partition, strict=True) if text is not None}
    unread = {key.attribute for key in keys}
    readers = {
        column.attribute: _row_reader(column, batch)
        for column in merge_flat(schema.columns)
        if column.attribute not in unread
    }
    rescued = _values(batch, RESCUED_COLUMN)
    for row in range(batch.num_rows):
        item: Item = {attribute: dict(value) for attribute, value in in_path.items()}
        holes: list[_Hole] = []
        try:
            for attribute, read in readers.items():
                value = read(row, holes)
                if value is not None:
                    item[attribute] = value
            for path, text in rescued[row] or ():
                _put_back({"M": item}, steps_of(path), msgspec.json.decode(text))
        except (ValueError, LookupError, TypeError, ArithmeticError, msgspec.MsgspecError):
            raise _damaged(row) from None
        if any(container[place] is None for container, place in holes):
            raise _damaged(row)
        yield item


def _damaged(row: int) -> SnapshotDamagedError:
    return SnapshotDamagedError(f"row {row} of the batch is not what its schema says; the part is damaged", row=row)


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise SnapshotDamagedError(f"the part has no column {name!r}, its schema has one", column=name)
    values: list[Any] = batch.column(index).to_pylist()
    return values


def _row_reader(column: Column, batch: pa.RecordBatch) -> _ReadRow:
    if column.kind is Kind.FLAT:
        children = {child.attribute: _row_reader(child, batch) for child in column.children}

        def read_leaves(row: int, holes: list[_Hole]) -> AttributeValue | None:
            members = {key: value for key, read in children.items() if (value := read(row, holes)) is not None}
            return {"M": members} if members else None

        return read_leaves

    values = _values(batch, column.name)
    read = _reader(column)

    def read_row(row: int, holes: list[_Hole]) -> AttributeValue | None:
        return None if values[row] is None else read(values[row], holes)

    return read_row


def _reader(column: Column) -> _Read:
    return _READERS.get(column.kind, _plain_reader)(column)


def _plain_reader(column: Column) -> _Read:
    kind = column.kind.value
    return lambda content, _: {kind: content}


def _number_reader(column: Column) -> _Read:
    if pa.types.is_int64(column.arrow):
        return lambda number, _: {"N": str(number)}
    # str() of a float is its shortest text, which is what was found to be equal to the number.
    return lambda number, _: {"N": canonical(str(number))}


def _binary_reader(_column: Column) -> _Read:
    return lambda content, _: {"B": b2a_base64(content, newline=False).decode()}


def _json_reader(_column: Column) -> _Read:
    return lambda text, _: from_json_text(text)


def _struct_reader(column: Column) -> _Read:
    children = [(child.attribute, child.name, _reader(child)) for child in column.children]

    def read(fields: dict[str, Any], holes: list[_Hole]) -> AttributeValue:
        # Fields that are null are absent, or among the rescued values.
        return {
            "M": {key: read(fields[name], holes) for key, name, read in children if fields[name] is not None},
        }

    return read


def _map_reader(column: Column) -> _Read:
    read_value = _reader(column.children[0])

    def read(entries: list[tuple[str, Any]], holes: list[_Hole]) -> AttributeValue:
        members: dict[str, AttributeValue | None] = {}
        for key, value in entries:
            members[key] = None if value is None else read_value(value, holes)
            if value is None:
                holes.append((members, key))
        return {"M": members}

    return read


def _list_reader(column: Column) -> _Read:
    read_element = _reader(column.children[0])
    kind = column.kind.value
    is_set = column.kind is not Kind.LIST

    def read(contents: list[Any], holes: list[_Hole]) -> AttributeValue:
        elements: list[Any] = []
        for index, content in enumerate(contents):
            element = None if content is None else read_element(content, holes)
            if element is None:
                holes.append((elements, index))
            elements.append(_content(element) if is_set and element is not None else element)
        return {kind: elements}

    return read


_READERS: dict[Kind, Callable[[Column], _Read]] = {
    Kind.NUMBER: _number_reader,
    Kind.BINARY: _binary_reader,
    Kind.JSON: _json_reader,
    Kind.STRUCT: _struct_reader,
    Kind.MAP: _map_reader,
    Kind.LIST: _list_reader,
    Kind.STRING_SET: _list_reader,
    Kind.NUMBER_SET: _list_reader,
    Kind.BINARY_SET: _list_reader,
}


def _content(value: AttributeValue) -> Any:
    (content,) = value.values()
    return content


def _put_back(value: AttributeValue, steps: list[str], rescued: AttributeValue) -> None:
    """Put *rescued* where *steps* lead to inside of *value*.

    What stands in the value tells keys from indexes. Only maps whose members are all rescued may be missing on the way.
    """
    ((kind, content),) = value.items()
    step, *more = steps
    if kind == "M":
        if more:
            _put_back(content.setdefault(step, {"M": {}}), more, rescued)
        else:
            content[step] = rescued
    elif kind == "L":
        if more:
            _put_back(content[int(step)], more, rescued)
        else:
            content[int(step)] = rescued
    elif more or content[int(step)] is not None:
        raise ValueError(step)
    else:
        content[int(step)] = _content(rescued)
