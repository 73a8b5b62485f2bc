"""Converts every corpus with every option and compares the items that come back: ``make bench-identity``.

The comparison is by a sum of hashes of all items, so it holds for any size.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from convert.corpora import Corpus, make_corpus
from convert.identity import exported, restored, restored_by_shell, settings
from convert.items import CORPORA

SHELL = "ddbexport convert, ddbexport items"


def compare(corpus: Corpus, words: str) -> int:
    """Return 0 and say so if *corpus* comes back as it went in after a conversion with the setting *words*."""
    with tempfile.TemporaryDirectory(prefix="ddbexport-bench-") as folder:
        wanted = exported(corpus)
        if words == SHELL:
            found = restored_by_shell(corpus, Path(folder))
        else:
            found = restored(corpus, settings(corpus)[words], Path(folder))
    verdict = "the same" if found == wanted else f"NOT THE SAME: {found[0]} items came back"
    print(f"{corpus.name:<16} {corpus.items:>9} items, {words:<46} {verdict}", flush=True)
    return int(found != wanted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is 570 MB of JSON for the reviews")
    parser.add_argument("--corpus", action="append", choices=CORPORA, help="only this one; again for more")
    parser.add_argument("--folder", type=Path, default=Path("build/bench-convert"), help="keeps the generated exports")
    args = parser.parse_args()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        making = [pool.submit(make_corpus, name, args.folder, args.scale) for name in args.corpus or CORPORA]
        corpora = [made.result() for made in making]
        comparing = [pool.submit(compare, corpus, words) for corpus in corpora for words in (*settings(corpus), SHELL)]
        return max(compared.result() for compared in comparing)


if __name__ == "__main__":
    sys.exit(main())
