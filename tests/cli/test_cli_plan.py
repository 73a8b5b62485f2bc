"""``ddbexport plan``, from a shell against an embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from snapshot_records import commit_record, schema_of

from airflow_provider_ddbexport.cli import BAD_CALL, BAD_DATA, FINE, main
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.history import KnownHistory
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.local import local_aws
from airflow_provider_ddbexport.local.handle import LocalAws

Run = Callable[..., tuple[int, str, str]]

DAY = timedelta(days=1)
T = datetime(2026, 1, 1, tzinfo=UTC)
RANGE = ("--from", "2026-01-01", "--to", "2026-01-10T00:00:00Z")


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    """Reviews, on the forty-second day of its life, so that its first seven days are out of the window."""
    with local_aws() as served:
        served.clock.set(T)
        dynamodb = served.client("dynamodb")
        dynamodb.create_table(
            TableName="Reviews",
            AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.update_continuous_backups(
            TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        for number in range(40):
            item = {"User": {"S": f"user {number}"}, "Text": {"S": "x" * 25_000}}
            dynamodb.put_item(TableName="Reviews", Item=item)
        served.clock.set(T + 41.5 * DAY)
        yield served


@pytest.fixture
def run(aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; gives its status and what it wrote to standard output and standard error."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        return (main(list(arguments)), *capsys.readouterr())

    return run


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A lake in which the fifth and the ninth of January are published."""
    ledger = Ledger(open_store(tmp_path / "reviews"))
    for day in (4, 8):
        ledger.create(commit_record(schema_of([{"User": {"S": "a"}}]), as_of=T + day * DAY, partitions=()))
    return str(tmp_path)


def test_a_plan_says_what_is_published_restorable_and_gone(run: Run, aws: LocalAws, lake: str) -> None:
    """With the exports, bytes and cost of each way; nothing is billed for asking."""
    status, out, err = run("plan", "Reviews", *RANGE, "--lake", lake, "--price-per-gb", "10", "--json")
    assert (status, err) == (FINE, "")
    plan = json.loads(out)
    assert [one["state"] for one in plan["times"]] == [
        *["OUT_OF_WINDOW"] * 4,
        "PUBLISHED",
        *["OUT_OF_WINDOW"] * 2,
        "RESTORABLE",
        "PUBLISHED",
        "RESTORABLE",
    ]
    assert plan["first_restorable"] == "2026-01-08T00:00:00Z"
    assert plan["times"][7]["restorable_until"] == "2026-02-12T00:00:00Z"
    assert plan["window"]["period_days"] == 35
    assert plan["table_bytes"] == pytest.approx(1_000_000, rel=0.01)
    full = plan["ways"]["FULL_EXPORTS"]
    assert (full["exports"], full["bytes"]) == (2, 2 * plan["table_bytes"])
    assert full["cost"] == pytest.approx(2 * plan["table_bytes"] / 1e9 * 10)
    assert full["unreached"][-1] == "2026-01-07T00:00:00Z"
    assert plan["cheapest"] == "FULL_EXPORTS"
    assert aws.exports_billed() == []


TOLD = """\
Reviews: 10 midnights (UTC), 2026-01-01 to 2026-01-10

  published           2  2026-01-05, 2026-01-09
  restorable          2  2026-01-08, 2026-01-10
  out of the window   6  2026-01-01 to 2026-01-04, 2026-01-06 to 2026-01-07; the first that is not: 2026-01-08

  full exports       2 full to be made  about 2.0 MB  6 times not reached
  with increments    2 full to be made  about 2.0 MB  6 times not reached
  billed least       full exports

  oldest first       2026-01-08 leaves the window at 2026-02-12T00:00:00Z
  at once            at most 300 full exports, about 20 calls in a burst
  billed             about: a full export the table's size, 1.0 MB now; an increment what changed, 10 MB at least
"""


