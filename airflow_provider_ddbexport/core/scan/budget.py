"""One read budget for everything that scans: how many read capacity units may be spent, and when.

Two rules are kept at once. A token bucket makes spending even: half a second's worth may be spent at once, and what a
page cost more than it was expected to is owed. A ledger of what was spent makes the budget hold: no
:data:`WINDOW_S` seconds, wherever they begin, contain more than :data:`TOLERANCE` times the budget. The ledger takes
each page as spent all the time from its request to its answer, because nobody but DynamoDB knows when in between.

Nothing here waits or reads a clock; :mod:`.pacing` does.
"""

from __future__ import annotations

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
    """Units set aside for one page. End it once, by :meth:`settle` or :meth:`refund`."""

    __slots__ = ("_budget", "units")

    def __init__(self, budget: ReadBudget, units: float) -> None:
        self._budget = budget
        self.units = units

    def settle(self, units: float, now: float) -> None:
        """Record that the page came and cost *units*."""
        self._budget._settle(self.units, units, now)

    def refund(self, now: float) -> None:
        """Record that nothing was spent: DynamoDB does not charge what it throttles."""
        self._budget._settle(self.units, 0.0, now)


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
        self._throttled_at = now
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

    def throttled(self, now: float) -> None:
        """Lower the pace, at most once a second, because DynamoDB refused what the budget allowed."""
        if now - self._throttled_at >= 1.0 or self.share == 1.0:
            self.share = max(self.share * 0.7, _LEAST_SHARE)
        self._throttled_at = self._raised_at = now

    def set_rate(self, rate_rcu: float | None, now: float) -> None:
        """Go on with another budget; what was spent in the window still counts."""
        if self.rate_rcu is not None:
            self._refill(now)
        self._at = now
        self.rate_rcu = rate_rcu

    def _refill(self, now: float) -> None:
        if self.share < 1.0 and now - self._raised_at >= _RECOVERY_S:
            self.share = min(1.0, self.share * 1.25)
            self._raised_at = now
        pace = (self.rate_rcu or 0.0) * self.share
        self._tokens = min(self._tokens + (now - self._at) * pace, pace * BURST_S)
        self._at = now
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

    def _settle(self, reserved: float, units: float, now: float) -> None:
        self._reserved = max(self._reserved - reserved, 0.0)
        self.spent += units
        if self.rate_rcu is None:
            return
        self._tokens += reserved - units
        if units:
            self._window.append((now, units))
            self._window_units += units


class PageCost:
    """What pages cost, from what they did cost; decides how many items a page may hold. Not thread-safe.

    DynamoDB charges a page by the sum of its items' sizes, before any filter: half a unit for each 4 KB begun, a whole
    one when consistent.
    """

    _ITEM_BYTES = 400 * 1024
    _PAGE_BYTES = 1 << 20
    _GROWTH = 8

    def __init__(self, *, is_consistent: bool) -> None:
        self._unit_step = 1.0 if is_consistent else 0.5
        # A page ends with the item that reaches 1 MB.
        self.largest_page = self._units_of(self._PAGE_BYTES + self._ITEM_BYTES)
        self._largest_item = self._units_of(self._ITEM_BYTES)
        self._item: float | None = None
        self._deviation = 0.0
        self._page_units = 0.0
        self._most_items = 0
        self._is_full = False

    def _units_of(self, size: int) -> float:
        return -(-size // 4096) * self._unit_step

    @property
    def is_known(self) -> bool:
        """Whether a page was seen; until then one page at a time finds out."""
        return self._item is not None

    def limit(self, page_units: float | None) -> int | None:
        """Return the ``Limit`` that keeps a page near *page_units*, None where any page does."""
        if page_units is None or page_units >= self.largest_page:
            return None
        if self._item is None:
            return max(1, int(page_units / self._largest_item))
        if self._is_full and self._page_units <= page_units:
            return None
        wanted = int(page_units / (self._item + self._deviation)) if self._item + self._deviation else 1_000_000
        return max(1, min(wanted, self._most_items * self._GROWTH))

    def expected(self, limit: int | None) -> float:
        """Return units to reserve for a page of at most *limit* items: rather too many than too few."""
        if self._item is None:
            return self.largest_page if limit is None else min(limit * self._largest_item, self.largest_page)
        if limit is None:
            # The largest page seen lately, because full pages are all alike.
            return min(self._page_units + self._unit_step, self.largest_page) if self._is_full else self.largest_page
        return min(limit * self._item + self._deviation * max(limit, 1) ** 0.5 + self._unit_step, self.largest_page)

    def observe(self, scanned_items: int, units: float, limit: int | None) -> None:
        """Take in what a page of *scanned_items* cost."""
        if not scanned_items:
            if self._item is None:
                self._item, self._most_items = 0.0, 1
            return
        item = units / scanned_items
        if self._item is None:
            self._item = item
        self._deviation += 0.2 * (abs(item - self._item) - self._deviation)
        self._item += 0.2 * (item - self._item)
        self._most_items = max(self._most_items, scanned_items)
        if limit is None or (scanned_items < limit and units >= 0.7 * self._units_of(self._PAGE_BYTES)):
            self._is_full = True
        self._page_units = max(units, 0.9 * self._page_units)


RateReader = Callable[[], float | None]
"""Returns the budget as it is now, units a second; None means no budget."""
