"""Measures scans against an endpoint of canned pages on loopback: ``make bench-scan``.

Each case runs in a process of its own, so that its memory and its processor time are its own. The total of pages is
the same for every number of segments of a client, and so are the read capacity units. Slow clients read fewer pages.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scan.canned_pages import CannedTable, canned_pages
from scan.clients import CLIENTS, FAST

SEGMENTS = (1, 4, 16)
LATENCIES_MS = (0, 10, 50)
PAGES = {True: 480, False: 16}
_BAR = 40


def measure(name: str, segments: int, url: str, *, pages: int, page_bytes: int, items: int) -> dict[str, Any]:
    """Run one case in this process; imports, clients and connections are not in the time."""
    scan = CLIENTS[name](url, segments)
    before, started, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
    found = scan()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    if found != pages * items:
        raise SystemExit(f"{name}: expected {pages * items} items, found {found}")
    megabytes = pages * page_bytes / 1e6
    return {
        "client": name,
        "segments": segments,
        "pages": pages,
        "seconds": round(seconds, 3),
        "mb_s": round(megabytes / seconds, 1),
        "mb_cpu_s": round(megabytes / cpu_seconds, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_before_mb": round(before / 1024, 1),
        "load": round(os.getloadavg()[0], 2),
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


def run(
    name: str, segments: int, latency_ms: int, *, scale: float, repeat: int, idle_within_s: float
) -> dict[str, Any]:
    """Run one case in a process of its own, *repeat* times; the fastest counts."""
    pages = max(segments, round(PAGES[name in FAST] * scale) // segments * segments)
    table = CannedTable(pages=pages // segments, latency_s=latency_ms / 1000)
    best: dict[str, Any] = {}
    for _ in range(repeat):
        with canned_pages(table) as (url, items):
            wait_for_idle(idle_within_s)
            sizes = {"pages": pages, "page_bytes": table.page_bytes, "items": items}
            case = [name, segments, url, sizes]
            # The interpreter and this file: nothing of it comes from outside.
            done = subprocess.run(
                [sys.executable, __file__, "--case", json.dumps(case)], stdout=subprocess.PIPE, check=True, text=True
            )
        result = json.loads(done.stdout)
        if not best or result["mb_s"] > best["mb_s"]:
            best = result
    return {**best, "latency_ms": latency_ms}


def targets(results: list[dict[str, Any]]) -> list[tuple[str, float, float, bool]]:
    """Return what issue 4 asks for: (claim, found, wanted, whether more is better)."""

    def speed(client: str, segments: int, latency_ms: int = 0) -> float:
        for one in results:
            if (one["client"], one["segments"], one["latency_ms"]) == (client, segments, latency_ms):
                return float(one["mb_s"])
        return float("nan")

    most = max((speed("ours", segments) for segments in SEGMENTS[1:]), default=float("nan"))
    peak = max((one["peak_mb"] for one in results if one["client"] in FAST and one["segments"] == 16), default=0.0)
    return [
        ("MB/s, one segment, no compression", speed("ours", 1), 200, True),
        ("MB/s, four or more segments", most, 250, True),
        ("times the boto3 client, one segment", speed("ours", 1) / speed("boto3 client", 1), 20, True),
        ("times the boto3 client, four or more", most / speed("boto3 client", 1), 35, True),
        ("MB/s, gzip backup, one segment", speed("ours, gzip backup", 1), 120, True),
        (
            "16 segments over one of the boto3 client at 10 ms",
            speed("ours", 16, 10) / speed("boto3 client", 1, 10),
            40,
            True,
        ),
        ("MB of memory at most, 16 segments", peak, 250, False),
    ]


def show(results: list[dict[str, Any]]) -> None:
    """Print the table, with a bar for each speed, and the targets."""
    fastest = max(one["mb_s"] for one in results)
    print(f"\n{'client':<20}{'latency':>8}{'segments':>9}{'MB/s':>8}{'MB/cpu s':>9}{'peak MB':>9}")
    for one in results:
        bar = "▇" * round(_BAR * one["mb_s"] / fastest)
        print(
            f"{one['client']:<20}{one['latency_ms']:>5} ms{one['segments']:>9}{one['mb_s']:>8.1f}"
            f"{one['mb_cpu_s']:>9.1f}{one['peak_mb']:>9.0f}  {bar}"
        )
    print()
    for claim, found, wanted, is_more_better in targets(results):
        is_met = found >= wanted if is_more_better else found <= wanted
        print(f"{'met    ' if is_met else 'NOT MET'} {claim}: {found:.1f} (wanted {wanted})")


def main() -> int:
    """Run what is asked for; writes JSON, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--clients", nargs="*", default=list(CLIENTS), choices=list(CLIENTS))
    parser.add_argument("--segments", nargs="*", type=int, default=list(SEGMENTS))
    parser.add_argument("--latencies-ms", nargs="*", type=int, default=list(LATENCIES_MS))
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of pages")
    parser.add_argument("--repeat", type=int, default=2, help="runs of each case; the fastest counts")
    parser.add_argument(
        "--idle-within-s", type=float, default=0.0, help="wait so long at most for an idle machine before each run"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if arguments.case:
        *case, sizes = json.loads(arguments.case)
        print(json.dumps(measure(*case, **sizes)))
        return 0
    results = []
    for name in arguments.clients:
        if name == "awswrangler" and importlib.util.find_spec("awswrangler") is None:
            print("awswrangler is not installed here: left out", file=sys.stderr)
            continue
        for latency_ms in arguments.latencies_ms:
            for segments in arguments.segments:
                results.append(
                    run(
                        name,
                        segments,
                        latency_ms,
                        scale=arguments.scale,
                        repeat=arguments.repeat,
                        idle_within_s=arguments.idle_within_s,
                    )
                )
                print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    figures = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "results": results,
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
