"""Feed damaged lines, pages of scans and increments to both decoders, and compare their answers.

With ``--compiled`` the compiled code is what lies in that folder, such as what was built with AddressSanitizer (see
``make asan``). Ends with status 1 at the first difference; a sanitizer ends the process itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests/core" / folder) for folder in ("", "columns", "merge", "scan")]

COMPILED = "airflow_provider_ddbexport.core.compiled"
MODULES = ("_changes", "_kernel", "_splice")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--compiled", type=Path)
    args = parser.parse_args()
    if args.compiled is not None:
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
    from decoder_fuzz import (  # type: ignore[import-not-found] # beside the tests
        compiled_outcome,
        damaged,
        random_options,
        reference_outcome,
        schema_for,
        spelled,
    )
    from generated_items import random_items  # type: ignore[import-not-found]
    from page_fuzz import body_of  # type: ignore[import-not-found]

    from airflow_provider_ddbexport.core.scan.page import decoded_page, page_of

    until = time.monotonic() + seconds
    rounds = refused = 0
    while time.monotonic() < until:
        choice = random.Random(seed + rounds)  # noqa: S311 (it makes damage, not secrets)
        rounds += 1
        items = random_items(choice, rows=choice.choice([1, 2, 4, 30]))
        body = body_of(items, choice)
        for _ in range(8):
            changed = damaged(body, choice)
            if page_of(changed) != decoded_page(changed):
                print(f"seed {seed + rounds - 1}: pages\n{changed!r}")
                return 1
        if _changes_differ(choice):
            print(f"seed {seed + rounds - 1}: increments")
            return 1
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
    print(f"{rounds} rounds of 8 damaged pages and blocks, {refused} of the blocks refused; no difference")
    return 0


def _changes_differ(choice: random.Random) -> bool:
    """Return whether increments come to something else by the compiled part, before or after damage."""
    from change_fuzz import (  # type: ignore[import-not-found] # beside the tests
        damaged_windows,
        outcome_of,
        random_windows,
    )

    from airflow_provider_ddbexport.core.compiled.loading import load

    windows = random_windows(choice)
    terms = choice.randrange(1 << 32)
    for tried in (windows, *(damaged_windows(windows, choice) for _ in range(3))):
        if outcome_of(tried, load("_changes"), terms) != outcome_of(tried, None, terms):
            print(tried)
            return True
    return False


if __name__ == "__main__":
    sys.exit(main())
