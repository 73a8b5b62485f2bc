"""The plot of docs/benchmarks.md about conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from convert.engines import ENGINES, OURS
from convert.items import CORPORA
from convert.results import Results

mpl.use("svg")
# The same figures give the same file, with text as text.
mpl.rcParams |= {"svg.hashsalt": "ddbexport", "svg.fonttype": "none", "font.size": 9}

from matplotlib import pyplot as plt  # noqa: E402 (chooses how to draw when imported)


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
    measured = {case[kind] for case in cases for kind in ("engine", "corpus")}
    engines = [engine for engine in ENGINES if engine in measured and not engine.startswith("floor")]
    corpora = [corpus for corpus in CORPORA if corpus in measured]
    width = 0.85 / max(1, len(engines))
    for number, engine in enumerate(engines):
        at = [index + (number - (len(engines) - 1) / 2) * width for index in range(len(corpora))]
        bars = axes.bar(at, [results.figure(engine, corpus, "mb_per_s") for corpus in corpora], width, label=engine)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(corpora)), corpora)
    axes.set_yscale("log")
    workers = max((case["workers"] for case in cases), default=0)
    axes.set(title=f"MB of JSON a second, {workers} workers", ylabel="MB/s (log)")
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
