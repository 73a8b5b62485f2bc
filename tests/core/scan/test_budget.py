"""The read budget, on a simulated clock."""

from __future__ import annotations

import random

import pytest
from simulated_table import simulate

from airflow_provider_ddbexport.core.scan.budget import PageCost, ReadBudget, Reservation

RATES = (5.0, 25.0, 100.0, 1_000.0, 10_000.0)
ITEM_BYTES = (100, 4_000, 40_000, 400_000)
WINDOWS_S = (10.0, 30.0, 60.0)


@pytest.mark.parametrize("item_bytes", ITEM_BYTES)
@pytest.mark.parametrize("rate", RATES)
def test_every_window_is_within_the_budget_and_the_budget_is_used(rate: float, item_bytes: int) -> None:
    """Any 10, 30 or 60 s, from the first page on, cost at most 105 % of the budget; in all, 90 % of it are used."""
    charges = simulate(rate, item_bytes, duration_s=120.0, segments=12)
    for window_s in WINDOWS_S:
        assert charges.most_in(window_s) <= 1.05 * rate * window_s, window_s
        starts = [start * window_s for start in range(int(120 / window_s))]
        used = sum(charges.between(start, start + window_s) for start in starts)
        assert used >= 0.90 * rate * window_s * len(starts), window_s


@pytest.mark.parametrize("latency_s", [0.005, 0.2, 1.0])
@pytest.mark.parametrize("is_consistent", [False, True])
def test_the_budget_holds_whatever_the_latency(latency_s: float, is_consistent: bool) -> None:
    """Pages under way, whose instant of charging nobody knows, do not break the budget."""
    charges = simulate(500.0, 2_000, duration_s=120.0, segments=32, latency_s=latency_s, is_consistent=is_consistent)
    assert charges.most_in(10.0) <= 1.05 * 5_000.0
    assert charges.between(10.0, 110.0) >= 0.90 * 50_000.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_items_of_very_different_sizes_do_not_break_the_budget(seed: int) -> None:
    """Nine items of ten are small, the tenth is 200 times as large: what pages will cost is never known."""

    def item_bytes(chance: random.Random) -> int:
        return 100_000 if chance.random() < 0.1 else 500

    charges = simulate(200.0, item_bytes, duration_s=120.0, segments=16, seed=seed)
    assert charges.most_in(10.0) <= 1.05 * 2_000.0
    assert charges.between(0.0, 120.0) >= 0.90 * 200.0 * 120.0


def test_the_number_of_segments_does_not_multiply_the_budget() -> None:
    """One segment or 200 spend the same."""
    for segments in (1, 200):
        charges = simulate(300.0, 1_000, duration_s=60.0, segments=segments)
        assert charges.most_in(10.0) <= 1.05 * 3_000.0
        assert charges.between(0.0, 60.0) >= 0.90 * 300.0 * 60.0


def test_a_table_that_delivers_less_is_asked_for_less_and_then_for_all_again() -> None:
    """While the table throttles, refusals stay few beside pages; when it recovers, the budget is used again."""
    charges = simulate(
        1_000.0,
        4_000,
        duration_s=300.0,
        segments=16,
        capacity_rcu=lambda second: 300.0 if 60 <= second < 120 else 5_000.0,
    )
    assert charges.throttled > 0
    assert charges.throttled < len([at for at, _ in charges.entries if 60 <= at < 120]) * 2
    assert charges.between(200.0, 300.0) >= 0.90 * 100_000.0


def test_a_page_is_limited_to_what_the_budget_has() -> None:
    """Limit shrinks where a full page is more than a quarter of a second's budget, and is left out where it is not."""
    cost = PageCost(is_consistent=False)
    assert cost.limit(10.0) == 1
    cost.observe(1, 0.5)
    assert cost.limit(1.25) == 2
    assert cost.limit(1_000.0) is None


def test_capacity_that_changes_changes_the_budget_at_once() -> None:
    """After set_rate the window holds no more than the new budget allows."""
    budget = ReadBudget(100.0, now=0.0)
    granted = budget.reserve(50.0, 1.0)
    assert isinstance(granted, Reservation)
    granted.settle(50.0, 1.0)
    budget.set_rate(5.0, 1.0)
    assert budget.reserve(10.0, 2.0) == pytest.approx(9.0, abs=2.0)
    budget.set_rate(None, 2.0)
    assert isinstance(budget.reserve(1e9, 2.0), Reservation)


def test_what_was_spent_without_a_budget_counts_when_there_is_one() -> None:
    """A table that is switched from on demand to provisioned: ten seconds across the switch are within it, or no page
    comes until they are; and what is long past is forgotten."""
    budget = ReadBudget(None, now=0.0)
    for second in range(60):
        granted = budget.reserve(100.0, float(second))
        assert isinstance(granted, Reservation)
        granted.settle(100.0, float(second))
    assert len(budget._window) <= 11
    budget.set_rate(100.0, 59.0)
    wait = budget.reserve(100.0, 59.5)
    assert isinstance(wait, float)
    assert isinstance(budget.reserve(50.0, 69.0), Reservation)
