"""Feed damaged lines to both decoders for a while and compare their answers.

With ``--kernel`` the compiled decoder is that file, such as one built with AddressSanitizer (see ``make asan``). Ends
with status 1 at the first difference; a sanitizer ends the process itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/core"), str(ROOT / "tests/core/columns")]

KERNEL = "airflow_provider_ddbexport.core.compiled._kernel"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kernel", type=Path)
    args = parser.parse_args()
    if args.kernel is not None:
        _use_kernel(args.kernel)
    print(f"seed {args.seed}", flush=True)
    return _fuzz(args.seed, args.seconds)


def _use_kernel(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(KERNEL, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no extension module")
    sys.modules[KERNEL] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[KERNEL])


def _fuzz(seed: int, seconds: float) -> int:
    from decoder_fuzz import (  # type: ignore[import-not-found] # beside the tests
        compiled_outcome,
        damaged,
        random_options,
        reference_outcome,
        schema_for,
        spelled,
    )
    from generated_items import random_items  # type: ignore[import-not-found]

    until = time.monotonic() + seconds
    rounds = refused = 0
    while time.monotonic() < until:
        choice = random.Random(seed + rounds)  # noqa: S311 (it makes damage, not secrets)
        rounds += 1
        items = random_items(choice, rows=choice.choice([1, 2, 4, 30]))
        lines = b"\n".join(spelled(item, choice) for item in items)
        schema = schema_for(items, random_options(choice))
        if schema is None:
            continue
        for _ in range(8):
            changed = damaged(lines, choice)
            outcome = compiled_outcome(changed, schema)
            refused += outcome.refused is not None
            difference = outcome.differs_from(reference_outcome(changed, schema))
            if difference is not None:
                print(f"seed {seed + rounds - 1}: {difference}\n{changed!r}")
                return 1
    print(f"{rounds} rounds of 8 damaged blocks, {refused} of them refused; no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
