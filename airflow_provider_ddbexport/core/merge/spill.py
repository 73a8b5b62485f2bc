"""Changes on the local disk, dealt by the hash of their keys to buckets that fit into memory but for their items."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

WAITING_BYTES = 32 << 20
"""Of changes in memory before they are written, in all buckets together."""

_MOST_WAITING = 1 << 20
"""Of one bucket: more at once is no faster."""

_HEADER = struct.Struct("<HHHqII")
"""Before each change: length of its key, its window, whether it tells what was before, its time, and lengths of the
lines of both images."""

SpilledChange = tuple[bytes, int, int, int, int, int, int]
"""Key, window, microseconds, whether it tells what was before (1) or not (0); where the line of the item before begins,
that of the item after, and where that ends. An item that there is none of has an empty line."""


class Spill:
    """Changes dealt to files in *folder*, as many as *buckets*, of which none is kept open."""

    def __init__(self, folder: Path, buckets: int) -> None:
        self._paths = [folder / f"{number:05d}.changes" for number in range(buckets)]
        self._waiting = [bytearray() for _ in range(buckets)]
        self._most_waiting = min(_MOST_WAITING, WAITING_BYTES // max(1, buckets))

    def add(self, key: bytes, window: int, micros: int, tells: bool, old: bytes, new: bytes) -> None:  # noqa: PLR0917 (called for every change)
        """Keep one change; *old* and *new* are lines, or empty."""
        number = zlib.crc32(key) % len(self._paths)
        waiting = self._waiting[number]
        waiting += _HEADER.pack(len(key), window, tells, micros, len(old), len(new)) + key + old + new
        if len(waiting) > self._most_waiting:
            self._write(number)

    def flushed(self) -> Iterator[Path]:
        """Yield the files, which hold all that was added; those that hold nothing are not there."""
        for number, path in enumerate(self._paths):
            self._write(number)
            yield path

    def _write(self, number: int) -> None:
        if self._waiting[number]:
            with self._paths[number].open("ab") as file:
                file.write(self._waiting[number])
            self._waiting[number].clear()


def spilled_changes(spilled: mmap.mmap) -> Iterator[SpilledChange]:
    """Yield the changes that *spilled*, one of the files, holds."""
    unpack, size = _HEADER.unpack_from, _HEADER.size
    position, end = 0, len(spilled)
    while position < end:
        key_bytes, window, tells, micros, old_bytes, new_bytes = unpack(spilled, position)
        start = position + size
        old = start + key_bytes
        new = old + old_bytes
        position = new + new_bytes
        yield spilled[start:old], window, micros, tells, old, new, position
