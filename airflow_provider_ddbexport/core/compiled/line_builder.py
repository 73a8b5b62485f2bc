"""Rows from lines: the compiled counterpart of :class:`.RowBuilder`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import msgspec
import pyarrow as pa

from airflow_provider_ddbexport.core.columns import Schema, part_schema, partition_keys, partition_under
from airflow_provider_ddbexport.core.columns.arrow_types import leaves
from airflow_provider_ddbexport.core.columns.build import MAX_REPORTED_PATHS
from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, merge_flat
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch, SparseColumn
from airflow_provider_ddbexport.core.compiled.line_observer import CompiledObserver
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.line_blocks import LineObserver, Lines, reference_line

_REMEMBERED = 10_000
"""Partitions that a router remembers at once."""


class LineBuilder:
    """The compiled :class:`.BlockBuilder`, whose methods are described there."""

    def __init__(self, kernel: ModuleType, schema: Schema) -> None:
        in_path = {path_of(key.attribute): place for place, key in enumerate(partition_keys(schema))}
        arrays = [path for path, _ in leaves(schema.columns) if path not in in_path]
        places = {path: place for place, path in enumerate(arrays)}
        columns = _columns([c for c in merge_flat(schema.columns) if path_of(c.attribute) not in in_path], None, places)
        columns += [
            (key.attribute, (-1, "path", "S", 0, place, path_of(key.attribute), []))
            for place, key in enumerate(partition_keys(schema))
        ]
        root = (-1, "flat", "M", 0, 0, "", columns)
        self._arrow = part_schema(schema)
        self._raw = kernel.Builder(root, len(arrays), MAX_REPORTED_PATHS)

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        rows: int = self._raw.rows
        return rows

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes."""
        size: int = self._raw.bytes
        return size

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""
        return Counter(self._raw.rescued())

    def add(self, item: Item, not_in_path: int = 0) -> None:
        """Append one row; bits of *not_in_path* say which of the ``partition_by`` values the path does not hold."""
        self._raw.add_row(msgspec.json.encode({"Item": item}), 0, not_in_path, checked=True)
        if self._raw.is_irregular:
            raise AssertionError("the decoders disagree about an item")

    def add_lines(
        self, lines: Lines, start: int, *, most_rows: int, most_bytes: int, observer: LineObserver | None = None
    ) -> int:
        """Append lines, each of them observed in the same go."""
        if observer is not None and not isinstance(observer, CompiledObserver):
            raise TypeError("expected an observer of the compiled decoder")
        raw, seen_by = self._raw, None if observer is None else observer.raw
        raw.mark()
        while start < len(lines):
            start = raw.add(lines, start, most_rows, most_bytes, seen_by=seen_by)
            if raw.is_irregular:
                item, start = reference_line(lines, start)
                if observer is not None:
                    observer.add(item)
                self.add(item)
            if observer is not None:
                observer.keep_small()
            if raw.rows >= most_rows or raw.bytes >= most_bytes:
                break
        return start

    def take_back(self) -> None:
        """Forget the rows of the last add_lines()."""
        self._raw.take_back()

    def add_row(self, lines: Lines, start: int, not_in_path: int) -> None:
        """Append the line at offset *start*, which a LineRouter has read; otherwise as :meth:`add`."""
        self._raw.add_row(lines, start, not_in_path)

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""
        batch: pa.RecordBatch = self._raw.finish(self._arrow)
        return batch

    def finish_sparse(self) -> SparseBatch:
        """Return them with columns that are mostly null as the values they have."""
        rows = self.rows
        columns = self._raw.finish_sparse(self._arrow.types)
        return SparseBatch(self._arrow, rows, [SparseColumn(*c) if isinstance(c, tuple) else c for c in columns])


_Spec = tuple[int, str, str, int, int, str, list[tuple[str, Any]]]
"""What the kernel makes a column of: place among the arrays or -1, kind, type of its values in DynamoDB, precision and
scale, path to count misfits under, and children by attribute."""

_SIMPLE = {Kind.STRING: "text", Kind.BINARY: "binary", Kind.BOOLEAN: "boolean", Kind.JSON: "json"}
_KEYS: _Spec = (-1, "text", "S", 0, 0, "", [])


def _columns(columns: Iterable[Column], path: str | None, places: Mapping[str, int]) -> list[tuple[str, _Spec]]:
    """Return the columns inside of the FLAT at *path*, or of the whole schema."""
    specs: list[tuple[str, _Spec]] = []
    for column in columns:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        if column.kind is Kind.FLAT:
            spec: _Spec = (-1, "flat", "M", 0, 0, here, _columns(column.children, here, places))
        else:
            spec = _column(column, here, places[here])
        specs.append((column.attribute, spec))
    return specs


def _column(column: Column, path: str, place: int = -1) -> _Spec:
    precision = scale = 0
    children: list[tuple[str, Any]] = []
    match column.kind:
        case Kind.NUMBER:
            kind, precision, scale = _number(column.arrow)
        case Kind.LIST | Kind.STRING_SET | Kind.NUMBER_SET | Kind.BINARY_SET:
            kind = "list"
            children = [("", _column(column.children[0], path))]
        case Kind.STRUCT:
            kind = "struct"
            children = [(child.attribute, _column(child, join(path, child.attribute))) for child in column.children]
        case Kind.MAP:
            kind = "map"
            children = [("", _KEYS), ("", _column(column.children[0], path))]
        case _:
            kind = _SIMPLE[column.kind]
    return place, kind, column.kind.value, precision, scale, path, children


def _number(arrow: Any) -> tuple[str, int, int]:
    if pa.types.is_decimal(arrow):
        return "decimal", arrow.precision, arrow.scale
    if pa.types.is_int64(arrow):
        return "int64", 0, 0
    return ("double", 0, 0) if pa.types.is_float64(arrow) else ("digits", 0, 0)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one line goes.

    Attributes:
        partition: as partition_of() gives it.
        not_in_path: bits that say which of its values the path does not hold.
        item: of a line that the compiled decoder does not read.
        next: offset of the next line.
    """

    partition: tuple[str | None, ...]
    not_in_path: int
    item: Item | None
    next: int


class LineRouter:
    """Finds the partitions of lines. What a path holds is the reference's to say, once for each different value."""

    def __init__(self, kernel: ModuleType, schema: Schema) -> None:
        self._keys = partition_keys(schema)
        self._raw = kernel.PathReader(tuple(key.attribute.encode() for key in self._keys))
        self._known: dict[tuple[Lines | None, ...], tuple[str | None, ...]] = {}

    def route(self, lines: Lines, start: int) -> Route:
        """Return the route of the line at offset *start*. Raises RefusedLineError."""
        values, after = self._raw.read(lines, start)
        partition = None if values is None else self._known.get(values)
        item = None
        if partition is None:
            item, after = reference_line(lines, start)
            partition = partition_under(item, self._keys)
            if values is not None:
                item = None
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[values] = partition
        not_in_path = sum(1 << place for place, text in enumerate(partition) if text is None)
        return Route(partition, not_in_path, item, after)
