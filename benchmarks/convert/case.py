"""One conversion in a process of its own, so that its memory and its processor time are its own.

``python -m convert.case ENGINE NAME HOME FOLDER WORKERS`` prints what it measured as JSON. Imports, and what else an
engine does to get ready, are in its memory and not in its time.
"""

from __future__ import annotations

import importlib.util
import json
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from convert.agreement import checksum
from convert.corpora import open_corpus
from convert.engines import ENGINES
from convert.items import kind_of


def measure(engine: str, name: str, home: Path, folder: Path, workers: int) -> dict[str, Any]:
    """Convert the corpus *name* in *home* to *folder* in this process."""
    convert = ENGINES[engine](open_corpus(name, home), folder, workers)
    started, cpu = time.perf_counter(), _cpu_seconds()
    glob = convert()
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu
    # Before the checksum, which takes memory too.
    peak_mb = _peak_bytes(workers) / 1e6
    can_tell = glob and importlib.util.find_spec("duckdb") is not None
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak_mb,
        "checksum": checksum(glob, kind_of(name).columns) if can_tell else [],
    }


def _cpu_seconds() -> float:
    """Return what this process and all it started have spent, those at work still (a JVM) and those that ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    running = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages) + sum(one.user + one.system for one in running)


def _peak_bytes(workers: int) -> int:
    """Return the memory that this process and all it started had at the most, if each had its most at the same time."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The largest of those that ended, which are workers.
    ended = workers * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return unit * (own + ended) + sum(_peak_of(child) for child in psutil.Process().children(recursive=True))


def _peak_of(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_info().rss)
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)
    # What has ended and nobody waited for has no memory.
    return 1024 * int(peak[1]) if peak else 0


if __name__ == "__main__":
    _engine, _name, _home, _folder, _workers = sys.argv[1:]
    print(json.dumps(measure(_engine, _name, Path(_home), Path(_folder), int(_workers))))
