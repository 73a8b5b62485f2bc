"""Parts as local files, verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord, Part
from airflow_provider_ddbexport.core.store.keys import shown_key
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ObjectNotFoundError, SnapshotDamagedError, StorageError


@contextmanager
def fetched_part(table_store: ObjectStore, record: CommitRecord, number: int) -> Iterator[BinaryIO]:
    """Give part *number* (from 0) of *record*, exactly what the record says, as a local file that is open to be read.

    Raises SnapshotDamagedError when the part is missing or differs.
    """
    part = record.parts[number]
    with _opened(table_store, part.key) as found:
        if found is None:
            raise _damaged(table_store, record, number, "it is missing;")
        if found.size != part.size:
            raise _damaged(table_store, record, number, f"expected {part.size} bytes, found {found.size};")
        if found.sha256 != part.sha256:
            # By its size alone the part would be taken for whole and not be written again.
            problem = f"sha256 expected {part.sha256}, found {found.sha256}; delete that object, then"
            raise _damaged(table_store, record, number, problem)
        yield found.file


@contextmanager
def fetched(store: ObjectStore, part: Part) -> Iterator[BinaryIO | None]:
    """Give *part*, which is of no record yet, as a local file to be read; None where it is gone or damaged."""
    with _opened(store, part.key) as found:
        yield None if found is None or found.sha256 != part.sha256 else found.file


@dataclass(frozen=True, slots=True)
class _Opened:
    """An object as a local file, and what it is."""

    file: BinaryIO
    size: int
    sha256: str


@contextmanager
def _opened(store: ObjectStore, key: str) -> Iterator[_Opened | None]:
    """Give the object *key*, read once; None where it is missing."""
    try:
        file = store.open(key)
    except ObjectNotFoundError:
        file = None
    if file is None:
        yield None
        return
    with file:
        try:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # a BinaryIO's readinto has no name
        except OSError as error:
            uri = f"{store.uri}/{shown_key(key)}"
            raise StorageError(f"{uri}: reading failed: {error.strerror}", uri=uri) from error
        yield _Opened(file, file.seek(0, os.SEEK_END), sha256)


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
