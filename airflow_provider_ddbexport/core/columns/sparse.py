"""Record batches of columns that are mostly null, at the cost of the values they have."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class SparseColumn:
    """A column of one level.

    Attributes:
        valid: of each row, whether it has a value.
        values: those of the rows that have one.
    """

    valid: pa.BooleanArray
    values: pa.Array

    @classmethod
    def of(cls, array: pa.Array) -> SparseColumn:
        """Return *array* as the values it has."""
        return cls(array.is_valid(), array.drop_null())

    def __len__(self) -> int:
        """Return how many rows it has."""
        return len(self.valid)

    @property
    def null_count(self) -> int:
        """Rows without a value."""
        return len(self.valid) - len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(self.valid.nbytes + self.values.nbytes)

    def array(self) -> pa.Array:
        """Return the column as Arrow has it."""
        return pc.replace_with_mask(pa.nulls(len(self.valid), self.values.type), self.valid, self.values)


@dataclass(frozen=True, slots=True)
class SparseBatch:
    """A record batch in which columns may be sparse.

    Attributes:
        columns: in the order of *schema*.
    """

    schema: pa.Schema
    num_rows: int
    columns: list[pa.Array | SparseColumn]

    def dense(self) -> pa.RecordBatch:
        """Return it as Arrow has it."""
        return pa.RecordBatch.from_arrays([array_of(column) for column in self.columns], schema=self.schema)


Batch = pa.RecordBatch | SparseBatch


def array_of(column: pa.Array | SparseColumn) -> pa.Array:
    """Return *column* as Arrow has it."""
    return column.array() if isinstance(column, SparseColumn) else column


def sparse_where_mostly_null(column: pa.Array) -> pa.Array | SparseColumn:
    """Return *column* as the values it has where it is of one level, has a null, and no more values than nulls."""
    is_sparse = column.null_count and 2 * column.null_count >= len(column) and not pa.types.is_nested(column.type)
    return SparseColumn.of(column) if is_sparse else column
