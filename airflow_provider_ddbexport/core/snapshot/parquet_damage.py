"""What reading a file that is no whole Parquet file comes to: one error, which says which file it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.errors import SnapshotDamagedError

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, pa.ArrowException)
"""What pyarrow and we stumble with over fields that are missing, of another type, or out of bounds."""


@contextmanager
def damage_named(source: Path | BinaryIO, file: str, way_out: str, **context: str) -> Iterator[None]:
    """Let whatever damage in the Parquet file *source* raises be a SnapshotDamagedError with *context*.

    *file* is its name for messages, which end with *way_out*. A full disk and memory that is short are no damage, and
    stay what they are. So does what we stumble with over a file that pyarrow reads: the mistake is ours.
    """
    try:
        yield
    except SnapshotDamagedError as error:
        problem = error.context.get("problem")
        if problem is None:
            raise
        raise SnapshotDamagedError(f"{file}: its footer {problem}; {way_out}", **context) from error
    except _DAMAGE as error:
        if _is_shortage(error) or _is_readable(source):
            raise
        raise SnapshotDamagedError(
            f"{file}: it is no whole Parquet file ({type(error).__name__}); {way_out}", **context
        ) from error


def _is_shortage(error: Exception) -> bool:
    # An operating system's error has its number, pyarrow's has none.
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None)


def _is_readable(source: Path | BinaryIO) -> bool:
    """Return whether pyarrow reads all rows of *source*, one row group at a time."""
    try:
        with pq.ParquetFile(source, pre_buffer=False) as parquet:
            for number in range(parquet.num_row_groups):
                parquet.read_row_group(number, use_threads=False).validate(full=True)
    except _DAMAGE as error:
        if _is_shortage(error):
            raise
        return False
    return True
