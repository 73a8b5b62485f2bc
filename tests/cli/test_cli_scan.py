"""``ddbexport scan`` and ``ddbexport sql``, from a shell against an embedded AWS."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, INTERRUPTED, main
from airflow_provider_ddbexport.cli.columns import add_options
from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.local import local_aws
from airflow_provider_ddbexport.local.handle import LocalAws

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """Reviews with 40 items, and a bucket."""
    with local_aws() as served:
        dynamodb = served.client("dynamodb")
        dynamodb.create_table(
            TableName="Reviews",
            AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
            ProvisionedThroughput={"ReadCapacityUnits": 400, "WriteCapacityUnits": 400},
        )
        for number in range(40):
            dynamodb.put_item(
                TableName="Reviews", Item={"User": {"S": f"user {number}"}, "Rating": {"N": str(number % 5)}}
            )
        served.client("s3").create_bucket(Bucket="backups")
        yield served


@pytest.fixture
def run(aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; gives its status, its JSON where it has any, and what it wrote to standard error."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, Any, str]:
        status = main([*arguments, "--json"])
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return run


def test_a_backup_verifies_and_says_that_it_is_no_point_in_time(run: Run, tmp_path: Path) -> None:
    """In a folder, and in S3 under a prefix."""
    for destination in (str(tmp_path), "s3://backups/daily"):
        status, result, _ = run("scan", "Reviews", destination, "--segments", "3", "--read-units", "500")
        assert status == FINE
        assert (result["items"], result["segments"], result["is_point_in_time"]) == (40, 3, False)
        status, verified, _ = run("verify", result["source"])
        assert (status, verified["items"], verified["export_type"]) == (FINE, 40, "SCAN")


def test_a_snapshot_is_published_without_a_backup(run: Run, tmp_path: Path) -> None:
    """Its items are the table's; the same columns as a conversion has options for."""
    options = ("--parquet", "--table", "scanned", "--numbers", "Rating=double", "--segments", "3")
    status, result, _ = run("scan", "Reviews", str(tmp_path), *options)
    assert (status, result["rows"], result["table"], result["is_point_in_time"]) == (FINE, 40, "scanned", False)
    assert result["consumed_units"] > 0
    status, (snapshot,), _ = run("snapshots", str(tmp_path))
    assert (status, snapshot["rows"], snapshot["as_of"]) == (FINE, 40, result["as_of"])
    assert not list(tmp_path.rglob("*.gz"))


def test_filter_and_projection_are_written_plainly(run: Run, tmp_path: Path) -> None:
    """User is a reserved word of DynamoDB; the literals are typed."""
    status, result, _ = run(
        "scan", "Reviews", str(tmp_path), "--filter", "Rating >= 3 and not User = 'user 3'", "--projection", "User"
    )
    assert (status, result["items"]) == (FINE, 15)


def test_an_estimate_reads_nothing(run: Run) -> None:
    """Items, bytes, units, minutes at the budget, which is half of the provisioned capacity, and cost at a price."""
    status, estimate, _ = run("scan", "Reviews", "--estimate", "--price-per-million", "0.25")
    assert status == FINE
    assert estimate["items"] == 40
    assert estimate["budget_rcu"] == 200.0
    assert estimate["read_units"] == 0.5
    assert estimate["minutes"] == pytest.approx(0.5 / 200 / 60)
    assert estimate["cost"] == pytest.approx(0.5e-6 * 0.25)


