"""What increments came to, opened where it is staged, or held."""

from __future__ import annotations

import base64
import hashlib
import mmap
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from isal import igzip

from airflow_provider_ddbexport.core.export.model import DataFile
from airflow_provider_ddbexport.core.merge.compact import Compacted
from airflow_provider_ddbexport.core.merge.settle import Bucket
from airflow_provider_ddbexport.core.merge.settled import KEY_TABLE, Settled
from airflow_provider_ddbexport.core.merge.told_changes import ToldChanges
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import DataFileError

_PIECE_BYTES = 1 << 18


def open_staged(staging: ObjectStore, compacted: Compacted, folder: Path) -> ToldChanges:
    """Return copies of what is staged, in files in *folder* that are mapped into memory."""
    # One file each for all buckets, because files cannot be open by the thousand.
    with (folder / "keys.arrow").open("wb") as sink, pa.ipc.new_file(sink, KEY_TABLE) as writer:
        for bucket in compacted.buckets:
            writer.write_batch(_table(staging, bucket, folder / "copy.arrow"))
    tables = pa.ipc.open_file(pa.memory_map(str(folder / "keys.arrow")))
    batches = [tables.get_batch(number) for number in range(len(compacted.buckets))]
    return ToldChanges(compacted.key_attributes, batches, *_unzipped(staging, compacted.buckets, folder))


def open_held(held: Settled, compacted: Compacted) -> ToldChanges:
    """Return what is *held*, all that the increments came to; lines are looked up among all changes."""
    return ToldChanges(compacted.key_attributes, [held.table(in_place=True)], held.spilled, [0])


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
