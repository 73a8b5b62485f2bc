"""Measures merging a day's increment against converting a full export again: ``make bench-merge``.

Each run has a process of its own, so that its memory and its processor time are its own. The merged snapshot's rows and
amounts are checked against what the generated increment comes to.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from merge.orders import Orders, make_orders

from airflow_provider_ddbexport.core.merge import Increment, merge_increments
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore


def convert(orders: Orders, lake: LocalStore) -> None:
    """Convert the full export into an empty lake."""
    convert_export(LocalStore(orders.root), orders.full, lake, table="orders")


def merge(orders: Orders, lake: LocalStore) -> None:
    """Merge the increment into the snapshot of the full export."""
    merge_increments([Increment(LocalStore(orders.root), orders.increment)], lake, table="orders")


def check(orders: Orders, lake: Path) -> None:
    """Raise unless the merged snapshot is what the increment comes to."""
    import duckdb

    found = duckdb.execute(
        'SELECT count(*), CAST(sum(amount) * 100 AS BIGINT), count(DISTINCT "order") FROM '
        f"read_parquet('{lake}/orders/ddb_export_timestamp=20260115T*/*.parquet')"
    ).fetchone()
    expected = (orders.rows_after, orders.cents_after, orders.rows_after)
    if found != expected:
        raise SystemExit(f"the merged snapshot is wrong: expected {expected}, found {found}")


def run(way: str, folder: Path, items: int, per_mille: int, lake: Path) -> dict[str, float]:
    """Return the figures of one run in a process of its own."""
    case = json.dumps([way, str(folder), items, per_mille, str(lake)])
    done = subprocess.run([sys.executable, __file__, "--case", case], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _measured(way: str, orders: Orders, lake: LocalStore) -> dict[str, float]:
    started, cpu = time.perf_counter(), time.process_time()
    {"convert": convert, "merge": merge}[way](orders, lake)
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--per-mille", type=int, default=10, help="of a thousand items so many change")
    parser.add_argument("--repeat", type=int, default=3, help="merges, of which the medians count")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-merge"), help="keeps the generated exports")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        way, folder, items, per_mille, lake = json.loads(args.case)
        orders = make_orders(Path(folder), items, per_mille)
        print(json.dumps(_measured(way, orders, LocalStore(Path(lake))) if way else {}))
        return 0
    folder = args.folder.resolve()
    run("", folder, args.items, args.per_mille, folder)
    orders = make_orders(folder, args.items, args.per_mille)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {args.items:,} items of {orders.json_bytes / args.items:.0f} "
        f"bytes of JSON, {orders.increment.summary.item_count:,} changes spread evenly; medians of {args.repeat}"
    )
    found: dict[str, list[dict[str, float]]] = {"convert": [], "merge": []}
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory(prefix="ddbexport-bench-") as home:
            lake = Path(home) / "lake"
            for way, runs in found.items():
                runs.append(run(way, folder, args.items, args.per_mille, lake))
            check(orders, lake)
            shutil.rmtree(lake)
    medians: dict[str, Any] = {
        way: {name: round(statistics.median(one[name] for one in runs), 2) for name in runs[0]}
        for way, runs in found.items()
    }
    for way, figures in medians.items():
        print(
            f"{way:<8} {figures['cpu_seconds']:>8.2f} s of CPU {figures['seconds']:>8.2f} s "
            f"{figures['peak_mb']:>7.0f} MB peak"
        )
    ratio = medians["convert"]["cpu_seconds"] / medians["merge"]["cpu_seconds"]
    print(f"merging costs 1/{ratio:.1f} of the CPU of converting a full export again")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        facts = {"items": args.items, "changes": orders.increment.summary.item_count, "ratio": round(ratio, 2)}
        args.json.write_text(json.dumps({"machine": platform.platform(), **facts, **medians}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
