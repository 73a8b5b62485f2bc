"""Changes on the local disk, dealt by the hash of their keys to buckets that fit into memory but for their items."""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

WAITING_BYTES = 32 << 20
"""Of changes in memory before they are written, in all buckets together, which take at most twice the room."""

_MOST_WAITING = 1 << 20
"""Of one bucket: more at once is no faster."""

_HEADER = struct.Struct("=qIIIHH")
"""Before each change: its time, lengths of its key and of the lines of both images, its window, and whether it tells
what was before."""

SpilledChange = tuple[bytes, int, int, int, int, int, int]
"""Key, window, microseconds, whether it tells what was before (1) or not (0); where the line of the item before begins,
that of the item after, and where that ends. An item that there is none of has an empty line."""


class Spill:
    """Changes dealt to files in *folder*, as many as *buckets*, of which none is kept open.

    *compiled* deals lines; without it all changes are added one by one.
    """

    def __init__(self, folder: Path, buckets: int, compiled: ModuleType | None) -> None:
        self._paths = [folder / f"{number:05d}.changes" for number in range(buckets)]
        self._waiting = [bytearray() for _ in range(buckets)]
        self._most_waiting = min(_MOST_WAITING, WAITING_BYTES // max(1, buckets))
        self._compiled = compiled
        self._dealer: Any = None

    def deal(
        self,
        lines: bytes,
        start: int,
        attributes: Sequence[str],
        window: int,
        *,
        tells: bool,
        untold_micros: int | None,
    ) -> tuple[int, int]:
        """Keep the changes in *lines* from offset *start* until one has to be looked at by the reference.

        Returns how many, and the offset of that one, at or beyond the end if there is none. The table's keys are made
        of *attributes*; all are for the reference before these are known.
        """
        count = 0
        if self._compiled is None or not attributes:
            return count, start
        if self._dealer is None:
            names = tuple(name.encode() for name in attributes)
            self._dealer = self._compiled.Dealer(names, len(self._paths), self._most_waiting)
        while start < len(lines):
            dealt, start, full = self._dealer.deal(lines, start, window, tells, untold_micros)
            count += dealt
            if full < 0:
                break
            self._write(full)
        return count, start

    def add(self, key: bytes, window: int, micros: int, tells: bool, old: bytes, new: bytes) -> None:  # noqa: PLR0917 (called for every change)
        """Keep one change; *old* and *new* are lines, or empty."""
        number = zlib.crc32(key) % len(self._paths)
        waiting = self._waiting[number]
        waiting += _HEADER.pack(micros, len(key), len(old), len(new), window, tells) + key + old + new
        if len(waiting) > self._most_waiting:
            self._write(number)

    def flushed(self) -> Iterator[Path]:
        """Yield the files, which hold all that was kept; there may be nothing in them."""
        for number, path in enumerate(self._paths):
            self._write(number)
            yield path

    def _write(self, number: int) -> None:
        with self._paths[number].open("ab") as file:
            file.write(self._waiting[number])
            self._waiting[number].clear()
            if self._dealer is not None:
                self._dealer.write(number, file)


def spilled_changes(spilled: mmap.mmap) -> Iterator[SpilledChange]:
    """Yield the changes that *spilled*, one of the files, holds."""
    unpack, size = _HEADER.unpack_from, _HEADER.size
    position, end = 0, len(spilled)
    while position < end:
        micros, key_bytes, old_bytes, new_bytes, window, tells = unpack(spilled, position)
        start = position + size
        old = start + key_bytes
        new = old + old_bytes
        position = new + new_bytes
        yield spilled[start:old], window, micros, tells, old, new, position
