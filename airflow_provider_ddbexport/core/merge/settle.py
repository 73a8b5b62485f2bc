"""The changes of one bucket boiled down to what they come to."""

from __future__ import annotations

import base64
import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, islice, pairwise
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
from isal import igzip

from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.export.model import DataFile
from airflow_provider_ddbexport.core.merge.spill import SpilledChange, spilled_changes
from airflow_provider_ddbexport.core.store.port import ObjectStore

KEY_TABLE = pa.schema([pa.field("key", pa.binary()), pa.field("was_there", pa.bool_()), pa.field("before", pa.int64())])
"""Of the tables of changed keys: their :func:`.key_bytes`; whether the base has them, null where nobody tells; where
their item begins in the unzipped lines of items before the changes."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the changes of one bucket came to.

    Attributes:
        keys: key of the table of changed keys in the staging store.
        changed: how many there are.
        there: how many of them the increments say were there before.
        survivors: the items that take their place; None where all were deleted.
        before: the items they had; None where the increments tell of none.
    """

    keys: str
    changed: int
    there: int
    survivors: DataFile | None
    before: DataFile | None


def settle(path: Path, number: int, staging: ObjectStore, folder: Path, stretches: Sequence[int]) -> tuple[Bucket, int]:
    """Write to *staging* what the changes in *path*, bucket *number*, come to.

    Return what was written, and how many changes tell of another item than the change before them has left: looked at
    where their windows are of one of the *stretches* without a gap. *folder* is for files on the way.
    """
    if not path.exists():
        return Bucket("", 0, 0, None, None), 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as spilled:
        keys: list[bytes] = []
        was_there: list[bool | None] = []
        olds: list[slice] = []
        news: list[slice] = []
        unlike = 0
        for key, changes in groupby(sorted(spilled_changes(spilled)), itemgetter(0)):
            first, *more = changes
            last = first
            if more:
                first, last, breaks = _ends(spilled, [first, *more], stretches)
                unlike += breaks
            _, _, _, tells, old, new, _ = first
            keys.append(key)
            was_there.append(True if new > old else False if tells else None)
            olds.append(slice(old, new))
            news.append(slice(*last[5:]))
        name = f"keys-{number:05d}.arrow"
        _write_keys(folder / "keys.arrow", keys, was_there, olds)
        staging.write_file(name, folder / "keys.arrow")
        survivors = _write_lines(staging, f"survivors-{number:05d}.json.gz", (spilled[new] for new in news), folder)
        before = _write_lines(staging, f"before-{number:05d}.json.gz", (spilled[old] for old in olds), folder)
    return Bucket(name, len(keys), was_there.count(True), survivors, before), unlike


def _ends(
    spilled: mmap.mmap, changes: list[SpilledChange], stretches: Sequence[int]
) -> tuple[SpilledChange, SpilledChange, int]:
    """Return the first and the last of the *changes* of a key, and how many do not go on from the one before."""

    def order(change: SpilledChange) -> tuple[int, int, bytes]:
        # By their images where their times are the same, so that it is all one in which order they were read.
        _, window, micros, _, old, _, end = change
        return window, micros, spilled[old:end]

    changes.sort(key=order)
    breaks = 0
    for (_, window, _, _, _, new, end), (_, later, _, tells, old, later_new, _) in pairwise(changes):
        if tells and window < later and stretches[window] == stretches[later]:
            breaks += not _is_same(spilled[new:end], spilled[old:later_new])
    last = max(changes, key=lambda change: (change[2], change[1], spilled[change[5] : change[6]]))
    return changes[0], last, breaks


def _is_same(line: bytes, other: bytes) -> bool:
    if line == other or not line or not other:
        return line == other
    return is_same_item(decode_line(line), decode_line(other))


def _write_keys(path: Path, keys: list[bytes], was_there: list[bool | None], olds: Iterable[slice]) -> None:
    sizes = [old.stop - old.start for old in olds]
    begins = [begin if size else None for begin, size in zip(accumulate(sizes, initial=0), sizes, strict=False)]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, KEY_TABLE) as writer:
        writer.write_batch(pa.record_batch([keys, was_there, begins], KEY_TABLE))


def _write_lines(staging: ObjectStore, key: str, lines: Iterator[bytes], folder: Path) -> DataFile | None:
    """Write *lines*, of which there may be empty ones, as a data file; None if there are no others."""
    path = folder / "lines.json.gz"
    count = 0
    with path.open("wb") as raw, igzip.IGzipFile(fileobj=raw, mode="wb", compresslevel=0, mtime=0) as file:  # type: ignore[no-untyped-call]
        # Written a hundred at a time: a call takes longer than the line.
        for some in _batched(filter(None, lines)):
            file.write(b"".join(some))  # type: ignore[no-untyped-call]
            count += len(some)
    if not count:
        return None
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    staging.write_file(key, path)
    return DataFile(key, count, base64.b64encode(md5).decode())


def _batched(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(lines, 100)):
        yield some
