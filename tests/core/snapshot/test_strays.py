"""Parts that killed tasks leave in the folders of published snapshots are found and removed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from snapshot_exports import AS_OF, parts_below, reviews, write_export
from watched_store import Killed, Steps, WatchedStore, die

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export
from airflow_provider_ddbexport.core.snapshot.strays import LOOKED_AFTER, find_strays, remove_strays
from airflow_provider_ddbexport.core.store import LocalStore


def publish(folder: Path, lake: LocalStore, days: int) -> CommitRecord:
    root, export = write_export(folder / f"export {days}", reviews(4), as_of=AS_OF + timedelta(days=days))
    return convert_export(root, export, lake)


def make_stray(lake: LocalStore, record: CommitRecord) -> str:
    key = record.parts[0].key.replace("part-00000", "part-00007")
    lake.child("reviews").write(key, b"anything")
    return key


def strays(lake: LocalStore) -> list[str]:
    """Return what lies among the parts of published snapshots and is in no record."""
    own = {part.key for record in Ledger(lake.child("reviews")).records() for part in record.parts}
    return sorted(set(parts_below(lake)) - own)


def test_the_next_publication_removes_what_a_task_wrote_after_another_run_had_published(tmp_path: Path) -> None:
    """It stood still before its write, and was killed right after it: there is nobody else to remove the part."""
    lake = LocalStore(tmp_path / "lake")
    root, export = write_export(tmp_path / "export", reviews(4))
    moments = Steps()
    convert_export(root, export, WatchedStore(LocalStore(tmp_path / "counted"), moments), rows_per_part=2)
    written = next(number for number, text in enumerate(moments.log) if text.startswith("before move_file"))

    class Zombie(Steps):
        def __call__(self, moment: str, operation: str, key: str) -> None:
            super().__call__(moment, operation, key)
            if len(self.log) == written + 2:
                assert (moment, operation) == ("after", "move_file")
                die()

    def other_run() -> None:
        convert_export(root, export, lake, options=ColumnOptions(numbers="string"))

    steps = Zombie(written, other_run)
    with pytest.raises(Killed):
        convert_export(root, export, WatchedStore(lake, steps), rows_per_part=2)
    assert steps.acted
    assert len(strays(lake)) == 1, "the window is there"
    publish(tmp_path, lake, days=1)
    assert strays(lake) == []


def test_a_publication_looks_after_the_newest_other_snapshots_only(tmp_path: Path) -> None:
    """Before and after its own time; what costs a listing each is no matter of how many there are."""
    lake = LocalStore(tmp_path / "lake")
    records = [publish(tmp_path, lake, days) for days in (0, 1, 2, 4)]
    left = [make_stray(lake, record) for record in records]
    assert len(left) == LOOKED_AFTER + 1
    publish(tmp_path, lake, days=3)
    assert strays(lake) == left[:1]


def test_another_snapshot_with_a_damaged_record_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    """A publication only reads the one before its own."""
    lake = LocalStore(tmp_path / "lake")
    _, record = publish(tmp_path, lake, days=0), publish(tmp_path, lake, days=1)
    (tmp_path / "lake/reviews/_snapshots/20260114T101850Z.json").write_text("{")
    key = make_stray(lake, record)
    publish(tmp_path, lake, days=2)
    assert key not in parts_below(lake)


def test_strays_of_any_snapshot_are_found_and_removed(tmp_path: Path) -> None:
    """And nothing else: not its parts, not what is no part, nothing of a snapshot that is withdrawn meanwhile."""
    lake = LocalStore(tmp_path / "lake")
    store, record = lake.child("reviews"), publish(tmp_path, lake, days=0)
    store.write("ddb_export_timestamp=20260114T101850Z/notes.txt", b"kept")
    assert find_strays(store, record) == []
    key = make_stray(lake, record)
    assert [info.key for info in find_strays(store, record)] == [key]
    Ledger(store).delete(record.as_of)
    assert remove_strays(store, record) == []
    Ledger(store).create(record)
    assert [info.key for info in remove_strays(store, record)] == [key]
    assert [info.key for info in store.list("ddb_export_timestamp=20260114T101850Z")] == [
        "ddb_export_timestamp=20260114T101850Z/notes.txt",
        record.parts[0].key,
    ]
