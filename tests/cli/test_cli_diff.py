"""``ddbexport diff`` from a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "diff"))
sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "merge"))
from diffed_lake import KEY, lake_of
from increments import HOUR, START, change, write_increment
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, main
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.local import LocalAws

COUNTS = ("added", "changed", "removed", "unchanged")
KEYS = [argument for name in KEY for argument in ("--key", name)]


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """The address of a lake with two snapshots."""
    return str(lake_of(tmp_path, reviews(8), [*reviews(10)[2:], {**reviews(1)[0], "Rating": {"N": "9"}}]).root)


def test_changes_are_counted_and_written_where_asked(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and as JSON; without --out nothing is written."""
    before = sorted(Path(lake).rglob("*"))
    assert main(["diff", lake, "--table", "reviews", *KEYS]) == FINE
    out, err = capsys.readouterr()
    assert err == ""
    assert "reviews: what changed\n" in out
    assert [line.split()[-1] for line in out.splitlines()[3:-1]] == ["2", "1", "1", "6", "User", "join"]
    assert "was not made of the earlier one by a merge" in out.splitlines()[-1]
    assert sorted(Path(lake).rglob("*")) == before

    times = ["--from", "2026-01-14T10:18:50Z", "--to", "2026-01-15T10:18:50Z"]
    command = ["diff", lake, "--table", "reviews", *KEYS, *times, "--out", str(tmp_path / "out")]
    assert main([*command, "--json"]) == FINE
    result = json.loads(capsys.readouterr().out)
    assert [result[name] for name in COUNTS] == [2, 1, 1, 6]
    assert "by a merge" in result["not_by_increments"]
    assert Path(result["record"]).is_file()
    assert main(command) == FINE
    out = capsys.readouterr().out
    assert result["record"] in out
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == result["parts"] == 1


def test_increments_between_the_snapshots_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One between the two tells the same as they do."""
    before, after = reviews(2), [{**reviews(1)[0], "Rating": {"N": "9"}}, *reviews(3)[1:]]
    lake = LocalStore(tmp_path / "lake")
    for number, (items, as_of) in enumerate(((before, START), (after, START + HOUR))):
        convert_export(*write_export(tmp_path / str(number), items, as_of=as_of, number=number), lake)
    lines = [
        change(1, {name: after[0][name] for name in KEY}, before[0], after[0]),
        change(2, {name: after[2][name] for name in KEY}, None, after[2]),
    ]
    increment = write_increment(tmp_path, lines)
    told = {}
    for arguments in (["--compare"], ["--increment", increment.source]):
        assert main(["diff", str(lake.root), "--table", "reviews", *KEYS, *arguments, "--json"]) == FINE
        result = json.loads(capsys.readouterr().out)
        told[result["method"]] = [result[name] for name in COUNTS]
        assert result["not_by_increments"] is None, "nobody asked for those that were merged"
    assert main(["diff", str(lake.root), "--table", "reviews", *KEYS, "--increment", increment.source]) == FINE
    assert "not asked for: the exports do not lie in S3" in capsys.readouterr().out
    assert told == {"key join": [1, 1, 0, 1], "increments": [1, 1, 0, 1]}


def test_an_edited_summary_can_be_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the merge before did; unless it is, both snapshots are compared, and the reason names the option."""
    before = reviews(2)
    lake = LocalStore(tmp_path / "lake")
    convert_export(*write_export(tmp_path, before, as_of=START), lake)
    gone = change(1, {name: before[0][name] for name in KEY}, before[0], None)
    source = write_increment(tmp_path, [gone]).source
    summary = Path(source) / "manifest-summary.json"
    summary.write_text(summary.read_text() + " ")
    accept = "--accept-edited-summary"
    assert main(["merge", str(lake.root), source, "--table", "reviews", accept]) == FINE
    capsys.readouterr()
    given = [accept, "--increment", source]
    for arguments, method in (([], "key join"), ([accept], "increments"), (given, "increments")):
        assert main(["diff", str(lake.root), "--table", "reviews", *KEYS, *arguments, "--json"]) == FINE
        result = json.loads(capsys.readouterr().out)
        assert [result[name] for name in COUNTS] == [0, 0, 1, 1]
        assert result["method"] == method
        assert (accept in (result["not_by_increments"] or "")) == (not arguments)


def test_the_key_need_not_be_given_where_anything_tells_it(
    local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snapshots of one that was merged do, and else DynamoDB; where nobody does, the error says what to give."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    before = reviews(2)
    lake = LocalStore(tmp_path / "lake")
    convert_export(*write_export(tmp_path / "full", before, as_of=START), lake)
    line = change(1, {name: before[0][name] for name in KEY}, before[0], None)
    increment = write_increment(tmp_path, [line])
    assert main(["merge", str(lake.root), increment.source, "--table", "reviews"]) == FINE
    capsys.readouterr()
    times = ["--from", "2026-01-14", "--to", "2026-01-14T01:00:00Z"]
    command = ["diff", str(lake.root), "--table", "reviews", "--json"]
    assert main([*command, *times]) == FINE
    result = json.loads(capsys.readouterr().out)
    assert ([result[name] for name in COUNTS], result["key"]) == ([0, 0, 1, 1], ["Book", "User"])

    full = lake_of(tmp_path / "full only", before, before[1:])
    command[1] = str(full.root)
    assert main(command) == BAD_CALL
    assert "(--key, keys=)" in capsys.readouterr().err
    dynamodb = local_aws.client("dynamodb")
    dynamodb.create_table(
        TableName="Reviews",
        KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}, {"AttributeName": "Book", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in KEY],
        BillingMode="PAY_PER_REQUEST",
    )
    assert main(command) == BAD_CALL
    assert "made again since" in capsys.readouterr().err


def test_a_wrong_call_is_told_from_what_is_not_there(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that is none is a bad call; a snapshot that is not published is not."""
    for arguments, status, message in (
        (["--key", "User"], BAD_CALL, "several items have the same 'User'"),
        ([*KEYS, "--compare", "--increment", "x"], BAD_CALL, "not allowed with"),
        ([*KEYS, "--from", "noon"], BAD_CALL, "--from: expected an ISO 8601 time"),
        ([*KEYS, "--from", "2026-01-15T10:18:50Z"], BAD_CALL, "give the earlier snapshot first"),
        ([*KEYS, "--to", "2026-01-14T10:18:50Z"], BAD_DATA, "nothing to compare it with yet"),
    ):
        assert main(["diff", lake, "--table", "reviews", *arguments]) == status
        assert message in capsys.readouterr().err
