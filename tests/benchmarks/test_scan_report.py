"""What the scan benchmark says of its figures."""

from __future__ import annotations

from typing import Any

import pytest
from scan.clients import OURS, OURS_BACKUP, OURS_PARQUET, OURS_TABLE, REFERENCE
from scan.report import markdown, targets


def case(client: str, segments: int, latency_ms: int = 0, **more: Any) -> dict[str, Any]:
    """Return a case as the benchmark measures it."""
    figures = {"mb_s": 6.0, "peak_mb": 100.0, "pages": 240, "runs": 3}
    return {"client": client, "segments": segments, "latency_ms": latency_ms, **figures, **more}


def figures(clients: list[dict[str, Any]], memory: list[dict[str, Any]]) -> dict[str, Any]:
    return {"machine": "here", "repeat": 3, "clients": clients, "memory": memory, "speed_up": [], "budgets": []}


def missed(found: dict[str, Any]) -> set[str]:
    return {claim for claim, *_, is_met in targets(found) if not is_met}


@pytest.mark.parametrize("client", [OURS, OURS_TABLE, OURS_BACKUP, OURS_PARQUET])
def test_the_memory_of_each_of_our_ways_counts(client: str) -> None:
    """At 16 segments, in either part of the benchmark; what others take is theirs."""
    large, small = case(client, 16, peak_mb=251.0), case(client, 16, peak_mb=249.0, mb_s=900.0)
    of_others = case(REFERENCE, 16, peak_mb=900.0)
    assert any(claim.startswith("MB of memory") for claim in missed(figures([large, of_others], [])))
    assert any(claim.startswith("MB of memory") for claim in missed(figures([], [large])))
    assert not missed(figures([small, of_others], [small]))


def test_memory_that_grows_with_the_table_is_said() -> None:
    """The largest table against the smallest, of the way that grows most."""
    flat = [case(OURS_BACKUP, 16, pages=pages, peak_mb=150.0) for pages in (240, 2_000)]
    growing = [case(OURS_PARQUET, 16, pages=pages, peak_mb=100 + pages / 50) for pages in (240, 960, 2_000)]
    assert not missed(figures([], flat))
    assert missed(figures([], [*flat, *growing])) == {"times the memory of the smallest table, for the largest"}


def test_times_are_of_one_segment_at_the_same_latency() -> None:
    """Of the boto3 client."""
    clients = [case(REFERENCE, 1, 0), case(REFERENCE, 1, 10, mb_s=3.0), case(OURS_TABLE, 16, 10, mb_s=150.0)]
    page = markdown(figures(clients, []), None)
    (row,) = [line for line in page.partition("### Times")[2].splitlines() if line.startswith(f"| {OURS_TABLE}")]
    assert "50.0" in row
