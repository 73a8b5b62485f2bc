"""What increments came to, opened for looking up: which rows they change, and what those were before."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip

from airflow_provider_ddbexport.core.columns import restore
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_builder
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys
from airflow_provider_ddbexport.core.merge.compact import Bucket, Compacted
from airflow_provider_ddbexport.core.store.port import ObjectStore

_BATCH_ROWS = 1024
"""An item has at most 400 KB; most have a thousandth of that."""

_NO_LIMIT = 1 << 40


class StagedChanges:
    """Copies of what is staged in files in *folder*, with their keys mapped into memory. Threads may share it."""

    def __init__(self, staging: ObjectStore, compacted: Compacted, folder: Path) -> None:
        self._buckets = [_Bucket(staging, bucket, folder) for bucket in compacted.buckets if bucket.changed]
        self.keys = ChangedKeys(compacted.key_attributes, [bucket.keys for bucket in self._buckets])

    def compare(self, gone: Path, keys: pa.BinaryArray, schema: Schema, partition: Sequence[str | None]) -> Comparison:
        """Compare the rows of *gone*, a part of *schema*, with what the increments say of their *keys*, in order."""
        comparison = Comparison()
        # Once for all rows: each look-up goes through the whole bucket before it begins.
        places = [bucket.places(keys) for bucket in self._buckets]
        with pq.ParquetFile(gone, pre_buffer=False) as parquet:
            start = 0
            for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
                for bucket, all_places in zip(self._buckets, places, strict=True):
                    bucket.compare(batch, all_places.slice(start, batch.num_rows), schema, partition, comparison)
                start += batch.num_rows
        return comparison


class Comparison:
    """How rows compare with what increments say they were.

    Attributes:
        there: rows that were to be there.
        unlike: rows that were not to be there, or were to be other items.
    """

    def __init__(self) -> None:
        self.there = 0
        self.unlike = 0


class _Bucket:
    def __init__(self, staging: ObjectStore, bucket: Bucket, folder: Path) -> None:
        path = folder / bucket.keys
        with path.open("wb") as file:
            for chunk in staging.stream(bucket.keys):
                file.write(chunk)
        table = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
        self.keys: pa.BinaryArray = table.column("key")
        self.was_there: pa.BooleanArray = table.column("was_there")
        self._place = array("Q", accumulate(self.was_there.fill_null(False).cast(pa.uint8()).to_pylist(), initial=0))
        self._lines, self._offsets = _unzipped(staging, bucket, folder)

    def places(self, keys: pa.BinaryArray) -> pa.Int32Array:
        """Return where each of *keys* is in this bucket; null for those that are not."""
        return pc.index_in(keys, self.keys)

    def compare(
        self,
        batch: pa.RecordBatch,
        places: pa.Int32Array,
        schema: Schema,
        partition: Sequence[str | None],
        comparison: Comparison,
    ) -> None:
        """Add to *comparison* those rows of *batch* that have *places* in this bucket."""
        was_there = self.was_there.take(places)
        comparison.unlike += was_there.false_count
        rows = pc.indices_nonzero(was_there.fill_null(False))
        if not len(rows):
            return
        comparison.there += len(rows)
        lines = [self._line(place) for place in places.take(rows).to_pylist()]
        comparison.unlike += _unlike(batch.take(rows), lines, schema, partition)

    def _line(self, place: int) -> bytes:
        number = self._place[place]
        return self._lines[self._offsets[number] : self._offsets[number + 1]]


def _unlike(rows: pa.RecordBatch, lines: list[bytes], schema: Schema, partition: Sequence[str | None]) -> int:
    """Return how many of *rows* are not the items of *lines*."""
    if not partition:
        # Mostly all are the same and built the same, which is told a hundred times faster than by their items.
        builder = block_builder(decode_line, schema)
        block = b"".join(lines)
        start = 0
        while start < len(block):
            start = builder.add_lines(block, start, most_rows=_NO_LIMIT, most_bytes=_NO_LIMIT)
        if builder.finish().equals(rows):
            return 0
    items = restore(rows, schema, partition)
    return sum(not is_same_item(item, decode_line(line)) for item, line in zip(items, lines, strict=True))


def _unzipped(staging: ObjectStore, bucket: Bucket, folder: Path) -> tuple[bytes | mmap.mmap, array[int]]:
    """Return the lines before the changes, and where each begins."""
    offsets = array("Q", [0])
    if bucket.before is None:
        return b"", offsets
    zipped, path = folder / "before.json.gz", folder / bucket.before.key.removesuffix(".gz")
    with zipped.open("wb") as file:
        for chunk in staging.stream(bucket.before.key):
            file.write(chunk)
    end = 0
    with igzip.IGzipFile(str(zipped), "rb") as lines, path.open("wb") as file:  # type: ignore[no-untyped-call]
        for line in lines:
            file.write(line)
            end += len(line)
            offsets.append(end)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), offsets
