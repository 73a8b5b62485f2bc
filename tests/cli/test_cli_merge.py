"""``ddbexport merge`` from a shell."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "core" / "merge"))
from increments import HOUR, START, change, write_increment
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, main, progress
from airflow_provider_ddbexport.core.exporting.point_in_time import wait_for_export
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.local import LocalAws


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
    assert "a full export and 1 increment\n" in out
    assert "  old images  compared\n  gaps        none\n" in out
    assert "  filters     not asked for: the exports do not lie in S3\n" in out
    assert main(command) == FINE
    assert "reviews: published already, with the same contents; nothing was done\n" in capsys.readouterr().out
    assert main([*command, "--base", "2026-01-14", "--workers", "2", "--json"]) == FINE
    result = json.loads(capsys.readouterr().out)
    assert result["outcome"] == "unchanged"
    assert (result["rows"], result["as_of"], len(result["ancestry"])) == (2, "2026-01-14T01:00:00Z", 2)
    assert Path(result["record"]).is_file()
    assert main(["snapshots", lake]) == FINE
    assert [line.split()[-2] for line in capsys.readouterr().out.splitlines()[1:]] == ["export", "merge"]


def test_a_name_is_given_to_an_attribute_that_an_increment_brings(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it would share a column; the error says how."""
    old = reviews(1)[0]
    keys = {name: old[name] for name in ("User", "Book")}
    source = write_increment(tmp_path, [change(1, keys, old, {**old, "user": {"S": "u"}})], window=0).source
    command = ["merge", lake, source, "--table", "reviews"]
    assert main(command) == BAD_CALL
    assert (
        "give 'user' another name where this failed, by column_names={'user': \"another_name\"}"
        in capsys.readouterr().err
    )
    assert main([*command, "--rename", "User=who"]) == BAD_DATA
    assert "attribute 'User' of this table has the name 'user'" in capsys.readouterr().err
    assert main([*command, "--rename", "user=user_2", "--json"]) == FINE
    assert main(command) == FINE


def test_a_terminal_sees_how_far_a_merge_is(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changes that were read, and the rows of the snapshot before that were gone through."""
    drawn: list[tuple[str, int, int, int]] = []
    monkeypatch.setattr(progress, "progress_bar", lambda: nullcontext(lambda *arguments: drawn.append(arguments)))
    assert main(["merge", lake, increment(tmp_path), "--table", "reviews"]) == FINE
    assert {(stage, items, total) for stage, items, total, _ in drawn} >= {("read", 1, 1), ("merge", 3, 3)}
    assert {"read", "merge"} <= progress._STAGES.keys()


def test_a_gap_is_bad_data_and_a_wrong_call_is_one(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the way out; --max-gap takes what the author knows."""
    source = increment(tmp_path, window=1)
    assert main(["merge", lake, source, "--table", "reviews"]) == BAD_DATA
    assert "begin a new chain with a full export" in capsys.readouterr().err
    assert main(["merge", lake, "--table", "reviews"]) == BAD_CALL
    for option, wrong in (("--max-gap", "-1"), ("--max-gap", "1h"), ("--max-gap", "1e300"), ("--workers", "0")):
        assert main(["merge", lake, source, "--table", "reviews", option, wrong]) == BAD_CALL
        assert f"argument {option}: expected" in capsys.readouterr().err
    assert main(["merge", lake, source, "--table", "reviews", "--max-gap", "3600", "--json"]) == FINE
    told = json.loads(capsys.readouterr().out)
    assert told["outcome"] == "published"
    assert (told["gaps"], told["old_images_compared"]) == ([["2026-01-14T00:00:00Z", "2026-01-14T01:00:00Z"]], False)


def test_an_export_with_a_filter_is_refused(
    local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """DynamoDB is asked, because the files do not tell; where it does not answer, that is told."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    local_aws.configure(export_seconds=0, restorable_lag_seconds=0)
    days = Days(local_aws)
    lake = str(tmp_path / "lake")
    assert main(["convert", days.full("Book = :book"), lake, "--table", "filtered"]) == FINE
    assert main(["convert", days.full(), lake, "--table", "whole"]) == FINE
    capsys.readouterr()
    source = days.increment()

    assert main(["merge", lake, source, "--table", "filtered"]) == BAD_CALL
    assert "was made of an export with a filter" in capsys.readouterr().err
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    assert main(["merge", lake, source, "--table", "whole", "--json"]) == FINE
    assert len(json.loads(capsys.readouterr().out)["filters_not_known"]) == 2
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB")
    assert main(["merge", lake, source, "--table", "whole"]) == FINE
    assert "  filters     none that DynamoDB knows of\n" in capsys.readouterr().out


class Days:
    """A table with two books and a day of its life, and exports of it."""

    def __init__(self, aws: LocalAws) -> None:
        self._dynamodb, self._begin = aws.client("dynamodb"), aws.clock.now().replace(microsecond=0) + HOUR
        aws.client("s3").create_bucket(Bucket="exports")
        self._arn = self._dynamodb.create_table(
            TableName="Reviews",
            KeySchema=[{"AttributeName": "Book", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Book", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )["TableDescription"]["TableArn"]
        self._dynamodb.update_continuous_backups(
            TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        for book in ("Emma", "Persuasion"):
            self._dynamodb.put_item(TableName="Reviews", Item={"Book": {"S": book}})
        aws.clock.advance(2 * HOUR)
        self._dynamodb.delete_item(TableName="Reviews", Key={"Book": {"S": "Emma"}})
        aws.clock.advance(HOUR)

    def full(self, condition: str | None = None) -> str:
        """Return the address of a full export, of Emma where *condition* asks for that."""
        chosen = {"FilterExpression": condition, "ExpressionAttributeValues": {":book": {"S": "Emma"}}}
        return self._exported(ExportTime=self._begin, **({"FilterSpecification": chosen} if condition else {}))

    def increment(self) -> str:
        """Return the address of the changes since the full export."""
        window = {"ExportFromTime": self._begin, "ExportToTime": self._begin + 2 * HOUR}
        return self._exported(ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=window)

    def _exported(self, **asked: Any) -> str:
        arn = self._dynamodb.export_table_to_point_in_time(TableArn=self._arn, S3Bucket="exports", **asked)[
            "ExportDescription"
        ]["ExportArn"]
        wait_for_export(self._dynamodb, arn, poll_s=0.01)
        return f"s3://exports/AWSDynamoDB/{arn.rpartition('/')[2]}"
