"""Published parts as local files."""

from __future__ import annotations

import hashlib
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
    sha256 = hashlib.sha256()
    size = 0
    try:
        with path.open("wb") as file:
            for chunk in table_store.stream(part.key):
                sha256.update(chunk)
                size += len(chunk)
                file.write(chunk)
    except ObjectNotFoundError:
        raise _damaged(table_store, record, number, "it is missing;") from None
    if size != part.size:
        raise _damaged(table_store, record, number, f"expected {part.size} bytes, found {size};")
    if sha256.hexdigest() != part.sha256:
        # By its size alone the part would be taken for whole and not be written again.
        found = f"sha256 expected {part.sha256}, found {sha256.hexdigest()}; delete that object, then"
        raise _damaged(table_store, record, number, found)
    return part


def _damaged(store: ObjectStore, record: CommitRecord, number: int, problem: str) -> SnapshotDamagedError:
    uri = f"{store.uri}/{layout.shown(record.parts[number].key)}"
    return SnapshotDamagedError(
        f"part {number + 1} of {len(record.parts)} {uri}: {problem} {made_again(record)}",
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
