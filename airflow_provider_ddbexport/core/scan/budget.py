"""One read budget for everything that scans: how many read capacity units may be spent, and when.

Two rules are kept at once. A token bucket makes spending even: half a second's worth may be spent at once, and what a
page cost more than it was expected to is owed. A ledger of what was spent makes the budget hold: no
:data:`WINDOW_S` seconds, wherever they begin, contain more than :data:`TOLERANCE` times the budget. The ledger takes
each page as spent all the time from its request to its answer, because nobody but DynamoDB knows when in between.

Nothing here waits or reads a clock; :mod:`.pacing` does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

WINDOW_S = 10.0
TOLERANCE = 1.03
"""Of the 5 % that may be exceeded, 2 % are left to pages that cost more than was reserved for them."""
BURST_S = 0.5
_SOON_S = 0.01
_LEAST_SHARE = 0.05
_RECOVERY_S = 5.0


class Reservation:
    """Units set aside for one page. End it once, by :meth:`settle` or :meth:`refuse`."""

    __slots__ = ("_budget", "units")

    def __init__(self, budget: ReadBudget, units: float) -> None:
        self._budget = budget
        self.units = units

    def settle(self, units: float, now: float) -> None:
        """Record that the page came and cost *units*."""
        self._budget._settle(self.units, units, now)

    def refuse(self, now: float) -> None:
        """Record that DynamoDB throttled the page: nothing was spent, and the pace is lowered.

        The bucket does not get the units back: asking again is paced as asking is.
        """
        self._budget._settle(self.units, 0.0, now, is_refused=True)


class ReadBudget:
    """Grants reservations so that *rate_rcu* units a second are kept. Not thread-safe: its owner locks.

    Times are seconds of any monotonic clock.

    Attributes:
        rate_rcu: the budget, units a second; None means no budget, everything is granted.
        spent: units settled so far.
        share: of the budget that is used at the moment, lowered while DynamoDB throttles.
    """

    def __init__(self, rate_rcu: float | None, *, now: float) -> None:
        self.rate_rcu = rate_rcu
        self.spent = 0.0
        self.share = 1.0
        self._tokens = 0.0
        self._at = now
        self._reserved = 0.0
        self._window: deque[tuple[float, float]] = deque()
        self._window_units = 0.0
        self._lowered_at = now - 1.0
        self._raised_at = now

    @property
    def pace_rcu(self) -> float | None:
        """Units a second aimed at now."""
        return None if self.rate_rcu is None else self.rate_rcu * self.share

    def window_units(self) -> float | None:
        """Return the most units that any :data:`WINDOW_S` seconds may contain; None without a budget."""
        return None if self.rate_rcu is None else self.rate_rcu * WINDOW_S * TOLERANCE

    def reserve(self, units: float, now: float) -> Reservation | float:
        """Return a reservation of *units*, or the seconds after which to ask again.

        A page that costs more than the whole window allows is granted when nothing else is in the window.
        """
        if self.rate_rcu is None:
            self._reserved += units
            return Reservation(self, units)
        self._refill(now)
        pace = self.rate_rcu * self.share
        wait = max(self._window_wait(units, now), (min(units, pace * BURST_S) - self._tokens) / pace)
        # Ages of floating point sums: a billionth of a second is no wait.
        if wait > 1e-9:
            return wait
        self._tokens -= units
        self._reserved += units
        return Reservation(self, units)

    def set_rate(self, rate_rcu: float | None, now: float) -> None:
        """Go on with another budget; what was spent in the window still counts."""
        if self.rate_rcu is not None:
            self._refill(now)
        self._at = now
        self._forget(now)
        self.rate_rcu = rate_rcu

    def _refill(self, now: float) -> None:
        if self.share < 1.0 and now - self._raised_at >= _RECOVERY_S:
            self.share = min(1.0, self.share * 1.25)
            self._raised_at = now
        pace = (self.rate_rcu or 0.0) * self.share
        self._tokens = min(self._tokens + (now - self._at) * pace, pace * BURST_S)
        self._at = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._window and self._window[0][0] <= now - WINDOW_S:
            self._window_units -= self._window.popleft()[1]
        if not self._window:
            self._window_units = 0.0

    def _window_wait(self, units: float, now: float) -> float:
        allowed = (self.window_units() or 0.0) - units - self._reserved
        excess = self._window_units - allowed
        if excess <= 1e-9 or not (self._window or self._reserved):
            return 0.0
        for settled_at, spent in self._window:
            excess -= spent
            if excess <= 1e-9:
                return settled_at + WINDOW_S - now
        # What is in the way is under way still, or this page is larger than the window: it goes when it is alone.
        return self._window[-1][0] + WINDOW_S - now if self._window and not self._reserved else _SOON_S

    def _settle(self, reserved: float, units: float, now: float, *, is_refused: bool = False) -> None:
        self._reserved = max(self._reserved - reserved, 0.0)
        self.spent += units
        if is_refused:
            # Once a second: the pages under way were asked for at the old pace.
            if now - self._lowered_at >= 1.0:
                self.share = max(self.share * 0.7, _LEAST_SHARE)
                self._lowered_at = now
            self._raised_at = now
            return
        if self.rate_rcu is None:
            # There may be a budget soon, and what is spent until then counts.
            self._forget(now)
        else:
            self._tokens += reserved - units
        if units:
            self._window.append((now, units))
            self._window_units += units


def most_shards(rate_rcu: float | None, *, is_consistent: bool) -> int | None:
    """Return how many processes may divide the budget among them; None for any number.

    Each must be able to pay for the largest item there can be in every window: what a page costs beyond that is granted
    all the same, and all of them together would overspend.
    """
    if rate_rcu is None:
        return None
    largest_item = PageCost(is_consistent=is_consistent).expected(1)
    return max(1, int(rate_rcu * WINDOW_S * TOLERANCE / largest_item))


class PageCost:
    """What pages cost, from what they did cost; decides how many items a page may hold. Not thread-safe.

    DynamoDB charges a page by the sum of its items' sizes, before any filter: half a unit for each 4 KB begun, a whole
    one when consistent. A page ends with the item that reaches 1 MB.
    """

    _ITEM_BYTES = 400 * 1024
    _PAGE_BYTES = 1 << 20
    _GROWTH = 8
    _WEIGHT = 0.2

    def __init__(self, *, is_consistent: bool) -> None:
        self._step = 1.0 if is_consistent else 0.5
        self._full_page = self._units_of(self._PAGE_BYTES)
        self._largest_item = self._units_of(self._ITEM_BYTES)
        self._item: float | None = None
        self._deviation = 0.0
        self._most_items = 1

    def _units_of(self, size: int) -> float:
        return -(-size // 4096) * self._step

    def _item_units(self) -> float:
        return self._largest_item if self._item is None else min(self._item + self._deviation, self._largest_item)

    def limit(self, page_units: float | None) -> int | None:
        """Return the ``Limit`` that keeps a page near *page_units*, None where any page does.

        Before the first page is seen, every item counts as if it were as large as items can be.
        """
        item = self._item_units()
        if page_units is None or page_units >= self._full_page + item:
            return None
        wanted = max(1, int(page_units / item)) if item else self._most_items * self._GROWTH
        return wanted if self._item is None else min(wanted, self._most_items * self._GROWTH)

    def expected(self, limit: int | None) -> float:
        """Return units to reserve for a page of at most *limit* items: rather too many than too few."""
        full_page = self._full_page + self._item_units()
        if limit is None:
            return full_page
        if self._item is None:
            return min(limit * self._largest_item, full_page)
        spread = 1.5 * self._deviation * math.sqrt(limit)
        return min(limit * self._item + spread + self._step, full_page)

    def observe(self, scanned_items: int, units: float) -> None:
        """Take in what a page of *scanned_items* cost. Empty pages cost something too, and tell nothing of items."""
        if not scanned_items:
            return
        item = units / scanned_items
        if self._item is None:
            self._item = item
        # A page's mean deviates by the root of its items less than an item does.
        self._deviation += self._WEIGHT * (abs(item - self._item) * math.sqrt(scanned_items) - self._deviation)
        self._item += self._WEIGHT * (item - self._item)
        self._most_items = max(self._most_items, scanned_items)


RateReader = Callable[[], float | None]
"""Returns the budget as it is now, units a second; None means no budget."""
