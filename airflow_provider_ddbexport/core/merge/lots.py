"""Which parts of the base become one: each merge takes rows out of them and adds small ones, so they are gathered.

A part is small below half of what a conversion would make of so many rows. Small parts of one partition are gathered,
in their order, where they come to more than that, or are several. One that has most of the rows waits until the others
have half as many: so each row is written again few times, and there are never many more parts than a conversion makes.
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


_OUTWEIGHS = 2
"""Times all the others together, at which a part is not written again for them."""


@dataclass(slots=True)
class _Open:
    """Small parts of a partition under way: the share of a whole part that each has, by number."""

    shares: dict[int, float] = field(default_factory=dict)

    def gathered(self) -> list[int]:
        """Return those that become one; none where that has to wait."""
        left = sorted(self.shares, key=self.shares.__getitem__)
        total = sum(self.shares.values())
        while left and self.shares[left[-1]] > _OUTWEIGHS * (total - self.shares[left[-1]]):
            total -= self.shares[left.pop()]
        return sorted(left) if len(left) >= _SEVERAL or total >= _SMALL else []


def lots_of(parts: Sequence[Part], target: Target) -> tuple[Lot, ...]:
    """Return the lots of *parts*, ordered by the first part of each. Depends on nothing but their rows and sizes."""
    whole_bytes = shard_bytes(sum(part.size for part in parts), target.part_bytes)
    lots: list[Lot] = []
    open_lots: dict[tuple[str | None, ...], _Open] = {}

    def close(lot: _Open) -> None:
        together = lot.gathered()
        lots.extend((number,) for number in lot.shares if number not in together)
        if together:
            lots.append(tuple(together))

    for number, part in enumerate(parts):
        share = max(part.rows / target.rows_per_part, part.size / whole_bytes)
        if share >= _SMALL:
            lots.append((number,))
            continue
        lot = open_lots.setdefault(part.partition, _Open())
        if sum(lot.shares.values()) + share > 1:
            close(lot)
            lot = open_lots[part.partition] = _Open()
        lot.shares[number] = share
    for lot in open_lots.values():
        close(lot)
    return tuple(sorted(lots))
