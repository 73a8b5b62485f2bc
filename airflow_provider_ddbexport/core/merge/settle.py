"""The changes of one bucket boiled down to what they come to, and written where every worker finds it."""

from __future__ import annotations

import base64
import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pyarrow as pa
from isal import igzip

from airflow_provider_ddbexport.core.export.model import DataFile
from airflow_provider_ddbexport.core.merge.settled import KEY_TABLE, LineBlock, settled
from airflow_provider_ddbexport.core.store.port import ObjectStore


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the changes of one bucket came to.

    Attributes:
        keys: the table of changed keys in the staging store; None without changes.
        changed: how many there are.
        there: how many of them the increments say were there before.
        survivors: the items that take their place; None where all were deleted.
        before: the items they had; None where the increments tell of none.
    """

    keys: DataFile | None
    changed: int
    there: int
    survivors: DataFile | None
    before: DataFile | None


def settle(
    path: Path,
    number: int,
    staging: ObjectStore,
    folder: Path,
    stretches: Sequence[int],
    *,
    compiled: ModuleType | None,
) -> tuple[Bucket, int]:
    """Write to *staging* what the changes in *path*, bucket *number*, come to.

    Return what was written, and how many changes tell of another item than the change before them has left: looked at
    where their windows are of one of the *stretches* without a gap. *folder* is for files on the way. The bytes are the
    same with and without the *compiled* part.
    """
    if not path.stat().st_size:
        return Bucket(None, 0, 0, None, None), 0
    found = settled(open_spilled(path), stretches, compiled)
    table = folder / "keys.arrow"
    with pa.OSFile(str(table), "wb") as sink, pa.ipc.new_file(sink, KEY_TABLE) as writer:
        writer.write_batch(found.table(in_place=False))
    keys = _put(staging, f"keys-{number:05d}.arrow", table, found.changed)
    survivors = _write_lines(staging, survivors_key(number), found.lines(old=False), folder)
    before = _write_lines(staging, f"before-{number:05d}.json.gz", found.lines(old=True), folder)
    return Bucket(keys, found.changed, found.there, survivors, before), found.unlike


def survivors_key(number: int) -> str:
    """Return the name of the file of the items that take the place of those that bucket *number* changed."""
    return f"survivors-{number:05d}.json.gz"


def open_spilled(path: Path) -> mmap.mmap:
    """Return the changes of a bucket, mapped into memory for as long as they are used."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _write_lines(staging: ObjectStore, key: str, blocks: Iterator[LineBlock], folder: Path) -> DataFile | None:
    """Write the lines of *blocks* as a data file; None if there are none."""
    path = folder / "lines.json.gz"
    count = 0
    with path.open("wb") as raw, igzip.IGzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file:  # type: ignore[no-untyped-call]
        for lines, some in blocks:
            file.write(lines)  # type: ignore[no-untyped-call]
            count += some
    return _put(staging, key, path, count) if count else None


def _put(staging: ObjectStore, key: str, path: Path, count: int) -> DataFile:
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    staging.move_file(key, path)
    return DataFile(key, count, base64.b64encode(md5).decode())
