"""Feed damage to the compiled code, and compare what it makes of it with what Python beside it does.

Damaged lines go to both decoders, alone and routed to partitions, damaged pages of scans to both readers, damaged
increments and keys to both sides of a merge; damaged parts are split and widened, and their footers read by both
readers. With ``--compiled`` the compiled code is what lies in that folder, such as what was built with AddressSanitizer
(see ``make asan``). Ends with status 1 at the first difference; a sanitizer ends the process itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from airflow_provider_ddbexport.core.compiled.loading import MODULES

ROOT = Path(__file__).parents[1]
FOLDERS = [
    str(ROOT / "tests" / folder) for folder in ("", "core", "core/columns", "core/merge", "core/scan", "core/snapshot")
]
"""Where what makes and compares damage lies, beside the tests."""

MEMORY_BYTES = 4 << 30
"""A damaged size may ask for any amount. AddressSanitizer reserves terabytes, and has a limit of its own."""

COMPILED = "airflow_provider_ddbexport.core.compiled"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--compiled", type=Path)
    args = parser.parse_args()
    if args.compiled is None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    else:
        for module in MODULES:
            _use(f"{COMPILED}.{module}", args.compiled)
    print(f"seed {args.seed}", flush=True)
    return _fuzz(args.seed, args.seconds)


def _use(name: str, folder: Path) -> None:
    for path in folder.glob(f"{name.rpartition('.')[2]}.*.so"):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is not None and spec.loader is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
            return
    raise SystemExit(f"{folder} has no {name}")


def _fuzz(seed: int, seconds: float) -> int:
    # Not before the compiled code is in its place.
    sys.path[:0] = FOLDERS
    from fuzz_rounds import ROUNDS

    refused: Counter[str] = Counter()
    until = time.monotonic() + seconds
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="ddbexport-fuzz-") as folder:
        while time.monotonic() < until:
            for name, fuzz in ROUNDS.items():
                choice = random.Random(seed + rounds)  # noqa: S311 (it makes damage, not secrets)
                try:
                    difference, count = fuzz(choice, Path(folder))
                except Exception:
                    print(f"seed {seed + rounds}, {name}:", flush=True)
                    raise
                refused[name] += count
                if difference is not None:
                    print(f"seed {seed + rounds}, {name}: {difference}")
                    return 1
            rounds += 1
    told = ", ".join(f"{count} of {name}" for name, count in refused.items())
    print(f"{rounds} rounds of each; refused were {told}; no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
