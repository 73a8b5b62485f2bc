"""A store that lets a test step in before and after each operation."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from airflow_provider_ddbexport.core.store import LocalStore, ObjectInfo


@dataclass
class Steps:
    """Counts the moments before and after each operation, and acts at one of them.

    Attributes:
        at: number of the moment, from 0; -1 never acts.
        act: called once, at that moment.
        log: ``before move_file ddb_export_timestamp=…`` and so on, one entry for each moment.
    """

    at: int = -1
    act: Callable[[], None] = lambda: None
    log: list[str] = field(default_factory=list)
    acted: bool = False
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __call__(self, moment: str, operation: str, key: str) -> None:
        # Parts go into the store several at once.
        with self._counting:
            number = len(self.log)
            self.log.append(f"{moment} {operation} {key}")
        if number == self.at:
            self.acted = True
            self.act()


class Killed(BaseException):
    """Stands for the death of the process: nothing catches it."""


def die() -> None:
    """End as a process that is killed ends: without a word to anybody."""
    raise Killed


def kill_this_process() -> None:
    """End this very process at once; no ``finally`` runs."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WatchedStore:
    """A local store whose every operation is announced to *steps*, its children's too."""

    inner: LocalStore
    steps: Steps

    @property
    def uri(self) -> str:
        return self.inner.uri

    def uri_of(self, key: str) -> str:
        return self.inner.uri_of(key)

    def child(self, folder: str) -> WatchedStore:
        return WatchedStore(self.inner.child(folder), self.steps)

    def read(self, key: str) -> bytes:
        self.steps("before", "read", key)
        return self.inner.read(key)

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        self.steps("before", "stream", key)
        yield from self.inner.stream(key, chunk_bytes=chunk_bytes)

    def open(self, key: str) -> BinaryIO:
        self.steps("before", "open", key)
        return self.inner.open(key)

    def write(self, key: str, body: bytes) -> None:
        self.steps("before", "write", key)
        self.inner.write(key, body)
        self.steps("after", "write", key)

    def will_move(self, path: Path) -> None:
        self.inner.will_move(path)

    def move_file(self, key: str, path: Path) -> None:
        self.steps("before", "move_file", key)
        self.inner.move_file(key, path)
        self.steps("after", "move_file", key)

    def copy(self, source: str, key: str, opened: BinaryIO) -> None:
        self.steps("before", "copy", key)
        self.inner.copy(source, key, opened)
        self.steps("after", "copy", key)

    def create(self, key: str, body: bytes) -> None:
        self.steps("before", "create", key)
        self.inner.create(key, body)
        self.steps("after", "create", key)

    def delete(self, key: str) -> None:
        self.steps("before", "delete", key)
        self.inner.delete(key)
        self.steps("after", "delete", key)

    def remove_unfinished(self, folder: str) -> None:
        self.steps("before", "remove_unfinished", folder)
        self.inner.remove_unfinished(folder)

    def exists(self, key: str) -> bool:
        self.steps("before", "exists", key)
        return self.inner.exists(key)

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        self.steps("before", "list", folder)
        yield from list(self.inner.list(folder))
