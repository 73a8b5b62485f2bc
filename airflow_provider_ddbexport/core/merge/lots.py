"""Which parts of the base become one: each merge takes rows out of them and adds small ones, so they are gathered.

A part is small below half of what a conversion would make of so many rows. Small parts of one partition are gathered,
in their order, where they come to more than that, or are several: so each row is written again few times, and there are
never many more parts than a conversion makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_ddbexport.core.snapshot.plan import Target, shard_bytes
from airflow_provider_ddbexport.core.snapshot.record import Part

_SMALL = 0.5
"""Of a part's rows or bytes."""

_SEVERAL = 4
"""Small parts that are gathered, whatever they come to."""

Lot = tuple[int, ...]
"""Numbers of parts that become one, or of one that stays one."""


@dataclass(slots=True)
class _Open:
    """Small parts of a partition under way."""

    numbers: list[int] = field(default_factory=list)
    rows: int = 0
    size: int = 0


def lots_of(parts: Sequence[Part], target: Target) -> tuple[Lot, ...]:
    """Return the lots of *parts*, ordered by the first part of each. Depends on nothing but their rows and sizes."""
    whole_bytes = shard_bytes(sum(part.size for part in parts), target.part_bytes)
    lots: list[Lot] = []
    open_lots: dict[tuple[str | None, ...], _Open] = {}

    def share(rows: int, size: int) -> float:
        return max(rows / target.rows_per_part, size / whole_bytes)

    def close(lot: _Open) -> None:
        if len(lot.numbers) >= _SEVERAL or share(lot.rows, lot.size) >= _SMALL:
            lots.append(tuple(lot.numbers))
        else:
            lots.extend((number,) for number in lot.numbers)

    for number, part in enumerate(parts):
        if share(part.rows, part.size) >= _SMALL:
            lots.append((number,))
            continue
        lot = open_lots.setdefault(part.partition, _Open())
        if share(lot.rows + part.rows, lot.size + part.size) > 1:
            close(lot)
            lot = open_lots[part.partition] = _Open()
        lot.numbers.append(number)
        lot.rows += part.rows
        lot.size += part.size
    for lot in open_lots.values():
        close(lot)
    return tuple(sorted(lots))
