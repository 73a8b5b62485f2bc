"""Measures conversion against its peers on generated exports: ``make bench``.

Each run has a process of its own, so that its memory and its processor time are its own; imports are in the memory and
not in the time. All engines must agree about what they wrote. MB are 10^6 bytes of unzipped JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
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

from convert.corpora import CORPORA, Corpus, make_corpus
from convert.engines import AGREE, ENGINES, NOT_PARALLEL, missing


def measure(engine: str, corpus: Corpus, folder: Path, workers: int) -> dict[str, Any]:
    """Run one conversion in this process."""
    import pyarrow.parquet  # noqa: F401

    started, cpu = time.perf_counter(), _cpu_seconds()
    glob = ENGINES[engine](corpus, folder, workers)
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu
    # Processes at work at the same time are in memory at the same time; at most, for each may have its peak alone.
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + (workers * children if children else 0)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak / 1024, "answer": _answer(corpus, glob)}


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _answer(corpus: Corpus, glob: str) -> list[str]:
    if not glob or importlib.util.find_spec("duckdb") is None:
        return []
    import duckdb

    row = duckdb.execute(f"SELECT {AGREE[corpus.name]} FROM read_parquet('{glob}', hive_partitioning=false)").fetchone()
    return [f"{float(value):.6g}" for value in row or ()]


def run(engine: str, corpus: Corpus, workers: int, repeat: int) -> dict[str, Any]:
    """Return the medians of *repeat* runs, each in a process of its own."""
    runs: list[dict[str, Any]] = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(prefix="ddbexport-bench-") as folder:
            case = json.dumps([engine, corpus.name, str(corpus.root.parents[1]), folder, workers])
            command = [sys.executable, __file__, "--case", case, "--scale", corpus.root.parent.name.rpartition("-")[2]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
            return {"corpus": corpus.name, "engine": engine, "workers": workers, "failed": reason[:200]}
        runs.append(json.loads(done.stdout))
    megabytes = corpus.json_bytes / 1e6

    def median(figure: str) -> float:
        return statistics.median(one[figure] for one in runs)

    return {
        "corpus": corpus.name,
        "engine": engine,
        "workers": workers,
        "json_mb": round(megabytes, 1),
        "mb_per_core_s": round(megabytes / median("cpu_seconds"), 1),
        "mb_per_s": round(megabytes / median("seconds"), 1),
        "peak_mb": round(median("peak_mb")),
        "answer": runs[0]["answer"],
        "load": round(os.getloadavg()[0], 2),
    }


def show(found: dict[str, Any]) -> None:
    begin = f"{found['corpus']:<10} {found['engine']:<30} {found['workers']} worker{'s' * (found['workers'] > 1):<2}"
    if "failed" in found:
        print(f"{begin} failed: {found['failed']}", flush=True)
        return
    print(
        f"{begin} {found['mb_per_core_s']:>8.1f} MB/s per core {found['mb_per_s']:>8.1f} MB/s "
        f"{found['peak_mb']:>6} MB peak   (load {found['load']})",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is about 500 MB of JSON for each corpus")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the medians count")
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="only this one; again for more")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; again for more")
    parser.add_argument("--workers", type=int, action="append", help="1 and 2 by default")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-convert"), help="keeps the generated exports")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        engine, name, folder, target, workers = json.loads(args.case)
        corpus = make_corpus(name, Path(folder), args.scale)
        if engine is not None:
            print(json.dumps(measure(engine, corpus, Path(target), workers)))
        return 0
    return _all(args)


def _all(args: argparse.Namespace) -> int:
    found: list[dict[str, Any]] = []
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians of {args.repeat}")
    engines = [engine for engine in args.engine or ENGINES if _is_there(engine)]
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        print("Spark: not measured, pyspark or Java is not installed")
    disagreements = 0
    for name in args.corpus or CORPORA:
        folder = args.folder.resolve()
        # In a process of its own: a child's peak begins with what its parent had in memory.
        case = json.dumps([None, name, str(folder), "", 0])
        subprocess.run([sys.executable, __file__, "--case", case, "--scale", str(args.scale)], check=True)
        corpus = make_corpus(name, folder, args.scale)
        answers: dict[str, list[str]] = {}
        for engine in engines:
            for workers in args.workers or (1, 2):
                if workers > 1 and engine in NOT_PARALLEL:
                    continue
                found.append(run(engine, corpus, workers, args.repeat))
                show(found[-1])
                answers.setdefault(engine, found[-1].get("answer") or [])
        told = {tuple(answer) for answer in answers.values() if answer}
        if len(told) > 1:
            disagreements += 1
            print(f"{name}: the engines disagree: {answers}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"machine": platform.platform(), "results": found}, indent=1) + "\n")
    return 1 if disagreements else 0


def _is_there(engine: str) -> bool:
    reason = missing(engine)
    if reason is not None:
        print(f"{engine}: not measured, {reason}")
    return reason is None


if __name__ == "__main__":
    sys.exit(main())