def test_an_estimate_takes_the_command_that_it_is_for(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A snapshot takes what a backup does, and it says so; what the scan would refuse, or go on with, is refused."""
    _, backup, _ = run("scan", "Reviews", "--estimate")
    snapshot = ("scan", "Reviews", str(tmp_path / "lake"), "--parquet", "--partition-by", "Rating", "--estimate")
    assert run(*snapshot)[:2] == (FINE, backup)
    assert main(list(snapshot)) == FINE
    assert "for a backup as for a snapshot" in capsys.readouterr().out
    for refused, why in (
        (("--estimate", "--resume"), "--resume goes on with one"),
        (("--estimate", "--nested", "json"), "a backup has no columns"),
        (("--estimate", "--parquet", "--numbers", "Rating=float"), "numbers"),
    ):
        status, _, err = run("scan", "Reviews", str(tmp_path / "lake"), *refused)
        assert status == BAD_CALL
        assert why in json.loads(err)["error"]["message"]
    assert not (tmp_path / "lake").exists()


def test_resuming_nothing_is_a_bad_call(run: Run, tmp_path: Path) -> None:
    """As is a backup to nowhere, a budget of nothing, two budgets, and what only an estimate or a snapshot takes.

    So is an expression that DynamoDB refuses.
    """
    calls = [
        ("scan", "Reviews", str(tmp_path), "--resume"),
        ("scan", "Reviews"),
        ("scan", "Reviews", str(tmp_path), "--read-units", "0"),
        ("scan", "Reviews", str(tmp_path), "--read-units", "5", "--read-percent", "5"),
        ("scan", "Reviews", str(tmp_path), "--segments", "0"),
        ("sql", "select * from Missing"),
        ("sql", "select * from Reviews", "--filter", "Rating between 3"),
        ("scan", "Reviews", str(tmp_path), "--filter", "Rating between 3"),
        ("scan", "Reviews", str(tmp_path), "--price-per-million", "0.25"),
        ("scan", "Reviews", str(tmp_path), "--table", "reviews", "--partition-by", "Rating"),
    ]
    for call in calls:
        status, _, err = run(*call)
        assert status == BAD_CALL, call
        assert json.loads(err)["error"]["message"]
    assert json.loads(err)["error"]["message"].startswith("--table, --partition-by: a backup has no columns")
    assert not list(tmp_path.rglob("*.gz"))


def test_the_destination_may_stand_after_options(run: Run, tmp_path: Path) -> None:
    """Where a hand puts it; two of them are one too many."""
    status, result, _ = run("scan", "Reviews", "--segments", "1", str(tmp_path))
    assert status == FINE
    assert result["source"].startswith(str(tmp_path))
    status, _, err = run("scan", "Reviews", "--segments", "1", str(tmp_path), "other")
    assert status == BAD_CALL
    assert "unrecognized arguments" in err


def test_a_missing_table_is_told(run: Run, tmp_path: Path) -> None:
    """By name, with what to do."""
    status, _, err = run("scan", "NoSuchTable", str(tmp_path))
    assert status == BAD_DATA
    assert json.loads(err)["error"]["type"] == "TableNotFoundError"


def test_sql_is_answered(run: Run) -> None:
    """From the live table, as rows of JSON values."""
    pytest.importorskip("duckdb")
    status, rows, _ = run("sql", "select rating, count(*) as n from reviews group by 1 order by 1")
    assert status == FINE
    assert rows == [{"rating": rating, "n": 8} for rating in range(5)]


def test_columns_of_one_name_are_told_apart_in_json(run: Run) -> None:
    """As a join has them; no value is lost, and no other column is renamed for it."""
    pytest.importorskip("duckdb")
    status, rows, _ = run("sql", "select 1 as a, 2 as a, 3 as a_2, 4 as a")
    assert (status, rows) == (FINE, [{"a": 1, "a_3": 2, "a_2": 3, "a_4": 4}])


def test_answers_for_people_are_tables(
    aws: LocalAws, run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without --json: figures and rows as text."""
    pytest.importorskip("duckdb")
    assert main(["sql", "select count(*) as n from reviews"]) == FINE
    assert capsys.readouterr().out.split() == ["n", "40"]
    assert main(["scan", "Reviews", str(tmp_path)]) == FINE
    assert "not a point in time" in capsys.readouterr().out
    assert main(["scan", "Reviews", str(tmp_path / "lake"), "--parquet"]) == FINE
    out = capsys.readouterr().out
    assert "reviews: published" in out
    assert "not a point in time" in out
    assert main(["scan", "Reviews", "--estimate"]) == FINE
    assert "minutes at 200.0 units" in capsys.readouterr().out


def test_an_interrupted_scan_goes_on_with_resume(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what was read and says how to go on; without --resume another backup begins."""
    from airflow_provider_ddbexport.core.scan.progress import Meter

    def interrupt(meter: Meter) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(Meter, "tell", interrupt)
        assert main(["scan", "Reviews", str(tmp_path)]) == INTERRUPTED
    (told,) = capsys.readouterr().err.splitlines()
    assert told.endswith("interrupted; what was read is kept: the same command with --resume goes on with it")
    (begun,) = [path.parent.name for path in tmp_path.rglob("_started")]
    status, result, _ = run("scan", "Reviews", str(tmp_path), "--resume")
    assert (status, result["items"]) == (FINE, 40)
    assert result["source"].endswith(begun)
    assert not run("scan", "Reviews", str(tmp_path))[1]["source"].endswith(begun)


class Terminal:
    """A pseudo-terminal as standard error; what is written to it is in :meth:`seen`."""

    def __init__(self, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(theirs, "w", encoding="utf-8")

    def seen(self) -> str:
        # A terminal passes on what it is given in its own time; this is the last of it.
        self.stream.write("\0")
        self.stream.flush()
        seen = b""
        while not seen.endswith(b"\0"):
            seen += os.read(self._ours, 1 << 16)
        return seen[:-1].decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Terminal]]:
    """Make standard error a terminal of so many columns."""
    made: list[Terminal] = []

    def make(columns: int) -> Terminal:
        made.append(Terminal(columns))
        monkeypatch.setattr("sys.stderr", made[-1].stream)
        return made[-1]

    yield make
    monkeypatch.undo()
    for terminal in made:
        terminal.close()


ROW = re.compile(r"\r\x1b\[K([^\r\n]*)")


@pytest.mark.parametrize("columns", [40, 80, 0])
def test_a_live_line_shows_how_far_a_scan_is_and_leaves_nothing(
    terminal: Callable[[int], Terminal], tmp_path: Path, columns: int
) -> None:
    """In one row, however narrow the terminal: reading first, then publishing; an empty line is what is left of it."""
    screen = terminal(columns)
    assert main(["scan", "Reviews", str(tmp_path), "--parquet", "--segments", "3"]) == FINE
    seen = screen.seen()
    rows = ROW.findall(seen)
    assert "".join(f"\r\x1b[K{row}" for row in rows) == seen
    assert max(map(len, rows)) <= (columns or 80) - 1
    reading = [row for row in rows if row.startswith("40 items, 0.0 MB, ")]
    assert reading
    assert columns == 40 or "/200 RCU/s, 3/3 segments" in reading[-1]
    assert [row for row in rows if row.startswith("publishing: 0 of ")]
    assert rows[-1] == ""


def test_the_line_is_gone_before_an_error_is_told(
    terminal: Callable[[int], Terminal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which says how to go on, where something was read."""
    from airflow_provider_ddbexport.core.scan.progress import Meter
    from airflow_provider_ddbexport.errors import StorageDeadlineError

    screen, tell = terminal(80), Meter.tell

    def fail(meter: Meter) -> None:
        tell(meter)
        if meter._items:
            raise StorageDeadlineError("the storage is gone")

    with monkeypatch.context() as patching:
        patching.setattr(Meter, "tell", fail)
        assert main(["scan", "Reviews", str(tmp_path)]) == BAD_DATA
    *_, row, after = screen.seen().split("\r\x1b[K")
    assert "items" in row
    assert "the storage is gone; what was read is kept: the same command with --resume goes on with it" in after
    assert main(["scan", "Reviews", str(tmp_path), "--resume"]) == FINE


def test_sql_shows_how_far_its_scans_are(terminal: Callable[[int], Terminal]) -> None:
    """Each table is one."""
    pytest.importorskip("duckdb")
    screen = terminal(80)
    assert main(["sql", "select count(*) from reviews"]) == FINE
    rows = ROW.findall(screen.seen())
    assert [row for row in rows if "segments" in row]
    assert rows[-1] == ""


def test_a_scan_that_is_not_gone_on_with_is_told_of(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files stay, and nobody else knows of them."""
    from airflow_provider_ddbexport.core.scan.progress import Meter

    def interrupt(meter: Meter) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patching:
        patching.setattr(Meter, "tell", interrupt)
        assert run("scan", "Reviews", str(tmp_path))[0] == INTERRUPTED
    (begun,) = [path.parent for path in tmp_path.rglob("_started")]
    assert run("scan", "Reviews", str(tmp_path))[0] == FINE
    (told,) = [record.getMessage() for record in caplog.records if "is not gone on with" in record.getMessage()]
    assert str(begun) in told


def test_parts_are_cut_by_default_as_by_every_other_way_to_a_snapshot() -> None:
    """The shell has the numbers written out, because ``--help`` waits for no import; they are the same."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    found = parser.parse_args([])
    assert (found.rows_per_part, found.part_bytes) == (ROWS_PER_PART, PART_BYTES)
