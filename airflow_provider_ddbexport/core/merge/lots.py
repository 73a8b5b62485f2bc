"""Which parts of the base become one, and which of them are merged together.

Each merge takes rows out of the base's parts and adds small ones, so they are gathered.

A part is small below half of what a conversion would make of so many rows. Small parts of one partition are gathered,
in their order, where they come to more than that, or are several; not those that a conversion leaves, one of each of
its shards, which would be all of the table. One that has most of the rows waits until the others have half as many: so
each row is written again few times, and there are never many more parts than a conversion makes.

A table that is partitioned by day has hundreds of parts of less than a megabyte, so lots are merged in shards.
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

_SHARD_BYTES = 16 << 20
_SHARD_PARTS = 64
"""What a shard has at most, unless it is one lot: enough to be worth a task and a record, and soon done again."""

Lot = tuple[int, ...]
"""Numbers of parts that become one, or of one that stays one."""

LotShard = tuple[int, ...]
"""Numbers of lots that are merged together, in their order."""


_OUTWEIGHS = 2
"""Times all the others together, at which a part is not written again for them."""


@dataclass(slots=True)
class _Open:
    """Small parts of a partition under way.

    Attributes:
        usual: how many of them a conversion would have left.
        shares: of a whole part, that each has, by number.
    """

    usual: int
    shares: dict[int, float] = field(default_factory=dict)

    def gathered(self) -> list[int]:
        """Return those that become one; none where that has to wait."""
        left = sorted(self.shares, key=self.shares.__getitem__)
        total = sum(self.shares.values())
        while left and self.shares[left[-1]] > _OUTWEIGHS * (total - self.shares[left[-1]]):
            total -= self.shares[left.pop()]
        more = min(len(left), len(self.shares) - self.usual)
        return sorted(left) if more >= _SEVERAL or (more > 0 and total >= _SMALL) else []


def lots_of(parts: Sequence[Part], target: Target) -> tuple[Lot, ...]:
    """Return the lots of *parts*, ordered by the first part of each. Depends on nothing but their rows and sizes."""
    size = sum(part.size for part in parts)
    whole_bytes = shard_bytes(size, target.part_bytes)
    shards = max(-(-size // whole_bytes), -(-sum(part.rows for part in parts) // target.rows_per_part))
    usual = shards if target.options.partition_by else 0
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
        lot = open_lots.setdefault(part.partition, _Open(usual))
        if sum(lot.shares.values()) + share > 1:
            close(lot)
            lot = open_lots[part.partition] = _Open(max(0, lot.usual - len(lot.shares)))
        lot.shares[number] = share
    for lot in open_lots.values():
        close(lot)
    return tuple(sorted(lots))


def lot_shards(parts: Sequence[Part], lots: Sequence[Lot]) -> tuple[LotShard, ...]:
    """Return the shards of *lots*, in their order. Depends on nothing but the sizes of *parts*, which they are of."""
    shards: list[LotShard] = []
    members: list[int] = []
    size = count = 0
    for number, lot in enumerate(lots):
        lot_bytes = sum(parts[part].size for part in lot)
        if members and (size + lot_bytes > _SHARD_BYTES or count + len(lot) > _SHARD_PARTS):
            shards.append(tuple(members))
            members, size, count = [], 0, 0
        members.append(number)
        size += lot_bytes
        count += len(lot)
    return (*shards, tuple(members)) if members else ()
