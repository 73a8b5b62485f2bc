"""Fixtures for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A machine that others share is slow now and then; a failure prints what repeats it.
settings.register_profile("repository", deadline=None, print_blob=True)
settings.load_profile("repository")

REAL_EXPORTS = Path(__file__).parents[2] / "shared" / "exports"


@pytest.fixture(scope="session")
def real_exports() -> Path:
    """The folder of exports made by AWS, which lies beside the checkout where there is one."""
    if not REAL_EXPORTS.is_dir():
        pytest.skip("no exports made by AWS beside this checkout")
    return REAL_EXPORTS
