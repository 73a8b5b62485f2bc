"""Giving a snapshot's items back, checked."""

from __future__ import annotations

import errno
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from snapshot_exports import AS_OF, in_order, items_of, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import CommitRecord, convert_export, snapshot_items
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError, SnapshotNotFoundError, StorageError

if TYPE_CHECKING:
    from typing_extensions import Buffer


@pytest.fixture
def lake(tmp_path: Path) -> LocalStore:
    """A lake with two days of reviews."""
    lake = LocalStore(tmp_path / "lake")
    convert_export(*write_export(tmp_path / "1", reviews(30)), lake, rows_per_part=10)
    later = write_export(tmp_path / "2", reviews(20), as_of=AS_OF + timedelta(days=1, milliseconds=7))
    convert_export(*later, lake)
    return lake


def test_the_newest_snapshot_is_given_unless_another_is_asked_for(lake: LocalStore) -> None:
    """Lines are the wrapper of an export's lines, without line breaks."""
    assert in_order(items_of(lake)) == in_order(reviews(20))
    assert in_order(items_of(lake, at=AS_OF)) == in_order(reviews(30))
    lines = list(snapshot_items(lake, "reviews"))
    assert all(line.startswith(b'{"Item":{') and b"\n" not in line for line in lines)


def test_another_time_is_not_found_and_the_nearest_are_named(lake: LocalStore) -> None:
    """The error comes at once, not when iterating, and says which times there are."""
    with pytest.raises(SnapshotNotFoundError, match=r"2026-01-14T10:18:50Z, 2026-01-15T10:18:50\.007Z"):
        snapshot_items(lake, "reviews", AS_OF + timedelta(hours=1))
    with pytest.raises(SnapshotNotFoundError, match="ddbexport snapshots"):
        snapshot_items(lake, "nothing")
    with pytest.raises(BadCallError, match="lower-case"):
        snapshot_items(lake, "../reviews")


def test_a_flipped_bit_in_a_part_is_found_before_any_of_its_items_is_given(lake: LocalStore) -> None:
    """The error names the part, what was expected and found, and what to do."""
    (path, *_) = sorted(lake.root.rglob("ddb_export_timestamp=20260115*/*.parquet"))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    given = snapshot_items(lake, "reviews")
    with pytest.raises(
        SnapshotDamagedError, match=r"part 1 of 1 .*sha256 expected .*; delete that object, then convert .* again"
    ):
        next(given)


def test_a_part_of_another_length_or_none_is_damage(lake: LocalStore) -> None:
    """Cut and missing parts are told apart."""
    (path, *_) = sorted(lake.root.rglob("ddb_export_timestamp=20260115*/*.parquet"))
    body = path.read_bytes()
    path.write_bytes(body[:-5])
    with pytest.raises(SnapshotDamagedError, match=f"expected {len(body)} bytes, found {len(body) - 5}"):
        list(snapshot_items(lake, "reviews"))
    path.unlink()
    with pytest.raises(SnapshotDamagedError, match="it is missing"):
        list(snapshot_items(lake, "reviews"))


class _Failing(io.RawIOBase):
    """A file on a disk that fails."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_is_no_damage(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part may be whole: reading it is to be tried again, nothing is to be converted again."""
    monkeypatch.setattr(LocalStore, "open", lambda *_: io.BufferedReader(_Failing()))
    with pytest.raises(StorageError, match=r"part-.*: reading failed: Input/output error"):
        list(snapshot_items(lake, "reviews"))


def test_errors_about_parts_do_not_repeat_the_values_in_their_folders(tmp_path: Path) -> None:
    """partition_by puts values into paths; messages and contexts leave these folders out."""
    lake = LocalStore(tmp_path / "lake")
    options = ColumnOptions(partition_by=("Name",))
    item = {"id": {"S": "1"}, "Name": {"S": "Secret Person"}}
    record: CommitRecord = convert_export(*write_export(tmp_path, [item]), lake, options=options)
    assert "Secret Person" in record.parts[0].key
    lake.child("reviews").delete(record.parts[0].key)
    for call in (
        lambda: list(snapshot_items(lake, "reviews")),
        lambda: convert_export(*write_export(tmp_path / "again", [item]), lake, options=options),
    ):
        with pytest.raises(SnapshotDamagedError) as caught:
            call()
        assert "Secret" not in json.dumps([str(caught.value), caught.value.context])
