"""What all tests of diffs share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def lakes_need_not_outlive_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk is most of what these tests would do."""
    monkeypatch.setattr("os.fsync", lambda _handle: None)
