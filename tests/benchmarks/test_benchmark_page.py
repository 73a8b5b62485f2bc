"""The page that the benchmarks write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.results import Results, goals
from page import write_section


def test_a_benchmark_writes_its_own_section_and_leaves_the_others(tmp_path: Path) -> None:
    """What the page had before and after the section stays to the letter."""
    page = tmp_path / "benchmarks.md"
    for name in ("scan", "convert", "merge"):
        write_section(name, f"## {name}\nfirst", page)
    before = page.read_text()
    assert before.startswith("# Benchmarks\n")
    write_section("convert", "## convert\nsecond \\1", page)
    assert page.read_text() == before.replace("## convert\nfirst", "## convert\nsecond \\1")
    write_section("convert", "## convert\nfirst", page)
    assert page.read_text() == before


def case(engine: str, corpus: str, mb_per_s: float, checksum: str, **more: Any) -> dict[str, Any]:
    """Return a case as the benchmark measures it."""
    figures = {"mb_per_s": mb_per_s, "mb_per_core_s": mb_per_s, "peak_mb": 100, "checksum": ["10", checksum]}
    return {"part": "engines", "engine": engine, "corpus": corpus, "workers": 2, **figures, **more}


def test_engines_that_wrote_other_rows_are_named() -> None:
    """One checksum that differs is enough; an engine that failed or a floor has none."""
    same = [case("ddbexport", "reviews", 300, "7"), case("DuckDB", "reviews", 80, "7")]
    floor = case("floor: gunzip", "reviews", 900, "") | {"checksum": []}
    failed = {"part": "engines", "engine": "Polars", "corpus": "reviews", "workers": 2, "failed": "no word"}
    assert Results("here", 1.0, [*same, floor, failed]).disagreements() == []
    ((corpus, checksums),) = Results("here", 1.0, [*same, case("Spark", "reviews", 30, "8")]).disagreements()
    assert corpus == "reviews"
    assert checksums["Spark"] == ["10", "8"]


def test_what_was_asked_for_is_met_missed_or_not_measured() -> None:
    """A peer that is not there is no peer beaten."""
    results = Results("here", 1.0, [case("ddbexport", "reviews", 300, "7"), case("DuckDB", "reviews", 150, "7")])
    verdicts = {line[:12].strip() + line[12:].partition(":")[0] for line in goals(results)}
    assert {
        "met reviews, MB/s per core",
        "NOT MET reviews, times DuckDB",
        "not measured reviews, times Spark",
    } <= verdicts
