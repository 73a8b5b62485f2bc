"""What ``make fuzz`` and ``make asan`` do for hours works for one round of each kind."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

from airflow_provider_ddbexport.core.compiled.loading import missing
from fuzz_decoder import FOLDERS


@pytest.mark.skipif(bool(missing()), reason="there is nothing compiled to compare")
def test_a_round_of_each_kind_finds_no_difference(tmp_path: Path) -> None:
    """And damage that is refused: what refuses nothing was not harmed."""
    sys.path[:0] = FOLDERS
    from fuzz_rounds import ROUNDS

    for name, fuzz in ROUNDS.items():
        refused = 0
        for seed in range(3):
            difference, count = fuzz(Random(seed), tmp_path)
            assert difference is None, name
            refused += count
        assert refused, name
