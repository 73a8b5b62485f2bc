"""The columns of a table's changes.

::

    change   string                       added, changed or removed
    key      struct<key columns>          the item's key; null where a value fits no column, it is rescued below then
    old      struct<columns, _rescued>    the item in the earlier snapshot, null where it was added
    new      struct<columns, _rescued>    the item in the later one, null where it was removed

``old`` and ``new`` have the same columns: those of the snapshot that has more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns import Column, Kind, RowBuilder, Schema, column_name, part_schema
from airflow_provider_ddbexport.core.columns.arrow_types import arrow_field
from airflow_provider_ddbexport.core.diff.changes import Change
from airflow_provider_ddbexport.core.diff.rows import without_partitions
from airflow_provider_ddbexport.core.keys import KEY_KINDS


def diff_schema(old: Schema, new: Schema) -> Schema:
    """Return the schema of both sides of the changes between snapshots of these schemas.

    Schemas of a table form a chain, in which one has all columns of another. Items survive any schema.
    """
    return without_partitions(max(old, new, key=lambda schema: _width(schema.columns)))


def _width(columns: Iterable[Column]) -> int:
    return sum(1 + _width(column.children) for column in columns)


class ChangesBuilder:
    """Builds record batches of :attr:`arrow` from changes."""

    def __init__(self, schema: Schema, key: Sequence[str]) -> None:
        self._sides = (RowBuilder(schema), RowBuilder(schema))
        self._kinds: list[str] = []
        self._is_there: tuple[list[bool], list[bool]] = ([], [])
        columns = {column.attribute: column for column in schema.columns if column.kind in KEY_KINDS}
        # Of a table without items no column is known.
        key_columns = [columns.get(name) or Column(name, column_name(name), Kind.STRING) for name in key]
        self._key = pa.struct([arrow_field(column, column.attribute) for column in key_columns])
        self._side = pa.struct(list(part_schema(schema)))
        self.arrow = pa.schema(
            [
                pa.field("change", pa.string(), nullable=False),
                pa.field("key", self._key, nullable=False),
                pa.field("old", self._side),
                pa.field("new", self._side),
            ]
        )
        """Schema of the batches."""
        self.width = 2 * _width(schema.columns) + len(key) + 3
        """Values of a row, about, nulls among them."""

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        return len(self._kinds)

    @property
    def bytes(self) -> int:
        """Estimate of their size in memory."""
        return sum(side.bytes for side in self._sides)

    def add(self, change: Change) -> None:
        """Append one row."""
        self._kinds.append(change.kind.value)
        for item, side, is_there in zip((change.old, change.new), self._sides, self._is_there, strict=True):
            side.add(item or {})
            is_there.append(item is not None)

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""
        old, new = (side.finish() for side in self._sides)
        names = old.schema.names
        keys = [
            pc.coalesce(new.column(field.name), old.column(field.name))
            if field.name in names
            else pa.nulls(old.num_rows, field.type)
            for field in self._key
        ]
        arrays = [pa.array(self._kinds, pa.string()), pa.StructArray.from_arrays(keys, fields=list(self._key))]
        for batch, is_there in zip((old, new), self._is_there, strict=True):
            mask = pc.invert(pa.array(is_there, pa.bool_()))
            arrays.append(pa.StructArray.from_arrays(batch.columns, fields=list(self._side), mask=mask))
            is_there.clear()
        self._kinds = []
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow)
