"""What is killed leaves its temporary folder, and the next run on the machine removes it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import StorageError


def killed_at_work(folder: str, ready: Any) -> None:
    """The process that is killed while it has a folder to work in."""
    tempfile.tempdir = folder
    with workplace() as place:
        (place / "0.json.gz").write_bytes(b"x" * 1000)
        ready.send(str(place))
        threading.Event().wait()


def test_what_a_killed_run_leaves_on_the_disk_is_removed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of one that is at work, or of somebody else."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "ddbexport-unknown").mkdir()
    processes = multiprocessing.get_context("forkserver")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=killed_at_work, args=(str(tmp_path), theirs))
    process.start()
    left = Path(ours.recv())
    with workplace() as place:
        assert left.exists(), "it is at work"
        process.kill()
        process.join()
        assert (left / "0.json.gz").exists()
        with workplace() as other:
            assert not left.exists()
            assert place.exists()
            assert other != place
    assert [path.name for path in tmp_path.glob("ddbexport-*")] == ["ddbexport-unknown"]


def test_a_conversion_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And removes one that was left behind before."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    root, export = write_export(tmp_path / "export", reviews(4))
    left = tmp_path / "ddbexport-left"
    left.mkdir()
    (left / "lock").touch()
    convert_export(root, export, LocalStore(tmp_path / "lake"))
    assert not list(tmp_path.glob("ddbexport-*"))


def test_a_full_disk_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do about it, too; another error of the machine stays what it is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(StorageError, match=rf"{tmp_path}: the disk is full.*TMPDIR"), workplace():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="Input/output"), workplace():
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert not list(tmp_path.iterdir())
