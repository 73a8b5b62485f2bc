"""``ddbexport merge`` from a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "merge"))
from increments import START, change, write_increment
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, main
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """The address of a lake with one snapshot, of three items."""
    root, export = write_export(tmp_path, reviews(3), as_of=START)
    convert_export(root, export, LocalStore(tmp_path / "lake"))
    return str(tmp_path / "lake")


def increment(folder: Path, window: int = 0) -> str:
    """Return the address of an increment that deletes the first item."""
    old = reviews(1)[0]
    keys = {name: old[name] for name in ("User", "Book")}
    return write_increment(folder, [change(1, keys, old, None)], window=window).source


def test_increments_are_merged_and_published(lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON; again it is done already."""
    command = ["merge", lake, increment(tmp_path), "--table", "reviews"]
    assert main(command) == FINE
    out, err = capsys.readouterr()
    assert err == ""
    assert "reviews: merged and published\n" in out
    assert "a full export and 1 increments" in out
    assert "  old images  compared\n  gaps        none\n" in out
    assert main([*command, "--base", "2026-01-14T00:00:00Z", "--workers", "2", "--json"]) == FINE
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"], result["as_of"], len(result["ancestry"])) == (2, "2026-01-14T01:00:00Z", 2)
    assert Path(result["record"]).is_file()


def test_a_gap_is_bad_data_and_a_wrong_call_is_one(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the way out; --max-gap takes what the author knows."""
    source = increment(tmp_path, window=1)
    assert main(["merge", lake, source, "--table", "reviews"]) == BAD_DATA
    assert "begin a new chain with a full export" in capsys.readouterr().err
    assert main(["merge", lake, "--table", "reviews"]) == BAD_CALL
    capsys.readouterr()
    assert main(["merge", lake, source, "--table", "reviews", "--max-gap", "3600", "--json"]) == FINE
    told = json.loads(capsys.readouterr().out)
    assert (told["gaps"], told["old_images_compared"]) == ([["2026-01-14T00:00:00Z", "2026-01-14T01:00:00Z"]], False)
