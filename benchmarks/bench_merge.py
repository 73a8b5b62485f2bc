"""Measures merging a day's increment against converting a full export again, and the floor: ``make bench-merge``.

Each run has a process of its own, so that its memory and its processor time are its own. The merged snapshot's rows and
amounts are checked against what the generated increment comes to. With ``--page`` the figures become a section of
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from merge.floor import compress_again
from merge.orders import Day, Orders, make_orders
from merge.report import Case, table, write_page
from page import machine

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.merge import Increment, merge_increments
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore


def convert(orders: Orders, lake: LocalStore, options: ColumnOptions) -> None:
    """Convert the full export into an empty lake."""
    convert_export(LocalStore(orders.root), orders.full, lake, table="orders", options=options)


def merge(orders: Orders, lake: LocalStore, _options: ColumnOptions) -> None:
    """Merge the increment into the snapshot of the full export."""
    merge_increments([Increment(LocalStore(orders.root), orders.increment)], lake, table="orders")


def floor(_orders: Orders, lake: LocalStore, _options: ColumnOptions) -> None:
    """Compress all pages of the full export's snapshot again."""
    folder = Path(lake.uri) / "orders"
    compress_again(folder / "ddb_export_timestamp=20260114T000000Z", folder / "floor")


def check(orders: Orders, lake: LocalStore, _options: ColumnOptions) -> None:
    """Raise unless the merged snapshot is what the increment comes to."""
    import duckdb

    found = duckdb.execute(
        'SELECT count(*), CAST(sum(amount) * 100 AS BIGINT), count(DISTINCT "order") FROM '
        f"read_parquet('{lake.uri}/orders/ddb_export_timestamp=20260115T*/**/*.parquet')"
    ).fetchone()
    expected = (orders.rows_after, orders.cents_after, orders.rows_after)
    if found != expected:
        raise SystemExit(f"the merged snapshot is wrong: expected {expected}, found {found}")


def run(way: str, folder: Path, day: Day, lake: Path) -> dict[str, float]:
    """Return the figures of one run in a process of its own."""
    case = json.dumps([way, str(folder), *astuple(day), str(lake)])
    done = subprocess.run([sys.executable, __file__, "--case", case], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(folder: Path, day: Day, repeat: int) -> Case:
    """Return the medians of *repeat* conversions and merges of *day*."""
    run("", folder, day, folder)
    orders = make_orders(folder, day)
    found: dict[str, list[dict[str, float]]] = {"convert": [], "merge": [], "floor": []}
    sizes: dict[str, float] = {}
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(prefix="ddbexport-bench-") as home:
            lake = Path(home) / "lake"
            for way, runs in found.items():
                runs.append(run(way, folder, day, lake))
            # Not in this process: a child's peak begins with what its parent had in memory.
            run("check", folder, day, lake)
            for way, stamp in (("convert", "20260114T"), ("merge", "20260115T")):
                parts = lake.glob(f"orders/ddb_export_timestamp={stamp}*/**/*.parquet")
                sizes[way] = sum(part.stat().st_size for part in parts) / 1e6
            shutil.rmtree(lake)
    medians: dict[str, dict[str, Any]] = {
        way: {name: round(statistics.median(one[name] for one in runs), 2) for name in runs[0]}
        for way, runs in found.items()
    }
    for way, size in sizes.items():
        medians[way]["parts_mb"] = round(size, 1)
    bytes_each = round(orders.json_bytes / day.items)
    changes = orders.increment.summary.item_count
    return Case(day, changes, bytes_each, repeat, medians["convert"], medians["merge"], medians["floor"])


def _measured(way: str, orders: Orders, lake: LocalStore, options: ColumnOptions) -> dict[str, float]:
    started, cpu = time.perf_counter(), time.process_time()
    {"convert": convert, "merge": merge, "floor": floor, "check": check}[way](orders, lake, options)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--per-mille", type=int, default=10, help="of a thousand items so many change")
    parser.add_argument("--repeat", type=int, default=7, help="merges, of which the medians count")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-merge"), help="keeps the generated exports")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md, too")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        way, folder, *fields, lake = json.loads(args.case)
        day = Day(*fields)
        orders = make_orders(Path(folder), day)
        options = ColumnOptions(partition_by=("Day",) if day.dated else ())
        print(json.dumps(_measured(way, orders, LocalStore(Path(lake)), options) if way else {}))
        return 0
    day = Day(args.items, args.per_mille)
    days = (day, replace(day, old_images=False), replace(day, newest=0.1, dated=True))
    cases = [measure(args.folder.resolve(), day, args.repeat) for day in days]
    print(f"{machine()}\n{table(cases)}")
    if args.page:
        write_page(machine(), cases)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"machine": machine(), "cases": [case.to_json() for case in cases]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
