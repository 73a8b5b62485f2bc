"""The page that the benchmarks write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from convert.report import write_page
from convert.results import Results, goals
from merge import report as merging
from merge.floor import compress_again
from merge.orders import Day
from page import write_section

from airflow_provider_ddbexport.core.snapshot.parquet_encoding import part_writer


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
    figures = {"mb_per_s": mb_per_s, "mb_per_core_s": mb_per_s / 2, "peak_mb": 100, "seconds": 1.0, "runs": 3}
    where = {"part": "engines", "engine": engine, "corpus": corpus, "workers": 2, "json_mb": 200.0}
    return where | figures | {"checksum": ["10", checksum]} | more


def test_engines_that_wrote_other_rows_are_named() -> None:
    """One checksum that differs is enough; an engine that failed or a floor has none."""
    same = [case("ddbexport", "reviews", 300, "7"), case("DuckDB", "reviews", 80, "7")]
    floor = case("floor: gunzip", "reviews", 900, "") | {"checksum": []}
    failed = {"part": "engines", "engine": "Polars", "corpus": "reviews", "workers": 2, "failed": "no word"}
    assert Results("here", 1.0, [*same, floor, failed]).disagreements() == []
    ((corpus, checksums),) = Results("here", 1.0, [*same, case("Spark", "reviews", 30, "8")]).disagreements()
    assert corpus == "reviews"
    assert checksums["Spark"] == ["10", "8"]


def test_figures_are_not_shown_where_ours_failed_or_nothing_was_compared() -> None:
    """A peer that failed is told on the page; ours ends the run with an error, and so does a missing comparison."""
    fine = [case("ddbexport", "reviews", 300, "7"), {**case("Polars", "wide", 0, ""), "failed": "no word"}]
    assert Results("here", 1.0, fine).problems() == []
    ours = {**case("ddbexport", "wide", 0, ""), "failed": "out of memory"}
    assert Results("here", 1.0, [*fine, ours]).problems() == ["wide: ddbexport failed: out of memory"]
    alone = case("ddbexport", "late-type", 300, "") | {"checksum": []}
    (problem,) = Results("here", 1.0, [*fine, alone]).problems()
    assert problem.startswith("late-type: nothing tells")


def test_what_was_asked_for_is_met_missed_or_not_measured() -> None:
    """A peer that is not there is no peer beaten."""
    results = Results("here", 1.0, [case("ddbexport", "reviews", 300, "7"), case("DuckDB", "reviews", 150, "7")])
    verdicts = {line[:12].strip() + line[12:].partition(":")[0] for line in goals(results)}
    assert {
        "met reviews, MB/s per core",
        "NOT MET reviews, times DuckDB",
        "not measured reviews, times Spark",
    } <= verdicts


def test_the_page_and_the_readme_say_what_was_measured(tmp_path: Path) -> None:
    """Figures, how they compare, and why one is missing; the README claims what the page has and nothing else."""
    page, readme = tmp_path / "benchmarks.md", tmp_path / "README.md"
    write_section("speed", "nothing yet", readme)
    cases = [
        case("ddbexport", "reviews", 300, "7"),
        case("ddbexport, reference decoder", "reviews", 40, "7"),
        case("json + TypeDeserializer", "reviews", 20, "7"),
        case("DuckDB", "reviews", 80, "7"),
        {**case("Polars", "many-keys", 0, ""), "failed": "Polars has no type for a map with any keys"},
        case("ddbexport", "reviews", 280, "", part="growth", json_mb=8000.0, seconds=28.6),
        case("ddbexport", "attributes-1000", 90, "", part="attributes", attributes=1000),
        case("ddbexport", "reviews", 150, "", part="workers", workers=1),
    ]
    write_page(Results("a machine", 0.35, cases), page, readme)
    text = page.read_text()
    for row in (
        "| ddbexport | 150 | 300 | 15.0 | 100 |",
        "| DuckDB | 40 | 80 | 4.0 | 100 |",
        "| Polars |  |  |  | Polars has no type for a map with any keys |",
        "| 8.00 | 28.6 | 280 | 100 |",
        "| 1000 | 45 |",
        "| 1 | 150 | 75 | 100 |",
    ):
        assert row in text
    claim = " ".join(readme.read_text().split())
    assert "300 MB of JSON a second on a machine" in claim
    assert "15.0 times json + TypeDeserializer, 3.8 times DuckDB" in claim
    assert "7.5 times slower" in claim
    assert "Spark" not in claim
    assert "nothing yet" not in claim


def test_what_a_merge_costs_is_told_for_each_day(tmp_path: Path) -> None:
    """Beside what converting costs, and how many times less that is."""
    figures = {"seconds": 3.1, "peak_mb": 180.2, "parts_mb": 125.0}
    convert, merge, floor = ({**figures, "cpu_seconds": seconds} for seconds in (12.0, 3.0, 2.0))
    days = (Day(1000), Day(1000, newest=0.1, dated=True))
    page = tmp_path / "benchmarks.md"
    merging.write_page("a machine", [merging.Case(day, 11, 474, 3, convert, merge, floor) for day in days], page)
    text = page.read_text()
    assert "| all keys evenly | 12.0 | 3.0 | 4.0 | 2.0 | 3.1 | 180 | 125 → 125 |" in text
    assert "| the newest tenth, partitioned by day | 12.0 | 3.0 | 4.0 | 2.0 |" in text
    assert "a machine: 1,000 items of 474 bytes of JSON, 11 changes" in text


def test_a_day_changes_as_many_items_as_it_says() -> None:
    """All over the table, or among its newest."""
    anywhere, newest = Day(100_000), Day(100_000, newest=0.1)
    for day in (anywhere, newest):
        assert 900 < sum(map(day.changes, range(100_000))) < 1100
    assert not any(map(newest.changes, range(89_000)))
    assert any(map(anywhere.changes, range(1000)))


def test_the_floor_below_a_merge_compresses_every_page_again(tmp_path: Path) -> None:
    """What it writes is as large as all pages of the parts, which zstd at the same level makes of them again."""
    table = pa.table({"number": range(5000), "text": [f"row {row % 7}" for row in range(5000)]})
    parts = tmp_path / "parts"
    parts.mkdir()
    for number in range(2):
        with part_writer(parts / f"{number}.parquet", table.schema, table) as writer:
            writer.write_table(table, row_group_size=2000)
    compress_again(parts, tmp_path / "floor")
    sizes = []
    for path in parts.iterdir():
        footer = pq.read_metadata(path)
        groups = map(footer.row_group, range(footer.num_row_groups))
        sizes += [group.column(leaf).total_compressed_size for group in groups for leaf in range(group.num_columns)]
    assert len(sizes) == 2 * 3 * 2
    headers = 60
    assert sum(sizes) - headers * 2 * len(sizes) < (tmp_path / "floor").stat().st_size < sum(sizes)
