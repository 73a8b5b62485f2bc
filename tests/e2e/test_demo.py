"""``make demo``: what it prints, and that it fails loudly."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import demo
from stack import CHECKOUT

pytestmark = pytest.mark.airflow


def test_the_demo_shows_three_days_the_ledger_and_two_answers() -> None:
    """It ends well; all five tasks of three days have succeeded, each day is in the ledger, Athena answers twice."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "scripts" / "demo.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = re.findall(r"^ +\d{4}-\d\d-\d\d +snapshot\.(\w+) +(\w+)", done.stdout, re.MULTILINE)
    assert tasks == [(task, "success") for task in ("wait", "export", "convert", "crawl", "check")] * 3
    assert len(re.findall(r"^reviews +\d{4}", done.stdout, re.MULTILINE)) == 3
    assert done.stdout.count("bytes scanned\n") == 3 + 2
    assert "Jane Austen" in done.stdout
    assert "leaked" not in done.stderr


def test_a_task_that_did_not_succeed_ends_the_demo() -> None:
    """It is named, with its state and day."""
    line = {"task": "snapshot.check", "logical_date": "2026-01-14T00:00:00Z", "state": "failed"}
    with pytest.raises(demo.DemoFailedError, match=r"snapshot\.check of 2026-01-14T00:00:00Z is failed"):
        demo.print_tasks(iter([line]))


def test_what_goes_wrong_is_told_and_the_exit_status_is_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes a demo that failed for one that did not."""

    def fail(_aws: object) -> None:
        raise demo.DemoFailedError("3 exports should have been paid for, 4 were")

    monkeypatch.setattr(demo, "show", fail)
    monkeypatch.setattr(demo, "HOME", tmp_path / "home")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert demo.main() == 1
    assert "The demo failed: 3 exports should have been paid for, 4 were" in capsys.readouterr().out
