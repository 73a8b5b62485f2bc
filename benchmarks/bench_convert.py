"""Measures conversion against its peers on generated exports: ``make bench``.

Each run has a process of its own; figures are medians. All engines must agree about what they wrote. MB are 10^6 bytes
of unzipped JSON. With ``--page`` the figures become a section of docs/benchmarks.md, with a plot.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from convert.corpora import Corpus, open_corpus, repeated
from convert.engines import ENGINES, ONE_WORKER, OURS, missing
from convert.items import ATTRIBUTES, CORPORA
from convert.report import PLOT, write_page
from convert.results import Results, goals
from page import machine

GROWTH_SCALE = 0.45
COPIES = (1, 2, 4, 8, 16, 32)
"""How often the growing export holds the reviews, of that scale: 0.25 to 8 GB with what `make bench` asks for."""

OFTEN = ("reviews", "wide")
ATTRIBUTE_ENGINES = (OURS, "DuckDB")
PARTS = ("engines", "growth", "attributes", "workers")
_LONG_S = 60.0
_PATIENCE_S = 300.0


class Case:
    """One engine on one corpus, run again and again.

    What failed, or took longer than a minute, is not done again.
    """

    def __init__(self, part: str, engine: str, corpus: Corpus, workers: int, **told: Any) -> None:
        self._engine = engine
        self._corpus = corpus
        self._workers = 1 if engine in ONE_WORKER else workers
        self._runs: list[dict[str, Any]] = []
        self._failed = ""
        self._begin = {"part": part, "corpus": corpus.name, "engine": engine, "workers": self._workers}
        self._begin |= {"json_mb": round(corpus.json_bytes / 1e6, 1), **told}

    @property
    def is_over(self) -> bool:
        return bool(self._failed or (self._runs and self._runs[-1]["seconds"] > _LONG_S))

    def run(self) -> None:
        """Run once, in a process of its own."""
        # Ours waits until its parts are on the disk, and would wait for what the engine before it has written, too.
        os.sync()
        with tempfile.TemporaryDirectory(prefix="ddbexport-bench-") as folder:
            home = self._corpus.root.parent
            try:
                told = _python("-m", "convert.case", self._engine, self._corpus.name, home, folder, self._workers)
            except subprocess.CalledProcessError as error:
                self._failed = (error.stderr.strip().splitlines() or ["no word"])[-1][:200]
            except subprocess.TimeoutExpired:
                self._failed = f"no end within {_PATIENCE_S:.0f} s"
            else:
                self._runs.append(json.loads(told.splitlines()[-1]) | {"load": os.getloadavg()[0]})

    def figures(self) -> dict[str, Any]:
        """Return the medians of its runs, or why it failed."""
        if self._failed:
            return self._begin | {"failed": self._failed}

        def median(figure: str) -> float:
            return statistics.median(one[figure] for one in self._runs)

        megabytes = self._corpus.json_bytes / 1e6
        return self._begin | {
            "runs": len(self._runs),
            "seconds": round(median("seconds"), 3),
            "mb_per_core_s": round(megabytes / median("cpu_seconds"), 1),
            "mb_per_s": round(megabytes / median("seconds"), 1),
            "peak_mb": round(median("peak_mb")),
            "checksum": self._runs[0]["checksum"],
            "load": round(median("load"), 2),
        }


class Bench:
    """Runs cases as the command line asks for."""

    def __init__(self, folder: Path, scale: float, repeat: int, engines: list[str], workers: int) -> None:
        self._folder = folder
        self._scale = scale
        self._repeat = repeat
        self._engines = engines
        self._workers = workers

    def engines(self, corpora: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Each engine on each corpus, the others once on those of which nothing is claimed against them.

        In each turn ours has all corpora one after the other, for they are compared with each other.
        """
        ours: list[Case] = []
        others: list[Case] = []
        once: set[Case] = set()
        for name in corpora:
            corpus = self._corpus(name)
            for engine in self._engines:
                case = Case("engines", engine, corpus, self._workers)
                (ours if engine == OURS else others).append(case)
                if engine != OURS and name not in OFTEN:
                    once.add(case)
        yield from self._in_turn([*ours, *others], once)

    def growth(self) -> Iterator[dict[str, Any]]:
        """Ours on exports that hold the reviews again and again."""
        reviews = self._corpus("reviews", GROWTH_SCALE)
        for copies in COPIES:
            with tempfile.TemporaryDirectory(prefix="grown-", dir=self._folder) as home:
                corpus = repeated(reviews, copies, Path(home))
                yield from self._in_turn([Case("growth", OURS, corpus, self._workers)])

    def attributes(self) -> Iterator[dict[str, Any]]:
        """Items of ten attributes each, out of more and more."""
        for attributes in ATTRIBUTES:
            corpus = self._corpus(f"attributes-{attributes}")
            engines = [engine for engine in self._engines if engine in ATTRIBUTE_ENGINES]
            yield from self._in_turn(
                [Case("attributes", engine, corpus, self._workers, attributes=attributes) for engine in engines]
            )

    def workers(self) -> Iterator[dict[str, Any]]:
        """Ours on the reviews, with one worker and up to one for each core."""
        cores = os.cpu_count() or 1
        counts = sorted({*(2**power for power in range(cores.bit_length()) if 2**power <= cores), cores})
        yield from self._in_turn([Case("workers", OURS, self._corpus("reviews"), workers) for workers in counts])

    def _in_turn(self, cases: list[Case], once: Collection[Case] = ()) -> Iterator[dict[str, Any]]:
        """Run all the cases, and all again, so that each has its share of the machine's slow moments."""
        left = list(cases)
        for turn in range(1, self._repeat + 1):
            for case in tuple(left):
                case.run()
                if case.is_over or case in once or turn == self._repeat:
                    left.remove(case)
                    yield case.figures()

    def _corpus(self, name: str, part: float = 1) -> Corpus:
        # In a process of its own: a child's peak begins with what its parent had in memory.
        home = _python("-m", "convert.corpora", name, self._folder, self._scale * part).strip()
        return open_corpus(name, Path(home))


