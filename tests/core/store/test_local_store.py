"""Local folders as stores."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import shutil
import struct
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

import pytest

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.store import LocalStore, local
from airflow_provider_ddbexport.errors import (
    ObjectExistsError,
    StorageError,
    StoreNotWritableError,
)


def test_only_one_of_many_creators_wins(tmp_path: Path) -> None:
    """Of threads that create one key with different bytes, exactly one succeeds, and its bytes stay."""
    store, barrier = LocalStore(tmp_path), threading.Barrier(8)
    won: list[bytes] = []

    def create(body: bytes) -> None:
        barrier.wait()
        try:
            store.create("commit", body)
        except ObjectExistsError:
            return
        won.append(body)

    threads = [threading.Thread(target=create, args=(bytes([number]) * 100,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert store.read("commit") == won[0]
    assert [path.name for path in tmp_path.iterdir()] == ["commit"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails before the rename, the old bytes are there and no litter is."""
    store = LocalStore(tmp_path / "lake")
    store.write("part", b"old")
    source = tmp_path / "source"
    source.write_bytes(b"new")
    failures = []

    def fail(descriptor: int) -> None:
        failures.append(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for write in (store.write, store.create):
        with pytest.raises(StorageError, match="No space left on device; make room"):
            write("part", b"new")
    with pytest.raises(StorageError):
        store.move_file("part", source)

    assert len(failures) == 3
    assert store.read("part") == b"old"
    assert [path.name for path in store.root.iterdir()] == ["part"]
    assert source.read_bytes() == b"new"


def test_a_file_that_is_swept_away_while_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its folder, by a run that has published the snapshot that both were to: no disk is broken."""
    store, source = LocalStore(tmp_path), tmp_path / "source"
    source.write_bytes(b"z")
    sync, swept = local._sync, []

    def sweep_once(file: BinaryIO) -> None:
        sync(file)
        folder = Path(file.name).parent
        if folder not in swept:
            swept.append(folder)
            shutil.rmtree(folder)

    monkeypatch.setattr(local, "_sync", sweep_once)
    store.write("written/file", b"x")
    store.create("created/file", b"y")
    with source.open("rb") as opened:
        store.copy("source", "copied/file", opened)
    assert [folder.name for folder in swept] == ["written", "created", "copied"]
    assert [store.read(f"{folder.name}/file") for folder in swept] == [b"x", b"y", b"z"]
    assert not list(tmp_path.rglob(".*"))


def test_a_copy_is_of_what_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of its own, also where the system cannot copy, or not all; and never what the other key holds by now."""
    store = LocalStore(tmp_path)
    store.write("a/part", b"verified" * 1000)
    copy = getattr(os, "copy_file_range", None)

    def little(source: int, target: int, count: int, *offsets: int) -> int:
        if offsets[0] > 2000 or copy is None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return int(copy(source, target, min(count, 999), *offsets))

    with store.open("a/part") as opened:
        opened.read(10)
        store.copy("a/part", "b/part", opened)
        assert not (tmp_path / "b/part").samefile(tmp_path / "a/part")
        with monkeypatch.context() as patch:
            patch.setattr(os, "copy_file_range", little, raising=False)
            store.copy("a/part", "c/part", opened)
        store.write("a/part", b"another!")
        store.copy("a/part", "d/part", opened)
        store.delete("a/part")
        store.copy("a/part", "e/part", opened)
    assert {info.key: store.read(info.key) for info in store.list()} == dict.fromkeys(
        ("b/part", "c/part", "d/part", "e/part"), b"verified" * 1000
    )
    assert not list(tmp_path.rglob(".*"))


def test_a_killed_writers_file_is_hidden_and_later_removed(tmp_path: Path) -> None:
    """An unfinished file is no object; writing its key again removes it when it is old, not while it may be alive."""
    store = LocalStore(tmp_path)
    dead, alive, other = (tmp_path / f".{name}.unfinished" for name in ("part.dead", "part.alive", "else.dead"))
    for path in (dead, alive, other):
        path.write_bytes(b"half")
    for path in (dead, other):
        os.utime(path, (0, 0))

    assert list(store.list()) == []
    store.write("part", b"whole")
    assert not dead.exists()
    assert alive.exists()
    assert other.exists()
    assert [info.key for info in store.list()] == ["part"]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_that_is_removed_while_it_is_made_is_made_again(
    *, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who deletes the last key in a folder removes it: before one is made in it, or as mkdir finds that it is there."""
    folder, make, removed = tmp_path / "folder", os.mkdir, []

    def mkdir(path: Path, mode: int = 0o777) -> None:
        if path == folder and is_there and not removed:
            # Another run has made it meanwhile.
            make(path)
        try:
            make(path, mode)
        finally:
            if path == folder and not removed:
                folder.rmdir()
                removed.append(path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    store, key = LocalStore(tmp_path), "folder/part" if is_there else "folder/deeper/part"
    store.write(key, b"x")
    assert removed
    assert store.read(key) == b"x"


def test_a_root_that_is_a_file_is_not_writable(tmp_path: Path) -> None:
    """Writing below a file is a StoreNotWritableError that names the folder to mend."""
    (tmp_path / "lake").write_bytes(b"")
    source = tmp_path / "source"
    source.write_bytes(b"new")
    for root in (tmp_path / "lake", tmp_path / "lake" / "deeper"):
        store = LocalStore(root)
        with pytest.raises(StoreNotWritableError, match="may write to"):
            store.write("part", b"x")
        with pytest.raises(StoreNotWritableError):
            store.create("part", b"x")
        with pytest.raises(StoreNotWritableError):
            store.move_file("part", source)
        assert source.exists()
        assert list(store.list()) == []


def test_what_cannot_be_written_is_told_without_values_of_partitions(tmp_path: Path) -> None:
    """A part whose folder cannot be made is named without the items' values in it, and no cause names it either."""
    folder = "ddb_export_timestamp=T/email=jane@example.org"
    (tmp_path / folder).parent.mkdir()
    (tmp_path / folder).write_bytes(b"in the way")

    with pytest.raises(StoreNotWritableError) as refused:
        LocalStore(tmp_path).write(f"{folder}/part", b"x")

    assert refused.value.context["uri"] == str(tmp_path / "ddb_export_timestamp=T/email=…/part")
    told = "".join(traceback.format_exception(refused.value))
    assert "email=…/part: writing failed" in told
    assert "jane" not in told


def test_a_read_only_file_system_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EROFS is a StoreNotWritableError. (Faked: tests may run as root, whom permissions do not stop.)"""
    asked = []

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        asked.append(self)
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreNotWritableError, match="Read-only file system"):
        LocalStore(tmp_path / "lake").write("part", b"x")
    assert asked == [tmp_path / "lake"]


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    """More bytes than there were at the start are no mixture but a StorageError."""
    store = LocalStore(tmp_path)
    store.write("part", b"x" * 100)
    chunks = store.stream("part", chunk_bytes=60)
    next(chunks)
    with (tmp_path / "part").open("ab") as file:
        file.write(b"more")
    with pytest.raises(StorageError, match="expected 100 bytes, found 104"):
        list(chunks)


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path: Path) -> None:
    """A writer's rename does not disturb a reader."""
    store = LocalStore(tmp_path)
    store.write("part", b"a" * 100)
    chunks = store.stream("part", chunk_bytes=60)
    head = next(chunks)
    store.write("part", b"b" * 50)

    assert head + b"".join(chunks) == b"a" * 100


def test_deleting_removes_the_folders_it_empties(tmp_path: Path) -> None:
    """A partition without files leaves no folder that a catalog might find; the root and shared folders stay."""
    store = LocalStore(tmp_path / "lake")
    store.write("t/ts=1/part", b"x")
    store.write("t/ts=2/part", b"x")
    store.delete("t/ts=1/part")
    assert sorted(path.name for path in (tmp_path / "lake/t").iterdir()) == ["ts=2"]
    store.delete("t/ts=2/part")

    assert list((tmp_path / "lake").iterdir()) == []


def test_a_store_pickles(tmp_path: Path) -> None:
    """Worker processes get a local store as it is."""
    assert pickle.loads(pickle.dumps(LocalStore(tmp_path))) == LocalStore(tmp_path)


def test_a_file_is_opened_without_a_copy(tmp_path: Path) -> None:
    """And cannot be written to through what was opened."""
    store = LocalStore(tmp_path / "lake")
    store.write("t/part", b"whole")
    with store.open("t/part") as file:
        assert os.path.samestat(os.fstat(file.fileno()), (tmp_path / "lake/t/part").stat())
        assert not file.writable()


def test_a_file_of_another_disk_is_copied_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be renamed into the store its bytes are copied, and it is gone as well."""
    source = tmp_path / "part.parquet"
    source.write_bytes(b"PAR1" * 50_000)
    refused = []
    rename = os.replace

    def across(here: str | Path, there: str | Path) -> None:
        if Path(here) == source:
            refused.append(there)
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(here, there)

    monkeypatch.setattr(os, "replace", across)
    store = LocalStore(tmp_path / "lake")
    store.move_file("t/part.parquet", source)

    assert len(refused) == 1
    assert store.read("t/part.parquet") == b"PAR1" * 50_000
    assert not source.exists()
    assert [path.name for path in (tmp_path / "lake/t").iterdir()] == ["part.parquet"]


def test_what_will_be_moved_is_on_its_way_to_the_disk(tmp_path: Path) -> None:
    """The file system has found a place for it, and reads do not wait for it; and it is what was written."""
    source, body = tmp_path / "source", os.urandom(1 << 20)
    source.write_bytes(body)
    if load("_disk") is None or not is_delayed(source):
        pytest.skip("not on this system, or the file system does not tell")
    store = LocalStore(tmp_path / "lake")

    store.will_move(source)
    assert not is_delayed(source)
    store.move_file("part", source)
    assert store.read("part") == body


def is_delayed(path: Path) -> bool:
    """Return whether there is no place on the disk yet for some of the file, which a Linux file system may tell."""
    if sys.platform != "linux":
        return False
    get_extents, is_delayed, most = 0xC020660B, 0x4, 16
    # struct fiemap of linux/fiemap.h, and room for its extents.
    asked = bytearray(struct.pack("=QQIIII", 0, 1 << 62, 0, 0, most, 0) + bytes(56 * most))
    with path.open("rb") as file:
        try:
            fcntl.ioctl(file, get_extents, asked)
        except OSError:
            return False
    (count,) = struct.unpack_from("=I", asked, 20)
    return any(struct.unpack_from("=I", asked, 32 + 56 * number + 40)[0] & is_delayed for number in range(count))


def test_a_disk_that_fails_is_told_before_the_file_is_moved_and_one_that_cannot_be_asked_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without this, as some over a network, writes all of it when it is synced."""
    (tmp_path / "source").write_bytes(b"new")
    asked: list[int] = []

    class Disk:
        def __init__(self, reason: int) -> None:
            self.reason = reason

        def begin_write_back(self, file: int) -> None:
            asked.append(file)
            raise OSError(self.reason, os.strerror(self.reason))

    for reason in (errno.EINVAL, errno.ESPIPE, errno.ENOSYS):
        monkeypatch.setattr(local, "load", {"_disk": Disk(reason)}.get)
        LocalStore(tmp_path).will_move(tmp_path / "source")
    for reason in (errno.EIO, errno.ENOSPC):
        monkeypatch.setattr(local, "load", {"_disk": Disk(reason)}.get)
        with pytest.raises(OSError, match=os.strerror(reason)):
            LocalStore(tmp_path).will_move(tmp_path / "source")
    assert len(asked) == 5
