"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_EXPORTS = Path(__file__).parents[2] / "shared" / "exports"


@pytest.fixture(scope="session")
def real_exports() -> Path:
    """The folder of exports made by AWS, which lies beside the checkout where there is one."""
    if not REAL_EXPORTS.is_dir():
        pytest.skip("no exports made by AWS beside this checkout")
    return REAL_EXPORTS
