"""Rows from lines: the compiled counterpart of :class:`.RowBuilder`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import Schema, part_schema, partition_keys
from airflow_provider_ddbexport.core.columns.arrow_types import leaves
from airflow_provider_ddbexport.core.columns.build import MAX_REPORTED_PATHS
from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, merge_flat
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch, SparseColumn
from airflow_provider_ddbexport.core.compiled.line_observer import CompiledObserver
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.line_blocks import (
    DISAGREEMENT,
    LineObserver,
    Lines,
    UndecodedLineError,
    line_of,
    reference_line,
    refused_at,
)


class Layout:
    """What the compiled builders of one schema have in common."""

    def __init__(self, kernel: ModuleType, schema: Schema) -> None:
        in_path = {path_of(key.attribute): place for place, key in enumerate(partition_keys(schema))}
        arrays = [path for path, _ in leaves(schema.columns) if path not in in_path]
        places = {path: place for place, path in enumerate(arrays)}
        columns = _columns([c for c in merge_flat(schema.columns) if path_of(c.attribute) not in in_path], None, places)
        columns += [
            (key.attribute, (-1, "path", "S", 0, place, path_of(key.attribute), []))
            for place, key in enumerate(partition_keys(schema))
        ]
        self._kernel = kernel
        self._root = (-1, "flat", "M", 0, 0, "", columns)
        self._arrays = len(arrays)
        self.arrow = part_schema(schema)

    def new_builder(self) -> Any:
        """Return one of the kernel's."""
        return self._kernel.Builder(self._root, self._arrays, MAX_REPORTED_PATHS)

    def sparse_batch(self, rows: int, columns: Iterable[Any]) -> SparseBatch:
        """Return the *columns* that a builder gives for its *rows*."""
        return SparseBatch(self.arrow, rows, [SparseColumn(*c) if isinstance(c, tuple) else c for c in columns])


class LineBuilder:
    """The compiled :class:`.BlockBuilder`, whose methods are described there."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.raw = layout.new_builder()
        """The kernel's, which routers give lines to."""

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        rows: int = self.raw.rows
        return rows

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes."""
        size: int = self.raw.bytes
        return size

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""
        return Counter(self.raw.rescued())

    def add_lines(
        self, lines: Lines, start: int, *, most_rows: int, most_bytes: int, observer: LineObserver | None = None
    ) -> int:
        """Append lines, each of them observed in the same go."""
        if observer is not None and not isinstance(observer, CompiledObserver):
            raise TypeError("expected an observer of the compiled decoder")
        raw, seen_by = self.raw, None if observer is None else observer.raw
        raw.mark()
        while start < len(lines):
            start = raw.add(lines, start, most_rows, most_bytes, seen_by=seen_by)
            if raw.is_irregular:
                item, after = reference_line(lines, start)
                with refused_at(start):
                    if observer is not None:
                        observer.add(item)
                    self._add(item)
                start = after
            if observer is not None:
                observer.keep_small()
            if raw.rows >= most_rows or raw.bytes >= most_bytes:
                break
        return start

    def _add(self, item: Item) -> None:
        self.raw.add(line_of(item), 0, 0, 0, checked=True)
        if self.raw.is_irregular:
            raise UndecodedLineError(0, DISAGREEMENT)

    def take_back(self) -> None:
        """Forget the rows of the last add_lines()."""
        self.raw.take_back()

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""
        batch: pa.RecordBatch = self.raw.finish(self._layout.arrow)
        return batch

    def finish_sparse(self) -> SparseBatch:
        """Return them with columns that are mostly null as the values they have."""
        return self._layout.sparse_batch(self.rows, self.raw.finish_sparse(self._layout.arrow.types))


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
