"""Parts as local files, verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32, Hash
from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord, Part
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ObjectNotFoundError, SnapshotDamagedError, StorageError

_PIECE_BYTES = 1 << 18


@contextmanager
def fetched_part(
    table_store: ObjectStore, record: CommitRecord, number: int, *, rewritten: bool = False
) -> Iterator[BinaryIO]:
    """Give part *number* (from 0) of *record*, exactly what the record says, as a local file that is open to be read.

    Where it is to be *rewritten*, as another part or without a change, its crc32 is looked at instead of its sha256, if
    the record has one: it tells damage in a tenth of the time. Raises SnapshotDamagedError when the part is missing or
    differs.
    """
    with _opened(table_store, record.parts[number], rewritten=rewritten) as found:
        if found is None:
            raise _damaged(table_store, record, number, "it is missing;")
        if found.problem is not None:
            raise _damaged(table_store, record, number, found.problem)
        yield found.file


@contextmanager
def fetched(store: ObjectStore, part: Part, *, rewritten: bool = False) -> Iterator[BinaryIO | None]:
    """Give *part*, which is of no record yet, as a local file to be read; None where it is gone or damaged.

    What is looked at is told in :func:`fetched_part`.
    """
    with _opened(store, part, rewritten=rewritten) as found:
        yield None if found is None or found.problem is not None else found.file


@dataclass(frozen=True, slots=True)
class _Opened:
    """A part as a local file, and in what it differs from what was written, if it does."""

    file: BinaryIO
    problem: str | None


@contextmanager
def _opened(store: ObjectStore, part: Part, *, rewritten: bool) -> Iterator[_Opened | None]:
    """Give *part*, read once; None where it is missing."""
    try:
        file = store.open(part.key)
    except ObjectNotFoundError:
        file = None
    if file is None:
        yield None
        return
    with file:
        try:
            problem = _problem(file, part, rewritten=rewritten)
        except OSError as error:
            uri = f"{store.uri}/{shown_key(part.key)}"
            raise StorageError(f"{uri}: reading failed: {error.strerror}", uri=uri) from error
        yield _Opened(file, problem)


def _problem(file: BinaryIO, part: Part, *, rewritten: bool) -> str | None:
    """Return in words in what *file*, which is at its start, differs from *part*."""
    sha256, crc32 = hashlib.sha256(), Crc32()
    by_crc32 = rewritten and part.crc32 is not None
    size = _hashed(file, crc32 if by_crc32 else sha256)
    if size != part.size:
        return f"expected {part.size} bytes, found {size};"
    name, expected, found = (
        ("crc32", part.crc32, crc32.value) if by_crc32 else ("sha256", part.sha256, sha256.hexdigest())
    )
    if found != expected:
        # By its size alone the part would be taken for whole and not be written again.
        return f"{name} expected {expected}, found {found}; delete that object, then"
    return None


def _hashed(file: BinaryIO, digest: Hash) -> int:
    """Update *digest* with all of *file*, which is at its start, and return how many bytes that are."""
    size = 0
    buffer = memoryview(bytearray(_PIECE_BYTES))
    while read := file.readinto(buffer):  # type: ignore[attr-defined] # every file that is open has it, BinaryIO has not
        digest.update(buffer[:read])
        size += read
    return size


def part_named(store: ObjectStore, record: CommitRecord, number: int) -> str:
    """Return part *number* of *record* in words, for messages."""
    return f"part {number + 1} of {len(record.parts)} {store.uri}/{shown_key(record.parts[number].key)}"


def _damaged(store: ObjectStore, record: CommitRecord, number: int, problem: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(
        f"{part_named(store, record, number)}: {problem} {made_again(record)}",
        part=number,
        as_of=iso(record.as_of),
    )


def made_again(record: CommitRecord) -> str:
    """Return what to do to have the snapshot of *record* written again, for messages."""
    source = record.source
    if source.export_type == MERGE:
        return (
            f"merge the increments up to {source.uri} again with replace (--replace) into a snapshot before them, or "
            f"convert a full export as of {iso(record.as_of)} in its place"
        )
    return f"convert {source.uri} again with replace (--replace)"
