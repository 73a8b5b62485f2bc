"""Everything a table ever held: each item's images with the times they were written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from airflow_provider_ddbexport.local.attribute_values import HASH_BITS, Image, Key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return *moment* as microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Change:
    """What a window did to one item.

    Attributes:
        written_micros: the last write in the window, microseconds since the epoch.
        old, new: the item before and after the window; None where it did not exist. Never both None.
    """

    key: Key
    written_micros: int
    old: Image | None
    new: Image | None


class TableHistory:
    """The images of a table's items, in memory, in the order they were logged.

    Where the clock was set back between two writes of an item, the one logged later counts as the later one, at any
    time from its own on: that is what the table holds.
    """

    def __init__(self) -> None:
        self._versions: dict[Key, list[tuple[int, Image | None]]] = {}
        self._current: dict[Key, Image] = {}
        self._in_order: list[Key] | None = []
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many items the table holds."""
        return len(self._current)

    @property
    def size(self) -> int:
        """Bytes of the items the table holds."""
        return self._bytes

    def current(self, key: Key) -> Image | None:
        """Return the item as it is."""
        return self._current.get(key)

    def keys(self) -> set[Key]:
        """Return the keys of the items the table holds."""
        return set(self._current)

    def write(self, key: Key, image: Image | None, at_micros: int) -> None:
        """Log that the item became *image*, or was deleted (None). Deleting what is not there logs nothing."""
        before = self._current.get(key)
        if before is None and image is None:
            return
        self._versions.setdefault(key, []).append((at_micros, image))
        self._bytes += (image.size if image else 0) - (before.size if before else 0)
        if image is None:
            del self._current[key]
        else:
            self._current[key] = image
        if before is None or image is None:
            self._in_order = None

    def as_of(self, at_micros: int) -> Iterator[tuple[Key, Image]]:
        """Return the items at that moment, what was written in its very microsecond included, in no order."""
        for key, versions in self._versions.items():
            image = _at(versions, at_micros)
            if image is not None:
                yield key, image

    def changes(self, from_micros: int, to_micros: int) -> Iterator[Change]:
        """Return one change for each item written in the window, start included, end excluded.

        An item that existed neither before nor after the window has none, whatever happened to it inside.
        """
        for key, versions in self._versions.items():
            inside = [written for written, _ in versions if from_micros <= written < to_micros]
            if not inside:
                continue
            old, new = _at(versions, from_micros - 1), _at(versions, to_micros - 1)
            if old is not None or new is not None:
                yield Change(key, max(inside), old, new)

    def slice(self, segment: int, total_segments: int, after: Key | None) -> Iterator[tuple[Key, Image]]:
        """Return the items of one segment in hash order, from the one behind *after* on, which need not exist."""
        if self._in_order is None:
            self._in_order = sorted(self._current)
        order = self._in_order
        first, last = segment_bounds(segment, total_segments)
        start = bisect_left(order, first, key=lambda key: key.token)
        if after is not None:
            start = max(start, bisect_left(order, after))
            if start < len(order) and order[start] == after:
                start += 1
        end = bisect_left(order, last, key=lambda key: key.token)
        for index in range(start, end):
            yield order[index], self._current[order[index]]


def segment_bounds(segment: int, total_segments: int) -> tuple[int, int]:
    """Return the first token of a segment and the first one behind it."""
    # Rounded up, so that together all segments cover every token exactly once.
    return -(-(segment << HASH_BITS) // total_segments), -(-((segment + 1) << HASH_BITS) // total_segments)


def _at(versions: list[tuple[int, Image | None]], at_micros: int) -> Image | None:
    for written, image in reversed(versions):
        if written <= at_micros:
            return image
    return None
