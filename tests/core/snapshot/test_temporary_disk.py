"""What a conversion has on the local disk at once: docs/workers.md says how much room that takes."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore

PATIENCE_S = 600
SHARDS, ROWS = 8, 5


@dataclass(frozen=True)
class WatchedLake(LocalStore):
    """A lake that calls *look* before it takes a part."""

    look: Callable[[], None]

    def child(self, folder: str) -> WatchedLake:
        return replace(self, root=self.root / folder)

    def move_file(self, key: str, path: Path) -> None:
        self.look()
        super().move_file(key, path)


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (2, 4), (3, 6)])
def test_a_worker_has_the_parts_of_two_shards_on_the_disk_and_never_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, expected: int
) -> None:
    """Those of the one it is at, and those of one that a slow store has not taken yet; a single worker waits for it."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    found: list[int] = []
    enough = threading.Event()

    def look() -> None:
        # Folders go meanwhile, which is nothing to os.walk.
        files = [name for _, _, names in os.walk(place) for name in names]
        count = sum(name.endswith(".parquet") for name in files)
        found.append(count)
        if count >= expected:
            enough.set()
        assert enough.wait(PATIENCE_S)

    root, export = write_export(tmp_path, reviews(SHARDS * ROWS), files=SHARDS)
    record = convert_export(root, export, WatchedLake(tmp_path / "lake", look), rows_per_part=ROWS, workers=workers)
    assert len(record.parts) == SHARDS
    assert max(found) == expected
    assert not list(place.iterdir())