def _python(*arguments: object) -> str:
    """Return what Python prints, run in this folder."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=_PATIENCE_S,
    )
    return done.stdout


def show(found: dict[str, Any]) -> None:
    """Print one case."""
    begin = f"{found['part']:<10} {found['corpus']:<16} {found['json_mb']:>6.0f} MB  {found['engine']:<27}"
    if "failed" in found:
        print(f"{begin} failed: {found['failed']}", flush=True)
        return
    print(
        f"{begin} with {found['workers']}: {found['mb_per_core_s']:>7.1f} MB/s per core {found['mb_per_s']:>7.1f} MB/s "
        f"{found['peak_mb']:>6} MB peak   (load {found['load']})",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.02, help="1 is 570 MB of JSON for the reviews")
    parser.add_argument("--repeat", type=int, default=3, help="runs, of which the medians count")
    parser.add_argument("--workers", type=int, default=2, help="for engines that can have more than one")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; again for more")
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="only this one; again for more")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this one; again for more")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-convert"), help="keeps the generated exports")
    parser.add_argument("--json", type=Path, default=Path("build/bench-convert.json"), help="takes the figures")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md and its plot, too")
    parser.add_argument("--again", action="store_true", help="measure nothing: show what --json has")
    args = parser.parse_args()
    if not args.again:
        _measure(args)
    results = Results(**json.loads(args.json.read_text()))
    for goal in goals(results):
        print(goal)
    problems = results.problems()
    for problem in problems:
        print(problem)
    if args.page and not problems:
        # Here, for Matplotlib is large: see Bench._corpus.
        from convert.plots import draw

        draw(results, PLOT)
        write_page(results)
    return 1 if problems else 0


def _measure(args: argparse.Namespace) -> None:
    print(f"{machine()}; medians of {args.repeat}")
    engines = []
    for engine in args.engine or ENGINES:
        reason = missing(engine)
        if reason is None:
            engines.append(engine)
        else:
            print(f"{engine}: not measured, {reason}")
    args.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.folder.resolve(), args.scale, args.repeat, engines, args.workers)
    found: list[dict[str, Any]] = []
    args.json.parent.mkdir(parents=True, exist_ok=True)
    for part in args.part or PARTS:
        cases = bench.engines(args.corpus or CORPORA) if part == "engines" else getattr(bench, part)()
        for case in cases:
            show(case)
            found.append(case)
            # After each, so that a run that is stopped has what it measured.
            results = {"machine": machine(), "scale": args.scale, "cases": found}
            args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
