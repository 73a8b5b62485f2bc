"""What ``make fuzz`` and ``make asan`` do for hours works for one round of each kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from airflow_provider_ddbexport.core.compiled.loading import missing
from fuzz_decoder import FOLDERS, ROOT


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


def test_the_script_finds_what_it_needs_without_pytest() -> None:
    """It begins, and ends before its first round."""
    command = [sys.executable, str(ROOT / "scripts" / "fuzz_decoder.py"), "--seconds", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 rounds of each" in done.stdout
