"""The figures of the scan benchmark as a table, as answers to what was promised, and as a plot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scan.cases import MEMORY_SEGMENTS, PAGES
from scan.clients import FAST, OURS, OURS_BACKUP, REFERENCE

Figures = dict[str, Any]
"""``clients``, ``memory``, ``speed_up``, ``budgets``: lists of figures; a list that was not measured is empty."""


def targets(figures: Figures) -> list[tuple[str, float, str, bool]]:
    """Return what scans are to do: claim, found, wanted, whether it is so. What was not measured is left out."""
    speed = _speeds(figures)
    one, reference = speed.get((OURS, 1, 0)), speed.get((REFERENCE, 1, 0))
    four = max((speed[key] for key in speed if key[0] == OURS and key[1] >= 4 and not key[2]), default=None)
    far, reference_far = speed.get((OURS, 16, 10)), speed.get((REFERENCE, 1, 10))
    wide = [run for run in figures["clients"] + figures["memory"] if run["segments"] == MEMORY_SEGMENTS]
    peak = max((run["peak_mb"] for run in wide if run["client"] in FAST), default=None)
    growths = [found[-1]["peak_mb"] / found[0]["peak_mb"] for found in _by_client(figures["memory"]) if len(found) > 1]
    at_least: list[tuple[str, float | None, float]] = [
        ("MB/s, one segment, not compressed", one, 200),
        ("MB/s, four segments or more", four, 250),
        (f"times the {REFERENCE}, one segment", _ratio(one, reference), 20),
        (f"times the {REFERENCE}, four segments or more", _ratio(four, reference), 35),
        ("MB/s, one segment, gzip backup", speed.get((OURS_BACKUP, 1, 0)), 120),
        (f"times one segment of the {REFERENCE}, 16 segments, at 10 ms", _ratio(far, reference_far), 40),
        ("of the budget used, least of all cases", _least(figures["budgets"], "used"), 0.90),
    ]
    at_most: list[tuple[str, float | None, float]] = [
        ("MB of memory, 16 segments, any size of table and all ways of ours", peak, 250),
        ("times the memory of the smallest table, for the largest", max(growths, default=None), 1.25),
        ("of the budget in any window, most of all cases", _most(figures["budgets"], "fullest"), 1.05),
    ]
    return [
        *((claim, found, f"≥ {wanted:g}", found >= wanted) for claim, found, wanted in at_least if found is not None),
        *((claim, found, f"≤ {wanted:g}", found <= wanted) for claim, found, wanted in at_most if found is not None),
    ]


_METHOD = """\
An endpoint on loopback answers each Scan with the same page of 1.2 MB, made beforehand, after 0, 10 or 50 ms: what is
measured is the client. Each case runs in a process of its own; the endpoint takes another core. MB are of JSON as
DynamoDB sends it. Every page costs the same, so a MB costs the same capacity whatever the client and its segments: our
cases read {fast_pages} pages, those of the others {slow_pages}, or one for each segment where that is more. Figures are
medians of {repeat} runs; those at 50 ms, which are mostly waiting, of one. Measured on {machine}.

