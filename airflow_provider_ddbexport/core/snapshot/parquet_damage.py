"""What reading a file that is no whole Parquet file comes to: one error, which says which file it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from airflow_provider_ddbexport.errors import SnapshotDamagedError

_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, pa.ArrowException)
"""What pyarrow and we stumble with over fields that are missing, of another type, or out of bounds."""


@contextmanager
def damage_named(file: str, way_out: str) -> Iterator[None]:
    """Let whatever damage in the Parquet *file*, a name for messages, raises be a SnapshotDamagedError.

    Its message ends with *way_out*. A full disk and memory that is short are no damage, and stay what they are.
    """
    try:
        yield
    except SnapshotDamagedError as error:
        problem = error.context.get("problem")
        if problem is None:
            raise
        raise SnapshotDamagedError(f"{file}: its footer {problem}; {way_out}") from error
    except _DAMAGE as error:
        # An operating system's error has its number, pyarrow's has none.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise SnapshotDamagedError(
            f"{file}: it is no whole Parquet file ({type(error).__name__}); {way_out}"
        ) from error
