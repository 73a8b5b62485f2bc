"""What the changes of one bucket come to: by the compiled part, and by the reference."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from types import ModuleType
from typing import Protocol

import pyarrow as pa

from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.equality import is_same_item
from airflow_provider_ddbexport.core.merge.spill import SpilledChange, spilled_changes

KEY_TABLE = pa.schema([pa.field("key", pa.binary()), pa.field("was_there", pa.bool_()), pa.field("before", pa.int64())])
"""Of the tables of changed keys: their :func:`.key_bytes`; whether the base has them, null where nobody tells; where
the line of their item before the changes begins."""

_BLOCK_BYTES = 1 << 18

LineBlock = tuple[bytes, int]
"""Whole lines, and how many they are."""


class Settled(Protocol):
    """What the changes of one bucket come to.

    Attributes:
        changed: keys there are.
        there: how many of them the increments say were there before.
        left: how many of them have an item after the changes.
        unlike: changes that tell of another item than the change before them has left.
        spilled: the changes.
    """

    changed: int
    there: int
    left: int
    unlike: int
    spilled: mmap.mmap

    def table(self, *, in_place: bool) -> pa.RecordBatch:
        """Return the changed keys, in the order of their bytes, as KEY_TABLE.

        Lines begin so far behind the first of those that :meth:`lines` yields, or, *in_place*, in :attr:`spilled`.
        """

    def lines(self, *, old: bool) -> Iterator[LineBlock]:
        """Yield the lines of the items before the changes, or of those after them, in the order of the keys."""


def settled(spilled: mmap.mmap, stretches: Sequence[int], compiled: ModuleType | None) -> Settled:
    """Return what *spilled*, all changes of a bucket, comes to; by *compiled* if it is there.

    A change is compared with the one before it where their windows are of one of the *stretches* without a gap.
    """
    return ReferenceSettled(spilled, stretches) if compiled is None else CompiledSettled(compiled, spilled, stretches)


class CompiledSettled:
    """By the compiled part, but for items that have to be decoded to tell whether they are the same."""

    def __init__(self, compiled: ModuleType, spilled: mmap.mmap, stretches: Sequence[int]) -> None:
        self.spilled = spilled
        self._settled = compiled.Settled(spilled, stretches)
        self.changed: int = self._settled.changed
        self.there: int = self._settled.there
        self.left: int = self._settled.left
        doubts = self._settled.doubts()
        self.unlike: int = self._settled.breaks + sum(not _is_same(spilled[a], spilled[b]) for a, b in doubts)

    def table(self, *, in_place: bool) -> pa.RecordBatch:
        """Return the changed keys."""
        offsets, keys, is_told, was_there, has_before, before = map(pa.py_buffer, self._settled.table(in_place))
        columns = zip(KEY_TABLE.types, ([None, offsets, keys], [is_told, was_there], [has_before, before]), strict=True)
        arrays = [pa.Array.from_buffers(type_, self.changed, buffers) for type_, buffers in columns]
        return pa.RecordBatch.from_arrays(arrays, schema=KEY_TABLE)

    def lines(self, *, old: bool) -> Iterator[LineBlock]:
        """Yield lines, as the reference does."""
        key = 0
        while key < self.changed:
            lines, count, key = self._settled.lines(old, key, _BLOCK_BYTES)
            if count:
                yield lines, count


class ReferenceSettled:
    """By Python alone."""

    def __init__(self, spilled: mmap.mmap, stretches: Sequence[int]) -> None:
        self.spilled = spilled
        self._keys: list[bytes] = []
        self._was_there: list[bool | None] = []
        self._olds: list[slice] = []
        self._news: list[slice] = []
        self.unlike = 0
        for key, changes in groupby(sorted(spilled_changes(spilled)), itemgetter(0)):
            first, *more = changes
            last = first
            if more:
                first, last, breaks = _ends(spilled, [first, *more], stretches)
                self.unlike += breaks
            _, _, _, tells, old, new, _ = first
            self._keys.append(key)
            self._was_there.append(True if new > old else False if tells else None)
            self._olds.append(slice(old, new))
            self._news.append(slice(*last[5:]))
        self.changed = len(self._keys)
        self.there = self._was_there.count(True)
        self.left = sum(new.stop > new.start for new in self._news)

    def table(self, *, in_place: bool) -> pa.RecordBatch:
        """Return the changed keys."""
        begins: list[int | None] = []
        end = 0
        for old in self._olds:
            size = old.stop - old.start
            begins.append((old.start if in_place else end) if size else None)
            end += size
        return pa.record_batch([self._keys, self._was_there, begins], KEY_TABLE)

    def lines(self, *, old: bool) -> Iterator[LineBlock]:
        """Yield lines, each block of so many keys that it is as long as it should be at least."""
        block = bytearray()
        count = 0
        for where in self._olds if old else self._news:
            block += self.spilled[where]
            count += where.stop > where.start
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block), count
                block, count = bytearray(), 0
        if count:
            yield bytes(block), count


def _ends(
    spilled: mmap.mmap, changes: list[SpilledChange], stretches: Sequence[int]
) -> tuple[SpilledChange, SpilledChange, int]:
    """Return the first and the last of the *changes* of a key, and how many do not go on from the one before."""

    def order(change: SpilledChange) -> tuple[int, int, bytes]:
        # By their images where their times are the same, so that it is all one in which order they were read.
        _, window, micros, _, old, _, end = change
        return window, micros, spilled[old:end]

    changes.sort(key=order)
    breaks = 0
    for (_, window, _, _, _, new, end), (_, later, _, tells, old, later_new, _) in pairwise(changes):
        if tells and window < later and stretches[window] == stretches[later]:
            breaks += not _is_same(spilled[new:end], spilled[old:later_new])
    last = max(changes, key=lambda change: (change[2], change[1], spilled[change[5] : change[6]]))
    return changes[0], last, breaks


def _is_same(line: bytes, other: bytes) -> bool:
    if line == other or not line or not other:
        return line == other
    return is_same_item(decode_line(line), decode_line(other))
