"""Objects as files in a local folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.store.keys import checked_folder, checked_key, shown_key
from airflow_provider_ddbexport.core.store.port import ObjectInfo
from airflow_provider_ddbexport.core.workplace import DISK_FULL
from airflow_provider_ddbexport.errors import (
    AccessError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StoreNotWritableError,
)

Done = TypeVar("Done")

_UNFINISHED = ".unfinished"
_LITTER_AGE_S = 3600.0
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_DISK_FAILED = {errno.EIO, *DISK_FULL}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A local folder as an :class:`.ObjectStore`; the folder is made by the first write.

    A file is written beside its final name, synced, and then renamed (or linked, where it must be new), so that it is
    there whole or not at all, also after a power cut. Files under way are hidden from :meth:`list`; one left behind by
    a killed process is removed by :meth:`remove_unfinished`, and when its key is written again an hour later or more.

    Attributes:
        root: absolute.
    """

    root: Path

    @property
    def uri(self) -> str:
        """The folder's absolute path."""
        return str(self.root)

    def uri_of(self, key: str) -> str:
        """Return the absolute path of *key*."""
        return str(self._path(key))

    def child(self, folder: str) -> LocalStore:
        """Return the store whose root is *folder* under this one; it need not exist."""
        trimmed = checked_folder(folder)
        return LocalStore(self.root / trimmed) if trimmed else self

    def read(self, key: str) -> bytes:
        """Return all of *key*."""
        return b"".join(self.stream(key))

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield all of *key*; a file that shrinks or grows meanwhile is a StorageError."""
        path = self._path(key)
        with self._reading(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            seen = 0
            while chunk := file.read(chunk_bytes):
                seen += len(chunk)
                yield chunk
            if seen != size:
                uri = self._shown(path)
                raise StorageError(
                    f"{uri}: expected {size} bytes, found {seen}; it was changed meanwhile, read it again", uri=uri
                )

    def open(self, key: str) -> BinaryIO:
        """Open the file itself: writers put another in its place."""
        path = self._path(key)
        with self._reading(path):
            return path.open("rb")

    def write(self, key: str, body: bytes) -> None:
        """Make *key* hold *body*."""
        self._put(key, lambda file: file.write(body), Path.replace)

    def will_move(self, path: Path) -> None:
        """Have what is in *path* on its way to the disk, so that :meth:`move_file` has little to wait for."""
        disk = load("_disk")
        if disk is None:
            return
        with path.open("rb") as file:
            try:
                disk.begin_write_back(file.fileno())
            except OSError as error:
                # Others are of file systems that cannot be asked.
                if error.errno in _DISK_FAILED:
                    raise

    def move_file(self, key: str, path: Path) -> None:
        """Make *key* hold the bytes of *path*, which is gone then; nothing is copied where both are on one disk."""
        final = self._path(key)
        with self._writing(final), path.open("rb") as source:
            try:
                os.fsync(source.fileno())
                _remove_litter(final)
                _in_folder(final.parent, lambda: path.replace(final))
                _sync_folder(final.parent)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._put(key, lambda file: _copy_bytes(source, file), Path.replace)
                path.unlink()

    def copy(self, source: str, key: str, opened: BinaryIO) -> None:  # noqa: ARG002 - it is what is opened
        """Make *key* a file of its own with the bytes of *opened*; the file system may share them until one changes."""
        self._put(key, lambda file: _copy_bytes(opened, file), Path.replace)

    def create(self, key: str, body: bytes) -> None:
        """Make *key* hold *body* if there is no such file; a file that holds exactly *body* is as good."""

        def link(unfinished: Path, path: Path) -> None:
            try:
                os.link(unfinished, path)
            except FileExistsError:
                if not path.is_file() or path.read_bytes() != body:
                    uri = self._shown(path)
                    raise ObjectExistsError(
                        f"{uri}: expected no such file, found one with other contents; it was left as it is", uri=uri
                    ) from None

        self._put(key, lambda file: file.write(body), link)

    def delete(self, key: str) -> None:
        """Make sure that there is no *key*, nor folders that are empty without it."""
        path = self._path(key)
        with self._writing(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            for folder in path.parents:
                if folder == self.root or not _removed_empty(folder):
                    break

    def remove_unfinished(self, folder: str) -> None:
        """Remove the files under way below *folder*, whoever writes them."""
        root = self.root / checked_folder(folder)
        with self._writing(root):
            for unfinished in root.rglob(f".*{_UNFINISHED}"):
                unfinished.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        """Return whether there is such a file."""
        path = self._path(key)
        with self._reading(path):
            return path.is_file()

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """Yield every file below *folder* in key order."""
        trimmed = checked_folder(folder)
        yield from self._walk(self.root / trimmed, f"{trimmed}/" if trimmed else "")

    def _walk(self, folder: Path, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with self._reading(folder), os.scandir(folder) as entries:
                # A folder sorts as its name with the slash, as its keys do in S3.
                found = sorted((entry.name + "/" * entry.is_dir(), entry) for entry in entries)
        except ObjectNotFoundError:
            return
        for name, entry in found:
            if name.endswith("/"):
                yield from self._walk(folder / entry.name, prefix + name)
            elif not name.endswith(_UNFINISHED):
                with self._reading(folder / name), contextlib.suppress(FileNotFoundError):
                    yield ObjectInfo(prefix + name, entry.stat().st_size)

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def _put(self, key: str, fill: Callable[[BinaryIO], object], name: Callable[[Path, Path], object]) -> None:
        """Give *key*'s name, by *name*, to a file beside it, which *fill* has written; nothing else is left."""
        path = self._path(key)
        unfinished = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}{_UNFINISHED}")

        def put() -> None:
            with unfinished.open("xb") as file:
                fill(file)
                _sync(file)
                name(unfinished, path)

        with self._writing(path):
            _remove_litter(path)
            try:
                # Where it is swept away meanwhile, as what a run that has ended left behind, it is written again.
                _in_folder(path.parent, put)
                _sync_folder(path.parent)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    unfinished.unlink()

    # Causes are left out: they have the file's whole name in them.
    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except _NOT_THERE:
            uri = self._shown(path)
            raise ObjectNotFoundError(f"{uri}: no such file", uri=uri) from None
        except PermissionError:
            uri = self._shown(path)
            raise AccessError(f"{uri}: reading is not permitted; allow it for this user", uri=uri) from None
        except OSError as error:
            uri = self._shown(path)
            raise StorageError(f"{uri}: reading failed: {error.strerror}", uri=uri) from None

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            uri = self._shown(path)
            message = f"{uri}: writing failed: {error.strerror}"
            if error.errno in _REFUSED:
                raise StoreNotWritableError(
                    f"{message}; make {self.root} a folder that this user may write to", uri=uri
                ) from None
            if error.errno in DISK_FULL:
                message += "; make room on that disk, and run it again"
            raise StorageError(message, uri=uri) from None

    def _shown(self, path: Path) -> str:
        return str(self.root / shown_key(path.relative_to(self.root).as_posix()))


