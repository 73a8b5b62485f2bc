"""The section of docs/benchmarks.md about conversion, and its plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from page import PAGE, write_section

from convert.engines import OURS, PLAIN_PYTHON, REFERENCE
from convert.items import CORPORA
from convert.results import PEERS, Results

mpl.use("svg")
# The same figures give the same file, with text as text.
mpl.rcParams |= {"svg.hashsalt": "ddbexport", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot as plt  # noqa: E402 (chooses how to draw when imported)

PLOT = PAGE.parent / "benchmarks-convert.svg"
README = PAGE.parents[1] / "README.md"

_INTRO = """\
## Conversion

Exports to typed Parquet with zstd at level 1, on one disk: `make bench`. Each engine has the best settings we know. The
others are told every column and its type and check nothing; ddbexport is told nothing, and verifies the export. All of
them wrote the same rows, by a checksum of all values. MB are of unzipped JSON; MB/s per core are MB by seconds of
processor time. {machine}; medians of {runs} runs, or what one run shows where that took more than a minute, of exports
of more than 2 GB, and of the others on late attributes and types.

![MB/s by engine; seconds, memory and MB/s as exports, attributes and workers grow]({plot})
"""

_CORPORA = {
    "reviews": "Reviews: ten attributes, one a map, one a set, in any order",
    "wide": "Wide: 25 of 500 attributes in each item, as in single-table design",
    "many-keys": "Many keys: a map with 20 of 20,000 keys in each item",
    "late-attributes": "Late attributes: the reviews, whose last hundredth has two attributes more",
    "late-type": "Late type: the reviews, in whose last hundredth a whole number has become a decimal",
}


def write_page(results: Results, page: Path = PAGE, plot: Path = PLOT, readme: Path = README) -> None:
    """Write the section, the plot, and what the README says of them."""
    runs = max(case["runs"] for case in results.part("engines"))
    parts = [_INTRO.format(machine=results.machine, runs=runs, plot=plot.name)]
    parts += [_engines(results, corpus) for corpus in CORPORA if _of(results, corpus)]
    parts += [_growth(results), _attributes(results), _workers(results)]
    draw(results, plot)
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
    return (
        f"Conversion reads {speed:.0f} MB of JSON a second on {results.machine}: {told}, which are told the schema and "
        f"verify nothing. Without a C compiler it is {slower} times slower. [Benchmarks](docs/benchmarks.md)"
    )


def _of(results: Results, corpus: str) -> list[dict[str, Any]]:
    """Return every case of *corpus*, failed ones too."""
    return [case for case in results.cases if case["part"] == "engines" and case["corpus"] == corpus]


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


def draw(results: Results, path: Path) -> None:
    """Draw the figures as an SVG file."""
    figure, axes = plt.subplot_mosaic(
        [["engines"] * 3, ["growth", "attributes", "workers"]], figsize=(11, 7), layout="constrained"
    )
    _draw_engines(axes["engines"], results)
    _draw_growth(axes["growth"], results)
    _draw_attributes(axes["attributes"], results)
    _draw_workers(axes["workers"], results)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _draw_engines(axes: Any, results: Results) -> None:
    cases = results.part("engines")
    engines = [engine for engine in dict.fromkeys(case["engine"] for case in cases) if not engine.startswith("floor")]
    corpora = list(dict.fromkeys(case["corpus"] for case in cases))
    width = 0.85 / max(1, len(engines))
    for number, engine in enumerate(engines):
        at = [index + (number - (len(engines) - 1) / 2) * width for index in range(len(corpora))]
        bars = axes.bar(at, [results.figure(engine, corpus, "mb_per_s") for corpus in corpora], width, label=engine)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(corpora)), corpora)
    axes.set_yscale("log")
    axes.set(title="MB of JSON a second, all workers", ylabel="MB/s (log)")
    axes.margins(y=0.15)
    axes.legend(ncols=len(engines), loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)


def _draw_growth(axes: Any, results: Results) -> None:
    cases = results.part("growth")
    sizes = [case["json_mb"] / 1000 for case in cases]
    (seconds,) = axes.plot(sizes, [case["seconds"] for case in cases], "o-", label="seconds")
    axes.set(title="As the export grows", xlabel="GB of JSON", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    memory = axes.twinx()
    (peak,) = memory.plot(sizes, [case["peak_mb"] for case in cases], "s--", color="tab:gray", label="peak MB")
    memory.set(ylabel="peak MB", ylim=(0, 1.5 * max((case["peak_mb"] for case in cases), default=1)))
    axes.legend(handles=[seconds, peak], loc="upper left")


def _draw_attributes(axes: Any, results: Results) -> None:
    cases = results.part("attributes")
    for engine in dict.fromkeys(case["engine"] for case in cases):
        own = [case for case in cases if case["engine"] == engine]
        axes.plot([one["attributes"] for one in own], [one["mb_per_core_s"] for one in own], "o-", label=engine)
    axes.set_xscale("log")
    axes.set(title="As attributes grow, ten in each item", xlabel="attributes (log)", ylabel="MB/s per core")
    axes.set_ylim(0, None)
    axes.legend()


def _draw_workers(axes: Any, results: Results) -> None:
    cases = results.part("workers")
    axes.bar([str(case["workers"]) for case in cases], [case["mb_per_s"] for case in cases], 0.5, label=OURS)
    axes.set(title="As workers grow, reviews", xlabel="workers", ylabel="MB/s")
    axes.legend()
