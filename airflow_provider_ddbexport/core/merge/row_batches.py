"""The rows of a part, few at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS = 1 << 12

_BYTES = 8 << 20
"""Of rows in memory, as long as they are about as large as the others of their row group: an item has up to 400 KB."""


def row_batches(source: Path | BinaryIO, most_rows: int = _ROWS) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the part *source*, at most *most_rows* at once and fewer where they are large."""
    with pq.ParquetFile(source, pre_buffer=False) as parquet:
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            rows = min(_ROWS, most_rows, max(1, _BYTES * group.num_rows // max(1, group.total_byte_size)))
            yield from parquet.iter_batches(rows, row_groups=[number], use_threads=False)