def _copy_bytes(source: BinaryIO, target: BinaryIO) -> None:
    """Make *target*, a new file, hold all of *source*."""
    at, size = 0, os.fstat(source.fileno()).st_size
    with contextlib.suppress(OSError, AttributeError):
        # Not on every system, nor between any two file systems.
        while at < size and (copied := os.copy_file_range(source.fileno(), target.fileno(), size - at, at, at)):
            at += copied
    source.seek(at)
    target.seek(at)
    shutil.copyfileobj(source, target, 1 << 20)


def _in_folder(folder: Path, act: Callable[[], Done]) -> Done:
    """Return what *act* does in *folder*, which is made where there is none, or another process removes it, empty."""
    for tries_left in (5, 4, 3, 2, 1, 0):
        try:
            return act()
        except FileNotFoundError:
            if not tries_left:
                raise
        # It, or the folder that it is made in, may be removed while it is made.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
    raise AssertionError


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in *folder* outlive a power cut, where the platform can open folders."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_litter(path: Path) -> None:
    """Remove what killed writers of *path* left behind; younger files may still be under way."""
    start = f".{path.name[:100]}."
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(start) and entry.name.endswith(_UNFINISHED):
                with contextlib.suppress(FileNotFoundError):
                    # Ages are differences to the file system's clock, which is this machine's or close to it.
                    if time.time() - entry.stat().st_mtime > _LITTER_AGE_S:
                        Path(entry.path).unlink()


def _removed_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True
