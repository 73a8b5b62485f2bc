"""A table on a simulated clock: segments that scan it within a budget, and what it was charged, to the instant."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_ddbexport.core.scan.budget import PageCost, ReadBudget, Reservation


@dataclass
class Charges:
    """Units a table charged.

    Attributes:
        entries: (second, units), in no order.
        throttled: pages refused.
    """

    entries: list[tuple[float, float]] = field(default_factory=list)
    throttled: int = 0

    def most_in(self, window_s: float) -> float:
        """Return the most units that any *window_s* seconds contain."""
        entries = sorted(self.entries)
        most = total = 0.0
        start = 0
        for at, units in entries:
            total += units
            while entries[start][0] <= at - window_s:
                total -= entries[start][1]
                start += 1
            most = max(most, total)
        return most

    def between(self, start: float, end: float) -> float:
        return sum(units for at, units in self.entries if start <= at < end)


def simulate(
    rate_rcu: float,
    item_bytes: int | Callable[[random.Random], int],
    *,
    duration_s: float,
    segments: int = 8,
    latency_s: float = 0.02,
    is_consistent: bool = False,
    capacity_rcu: Callable[[float], float] | None = None,
    seed: int = 1,
) -> Charges:
    """Scan an endless table for *duration_s* with *segments* at once.

    A page takes *latency_s* give or take a half, is charged at any instant of that, and holds at most 1 MB and the
    item that reaches it. *capacity_rcu* tells what the table delivers in the second that begins then; more is refused.
    """
    chance = random.Random(seed)
    budget, cost, charges = ReadBudget(rate_rcu, now=0.0), PageCost(is_consistent=is_consistent), Charges()
    order = itertools.count()
    events: list[tuple[float, int, Callable[[float], None]]] = []
    delivered: dict[int, float] = {}

    def at(when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(order), what))

    def page_of(limit: int | None) -> tuple[int, int]:
        if isinstance(item_bytes, int):
            items = min(limit or 1 << 20, -(-(1 << 20) // item_bytes))
            return items * item_bytes, items
        size = items = 0
        while (limit is None or items < limit) and size < 1 << 20:
            size += item_bytes(chance)
            items += 1
        return size, items

    def ask(now: float) -> None:
        limit = cost.limit((budget.pace_rcu or 0.0) * 0.25)
        granted = budget.reserve(cost.expected(limit), now)
        if not isinstance(granted, Reservation):
            at(now + max(min(granted, 1.0), 1e-6), ask)
            return
        size, items = page_of(limit)
        units = -(-size // 4096) * (1.0 if is_consistent else 0.5)
        took = latency_s * chance.uniform(0.5, 1.5)
        charged_at = now + took * chance.random()
        second = int(charged_at)
        if capacity_rcu is not None and delivered.get(second, 0.0) >= capacity_rcu(second):
            charges.throttled += 1
            at(now + took, lambda then: refused(granted, then))
            return
        delivered[second] = delivered.get(second, 0.0) + units
        charges.entries.append((charged_at, units))
        at(now + took, lambda then: arrived(granted, items, units, then))

    def refused(granted: Reservation, now: float) -> None:
        granted.refuse(now)
        at(now + chance.uniform(0.1, 0.2), ask)

    def arrived(granted: Reservation, items: int, units: float, now: float) -> None:
        granted.settle(units, now)
        cost.observe(items, units)
        ask(now)

    for _ in range(segments):
        at(0.0, ask)
    while events and events[0][0] < duration_s:
        now, _, what = heapq.heappop(events)
        what(now)
    return charges
