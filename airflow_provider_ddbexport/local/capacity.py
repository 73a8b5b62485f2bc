"""Read and write capacity: what a call costs, and what a provisioned table can still spend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from airflow_provider_ddbexport.local.wire import AwsError

_READ_UNIT_BYTES = 4096
_WRITE_UNIT_BYTES = 1024


def read_units(size: int, *, consistent: bool) -> float:
    """Return the units of reading *size* bytes at once; an item that is not there costs as much as the smallest."""
    units = max(1, math.ceil(size / _READ_UNIT_BYTES))
    return float(units) if consistent else units / 2


def write_units(before: int, after: int) -> float:
    """Return the units of a write that turned *before* bytes into *after*."""
    return float(max(1, math.ceil(max(before, after) / _WRITE_UNIT_BYTES)))


def consumed(requested: str | None, table: str, units: float, *, index: str | None = None) -> dict[str, Any] | None:
    """Return ConsumedCapacity as *requested* by ReturnConsumedCapacity, or None for NONE.

    Raises AwsError(ValidationException) when it is none of NONE, TOTAL and INDEXES.
    """
    if requested not in {None, "NONE", "TOTAL", "INDEXES"}:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{requested}' at 'returnConsumedCapacity' failed to satisfy "
            "constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]",
        )
    if requested in {None, "NONE"}:
        return None
    found: dict[str, Any] = {"TableName": table, "CapacityUnits": units}
    if requested == "INDEXES":
        found["Table"] = {"CapacityUnits": 0.0 if index else units}
        if index:
            found["GlobalSecondaryIndexes"] = {index: {"CapacityUnits": units}}
    return found


class TokenBucket:
    """Units that come back at a steady rate and pile up to a limit.

    A caller is let in while there is anything left, and then pays all it used: so the bucket may go below zero, as
    DynamoDB lets a page through whose size it did not know before.
    """

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._at = elapsed_s()
        self._left: float | None = None

    def left(self, rate_per_s: float, limit: float) -> float:
        """Return what there is to spend; a new bucket is full."""
        now = self._elapsed_s()
        left = limit if self._left is None else self._left + (now - self._at) * rate_per_s
        self._at, self._left = now, min(left, limit)
        return self._left

    def spend(self, units: float) -> None:
        """Take *units* out; call :meth:`left` first."""
        self._left = (self._left or 0.0) - units

    def take(self, rate_per_s: float, limit: float) -> bool:
        """Take one unit if there is a whole one, and return whether there was."""
        if self.left(rate_per_s, limit) < 1:
            return False
        self.spend(1)
        return True
