"""The figures of a run of the benchmark, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convert.engines import OURS, PLAIN_PYTHON, REFERENCE

PEERS = ("DuckDB", "Polars", "Spark")


@dataclass(frozen=True)
class Results:
    """What was measured.

    Attributes:
        machine: where, in words.
        cases: as ``bench_convert.py`` measured them, in order.
    """

    machine: str
    scale: float
    cases: list[dict[str, Any]]

    def part(self, name: str) -> list[dict[str, Any]]:
        """Return the cases of one part that did not fail."""
        return [case for case in self.cases if case["part"] == name and "failed" not in case]

    def figure(self, engine: str, corpus: str, name: str) -> float:
        """Return what was measured of *engine* on *corpus*; not a number where it was not."""
        for case in self.part("engines"):
            if (case["engine"], case["corpus"]) == (engine, corpus):
                return float(case[name])
        return float("nan")

    def problems(self) -> list[str]:
        """Return why the figures are not to be shown: ours failed somewhere, or not all engines wrote the same."""
        ours = [case for case in self.cases if case["engine"] == OURS]
        found = [f"{case['corpus']}: {OURS} failed: {case['failed']}" for case in ours if "failed" in case]
        found += [f"{corpus}: the engines disagree: {checksums}" for corpus, checksums in self.disagreements()]
        unchecked = sorted({case["corpus"] for case in ours if case.get("checksum") == []})
        if unchecked:
            found.append(f"{', '.join(unchecked)}: nothing tells whether the engines wrote the same; DuckDB is needed")
        return found

    def disagreements(self) -> list[tuple[str, dict[str, list[str]]]]:
        """Return the corpora of which not all engines wrote the same, with the checksums."""
        found: dict[str, dict[str, list[str]]] = {}
        for case in self.part("engines"):
            if case["checksum"]:
                found.setdefault(case["corpus"], {})[case["engine"]] = case["checksum"]
        return [(corpus, sums) for corpus, sums in found.items() if len(set(map(tuple, sums.values()))) > 1]


def goals(results: Results) -> Iterator[str]:
    """Yield a line for each thing asked of a conversion: whether it is met, what was found, what was wanted."""
    for claim, found, wanted, is_more_better in (*_speeds(results), *_memory(results)):
        is_met = found >= wanted if is_more_better else found <= wanted
        verdict = "not measured" if found != found else "met" if is_met else "NOT MET"  # noqa: PLR0124 (not a number)
        yield f"{verdict:<12} {claim}: {found:.2f} (wanted {wanted:g})"


Goal = tuple[str, float, float, bool]
"""Claim, found, wanted, whether more is better."""


def _speeds(results: Results) -> Iterator[Goal]:
    def per_core(engine: str, corpus: str) -> float:
        return results.figure(engine, corpus, "mb_per_core_s")

    def wall(engine: str, corpus: str) -> float:
        return results.figure(engine, corpus, "mb_per_s")

    ours = wall(OURS, "reviews")
    yield "reviews, MB/s per core", per_core(OURS, "reviews"), 150, True
    for peer, times in ((PLAIN_PYTHON, 14), ("DuckDB", 3), ("Polars", 5), ("Spark", 7)):
        yield f"reviews, times {peer}", ours / wall(peer, "reviews"), times, True
    yield "wide, MB/s per core", per_core(OURS, "wide"), 100, True
    best = max((wall(peer, "wide") for peer in PEERS if wall(peer, "wide") > 0), default=float("nan"))
    yield "wide, times the best of DuckDB, Polars and Spark", wall(OURS, "wide") / best, 8, True
    yield f"wide, times {PLAIN_PYTHON}", wall(OURS, "wide") / wall(PLAIN_PYTHON, "wide"), 5, True
    yield "many keys, MB/s per core", per_core(OURS, "many-keys"), 80, True
    for corpus in ("late-attributes", "late-type"):
        yield f"{corpus}, time of the reviews' for as much", ours / wall(OURS, corpus), 1.1, False
    slow = per_core(REFERENCE, "reviews") / per_core(PLAIN_PYTHON, "reviews")
    yield f"reference decoder, times {PLAIN_PYTHON} per core", slow, 1.2, True


def _memory(results: Results) -> Iterator[Goal]:
    most = max((case["peak_mb"] for case in results.part("engines") if case["engine"] == OURS), default=float("nan"))
    yield "MB of memory at most, any corpus", most, 350, False
    growth = {round(case["json_mb"]): case["peak_mb"] for case in results.part("growth")}
    if growth:
        largest = max(growth)
        # An eighth of it, which is 1 GB where the largest has 8.
        smaller = min(growth, key=lambda size: abs(size - largest / 8))
        claim = f"memory for {largest / 1000:.1f} GB of JSON, of that for {smaller / 1000:.1f} GB"
        yield claim, growth[largest] / growth[smaller], 1.1, False