"{pages}" are our pages as bytes, within a budget without a limit, and dropped. The other rows of ours are what one
calls: scan_table makes Arrow record batches, a backup has gzip, checkpoints and manifests on the local disk."""

_BUDGETS = """\
Eight threads on a simulated clock, read capacity as the embedded AWS charges it. Each field: the most that any 10, 30
and 60 s contain, from the first page on, and the part of the budget that was used."""


def markdown(figures: Figures, plot: str | None) -> str:
    """Return the section of docs/benchmarks.md; *plot* is the address of the picture."""
    parts = ["## Scan", _method(figures)]
    if plot:
        parts.append(f"![MB/s by segments and latency]({plot})")
    if figures["clients"]:
        parts += ["### MB/s by client, latency and segments", _clients_table(figures["clients"])]
        parts += [f"### Times as fast as one segment of the {REFERENCE}", _times_table(figures["clients"])]
    if reached := targets(figures):
        parts += ["### What was promised", _targets_table(reached)]
    if figures["memory"]:
        parts += ["### Memory by size of the table, while it is scanned", _memory_table(figures["memory"])]
    if figures["speed_up"]:
        parts += ["### Segments against the embedded AWS, 100 ms a page", _speed_up_table(figures["speed_up"])]
    if figures["budgets"]:
        parts += ["### The read budget against the embedded AWS", _BUDGETS, _budgets_table(figures["budgets"])]
    return "\n\n".join(parts)


def _method(figures: Figures) -> str:
    return _METHOD.format(**figures, pages=OURS, fast_pages=PAGES[True], slow_pages=PAGES[False])


def _speeds(figures: Figures) -> dict[tuple[str, int, int], float]:
    return {(one["client"], one["segments"], one["latency_ms"]): one["mb_s"] for one in figures["clients"]}


def _by_client(runs: list[Figures]) -> list[list[Figures]]:
    return [[run for run in runs if run["client"] == client] for client in dict.fromkeys(run["client"] for run in runs)]


def _targets_table(reached: list[tuple[str, float, str, bool]]) -> str:
    rows = [[claim, f"{found:,.4g}", wanted, "yes" if is_met else "**no**"] for claim, found, wanted, is_met in reached]
    return _table(["", "found", "wanted", "reached"], rows)


def _memory_table(runs: list[Figures]) -> str:
    rows = [
        [
            run["client"],
            str(run["segments"]),
            f"{run['pages'] * 1.2 / 1000:.1f} GB",
            f"{run['peak_mb']:.0f} MB",
            f"{run['mb_s']:.0f}",
        ]
        for run in runs
    ]
    return _table(["", "segments", "table", "peak memory", "MB/s"], rows)


def _clients_table(runs: list[Figures]) -> str:
    segments = sorted({run["segments"] for run in runs})
    latencies = sorted({run["latency_ms"] for run in runs})
    speed = {(run["client"], run["latency_ms"], run["segments"]): run for run in runs}
    rows = []
    for client in dict.fromkeys(run["client"] for run in runs):
        cells = [speed.get((client, latency, count)) for latency in latencies for count in segments]
        rows.append([client, *("" if cell is None else f"{cell['mb_s']:,.1f}" for cell in cells)])
    head = [f"{latency} ms, {count}" for latency in latencies for count in segments]
    return _table(["client", *head], rows)


def _times_table(runs: list[Figures]) -> str:
    reference = {run["latency_ms"]: run["mb_s"] for run in runs if (run["client"], run["segments"]) == (REFERENCE, 1)}
    ours = [run for run in runs if run["client"] in FAST and run["latency_ms"] in reference]
    return _clients_table([{**run, "mb_s": run["mb_s"] / reference[run["latency_ms"]]} for run in ours])


def _speed_up_table(runs: list[Figures]) -> str:
    alone = runs[0]["seconds"]
    return _table(
        ["segments", "seconds", "times as fast", "read capacity units"],
        [
            [
                str(run["segments"]),
                f"{run['seconds']:.1f}",
                f"{alone / run['seconds']:.1f}",
                f"{run['consumed_units']:,.0f}",
            ]
            for run in runs
        ],
    )


def _budgets_table(runs: list[Figures]) -> str:
    sizes = sorted({run["item_bytes"] for run in runs})
    rows = []
    for rate in sorted({run["rate_rcu"] for run in runs}):
        cells = []
        for size in sizes:
            found = [run for run in runs if (run["rate_rcu"], run["item_bytes"]) == (rate, size)]
            most = " / ".join(f"{run['fullest']:.1%}" for run in sorted(found, key=lambda run: run["window_s"]))
            cells.append(f"{most}; {found[0]['used']:.1%}")
        rows.append([f"{rate:,.0f} RCU/s", *cells])
    return _table(["", *(f"items of {size:,} bytes" for size in sizes)], rows)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratio(found: float | None, reference: float | None) -> float | None:
    return None if found is None or reference is None else found / reference


def _least(runs: list[Figures], name: str) -> float | None:
    return min((run[name] for run in runs), default=None)


def _most(runs: list[Figures], name: str) -> float | None:
    return max((run[name] for run in runs), default=None)


def draw(figures: Figures, path: Path) -> None:
    """Write the plot as SVG: speed by segments, one panel for each latency; both axes are logarithmic."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "ddbexport"
    from matplotlib import pyplot

    runs = figures["clients"]
    latencies = sorted({run["latency_ms"] for run in runs})
    segments = sorted({run["segments"] for run in runs})
    drawing, panels = pyplot.subplots(
        1, len(latencies), figsize=(3.6 * len(latencies), 3.6), sharey=True, squeeze=False
    )
    for latency, axes in zip(latencies, panels[0], strict=True):
        for client in dict.fromkeys(run["client"] for run in runs):
            found = [run for run in runs if (run["client"], run["latency_ms"]) == (client, latency)]
            axes.plot(
                [run["segments"] for run in found],
                [run["mb_s"] for run in found],
                marker="o",
                markersize=4,
                linewidth=2 if client in FAST else 1.2,
                linestyle="-" if client in FAST else "--",
                label=client,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(segments, [str(count) for count in segments])
        axes.set_xlabel("segments")
        axes.set_title(f"{latency} ms", fontsize=10)
        axes.grid(visible=True, which="major", alpha=0.3)
    panels[0][0].set_ylabel("MB/s of one process")
    panels[0][0].yaxis.set_major_formatter("{x:g}")
    handles, labels = panels[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    drawing.tight_layout(rect=(0, 0.14, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(drawing)
