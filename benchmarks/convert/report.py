"""The section of docs/benchmarks.md about conversion."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from page import PAGE, write_section

from convert.engines import ENGINES, OURS, PLAIN_PYTHON, REFERENCE
from convert.items import CORPORA
from convert.results import PEERS, Results

PLOT = PAGE.parent / "benchmarks-convert.svg"
README = PAGE.parents[1] / "README.md"

_INTRO = """\
## Conversion

Exports to typed Parquet with zstd at level 1, on one disk: `make bench`. Each engine has the best settings we know.
The others are told every column and its type and check nothing; ddbexport is told nothing, and verifies the export.
All that ended wrote the same rows, by a checksum of all values. MB are of unzipped JSON; MB/s per core are MB by
seconds of processor time; plain Python and the reference decoder have one worker. {machine}; medians of {runs} runs, in
which the engines take turns, or what one run shows where that took more than a minute, and of the others on all but
the reviews and the wide table.

![MB/s by engine; seconds, memory and MB/s as exports, attributes and workers grow]({plot})
"""

_CORPORA = {
    "reviews": "Reviews: ten attributes, one a map, one a set, in any order",
    "wide": "Wide: 25 of 500 attributes in each item, as in single-table design",
    "many-keys": "Many keys: a map with 20 of 20,000 keys in each item",
    "late-attributes": "Late attributes: the reviews, whose last hundredth has two attributes more",
    "late-type": "Late type: the reviews, in whose last hundredth a whole number has become a decimal",
}


def write_page(results: Results, page: Path = PAGE, readme: Path = README) -> None:
    """Write the section, and what the README says of it."""
    runs = max(case["runs"] for case in results.part("engines"))
    parts = [_INTRO.format(machine=results.machine, runs=runs, plot=PLOT.name)]
    parts += [_engines(results, corpus) for corpus in CORPORA if _of(results, corpus)]
    parts += [_growth(results), _attributes(results), _workers(results)]
    write_section("convert", "\n".join(parts), page)
    write_section("speed", _claim(results), readme)


def _claim(results: Results) -> str:
    """Return the README's sentences about speed."""

    def times(figure: str, engine: str, other: str) -> str:
        found = results.figure(engine, "reviews", figure) / results.figure(other, "reviews", figure)
        return f"{found:.1f}" if found == found else ""  # noqa: PLR0124 (not a number)

    peers = [(peer, times("mb_per_s", OURS, peer)) for peer in (PLAIN_PYTHON, *PEERS)]
    told = ", ".join(f"{found} times {peer}" for peer, found in peers if found)
    speed = results.figure(OURS, "reviews", "mb_per_s")
    slower = times("mb_per_core_s", OURS, REFERENCE)
    claim = (
        f"Conversion reads {speed:.0f} MB of JSON a second on {results.machine}: {told}, which are told the schema and "
        f"verify nothing. Without a C compiler it is {slower} times slower. [Benchmarks](docs/benchmarks.md)"
    )
    return textwrap.fill(claim, 140)


def _of(results: Results, corpus: str) -> list[dict[str, Any]]:
    """Return every case of *corpus*, failed ones too, by engine."""
    found = [case for case in results.cases if case["part"] == "engines" and case["corpus"] == corpus]
    return sorted(found, key=lambda case: list(ENGINES).index(case["engine"]))


def _engines(results: Results, corpus: str) -> str:
    cases = _of(results, corpus)
    plain = results.figure(PLAIN_PYTHON, corpus, "mb_per_s")
    rows = []
    for case in cases:
        if "failed" in case:
            rows.append([case["engine"], "", "", "", case["failed"]])
            continue
        peak = "" if case["engine"].startswith("floor") else case["peak_mb"]
        times = f"{case['mb_per_s'] / plain:.1f}" if plain == plain else ""  # noqa: PLR0124 (not a number)
        rows.append([case["engine"], f"{case['mb_per_core_s']:.0f}", f"{case['mb_per_s']:.0f}", times, peak])
    workers = max(case["workers"] for case in cases)
    titles = ["", "MB/s per core", f"MB/s, {workers} workers", f"times {PLAIN_PYTHON}", "peak MB"]
    return f"**{_CORPORA[corpus]}**, {cases[0]['json_mb']:.0f} MB\n\n{_table(titles, rows)}"


def _growth(results: Results) -> str:
    rows = [
        [f"{case['json_mb'] / 1000:.2f}", f"{case['seconds']:.1f}", f"{case['mb_per_s']:.0f}", case["peak_mb"]]
        for case in results.part("growth")
    ]
    return "**As the export grows**, the reviews again and again\n\n" + _table(
        ["GB", "seconds", "MB/s", "peak MB"], rows
    )


def _attributes(results: Results) -> str:
    cases = results.part("attributes")
    engines = list(dict.fromkeys(case["engine"] for case in cases))
    found = {(case["attributes"], case["engine"]): f"{case['mb_per_core_s']:.0f}" for case in cases}
    counts = list(dict.fromkeys(case["attributes"] for case in cases))
    rows = [[count, *(found.get((count, engine), "") for engine in engines)] for count in counts]
    titles = ["attributes", *(f"{engine}, MB/s per core" for engine in engines)]
    return "**As attributes grow**, ten of them in each item\n\n" + _table(titles, rows)


def _workers(results: Results) -> str:
    rows = [
        [case["workers"], f"{case['mb_per_s']:.0f}", f"{case['mb_per_core_s']:.0f}", case["peak_mb"]]
        for case in results.part("workers")
    ]
    return "**As workers grow**, the reviews\n\n" + _table(["workers", "MB/s", "MB/s per core", "peak MB"], rows)


def _table(titles: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
