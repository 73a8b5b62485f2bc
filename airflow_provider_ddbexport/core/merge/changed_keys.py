"""Which rows have one of the keys that increments changed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.numbers import fit
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema
from airflow_provider_ddbexport.core.keys import KEY_KINDS, batch_keys, key_contents

_KEYS_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a batch.

    Attributes:
        mask: booleans, true where the row's key was changed.
        keys: of those rows, in their order.
    """

    mask: pa.BooleanArray
    keys: pa.BinaryArray


class ChangedKeys:
    """The keys that increments changed. Safe to share between threads."""

    def __init__(self, attributes: Sequence[str], tables: Iterable[pa.BinaryArray]) -> None:
        """*tables* hold the keys, made of *attributes*, each of them in one table; they may lie in mapped files."""
        self._attributes = tuple(attributes)
        self._tables = [_Table(keys, self._attributes) for keys in tables]

    def columns(self, schema: Schema) -> list[str]:
        """Return the names of the columns that :meth:`find` looks at in parts of *schema*."""
        return [*(column.name for column in _key_columns(schema, self._attributes).values()), RESCUED_COLUMN]

    def find(self, batch: pa.RecordBatch, schema: Schema, partition: Sequence[str | None] = ()) -> Found | None:
        """Return the rows of *batch* whose keys were changed; None where there are none.

        *batch* has the :meth:`columns` of *schema*, in which keys are looked up whether they fit their columns or were
        rescued; *partition* are the values of its ``partition_by`` columns.
        """
        columns = _key_columns(schema, self._attributes)
        looked_at = batch.select(self.columns(schema))
        mask: pa.BooleanArray | None = None
        for table in self._tables:
            candidates = table.candidates(looked_at, columns)
            if not pc.any(candidates).as_py():
                continue
            keys = batch_keys(looked_at.filter(candidates), schema, self._attributes, partition)
            hits = pc.is_in(keys, table.keys)
            found = pc.replace_with_mask(candidates, candidates, hits)
            mask = found if mask is None else pc.or_(mask, found)
        if mask is None or not pc.any(mask).as_py():
            return None
        return Found(mask, batch_keys(looked_at.filter(mask), schema, self._attributes, partition))


def _key_columns(schema: Schema, attributes: Sequence[str]) -> dict[str, Column]:
    """Return those of the key's columns that are in the parts, by attribute."""
    return {
        column.attribute: column
        for column in schema.columns
        if column.attribute in attributes and column.kind in KEY_KINDS and column.name not in schema.partition_by
    }


class _Table:
    """Keys that fit into memory, and what of them finds most of the rows that can have one, cheaply."""

    def __init__(self, keys: pa.BinaryArray, attributes: Sequence[str]) -> None:
        self.keys = keys
        self._attributes = attributes
        self._telling: dict[tuple[tuple[str, pa.DataType], ...], tuple[str, pa.Array]] = {}
        self._lock = threading.Lock()

    def candidates(self, batch: pa.RecordBatch, columns: dict[str, Column]) -> pa.BooleanArray:
        """Return a mask with all rows that can have one of the keys, by the attribute that tells most keys apart."""
        if not columns:
            return pa.repeat(pa.scalar(value=True), batch.num_rows)
        types = tuple((column.name, batch.column(column.name).type) for column in columns.values())
        with self._lock:
            if types not in self._telling:
                self._telling[types] = self._find_telling(columns, dict(types))
            name, looked_for = self._telling[types]
        values = batch.column(name)
        hits = pc.is_in(values, looked_for)
        # A null may be a rescued value.
        return pc.or_(hits, values.is_null()) if values.null_count else hits

    def _find_telling(self, columns: dict[str, Column], types: dict[str, pa.DataType]) -> tuple[str, pa.Array]:
        """Return the name of that attribute's column, and its values in the keys; nothing else of them is kept."""
        contents: dict[str, set[bytes]] = {attribute: set() for attribute in columns}
        for start in range(0, len(self.keys), _KEYS_AT_ONCE):
            for key in self.keys.slice(start, _KEYS_AT_ONCE).to_pylist():
                for attribute, (kind, content) in zip(self._attributes, key_contents(key), strict=True):
                    if attribute in columns and kind == columns[attribute].kind.value:
                        contents[attribute].add(content)
        telling = max(columns, key=lambda attribute: len(contents[attribute]))
        column = columns[telling]
        return column.name, _array(sorted(contents[telling]), column.kind, types[column.name])


def _array(contents: list[bytes], kind: Kind, arrow: pa.DataType) -> pa.Array:
    """Return those of *contents* that a column of the type *arrow* holds."""
    if kind is not Kind.NUMBER:
        return pa.array(contents, pa.binary()).cast(arrow)
    fitting = [value for text in contents if (value := fit(arrow)(text.decode())) is not None]
    return pa.array(fitting, pa.string()).cast(arrow) if pa.types.is_decimal(arrow) else pa.array(fitting, arrow)
