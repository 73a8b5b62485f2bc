"""One case of the benchmark in a process of its own, so that its memory and its processor time are its own."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scan.canned_pages import CannedTable, canned_pages
from scan.clients import CLIENTS, FAST

PAGES = {True: 240, False: 8}
"""Of one case, over all segments: slow clients read fewer, but each segment one at least."""
MEMORY_SEGMENTS = 16

_MAIN = Path(__file__).parents[1] / "bench_scan.py"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        pages: over all segments, and so are the read capacity units: the same for every number of segments.
    """

    client: str
    segments: int
    latency_ms: int
    pages: int

    @classmethod
    def of(cls, client: str, segments: int, latency_ms: int, scale: float) -> Case:
        """Return the case with the pages that this client reads in a few seconds."""
        pages = round(PAGES[client in FAST] * scale) // segments * segments
        return cls(client, segments, latency_ms, max(segments, pages))


def run_here(case: Case, url: str, page_bytes: int, items: int) -> dict[str, float]:
    """Run *case* in this process; imports, clients and connections are not in the time."""
    scan = CLIENTS[case.client](url, case.segments)
    started, cpu = time.perf_counter(), time.process_time()
    found = scan()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    if found != case.pages * items:
        raise SystemExit(f"{case.client}: expected {case.pages * items} items, found {found}")
    megabytes = case.pages * page_bytes / 1e6
    return {
        "mb_s": megabytes / seconds,
        "mb_cpu_s": megabytes / cpu_seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def run(case: Case, *, python: str, idle_within_s: float) -> dict[str, float]:
    """Run *case* once, by the interpreter *python*, in a process of its own."""
    table = CannedTable(pages=case.pages // case.segments, latency_s=case.latency_ms / 1000)
    with canned_pages(table) as (url, items):
        wait_for_idle(idle_within_s)
        given = [case.client, case.segments, case.latency_ms, case.pages, url, table.page_bytes, items]
        # The interpreter and this file: nothing of it comes from outside.
        done = subprocess.run(
            [python, "-W", "ignore", str(_MAIN), "--case", json.dumps(given)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    figures: dict[str, float] = json.loads(done.stdout)
    return {**figures, "load": os.getloadavg()[0]}


def main_of_case(given: str) -> None:
    """Run the case of which :func:`run` is the other end."""
    client, segments, latency_ms, pages, url, page_bytes, items = json.loads(given)
    sys.stdout.write(json.dumps(run_here(Case(client, segments, latency_ms, pages), url, page_bytes, items)))


def median(case: Case, runs: list[dict[str, float]]) -> dict[str, Any]:
    """Return the figures of *case*: the medians of its runs, and the most memory of any."""
    figures = {name: round(statistics.median(run[name] for run in runs), 1) for name in ("mb_s", "mb_cpu_s", "load")}
    return {
        "client": case.client,
        "segments": case.segments,
        "latency_ms": case.latency_ms,
        "pages": case.pages,
        "runs": len(runs),
        **figures,
        "peak_mb": round(max(run["peak_mb"] for run in runs), 1),
    }


def wait_for_idle(patience_s: float) -> None:
    """Return when others have left the processors alone for a second, or after *patience_s*; Linux only."""
    stat = Path("/proc/stat")
    ends = time.monotonic() + patience_s
    while stat.exists() and time.monotonic() < ends:
        before = [int(field) for field in stat.read_text().split("\n", 1)[0].split()[1:]]
        time.sleep(1.0)
        spent = [int(f) - b for f, b in zip(stat.read_text().split("\n", 1)[0].split()[1:], before, strict=True)]
        if spent[3] >= 0.9 * sum(spent):
            return
