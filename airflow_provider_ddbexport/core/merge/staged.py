"""What increments came to, opened for looking up: which rows they change, and what those were before."""

from __future__ import annotations

import base64
import hashlib
import mmap
import shutil
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from isal import igzip

from airflow_provider_ddbexport.core.columns import restore
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_router
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.export.model import DataFile
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys, int32_array
from airflow_provider_ddbexport.core.merge.compact import Compacted
from airflow_provider_ddbexport.core.merge.settle import Bucket
from airflow_provider_ddbexport.core.merge.settled import KEY_TABLE
from airflow_provider_ddbexport.core.merge.split_pages import compiled
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import DataFileError

_NO_LIMIT = 1 << 40

_PIECE_BYTES = 1 << 18


class StagedChanges:
    """Copies of what is staged in files in *folder*, mapped into memory. Threads may share it."""

    def __init__(self, staging: ObjectStore, compacted: Compacted, folder: Path) -> None:
        # One file each for all buckets, because files cannot be open by the thousand.
        with (folder / "keys.arrow").open("wb") as sink, pa.ipc.new_file(sink, KEY_TABLE) as writer:
            for bucket in compacted.buckets:
                writer.write_batch(_table(staging, bucket, folder / "copy.arrow"))
        tables = pa.ipc.open_file(pa.memory_map(str(folder / "keys.arrow")))
        self._tables = [tables.get_batch(number) for number in range(len(compacted.buckets))]
        self._lines, self._starts = _unzipped(staging, compacted.buckets, folder)
        self.keys = ChangedKeys(compacted.key_attributes, [table.column("key") for table in self._tables])

    def comparison(self, keys: pa.BinaryArray, schema: Schema, partition: Sequence[str | None]) -> Comparison:
        """Return what compares rows of a part of *schema* with what the increments say of their *keys*."""
        return Comparison(self, self._told(keys), schema, partition)

    def lines_at(self, buckets: Iterable[int], begins: Iterable[int]) -> bytes:
        """Return the lines of the items before the changes that begin so far behind the beginnings of *buckets*."""
        starts = [self._starts[bucket] + begin for bucket, begin in zip(buckets, begins, strict=True)]
        kernel = compiled()
        if kernel is None:
            return b"".join([self._lines[start : self._lines.find(b"\n", start) + 1] for start in starts])
        lines: bytes = kernel.lines_at(self._lines, starts)
        return lines

    def _told(self, keys: pa.BinaryArray) -> pa.RecordBatch:
        """Return what the tables of keys say of each of *keys*, all of which they have, and in which table it is."""
        found = []
        for number, which, places in self.keys.places(keys):
            told = self._tables[number].select(["was_there", "before"]).take(places)
            bucket = int32_array(array("i", [number]) * len(which))
            found.append(pa.table([which, bucket, *told.columns], ["which", "bucket", "was_there", "before"]))
        (batch,) = pa.concat_tables(found).sort_by("which").combine_chunks().to_batches()
        return batch


class Comparison:
    """How rows compare with what increments say they were.

    Attributes:
        there: rows that were to be there.
        unlike: rows that were not to be there, or were to be other items.
    """

    def __init__(
        self, changes: StagedChanges, told: pa.RecordBatch, schema: Schema, partition: Sequence[str | None]
    ) -> None:
        self.there = 0
        self.unlike = 0
        self._changes = changes
        self._told = told
        self._schema = schema
        self._partition = tuple(partition)
        self._built = block_router(decode_line, schema, _NO_LIMIT)
        self._built.open(self._partition, _NO_LIMIT)
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Compare *batch*, the rows behind those of the last call."""
        here = self._told.slice(self._rows, batch.num_rows)
        self._rows += batch.num_rows
        was_there = here.column("was_there")
        self.unlike += was_there.false_count
        self.there += was_there.true_count
        if was_there.true_count < batch.num_rows:
            rows = pc.indices_nonzero(was_there)
            here, batch = here.take(rows), batch.take(rows)
        if batch.num_rows:
            lines = self._changes.lines_at(here.column("bucket").to_pylist(), here.column("before").to_pylist())
            self.unlike += self._unlike(batch, lines)

    def _unlike(self, rows: pa.RecordBatch, lines: bytes) -> int:
        """Return how many of *rows* are not the items of *lines*."""
        # Mostly all are the same and built the same, which is told a hundred times faster than by their items.
        start = self._built.add_lines(lines, 0, most_bytes=_NO_LIMIT)
        while start < len(lines) and self._built.missing is None:
            start = self._built.add_lines(lines, start, most_bytes=_NO_LIMIT)
        if self._built.finish_sparse(self._partition, _NO_LIMIT).dense().equals(rows):
            return 0
        items = restore(rows, self._schema, self._partition)
        return sum(
            not is_same_item(item, decode_line(line)) for item, line in zip(items, lines[:-1].split(b"\n"), strict=True)
        )


def _table(staging: ObjectStore, bucket: Bucket, copy: Path) -> pa.RecordBatch:
    if bucket.keys is None:
        return pa.RecordBatch.from_pylist([], KEY_TABLE)
    _fetch(staging, bucket.keys, copy)
    return pa.ipc.open_file(copy.read_bytes()).get_batch(0)


def _fetch(staging: ObjectStore, file: DataFile, copy: Path) -> None:
    """Make *copy* hold *file*. Raises DataFileError where that is not what was staged."""
    md5 = hashlib.md5(usedforsecurity=False)
    with copy.open("wb") as target:
        for chunk in staging.stream(file.key):
            md5.update(chunk)
            target.write(chunk)
    found = base64.b64encode(md5.digest()).decode()
    if found != file.md5:
        uri = staging.uri_of(file.key)
        raise DataFileError(
            f"{uri}: what was staged for a merge is cut or broken, md5 expected {file.md5}, found {found}; plan the "
            "merge again",
            uri=uri,
        )


def _unzipped(staging: ObjectStore, buckets: Sequence[Bucket], folder: Path) -> tuple[bytes | mmap.mmap, list[int]]:
    """Return the lines of the items before the changes, and where those of each bucket begin."""
    starts = []
    zipped = folder / "before.json.gz"
    with (folder / "before.json").open("w+b") as file:
        for bucket in buckets:
            starts.append(file.tell())
            if bucket.before is None:
                continue
            _fetch(staging, bucket.before, zipped)
            with igzip.IGzipFile(str(zipped), "rb") as lines:  # type: ignore[no-untyped-call]
                shutil.copyfileobj(lines, file, _PIECE_BYTES)
        if not file.tell():
            return b"", starts
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), starts
