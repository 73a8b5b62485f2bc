"""Exports and increments are paid for once: killed anywhere, tried again at any time, in any way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from emulated_lake import FILTERED_EXPORTS, task_context
from killed_exports import BUCKET, DELAYS, KILL_POINTS, POLL_S, START, WAYS, Tries, table_with_history

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.exporting.restorable_window import wait_until_restorable
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import ExportFailedError
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger

FULL = {"export_time": START - timedelta(hours=1)}
INCREMENT = {"from_time": START - timedelta(hours=5), "to_time": START - timedelta(hours=1)}


@pytest.fixture
def tries(
    aws: Any,
    monkeypatch: pytest.MonkeyPatch,
    make_context: Callable[..., dict[str, Any]],
    rebuilt: Callable[[Any], Any],
    event_of: Callable[[Any], Any],
) -> Tries:
    table_with_history(aws)
    return Tries(aws, monkeypatch, make_context, rebuilt, event_of)


def _task(kind: str, **changes: Any) -> Any:
    arguments = {
        "task_id": "export",
        "table_name": "Reviews",
        "s3_bucket_name": BUCKET,
        "s3_prefix": "daily",
        "poll_interval_s": POLL_S,
    }
    if kind == "full":
        return DynamoDBPointInTimeExportOperator(**{**arguments, **FULL, **changes})
    return DynamoDBIncrementalExportOperator(**{**arguments, **INCREMENT, **changes})


def _arn(found: dict[str, Any]) -> str:
    return str(found["exports"][0]["export_arn"] if "exports" in found else found["export_arn"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("kill_point", KILL_POINTS)
@pytest.mark.parametrize("kind", ["full", "increment"])
def test_one_export_is_paid_for(tries: Tries, kind: str, kill_point: str, delay: str, way: str) -> None:
    """A try is killed; later the task is tried again, finished and cleared, or its triggerer is restarted."""
    tries.killed(_task(kind), kill_point)
    tries.aws.clock.advance(DELAYS[delay])
    if way == "triggerer restart":
        found = tries.restarted(_task(kind, deferrable=True), DELAYS[delay])
    else:
        # Half of them deferred: 7 h 59 and 3 days.
        deferrable = list(DELAYS).index(delay) % 2 == 1
        found = tries.whole(_task(kind, deferrable=deferrable))
    if way == "clear":
        tries.aws.clock.advance(DELAYS[delay])
        assert tries.whole(_task(kind)) == found
    (billed,) = tries.aws.exports_billed()
    assert _arn(found) == billed["export_arn"]
    assert found["item_count"] == 2


@pytest.mark.parametrize("kill_point", KILL_POINTS)
@pytest.mark.parametrize("kind", ["full", "increment"])
def test_a_scheduler_that_is_started_again_pays_for_no_second_export(tries: Tries, kind: str, kill_point: str) -> None:
    """It runs the task again while the worker of the one before lives on: both have the same export."""
    again: list[Any] = []
    found = tries.overtaken(_task(kind), kill_point, lambda: again.append(tries.whole(_task(kind))))
    (billed,) = tries.aws.exports_billed()
    assert again == [found]
    assert _arn(found) == billed["export_arn"]


def test_another_generation_is_another_export(tries: Tries) -> None:
    """Clearing with another one, which the author gives, makes one more; clearing that again does not."""
    first = tries.whole(_task("full"))
    second = tries.whole(_task("full", generation="2"))
    tries.aws.clock.advance(timedelta(days=1))
    assert tries.whole(_task("full", generation="2")) == second
    assert tries.whole(_task("full")) == first
    assert [export["export_arn"] for export in tries.aws.exports_billed()] == [_arn(first), _arn(second)]


def test_the_generation_comes_from_the_run_where_the_author_says_so(tries: Tries, make_context: Any) -> None:
    """It is a template; what renders to nothing is the first generation."""
    task = _task("full", generation="{{ params.generation | default('') }}")
    task.render_template_fields(make_context())
    assert task.export_requests()[0].generation == ""
    again = _task("full", generation="{{ params.generation | default('') }}")
    again.render_template_fields({**make_context(), "params": {"generation": "2"}})
    assert again.export_requests()[0].generation == "2"


def test_the_ledger_is_written_as_the_export_is(tries: Tries) -> None:
    """Under the export's key, and only to a bucket of the owner that was named."""
    key = tries.aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    tries.whole(_task("full", s3_sse_algorithm="KMS", s3_sse_kms_key_id=key, s3_bucket_owner=tries.aws.account_id))
    s3 = tries.aws.client("s3")
    entries = s3.list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")["Contents"]
    assert len(entries) == 2
    for entry in entries:
        head = s3.head_object(Bucket=BUCKET, Key=entry["Key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


@FILTERED_EXPORTS
@pytest.mark.parametrize("kind", ["full", "increment"])
def test_a_filter_is_part_of_what_is_asked_for(tries: Tries, kind: str) -> None:
    """Filtered and whole are two exports; each is found again days later, in no ledger's hands but DynamoDB's."""
    chosen = {"FilterExpression": "#u = :u", "ExpressionAttributeNames": {"#u": "User"}}
    chosen["ExpressionAttributeValues"] = {":u": {"S": "a"}}
    filtered = tries.whole(_task(kind, filter_specification=chosen))
    assert filtered["item_count"] == 1
    assert tries.whole(_task(kind))["item_count"] == 2
    s3 = tries.aws.client("s3")
    for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
    tries.aws.clock.advance(timedelta(days=3))
    assert tries.whole(_task(kind, filter_specification=chosen)) == filtered
    assert len(tries.aws.exports_billed()) == 2
    # Airflow's UI shows rendered fields.
    assert "filter_specification" not in _task(kind).template_fields


def test_a_damaged_ledger_fails_the_task_at_once(tries: Tries) -> None:
    """Another try would meet it again, and nobody can tell whether the export was paid for."""
    tries.killed(_task("full"), "before the call")
    s3 = tries.aws.client("s3")
    (entry,) = s3.list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")["Contents"]
    s3.put_object(Bucket=BUCKET, Key=entry["Key"], Body=b"{")
    with pytest.raises(AirflowFailException, match="restore the object, or ask for another generation"):
        tries.whole(_task("full"))
    assert tries.aws.exports_billed() == []


def test_another_accounts_bucket_is_a_destination_like_any(tries: Tries, tmp_path: Path) -> None:
    """Its owner is named; a try that is killed before it has recorded its export is found there, and what it wrote is
    read there."""
    from airflow_provider_ddbexport.local.server import process_emulator

    owner = "210987654321"
    emulator, _ = process_emulator()
    theirs = emulator.moto.s3(owner).create_bucket("their-bucket", "us-east-1")
    task = _task("full", s3_bucket_name="their-bucket", s3_bucket_owner=owner)
    tries.killed(task, "before the record")
    tries.aws.clock.advance(timedelta(days=3))
    found = tries.whole(_task("full", s3_bucket_name="their-bucket", s3_bucket_owner=owner))
    assert [export["export_arn"] for export in tries.aws.exports_billed()] == [_arn(found)]
    assert len([key for key in theirs.keys if key.startswith("daily/_ddbexport/exports/Reviews/")]) == 2
    convert = DynamoDBExportToParquetOperator(
        task_id="convert", source=found["source"], lake=str(tmp_path), s3_bucket_owner=owner
    )
    assert convert.execute(task_context())["rows"] == 2


def test_a_ledger_of_ones_own_place_serves_as_well(tries: Tries) -> None:
    """For destinations that may be written, but not read."""
    first = tries.whole(_task("full", ledger="s3://exports/elsewhere"))
    tries.aws.clock.advance(timedelta(days=1))
    assert tries.whole(_task("full", ledger="s3://exports/elsewhere")) == first
    keys = [entry["Key"] for entry in tries.aws.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert any(key.startswith("elsewhere/_ddbexport/exports/Reviews/") for key in keys)
    assert not any(key.startswith("daily/_ddbexport/") for key in keys)


def test_a_deferred_task_waits_for_its_turn_in_the_triggerer(tries: Tries, run_task: Any, context: Any) -> None:
    """Throttled for more than a minute it holds no worker; woken, it asks again, until it is its turn."""
    tries.aws.configure(concurrent_exports=0)
    tries.no_sleep()
    turns: list[str] = []

    def let_it_in() -> None:
        turns.append(run_task.deferrals[-1])
        if len(turns) == 2:
            tries.aws.configure(concurrent_exports=1, export_seconds=0)

    run_task.on_deferral = let_it_in
    found = run_task(_task("full", deferrable=True), context)
    assert [turn.rpartition(".")[2] for turn in turns] == ["TurnTrigger", "TurnTrigger"]
    assert [_arn(found)] == [export["export_arn"] for export in tries.aws.exports_billed()]


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_an_increment_waits_until_its_end_can_be_exported(
    tries: Tries, run_task: Any, context: Any, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    """Five minutes after the window has passed; nothing is asked for before."""
    waits: list[int] = []

    def pass_ten_minutes(*_: Any) -> None:
        waits.append(len(tries.aws.exports_billed()))
        tries.aws.clock.advance(timedelta(minutes=10))
        tries.aws.configure(export_seconds=0)

    run_task.on_deferral = pass_ten_minutes
    monkeypatch.setitem(wait_until_restorable.__kwdefaults__, "sleep", pass_ten_minutes)
    found = run_task(_task("increment", to_time=START, deferrable=deferrable), context)
    assert waits[0] == 0, "it did not wait"
    assert found["to_time"] == "2026-01-14T06:00:00Z"
    assert len(tries.aws.exports_billed()) == 1


def test_an_increment_whose_history_is_gone_fails_at_once(tries: Tries) -> None:
    """It will never be restorable again; the error names the window."""
    with pytest.raises(AirflowFailException, match="history is gone"):
        tries.whole(_task("increment", from_time=START - timedelta(days=2), to_time=START - timedelta(hours=30)))
    assert tries.aws.exports_billed() == []


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_a_long_interval_is_cut_into_windows(tries: Tries, run_task: Any, context: Any, deferrable: bool) -> None:
    """Each is an export of its own; killed in the middle and run again, none is paid for twice."""
    tries.aws.clock.set(START + timedelta(days=3), frozen=True)
    times = {"from_time": START - timedelta(hours=5), "to_time": START + timedelta(hours=50)}
    killed = _task("increment", **times)
    tries.killed(killed, "before the record", skip=1)
    assert len(tries.aws.exports_billed()) == 2
    run_task.on_deferral = lambda: tries.aws.configure(export_seconds=0)
    found = run_task(_task("increment", **times, deferrable=deferrable), context)
    assert [(window["from_time"], window["export_time"]) for window in found["exports"]] == [
        ("2026-01-14T01:00:00Z", "2026-01-15T01:00:00Z"),
        ("2026-01-15T01:00:00Z", "2026-01-16T01:00:00Z"),
        ("2026-01-16T01:00:00Z", "2026-01-16T08:00:00Z"),
    ]
    billed = [export["export_arn"] for export in tries.aws.exports_billed()]
    assert billed == [window["export_arn"] for window in found["exports"]]
    assert (found["item_count"], found["billed_bytes"]) == (2, 30_000_000)
    assert len(run_task.deferrals) == int(deferrable)


def test_a_window_that_failed_fails_the_task_and_is_asked_for_again(tries: Tries) -> None:
    """The others are kept."""
    tries.aws.clock.set(START + timedelta(days=1), frozen=True)
    times = {"from_time": START - timedelta(hours=5), "to_time": START + timedelta(hours=20)}
    tries.aws.configure(fail_next_export=("InternalServerError", "sorry"))
    with pytest.raises(ExportFailedError, match="sorry"):
        tries.whole(_task("increment", **times))
    assert len(tries.aws.exports_billed()) == 1
    found = tries.whole(_task("increment", **times))
    billed = [export["export_arn"] for export in tries.aws.exports_billed()]
    assert sorted(billed) == sorted(window["export_arn"] for window in found["exports"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"from_time": "", "to_time": ""}, "no data interval"),
        ({"from_time": START, "to_time": START}, "no data interval"),
        ({"to_time": START - timedelta(hours=5) + timedelta(minutes=10)}, "15 minutes"),
        ({"from_time": "yesterday"}, "from_time"),
        ({"export_view": "NEW_IMAGES"}, "NEW_IMAGE or NEW_AND_OLD_IMAGES"),
    ],
)
def test_an_increment_that_cannot_be_meant_fails_at_once(tries: Tries, changes: dict[str, Any], said: str) -> None:
    """The error says what was expected, and nothing was asked for."""
    with pytest.raises(AirflowFailException, match=said):
        tries.whole(_task("increment", **changes))
    assert tries.aws.exports_billed() == []


def test_an_increment_is_of_the_runs_data_interval(make_context: Any) -> None:
    """By default; a run without one renders to nothing."""
    for context, expected in [
        ({"data_interval_start": START, "data_interval_end": START + timedelta(hours=1)}, START),
        ({}, None),
    ]:
        task = DynamoDBIncrementalExportOperator(task_id="t", table_name="Reviews", s3_bucket_name=BUCKET)
        task.render_template_fields({**make_context(), **context})
        assert (parse_time(task.from_time) if task.from_time else None) == expected


def test_killing_a_task_leaves_the_arn_in_the_log(tries: Tries, capfd: pytest.CaptureFixture[str]) -> None:
    """In the worker and in the triggerer: the export goes on, and nothing cancels it."""
    task = _task("full", wait_for_completion=False)
    arn = _arn(tries.whole(task))
    capfd.readouterr()
    task.on_kill()
    assert f"export {arn} goes on and is billed" in capfd.readouterr().out
    asyncio.run(DynamoDBExportTrigger(export_arn=arn, deadline="2100-01-01T00:00:00+00:00").on_kill())
    assert f"export {arn} goes on and is billed" in capfd.readouterr().out


def test_killing_a_task_in_the_middle_of_its_call_names_the_request(
    tries: Tries, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether the export was started nobody knows yet; what it would be is in the log."""
    task = _task("full")
    tries.killed(task, "response lost")
    task.on_kill()
    assert "as of 2026-01-14T05:00:00Z to s3://exports/daily, if it was started) goes on" in capfd.readouterr().out
