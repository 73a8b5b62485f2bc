"""Rows dealt to buckets on the local disk by the hash of their keys, so that each bucket fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.keys import key_hashes

KEY_COLUMN = "\N{NULL}key"
"""Name of the column with the rows' keys; no column of a part is called so."""

FAN_OUT = 64
"""Buckets that one bucket is dealt to."""

DEEPEST = 5
"""Times that rows can be dealt before the 32 bits of their hashes are used up."""

WAITING_BYTES = 32 << 20
"""Bytes of rows that are dealt at once; fewer would make many small writes."""


class Buckets:
    """Batches of one schema with a :data:`KEY_COLUMN`, dealt to files in *folder*; a context manager that closes them.

    *level* says how often the rows have been dealt before. Two of the same level deal rows of equal keys alike.
    """

    def __init__(self, folder: Path, level: int = 0) -> None:
        self._folder = folder
        self._divisor = FAN_OUT**level
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._files: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        folder.mkdir()

    def __enter__(self) -> Buckets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._deal()
        finally:
            for file in self._files.values():
                file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Deal the rows of *batch*, now or later."""
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= WAITING_BYTES:
            self._deal()

    def _deal(self) -> None:
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        keys = table.column(KEY_COLUMN).combine_chunks()
        numbers = pa.array([found // self._divisor % FAN_OUT for found in key_hashes(keys)], pa.uint8())
        order = pc.sort_indices(numbers)
        dealt = table.take(order)
        start = 0
        # Values are counted in the order in which they come first, which is theirs.
        for counted in pc.value_counts(numbers.take(order)).to_pylist():
            rows = dealt.slice(start, counted["counts"])
            start += counted["counts"]
            self._file(counted["values"], table.schema).write_table(rows)

    def _file(self, number: int, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        if number not in self._files:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._files[number] = pa.ipc.new_file(str(self._path(number)), schema, options=options)
        return self._files[number]

    def read(self, number: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of bucket *number* and remove it, after the buckets are closed."""
        path = self._path(number)
        if path.exists():
            with pa.ipc.open_file(str(path)) as file:
                for index in range(file.num_record_batches):
                    yield file.get_batch(index)
            path.unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}.arrow"
