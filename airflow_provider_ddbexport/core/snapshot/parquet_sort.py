"""Sorting more rows than memory has room for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

_PIECES = 64
"""That a batch waits in, at least. A piece is read as a whole, so few rows are read that are not wanted yet."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows that lie together on disk.

    Attributes:
        first: number of its first row.
        row_bytes: of one of its rows in memory, on average.
        offset, size: where it lies, as an IPC message.
    """

    first: int
    rows: int
    row_bytes: int
    offset: int
    size: int


class SortedRows:
    """Rows that wait on disk until all are there, and then come sorted, in batches no larger than those that came.

    They wait at *path*, as large as they are in memory. In memory are a few batches at a time, and of all rows the
    columns of *sort_by* and some 40 bytes. Ascending, nulls last; rows with equal keys keep their order.

    Attributes:
        bytes: of the rows so far, in memory.
    """

    def __init__(self, path: Path, schema: pa.Schema, sort_by: Sequence[str]) -> None:
        self._path = path
        self._schema = schema
        self._sort_by = list(sort_by)
        self._order = [(name, "ascending") for name in sort_by]
        self._keys: list[pa.RecordBatch] = []
        self._pieces: list[_Piece] = []
        self._rows = self.bytes = 0
        self._most_rows = self._most_bytes = 1

    def add(self, rows: pa.RecordBatch) -> None:
        """Keep *rows*."""
        # Sorted among themselves: then those that are wanted together lie together, and a piece is wanted as a whole.
        rows = rows.take(pc.sort_indices(rows.select(self._sort_by), sort_keys=self._order))
        self._keys.append(rows.select(self._sort_by))
        with self._path.open("ab") as file:
            for piece in _pieces(rows, rows.num_rows // _PIECES, rows.nbytes // _PIECES):
                message = piece.serialize()
                row_bytes = piece.nbytes // piece.num_rows
                self._pieces.append(_Piece(self._rows, piece.num_rows, row_bytes, file.tell(), message.size))
                file.write(message)
                self._rows += piece.num_rows
        self.bytes += rows.nbytes
        self._most_rows = max(self._most_rows, rows.num_rows)
        self._most_bytes = max(self._most_bytes, rows.nbytes)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows in order; to be called once, after the last :meth:`add`."""
        if not self._rows:
            return
        order = pc.sort_indices(pa.Table.from_batches(self._keys), sort_keys=self._order)
        self._keys.clear()
        with self._path.open("rb", buffering=0) as file:
            start = 0
            for end in self._ends(order):
                yield self._gathered(file, order[start:end])
                start = end

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def _ends(self, order: pa.Array) -> Iterator[int]:
        """Yield where batches end in *order*."""
        sizes = pa.concat_arrays([pa.repeat(pa.scalar(piece.row_bytes), piece.rows) for piece in self._pieces])
        total = pc.cumulative_sum(sizes.take(order))
        end = before = 0
        while end < self._rows:
            room = before + self._most_bytes
            full = bisect_right(range(self._rows), room, lo=end, key=lambda row: total[row].as_py())
            end = min(max(full, end + 1), end + self._most_rows)
            before = total[end - 1].as_py()
            yield end

    def _gathered(self, file: FileIO, wanted: pa.Array) -> pa.RecordBatch:
        """Return the rows of the numbers *wanted*, in their order."""
        # Each piece is read once: its rows are gathered, and all are put in order together.
        by_number = pc.sort_indices(wanted)
        numbers = wanted.take(by_number)
        listed = numbers.to_pylist()
        found = []
        for piece in self._pieces:
            start, end = bisect_left(listed, piece.first), bisect_left(listed, piece.first + piece.rows)
            if start < end:
                rows = pa.ipc.read_record_batch(_read(file, piece.offset, piece.size), self._schema)
                found.append(rows.take(pc.subtract(numbers[start:end], piece.first)))
        (together,) = pa.Table.from_batches(found).combine_chunks().to_batches()
        return together.take(pc.sort_indices(by_number))


def _pieces(rows: pa.RecordBatch, most_rows: int, most_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield *rows* in halves of halves, so small or of one row."""
    if rows.num_rows > 1 and (rows.num_rows > most_rows or rows.nbytes > most_bytes):
        middle = rows.num_rows // 2
        yield from _pieces(rows[:middle], most_rows, most_bytes)
        yield from _pieces(rows[middle:], most_rows, most_bytes)
    elif rows.num_rows:
        yield rows


def _read(file: FileIO, offset: int, size: int) -> pa.Buffer:
    """Return *size* bytes of *file*, which is without a buffer, and so may give fewer than it is asked for."""
    body = bytearray(size)
    file.seek(offset)
    found = 0
    while found < size:
        more = file.readinto(memoryview(body)[found:])
        if not more:
            raise EOFError(f"{file.name}: expected {size} bytes at {offset}, found {found}; run again")
        found += more
    return pa.py_buffer(body)
