"""Items to rows: one Arrow array per column, and whatever fits none of them into ``_rescued``."""

from __future__ import annotations

from collections import Counter
from itertools import repeat

import msgspec
import pyarrow as pa

from airflow_provider_ddbexport.core.columns.arrow_types import RESCUED_TYPE, leaves, part_schema
from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.partition import PartitionKey, partition_keys
from airflow_provider_ddbexport.core.columns.plain_writers import Put, Rescue, Steps, ValueWriter, Writer
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat
from airflow_provider_ddbexport.core.columns.sparse import SparseBatch
from airflow_provider_ddbexport.core.columns.writers import FlatWriter, make_writer
from airflow_provider_ddbexport.core.decode import AttributeValue, Item

MAX_REPORTED_PATHS = 1_000
"""Paths counted in :attr:`RowBuilder.rescued`; what is rescued at others is counted under ``*``."""

_encode = msgspec.json.Encoder(order="sorted").encode


class RowBuilder:
    """Builds record batches of :func:`.part_schema` from checked items, any items: what does not fit is rescued.

    The same items in the same order give the same batch, whatever the order of attributes inside of them. Not safe to
    share between threads. Finish before :attr:`bytes` reaches 1 GiB, because an Arrow array ends at 2 GiB.
    """

    def __init__(self, schema: Schema) -> None:
        self.rows = 0
        """Rows since the last :meth:`finish`."""
        self.bytes = 0
        """Estimate of their size in memory, uncompressed; never less than the text and binaries in them."""
        self.rescued: Counter[str] = Counter()
        """Values rescued so far, over all batches, by path; indexes and keys of MAP columns are left out."""
        self._arrow = part_schema(schema)
        self._row_rescued: list[tuple[str, str]] = []
        self._rescued_rows: list[list[tuple[str, str]] | None] = []
        self._puts: dict[str, tuple[Put, Steps]] = {}
        self._leaves: list[ValueWriter] = []
        self._mark: tuple[int, int, Counter[str]] = 0, 0, Counter()
        self._compile(schema)

    def _compile(self, schema: Schema) -> None:
        by_path: dict[str, ValueWriter] = {}
        keys = {key.attribute: key for key in partition_keys(schema)}
        for column in merge_flat(schema.columns):
            name = column.attribute
            key = keys.get(name)
            writer = (
                _PartitionWriter(key, self._rescue)
                if key is not None
                else _top_writer(column, path_of(name), self._rescue, by_path)
            )
            self._puts[name] = writer.put, (None, name)
        self._leaves = [by_path[path] for path, column in leaves(schema.columns) if path in by_path]

    def add(self, item: Item) -> int:
        """Append one row; return by how much that adds to :attr:`bytes`."""
        row = self.rows
        size = 8
        puts = self._puts
        for name, value in item.items():
            known = puts.get(name)
            if known is not None:
                put, path = known
                size += put(row, value, path)
            else:
                self._rescue((None, name), path_of(name), value)
        if self._row_rescued:
            size += self._keep_rescued(row)
        self.bytes += size
        self.rows = row + 1
        return size

    def _rescue(self, steps: Steps, label: str, value: AttributeValue) -> None:
        trail: list[str] = []
        place: Steps | None = steps
        while place is not None:
            place, step = place
            trail.append(step)
        self._row_rescued.append((path_of(*reversed(trail)), _encode(value).decode()))
        if label not in self.rescued and len(self.rescued) >= MAX_REPORTED_PATHS:
            label = "*"
        self.rescued[label] += 1

    def _keep_rescued(self, row: int) -> int:
        entries = sorted(self._row_rescued)
        self._row_rescued = []
        self._rescued_rows.extend(repeat(None, row - len(self._rescued_rows)))
        self._rescued_rows.append(entries)
        return sum(len(path) + len(text) + 16 for path, text in entries)

    def mark(self) -> None:
        """Remember where it is, for :meth:`take_back`."""
        self._mark = self.rows, self.bytes, self.rescued.copy()

    def take_back(self) -> None:
        """Forget the rows since the last :meth:`mark` or :meth:`finish`, and what was rescued in them."""
        self.rows, self.bytes, rescued = self._mark
        self.rescued = rescued.copy()
        for leaf in self._leaves:
            leaf.take_back(self.rows)
        del self._rescued_rows[self.rows :]

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""
        rows = self.rows
        columns = [leaf.finish(rows) for leaf in self._leaves]
        return pa.RecordBatch.from_arrays([*columns, self._finish_rescued()], schema=self._arrow)

    def finish_sparse(self) -> SparseBatch:
        """Do the same with columns that are mostly null as the values they have: their nulls take memory one by one."""
        rows = self.rows
        columns = [leaf.finish_sparse(rows) for leaf in self._leaves]
        return SparseBatch(self._arrow, rows, [*columns, self._finish_rescued()])

    def _finish_rescued(self) -> pa.Array:
        self._rescued_rows.extend(repeat(None, self.rows - len(self._rescued_rows)))
        rescued = pa.array(self._rescued_rows, RESCUED_TYPE)
        self._rescued_rows = []
        self.rows = self.bytes = 0
        self.mark()
        return rescued


class _PartitionWriter:
    """A column in the path: no array, but what the path cannot hold is rescued."""

    def __init__(self, key: PartitionKey, rescue: Rescue) -> None:
        self._key = key
        self._label = path_of(key.attribute)
        self._rescue = rescue

    def put(self, row: int, value: AttributeValue, path: Steps) -> int:  # noqa: ARG002 - a writer, but without rows
        if self._key.text(value) is None:
            self._rescue(path, self._label, value)
        return 0


def _top_writer(column: Column, path: str, rescue: Rescue, by_path: dict[str, ValueWriter]) -> Writer:
    """Return the writer of *column*, after entering the writers of all its leaves into *by_path*."""
    if column.kind is not Kind.FLAT:
        writer = by_path[path] = make_writer(column, path, rescue)
        return writer
    children = {
        child.attribute: _top_writer(child, join(path, child.attribute), rescue, by_path) for child in column.children
    }
    return FlatWriter(children, path, rescue)
