"""Which rows have one of the keys that increments changed."""

from __future__ import annotations

import io
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema
from airflow_provider_ddbexport.core.keys import KEY_KINDS, batch_keys, key_hashes
from airflow_provider_ddbexport.core.merge.reach import Reach
from airflow_provider_ddbexport.core.merge.split_pages import BYTE_ARRAY, OpenChunk, compiled
from airflow_provider_ddbexport.core.snapshot.parquet_footer import row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_levels import read_leaves

if TYPE_CHECKING:
    from typing_extensions import Buffer

PLACES = pa.schema([pa.field("table", pa.int32()), pa.field("place", pa.int32())])
"""Of places of keys: the numbers of a table of keys and of one that is in it."""

_FOUND = pa.schema([pa.field("which", pa.int32()), *PLACES])

_KEYS_AT_ONCE = 1 << 16

_SIEVE_BYTES = 64 << 20
"""Of memory for finding the rows that can have one of the keys' values of an attribute; with more than 30 million, more
rows are looked up."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a batch.

    Attributes:
        marks: a byte for each row, 1 where its key was changed and else 0.
        places: where the keys of the rows that are marked are, in their order, as PLACES.
    """

    marks: bytes
    places: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Sieve:
    """What tells by one attribute, cheaply, of most of the rows that cannot have one of the keys that they do not.

    Attributes:
        column: name of the column to look at.
        type: of its values, as Parquet stores them; of another the sieve tells nothing.
        width: of its values.
        values: those that the keys have, the compiled part's.
        reach: of the values; None where it is not known.
    """

    column: str
    type: int
    width: int
    values: Any
    reach: Reach | None = None


class ChangedKeys:
    """The keys that increments changed. Safe to share between threads."""

    def __init__(self, attributes: Sequence[str], tables: Sequence[pa.BinaryArray]) -> None:
        """*tables* hold the keys, made of *attributes*, dealt by :func:`.key_hashes` and in order.

        They may lie in mapped files, and are not copied into memory.
        """
        self.attributes = tuple(attributes)
        self._tables = tables
        self._sieves: dict[pa.Field, Sieve | None] = {}
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

    def places(self, keys: pa.BinaryArray) -> tuple[pa.Int32Array, pa.RecordBatch]:
        """Return which of *keys*, in their order, are in the tables, and where, as PLACES."""
        if len(self._tables) == 1:
            which, places = _places(self._tables[0], keys)
            return which, pa.RecordBatch.from_arrays([int32_array(bytes(4 * len(which))), places], schema=PLACES)
        found = []
        for number, some in _by_remainder(key_hashes(keys), len(self._tables)).items():
            which, places = _places(self._tables[number], keys.take(some))
            table = int32_array(array("i", [number]) * len(which))
            found.append(pa.RecordBatch.from_arrays([some.take(which), table, places], schema=_FOUND))
        which, *places = [
            column.combine_chunks() for column in pa.Table.from_batches(found, _FOUND).sort_by("which").columns
        ]
        return which, pa.RecordBatch.from_arrays(places, schema=PLACES)

    def sieves(self, columns: dict[str, Column], arrow: pa.Schema) -> tuple[Sieve, ...]:
        """Return what tells rows of *arrow* apart by each of *columns*; nothing without the compiled part."""
        kernel = compiled()
        if kernel is None:
            return ()
        found = []
        with self._lock:
            for column in columns.values():
                field = arrow.field(column.name)
                if field not in self._sieves:
                    self._sieves[field] = self._new_sieve(kernel, column, field)
                found.append(self._sieves[field])
        return tuple(sieve for sieve in found if sieve is not None)

    def _new_sieve(self, kernel: ModuleType, column: Column, field: pa.Field) -> Sieve | None:
        values = kernel.Sieve(sum(map(len, self._tables)), _SIEVE_BYTES)
        reach = Reach()
        stored: tuple[int, int] | None = None
        for table in self._tables:
            for start in range(0, len(table), _KEYS_AT_ONCE):
                contents = self._contents(kernel, table.slice(start, _KEYS_AT_ONCE), column.attribute, column.kind)
                held = _array(contents, column.kind, field.type)
                if len(held):
                    stored = _add(kernel, values, held)
                    reach.add(held)
        return None if stored is None else Sieve(column.name, *stored, values, reach)

    def _contents(self, kernel: ModuleType, keys: pa.BinaryArray, attribute: str, kind: Kind) -> pa.BinaryArray:
        """Return the values of *attribute* in those of *keys* that have it of *kind*."""
        count, offsets, contents = kernel.values(keys, self.attributes.index(attribute), ord(kind.value))
        return pa.BinaryArray.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(contents)])


