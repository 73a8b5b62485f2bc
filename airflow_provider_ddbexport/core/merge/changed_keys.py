"""Which rows have one of the keys that increments changed."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema
from airflow_provider_ddbexport.core.keys import KEY_KINDS, batch_keys, key_hashes
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, compiled, leaf_of
from airflow_provider_ddbexport.core.snapshot.parquet_footer import row_groups

_KEYS_AT_ONCE = 1 << 16

_SAMPLE = 1 << 12
"""Keys that are looked at to tell which attribute tells most of them apart."""

_SIEVE_BYTES = 64 << 20
"""Of memory for finding the rows that can have one of the keys; with more than 30 million, more rows are looked up."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a batch.

    Attributes:
        mask: booleans, true where the row's key was changed.
        keys: of those rows, in their order.
    """

    mask: pa.BooleanArray
    keys: pa.BinaryArray


@dataclass(frozen=True, slots=True)
class Sieve:
    """What of the keys finds most of the rows that cannot have one of them, cheaply.

    Attributes:
        column: name of the column to look at.
        type: of its values, as Parquet stores them; of another the sieve tells nothing.
        width: of its values.
        values: those that the keys have, the compiled part's.
    """

    column: str
    type: int
    width: int
    values: Any


class ChangedKeys:
    """The keys that increments changed. Safe to share between threads."""

    def __init__(self, attributes: Sequence[str], tables: Sequence[pa.BinaryArray]) -> None:
        """*tables* hold the keys, made of *attributes*, dealt by :func:`.key_hashes` and in order.

        They may lie in mapped files, and are not copied into memory.
        """
        self.attributes = tuple(attributes)
        self._tables = tables
        self._sieves: dict[tuple[pa.Field, ...], Sieve | None] = {}
        self._lock = threading.Lock()

    def search(self, schema: Schema, partition: Sequence[str | None] = ()) -> Search:
        """Return what looks for the keys in parts of *schema* whose ``partition_by`` columns have *partition*."""
        columns = {
            column.attribute: column
            for column in schema.columns
            if column.attribute in self.attributes
            and column.kind in KEY_KINDS
            and column.name not in schema.partition_by
        }
        return Search(self, schema, partition, columns)

    def places(self, keys: pa.BinaryArray) -> list[tuple[int, pa.Int32Array, pa.Int32Array]]:
        """Return in which tables *keys* are: a table's number, which of the keys, and their places in it."""
        dealt: dict[int, Sequence[int]] = {0: range(len(keys))}
        if len(self._tables) > 1:
            dealt = _by_remainder(key_hashes(keys), len(self._tables))
        found = []
        for number, some in sorted(dealt.items()):
            numbers = pa.array(some, pa.int32())
            places = _places(self._tables[number], keys.take(numbers))
            hits = places.is_valid()
            if hits.true_count:
                found.append((number, numbers.filter(hits), places.filter(hits)))
        return found

    def sieve(self, columns: dict[str, Column], arrow: pa.Schema) -> Sieve | None:
        """Return what tells rows of *arrow* apart by one of *columns*; None without the compiled part."""
        kernel = compiled()
        if kernel is None or not columns:
            return None
        fields = tuple(arrow.field(column.name) for column in columns.values())
        with self._lock:
            if fields not in self._sieves:
                self._sieves[fields] = self._new_sieve(kernel, columns, arrow)
            return self._sieves[fields]

    def _new_sieve(self, kernel: ModuleType, columns: dict[str, Column], arrow: pa.Schema) -> Sieve | None:
        largest = max(self._tables, key=len)
        sample = largest.slice(0, _SAMPLE)
        told = {
            attribute: len(pc.unique(self._contents(kernel, sample, attribute, column.kind)))
            for attribute, column in columns.items()
        }
        telling = max(told, key=lambda attribute: told[attribute])
        column = columns[telling]
        field = arrow.field(column.name)
        values = kernel.Sieve(sum(map(len, self._tables)), _SIEVE_BYTES)
        stored: tuple[int, int] | None = None
        for table in self._tables:
            for start in range(0, len(table), _KEYS_AT_ONCE):
                contents = self._contents(kernel, table.slice(start, _KEYS_AT_ONCE), telling, column.kind)
                held = _array(contents, column.kind, field.type)
                if len(held):
                    chunk = as_stored(kernel, held)
                    chunk.sift(values, bytearray(len(held)), add=True)
                    stored = chunk.type, chunk.width
        return None if stored is None else Sieve(column.name, *stored, values)

    def _contents(self, kernel: ModuleType, keys: pa.BinaryArray, attribute: str, kind: Kind) -> pa.BinaryArray:
        """Return the values of *attribute* in those of *keys* that have it of *kind*."""
        count, offsets, contents = kernel.values(keys, self.attributes.index(attribute), ord(kind.value))
        return pa.BinaryArray.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(contents)])


