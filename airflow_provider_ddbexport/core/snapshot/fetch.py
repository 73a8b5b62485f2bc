"""Published parts as local files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord, Part
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ObjectNotFoundError, SnapshotDamagedError


def fetch_part(table_store: ObjectStore, record: CommitRecord, number: int, path: Path) -> Part:
    """Make *path* hold part *number* (from 0) of *record*, exactly what the record says, and return what it says.

    Raises SnapshotDamagedError when the part is missing or differs.
    """
    part = record.parts[number]
    found = _download(table_store, part.key, path)
    if found is None:
        raise _damaged(table_store, record, number, "it is missing;")
    if found.size != part.size:
        raise _damaged(table_store, record, number, f"expected {part.size} bytes, found {found.size};")
    if found.sha256 != part.sha256:
        # By its size alone the part would be taken for whole and not be written again.
        problem = f"sha256 expected {part.sha256}, found {found.sha256}; delete that object, then"
        raise _damaged(table_store, record, number, problem)
    return part


def fetched(store: ObjectStore, part: Part, path: Path) -> bool:
    """Make *path* hold *part*, which is of no record yet, and return whether it does: it may be gone or damaged."""
    found = _download(store, part.key, path)
    return found is not None and found.sha256 == part.sha256


@dataclass(frozen=True, slots=True)
class _Downloaded:
    """What came."""

    size: int
    sha256: str


def _download(store: ObjectStore, key: str, path: Path) -> _Downloaded | None:
    """Make *path* hold the object *key* and return what it is; None where it is missing."""
    sha256 = hashlib.sha256()
    size = 0
    try:
        with path.open("wb") as file:
            for chunk in store.stream(key):
                sha256.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except ObjectNotFoundError:
        return None
    return _Downloaded(size, sha256.hexdigest())


def part_named(store: ObjectStore, record: CommitRecord, number: int) -> str:
    """Return part *number* of *record* in words, for messages."""
    return f"part {number + 1} of {len(record.parts)} {store.uri}/{layout.shown(record.parts[number].key)}"


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