class Search:
    """A look for changed keys in parts of one schema and one partition.

    Attributes:
        columns: names of those that it looks at.
        sieves: what tells by one attribute which rows cannot have one of the keys; those that all pass can.
    """

    def __init__(
        self, keys: ChangedKeys, schema: Schema, partition: Sequence[str | None], columns: dict[str, Column]
    ) -> None:
        self._keys = keys
        self._schema = schema
        self._partition = partition
        self.columns = [*(column.name for column in columns.values()), RESCUED_COLUMN]
        self.sieves = keys.sieves(columns, part_schema(schema))

    def find(self, batch: pa.RecordBatch) -> Found | None:
        """Return the rows of *batch* whose keys were changed; None where there are none.

        *batch* has the :attr:`columns`, in which keys are looked up whether they fit their columns or were rescued.
        """
        keys = batch_keys(batch, self._schema, self._keys.attributes, self._partition)
        if keys.null_count:
            # No key is empty.
            keys = keys.fill_null(b"")
        which, places = self._keys.places(keys)
        if not len(which):
            return None
        if len(which) == len(keys):
            return Found(b"\1" * len(keys), places)
        marks = bytearray(len(keys))
        for number in which.to_pylist():
            marks[number] = 1
        return Found(bytes(marks), places)


def mask_of(marks: bytes | bytearray) -> pa.BooleanArray:
    """Return *marks*, a byte for each row that is 0 or 1, as booleans."""
    return pa.UInt8Array.from_buffers(pa.uint8(), len(marks), [None, pa.py_buffer(marks)]).cast(pa.bool_())


def _by_remainder(hashes: list[int], divisor: int) -> dict[int, pa.Int32Array]:
    dealt: dict[int, array[int]] = {}
    for which, number in enumerate(hashes):
        dealt.setdefault(number % divisor, array("i")).append(which)
    return {number: int32_array(some) for number, some in dealt.items()}


def int32_array(numbers: Buffer) -> pa.Int32Array:
    """Return the *numbers* in a buffer as an array, without pa.array(), which imports pandas."""
    buffer = pa.py_buffer(numbers)
    return pa.Int32Array.from_buffers(pa.int32(), buffer.size // 4, [None, buffer])


def _places(table: pa.BinaryArray, keys: pa.BinaryArray) -> tuple[pa.Int32Array, pa.Int32Array]:
    """Return which of *keys*, none of them null, are in *table*, and where."""
    kernel = compiled()
    if kernel is None:
        places = pc.index_in(keys, table)
        which = pc.indices_nonzero(places.is_valid()).cast(pa.int32())
        return which, places.take(which)
    which, places = kernel.places(table, keys)
    return int32_array(which), int32_array(places)


def _add(kernel: ModuleType, sieve: Any, values: pa.Array) -> tuple[int, int]:
    """Add *values* to *sieve*, and return their type and their width as a part stores them."""
    marks = bytearray(b"\1") * len(values)
    if values.type in {pa.string(), pa.binary()}:
        texts = kernel.Splitter(0, 0, 0, kernel.Room())
        texts.sift(kernel.plain_page(values), len(values), kernel.BYTE_ARRAYS, sieve, True, marks, 0)
        return BYTE_ARRAY, 0
    chunk = as_stored(kernel, values)
    chunk.sift(sieve, marks, add=True)
    return chunk.type, chunk.width


def as_stored(kernel: ModuleType, values: pa.Array) -> OpenChunk:
    """Return *values* as a part stores them."""
    file = io.BytesIO()
    rows = pa.table([values], ["value"])
    pq.write_table(rows, file, row_group_size=len(values), compression="none", use_dictionary=False)
    return OpenChunk(kernel, next(row_groups(file)).chunks[0], read_leaves(file)[0], kernel.Room())


def _array(contents: pa.BinaryArray, kind: Kind, arrow: pa.DataType) -> pa.Array:
    """Return those of *contents* that a column of the type *arrow* holds."""
    if kind is not Kind.NUMBER:
        return contents.cast(arrow)
    fitting = [value for text in contents.to_pylist() if (value := fit(arrow)(text.decode())) is not None]
    if pa.types.is_int64(arrow):
        return pa.Int64Array.from_buffers(arrow, len(fitting), [None, pa.py_buffer(array("q", map(int, fitting)))])
    return pa.array(fitting, pa.string()).cast(arrow) if pa.types.is_decimal(arrow) else pa.array(fitting, arrow)
