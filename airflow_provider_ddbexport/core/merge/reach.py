"""How far the values of changed keys reach: a row group whose values all lie beyond them need not be looked at.

Keys are often made of a time, or of what grows with it, and most of what changes is new. So the footer alone tells of
most row groups of a table in the order of time, or partitioned by it, that no key in them was changed.
"""

from __future__ import annotations

from bisect import bisect_left

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk

_AT_EITHER_END = 256
"""Values that are told apart: a few that are far from all others, an old order that comes back, are no reason to look
at all that lies between."""

_INT64, _BYTE_ARRAY = 2, 6


class Reach:
    """Values of one attribute: the lowest and the highest, and that there may be any between these.

    To be added to by one thread; then several may ask.
    """

    def __init__(self) -> None:
        self._type: int | None = None
        self._count = 0
        self._lowest: list[bytes] = []
        self._highest: list[bytes] = []

    def add(self, values: pa.Array) -> None:
        """Add *values*, none of them null, all of the same type each time. Of some types nothing is told."""
        if pa.types.is_int64(values.type):
            self._type = _INT64
        elif pa.types.is_string(values.type) or pa.types.is_binary(values.type):
            self._type, values = _BYTE_ARRAY, values.cast(pa.binary())
        else:
            return
        self._count += len(values)
        low = values.take(pc.bottom_k_unstable(values, _AT_EITHER_END)).to_pylist()
        high = values.take(pc.top_k_unstable(values, _AT_EITHER_END)).to_pylist()
        if self._type == _INT64:
            low, high = [*map(_in_order, low)], [*map(_in_order, high)]
        self._lowest = sorted({*self._lowest, *low})[:_AT_EITHER_END]
        self._highest = sorted({*self._highest, *high})[-_AT_EITHER_END:]

    def into(self, chunk: Chunk) -> bool:
        """Return whether *chunk* can have one of the values, as far as its bounds tell."""
        bounds = chunk.bounds if chunk.type == self._type else None
        if bounds is None:
            return True
        low, high = bounds
        if self._type == _INT64:
            low, high = (_in_order(int.from_bytes(bound, "little", signed=True)) for bound in bounds)
        if _has(self._lowest, low, high) or _has(self._highest, low, high):
            return True
        # Each end has all values where they are few.
        return self._count > _AT_EITHER_END and low <= self._highest[0] and self._lowest[-1] <= high


def _has(values: list[bytes], low: bytes, high: bytes) -> bool:
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high


def _in_order(number: int) -> bytes:
    """Return bytes that compare as numbers of 64 bits do."""
    return (number + (1 << 63)).to_bytes(8, "big")