def test_a_plan_is_told_to_people(run: Run, lake: str) -> None:
    """As ranges of days, and in one line for each way; times that are no days are told in full."""
    status, out, _ = run("plan", "Reviews", *RANGE, "--lake", lake, "--table", "reviews")
    assert status == FINE
    window = next(line for line in out.splitlines() if line.startswith("  window"))
    # The embedded AWS's clock ticks on from noon.
    assert window.split()[1].startswith("2026-01-07T12:")
    assert out.replace(f"{window}\n", "") == TOLD
    status, out, _ = run("plan", "Reviews", *RANGE, "--every", "36h")
    assert (status, out.splitlines()[0]) == (
        FINE,
        "Reviews: 7 times (UTC), 2026-01-01T00:00:00Z to 2026-01-10T00:00:00Z",
    )
    assert "billed least" not in run("plan", "Reviews", "--from", "2026-01-01", "--to", "2026-01-02")[1]


def test_what_decides_between_the_ways_can_be_told(run: Run) -> None:
    """By how much changes in a day; without it, at how much both are billed alike."""
    wide = ("--from", "2026-02-01", "--to", "2026-02-05", "--json")
    status, out, _ = run("plan", "Reviews", *wide, "--changed-gb-per-day", "0.02")
    assert (status, json.loads(out)["changed_bytes_per_day"]) == (FINE, 20_000_000)
    assert json.loads(run("plan", "Reviews", *wide)[1])["changed_bytes_per_day"] is None


def test_what_decides_is_told_to_people(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a terabyte: one full export and increments, if less than that changes in a day."""
    history = KnownHistory("Reviews", 10**12, RestorableWindow(T, T + 30 * DAY, 35))
    monkeypatch.setattr("airflow_provider_ddbexport.core.history.look_up_history", lambda *_, **__: history)
    status, out, _ = run("plan", "Reviews", "--from", "2026-01-01", "--to", "2026-01-05", "--price-per-gb", "0.1")
    assert status == FINE
    facts = [" ".join(line.split()) for line in out.splitlines()]
    assert "full exports 5 full to be made about 5.0 TB 500.0000 at the given price" in facts
    assert "with increments 1 full and 4 increments to be made at least 1.0 TB 100.0040 at the given price" in facts
    assert "billed least with increments, if less than 1.0 TB a day changes (tell with --changed-gb-per-day)" in facts
    assert "at once at most 100 full exports, about 20 calls in a burst" in facts


def test_exports_that_are_looked_at_are_counted_on_a_terminal(
    aws: LocalAws, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a call of its own, and there may be hundreds."""
    dynamodb = aws.client("dynamodb")
    aws.client("s3").create_bucket(Bucket="looked-at")
    arn = dynamodb.describe_table(TableName="Reviews")["Table"]["TableArn"]
    for hours in (1, 2):
        dynamodb.export_table_to_point_in_time(
            TableArn=arn, S3Bucket="looked-at", ExportTime=T + 41 * DAY + timedelta(hours=hours)
        )
    drawn: list[str] = []
    monkeypatch.setattr("airflow_provider_ddbexport.cli.plan.live_line", lambda: nullcontext(drawn.append))
    status, _, err = run("plan", "Reviews", *RANGE)
    assert (status, err) == (FINE, "")
    first, *looks = drawn
    assert first == "asking DynamoDB for the exports of Reviews"
    assert looks == ["looked at 1 of 2 exports", "looked at 2 of 2 exports"]


def test_bad_calls_are_refused(run: Run, lake: str) -> None:
    """Before AWS is asked anything; a missing table is told by name."""
    for wrong in (
        ("--every", "fortnight"),
        ("--from", "2026-01-01T00:00:00"),
        ("--to", "2025-01-01"),
        ("--table", "reviews"),
        ("--exports-in", "bucket"),
        ("--price-per-gb", "-1"),
        ("--lake", lake, "--table", "Not A Table"),
    ):
        status, _, err = run("plan", "Reviews", *RANGE, *wrong)
        assert status == BAD_CALL, wrong
        assert err.startswith("ddbexport: "), wrong
    _, _, err = run("plan", "Reviews", *RANGE, "--from", "2026-01-01 08:30")
    assert "write it with its offset, such as 2026-01-01T08:30:00Z" in err
    status, _, err = run("plan", "Missing", *RANGE)
    assert (status, "Missing" in err) == (BAD_DATA, True)
