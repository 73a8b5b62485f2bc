"""What the core asks of an object store.

Keys are relative to the store's root, with ``/`` between folders, never starting with ``/`` and never holding ``..``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

MOST_COPIED_BYTES = 5 << 30
"""What S3 copies in one request."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object in a listing.

    Attributes:
        key: relative to the store's root.
        size: bytes.
    """

    key: str
    size: int


class ObjectStore(Protocol):
    """A folder of objects: a local one or one under ``s3://``. Safe to share between threads."""

    @property
    def uri(self) -> str:
        """The root as the user would write it, without a trailing ``/``."""

    def uri_of(self, key: str) -> str:
        """Return the address of *key* as the user would write it."""

    def child(self, folder: str) -> ObjectStore:
        """Return the store whose root is *folder* under this one."""

    def read(self, key: str) -> bytes:
        """Return all of *key*. Raises ObjectNotFoundError, AccessError, StorageDeadlineError."""

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield all of *key* in order, each byte once.

        A body cut in mid-stream, or of another length than announced, is read on from where it broke until the
        deadline; the object changing underneath (another ETag) is a StorageError, never a mixture.
        """

    def open(self, key: str) -> BinaryIO:
        """Return all of *key* as a local file, open to be read from its start to its end and anywhere between.

        Where objects are files it is the object itself, of which nothing is copied; else a copy without a name, in the
        folder for temporary files, that is gone when it is closed or its process ends. It stays readable, and what it
        is, while the object is replaced or deleted by whoever writes through a store. Raises what :meth:`read` does.
        """

    def write(self, key: str, body: bytes) -> None:
        """Make *key* hold *body*, replacing what was there; whole or not at all."""

    def will_move(self, path: Path) -> None:
        """Be told that the local file *path*, which :meth:`move_file` comes for later, has got longer.

        A store that waits for the disk then has it written from now on. Raises OSError where the disk fails.
        """

    def move_file(self, key: str, path: Path) -> None:
        """Make *key* hold the bytes of the local file *path*, which is gone then; whole or not at all.

        After an error *path* is as it was, so that it can be tried again.
        """

    def copy(self, source: str, key: str, opened: BinaryIO) -> None:
        """Make *key* hold what *opened* does, which :meth:`open` of *source* gave; whole or not at all.

        Of at most :data:`MOST_COPIED_BYTES`. Where *source* is still what was opened, its bytes need not be sent.
        """

    def create(self, key: str, body: bytes) -> None:
        """Make *key* hold *body* only if there is no such object (``If-None-Match: *``).

        Raises ObjectExistsError when the object is there with other bytes; finding exactly *body* there after a
        retry is success, because the first try's answer may have been lost. Raises OutcomeUnknownError when it
        cannot be told.
        """

    def delete(self, key: str) -> None:
        """Make sure that there is no *key*; absent already is fine."""

    def remove_unfinished(self, folder: str) -> None:
        """Remove what killed writers left below *folder*, where a store has such things; those still writing fail."""

    def exists(self, key: str) -> bool:
        """Return whether there is such an object."""

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """Yield every object below *folder*, at any depth, in key order; nothing when there is none."""
