"""Measures scans: ``make bench-scan``.

Ours and other clients against an endpoint of canned pages on loopback, which measures the client; and ours against the
embedded AWS, which measures the read budget and the segments. Writes build/bench-scan.json, the section "Scan" of
docs/benchmarks.md and its plot, and ends with 1 where something promised is not reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from page import PAGE, machine, write_section
from scan import against_local, report
from scan.cases import MEMORY_SEGMENTS, Case, main_of_case, median, run
from scan.clients import CLIENTS, OURS_BACKUP, OURS_PARQUET, OURS_TABLE

SEGMENTS = (1, 4, 16)
LATENCIES_MS = (0, 10, 50)
WAITING_MS = 50
"""From here on a case is measured once: it waits most of the time, and varies little."""
MEMORY_PAGES = (240, 960, 2_000)
COMPARED = [client for client in CLIENTS if client != OURS_PARQUET]
"""Straight to Parquet is measured with the memory it takes; no peer does that."""
PLOT = PAGE.parent / "benchmarks-scan.svg"


def measure_clients(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run all cases one after the other, as often as asked: what slows the machine down for a while slows all."""
    cases = list(_cases(arguments))
    runs: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    for turn in range(arguments.repeat):
        for case in cases:
            if turn == 0 or case.latency_ms < WAITING_MS:
                runs[case].append(_run(case, arguments))
    return [median(case, found) for case, found in runs.items()]


def measure_memory(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Scan larger and larger tables in each of our ways."""
    cases = [
        Case(client, MEMORY_SEGMENTS, 0, round(pages * arguments.scale) // MEMORY_SEGMENTS * MEMORY_SEGMENTS)
        for client in (OURS_TABLE, OURS_BACKUP, OURS_PARQUET)
        for pages in MEMORY_PAGES
    ]
    return [median(case, [_run(case, arguments)]) for case in cases]


def _cases(arguments: argparse.Namespace) -> Iterator[Case]:
    for client in arguments.clients:
        if _python_of(client, arguments) is None:
            print(f"{client} is left out: {arguments.awswrangler_python} is not there", file=sys.stderr)
            continue
        for latency_ms in arguments.latencies_ms:
            for segments in arguments.segments:
                yield Case.of(client, segments, latency_ms, arguments.scale)


def _run(case: Case, arguments: argparse.Namespace) -> dict[str, float]:
    found = run(case, python=str(_python_of(case.client, arguments)), idle_within_s=arguments.idle_within_s)
    shown = f"{found['mb_s']:8.1f} MB/s {found['mb_cpu_s']:8.1f} MB/cpu s {found['peak_mb']:6.0f} MB"
    print(f"{case.client:<20}{case.latency_ms:>4} ms{case.segments:>4}{shown}", file=sys.stderr, flush=True)
    return found


def _python_of(client: str, arguments: argparse.Namespace) -> str | Path | None:
    """Return the interpreter that has *client*; awswrangler asks for another pyarrow than ours."""
    if client != "awswrangler":
        return sys.executable
    python: Path = arguments.awswrangler_python
    return python if python.exists() else None


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("clients", "memory", "local"), help="a part; by default all of it")
    parser.add_argument("--clients", nargs="*", default=COMPARED, choices=list(CLIENTS))
    parser.add_argument("--segments", nargs="*", type=int, default=list(SEGMENTS))
    parser.add_argument("--latencies-ms", nargs="*", type=int, default=list(LATENCIES_MS))
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of pages")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case; the median counts")
    parser.add_argument(
        "--idle-within-s", type=float, default=0.0, help="wait so long at most for an idle machine before each run"
    )
    parser.add_argument("--awswrangler-python", type=Path, default=Path(".local/awswrangler/bin/python"))
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--docs", action="store_true", help="write the section of docs/benchmarks.md and its plot")
    arguments = parser.parse_args()
    if arguments.case:
        main_of_case(arguments.case)
        return 0
    parts = (arguments.only,) if arguments.only else ("clients", "memory", "local")
    figures: dict[str, Any] = {
        "machine": machine(),
        "repeat": arguments.repeat,
        "clients": measure_clients(arguments) if "clients" in parts else [],
        "memory": measure_memory(arguments) if "memory" in parts else [],
        "speed_up": against_local.measure_speed_up() if "local" in parts else [],
        "budgets": against_local.measure_budgets() if "local" in parts else [],
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.docs:
        report.draw(figures, PLOT)
        write_section("scan", report.markdown(figures, PLOT.name))
    print(report.markdown(figures, None))
    return 0 if all(is_met for *_, is_met in report.targets(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())
