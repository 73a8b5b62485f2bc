"""Changes to Parquet files of bounded size, with bounded memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.diff.changes import Change
from airflow_provider_ddbexport.core.diff.columns import ChangesBuilder
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import Part
from airflow_provider_ddbexport.core.store.port import ObjectStore

PART_BYTES = 256 << 20
"""Size at which a part ends, give or take one row group."""

ROW_GROUP_BYTES = 32 << 20
"""Bytes of values in memory at which a row group is written."""

ROW_GROUP_VALUES = 8 << 20
"""Values of a row group, nulls among them."""


class ChangesWriter:
    """Writes changes through local files in *local* to parts in *folder* of *store*; *digest* is in their names.

    There is at least one part, so that its columns can be read. At most one row group's values are in memory.
    """

    def __init__(self, builder: ChangesBuilder, store: ObjectStore, folder: str, digest: str, local: Path) -> None:
        self._builder = builder
        self._store = store
        self._folder = folder
        self._digest = digest
        self._path = local / "changes.parquet"
        self._row_group_rows = max(1, ROW_GROUP_VALUES // builder.width)
        self._open: pq.ParquetWriter | None = None
        self._rows = 0
        self._parts: list[Part] = []

    def __enter__(self) -> ChangesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open; after an error the local file goes with its folder."""
        if self._open is not None:
            self._open.close()

    def take(self, change: Change) -> None:
        """Add a row."""
        self._builder.add(change)
        if self._builder.rows >= self._row_group_rows or self._builder.bytes >= ROW_GROUP_BYTES:
            self._flush()
            if self._path.stat().st_size >= PART_BYTES:
                self._finish_part()

    def finish(self) -> tuple[Part, ...]:
        """Write what is left and return all parts."""
        if self._builder.rows or not self._parts:
            self._flush()
        if self._open is not None:
            self._finish_part()
        return tuple(self._parts)

    def _flush(self) -> None:
        if self._open is None:
            self._open = pq.ParquetWriter(self._path, self._builder.arrow, compression="zstd")
        if self._builder.rows:
            batch: pa.RecordBatch = self._builder.finish()
            self._rows += batch.num_rows
            self._open.write_batch(batch)

    def _finish_part(self) -> None:
        parquet, self._open = self._open, None
        if parquet is not None:
            parquet.close()
        with self._path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        key = f"{self._folder}/{layout.part_name(len(self._parts), self._digest)}"
        size = self._path.stat().st_size
        self._store.move_file(key, self._path)
        self._parts.append(Part(key, self._rows, size, sha256))
        self._rows = 0