class Search:
    """A look for changed keys in parts of one schema and one partition.

    Attributes:
        columns: names of those that it looks at.
        sieve: what finds rows that can have one of the keys; None where all can.
    """

    def __init__(
        self, keys: ChangedKeys, schema: Schema, partition: Sequence[str | None], columns: dict[str, Column]
    ) -> None:
        self._keys = keys
        self._schema = schema
        self._partition = partition
        self.columns = [*(column.name for column in columns.values()), RESCUED_COLUMN]
        self.sieve = keys.sieve(columns, part_schema(schema))

    def find(self, batch: pa.RecordBatch) -> Found | None:
        """Return the rows of *batch* whose keys were changed; None where there are none.

        *batch* has the :attr:`columns`, in which keys are looked up whether they fit their columns or were rescued.
        """
        # No key is empty.
        keys = batch_keys(batch, self._schema, self._keys.attributes, self._partition).fill_null(b"")
        found = self._keys.places(keys)
        if not found:
            return None
        mask = pc.is_in(_numbers(len(keys)), pa.concat_arrays([which for _, which, _ in found]))
        return Found(mask, keys.filter(mask))


def _by_remainder(hashes: list[int], divisor: int) -> dict[int, Sequence[int]]:
    dealt: dict[int, list[int]] = {}
    for which, number in enumerate(hashes):
        dealt.setdefault(number % divisor, []).append(which)
    return dict(dealt)


def _numbers(count: int) -> pa.Int32Array:
    return pa.array(range(count), pa.int32())


def _places(table: pa.BinaryArray, keys: pa.BinaryArray) -> pa.Int32Array:
    """Return where each of *keys* is in *table*; null for those that are not."""
    kernel = compiled()
    if kernel is None:
        return pc.index_in(keys, table)
    places = pa.Int32Array.from_buffers(pa.int32(), len(keys), [None, pa.py_buffer(kernel.places(table, keys))])
    return pc.if_else(pc.less(places, 0), pa.scalar(None, pa.int32()), places)


def as_stored(kernel: ModuleType, values: pa.Array) -> OpenChunk:
    """Return *values* as a part stores them."""
    file = io.BytesIO()
    rows = pa.table([values], ["value"])
    pq.write_table(rows, file, row_group_size=len(values), compression="none", use_dictionary=False)
    leaf = leaf_of(pq.ParquetFile(file).schema.column(0))
    return OpenChunk(kernel, next(row_groups(file)).chunks[0], leaf)


def _array(contents: pa.BinaryArray, kind: Kind, arrow: pa.DataType) -> pa.Array:
    """Return those of *contents* that a column of the type *arrow* holds."""
    if kind is not Kind.NUMBER:
        return contents.cast(arrow)
    fitting = [value for text in contents.to_pylist() if (value := fit(arrow)(text.decode())) is not None]
    return pa.array(fitting, pa.string()).cast(arrow) if pa.types.is_decimal(arrow) else pa.array(fitting, arrow)
