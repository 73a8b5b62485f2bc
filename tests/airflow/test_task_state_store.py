"""What a try notes in Airflow's task state store, and what the next one makes of it where the ledger is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk._shared.state import TaskScope
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    ErrorResponse,
    GetTaskStateStore,
    OKResponse,
    SetTaskStateStore,
    TaskStateStoreResult,
)
from airflow.sdk.execution_time.context import TaskStateStoreAccessor
from killed_exports import BUCKET, POLL_S, START, Tries, table_with_history

from airflow_provider_ddbexport.errors import ExportFailedError
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.remembering import RETENTION

TASK: dict[str, Any] = {
    "task_id": "export",
    "table_name": "Reviews",
    "s3_bucket_name": BUCKET,
    "s3_prefix": "daily",
    "poll_interval_s": POLL_S,
}


@dataclass
class Supervisor:
    """Answers what the SDK's own task state store asks of it, as the supervisor of a worker does; JSON all the way.

    Attributes:
        entries: what is stored, by key.
        expiries: and until when.
        error: raised by every request.
    """

    entries: dict[str, str] = field(default_factory=dict)
    expiries: list[datetime | None] = field(default_factory=list)
    error: Exception | None = None

    def send(self, message: Any) -> Any:
        """Answer one message."""
        if self.error is not None:
            raise self.error
        if isinstance(message, SetTaskStateStore):
            self.entries[message.key] = json.dumps(message.value)
            self.expiries.append(message.expires_at)
            return OKResponse(ok=True)
        assert isinstance(message, GetTaskStateStore)
        if message.key not in self.entries:
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={"key": message.key})
        return TaskStateStoreResult(value=json.loads(self.entries[message.key]))


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def make_tries(
    *,
    aws: Any,
    monkeypatch: pytest.MonkeyPatch,
    make_context: Callable[..., dict[str, Any]],
    rebuilt: Callable[[Any], Any],
    event_of: Callable[[Any], Any],
    supervisor: Supervisor,
) -> Callable[..., Tries]:
    """Return what makes tries of one task instance, whose contexts have Airflow's store or, before 3.3, none."""
    table_with_history(aws)

    def make(*, store: bool = True) -> Tries:
        def context() -> dict[str, Any]:
            scope = TaskScope(dag_id="dag", run_id="run", task_id="export", map_index=-1)
            accessor = TaskStateStoreAccessor(ti_id=uuid4(), scope=scope)
            return {**make_context(), **({"task_state_store": accessor} if store else {})}

        return Tries(aws, monkeypatch, context, rebuilt, event_of)

    return make


@pytest.fixture
def tries(make_tries: Callable[..., Tries]) -> Tries:
    return make_tries()


def _full(**changes: Any) -> Any:
    return DynamoDBPointInTimeExportOperator(**{**TASK, "export_time": START - timedelta(hours=1), **changes})


def _increment(**changes: Any) -> Any:
    times = {"from_time": START - timedelta(hours=5), "to_time": START - timedelta(hours=1)}
    return DynamoDBIncrementalExportOperator(**{**TASK, **times, **changes})


def _lose_the_ledger(aws: Any) -> None:
    """Delete it, and let nobody look for exports: only the task itself still knows."""
    s3 = aws.client("s3")
    entries = s3.list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")["Contents"]
    for entry in entries:
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
    aws.fail_next("ListExports", "AccessDeniedException", times=100)


def _arns(found: dict[str, Any]) -> list[str]:
    return [export["export_arn"] for export in found.get("exports", [found])]


def _billed(aws: Any) -> list[str]:
    return [export["export_arn"] for export in aws.exports_billed()]


@pytest.mark.parametrize("delay", [timedelta(minutes=1), timedelta(days=3)], ids=["1 min", "3 days"])
@pytest.mark.parametrize("way", ["retry", "clear", "triggerer restart"])
@pytest.mark.parametrize("task", [_full, _increment])
def test_a_task_whose_ledger_was_deleted_uses_the_export_it_started(
    tries: Tries, task: Callable[..., Any], way: str, delay: timedelta
) -> None:
    """Running or finished, waiting or deferred: one is paid for, and the ledger is written anew."""
    aws = tries.aws
    # Only what is cleared has seen the end of its export; the others are killed while it goes on.
    first = tries.whole(task(wait_for_completion=way == "clear"))
    _lose_the_ledger(aws)
    aws.clock.advance(delay)
    found = tries.restarted(task(deferrable=True), delay) if way == "triggerer restart" else tries.whole(task())
    assert _arns(found) == _arns(first) == _billed(aws)
    assert found["item_count"] == 2
    ledger = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="daily/_ddbexport/")["Contents"]
    assert [entry["Key"].rpartition("/")[2] for entry in ledger] == ["claim-0001.json", "export-0001.json"]


def test_before_airflow_3_3_it_is_as_it_was(make_tries: Callable[..., Tries], supervisor: Supervisor) -> None:
    """Without the store, without the ledger, and forbidden to look: days later nobody can know, and another is made."""
    tries = make_tries(store=False)
    first = tries.whole(_full())
    _lose_the_ledger(tries.aws)
    tries.aws.clock.advance(timedelta(days=3))
    second = tries.whole(_full())
    assert _arns(first) + _arns(second) == _billed(tries.aws)
    assert supervisor.entries == {}


def test_each_window_is_noted_with_what_was_asked_for(tries: Tries, supervisor: Supervisor) -> None:
    """One entry for each, for as long as DynamoDB can be asked about an export."""
    tries.aws.clock.set(START + timedelta(days=1), frozen=True)
    found = tries.whole(_increment(to_time=START + timedelta(hours=20)))
    noted = [json.loads(entry) for entry in supervisor.entries.values()]
    assert [entry["export_arn"] for entry in noted] == _arns(found)
    windows = [entry["request"]["IncrementalExportSpecification"] for entry in noted]
    assert [window["ExportFromTime"] for window in windows] == ["2026-01-14T01:00:00Z", "2026-01-15T01:00:00Z"]
    for expiry in supervisor.expiries:
        assert expiry is not None
        assert timedelta(0) <= datetime.now(UTC) + RETENTION - expiry < timedelta(hours=1)


def test_the_values_of_a_filter_are_not_noted(tries: Tries, supervisor: Supervisor) -> None:
    """They may be items' values; their digest tells two filters apart."""
    chosen = {"FilterExpression": "#u = :u", "ExpressionAttributeNames": {"#u": "User"}}
    tries.whole(_full(filter_specification={**chosen, "ExpressionAttributeValues": {":u": {"S": "hidden"}}}))
    (entry,) = supervisor.entries.values()
    assert "FilterSha256" in entry
    assert "hidden" not in entry


def test_what_was_noted_of_another_request_is_not_used(tries: Tries, supervisor: Supervisor) -> None:
    """Whether the entry says so itself, or only DynamoDB when it is asked about the export."""
    other = _arns(tries.whole(_full(s3_prefix="other")))
    ((other_key, other_entry),) = supervisor.entries.items()
    first = _arns(tries.whole(_full()))
    (key,) = set(supervisor.entries) - {other_key}
    own_entry = json.loads(supervisor.entries[key])
    for wrong in (other_entry, json.dumps({**own_entry, "export_arn": other[0]})):
        supervisor.entries[key] = wrong
        _lose_the_ledger(tries.aws)
        tries.aws.clock.advance(timedelta(days=3))
        assert _arns(tries.whole(_full())) not in (other, first)
    assert len(_billed(tries.aws)) == 4


def test_an_export_of_the_table_before_it_is_not_used(tries: Tries, supervisor: Supervisor) -> None:
    """Of the same name and time, deleted and made again: DynamoDB tells the one from the other."""
    first = _arns(tries.whole(_full()))
    tries.aws.client("dynamodb").delete_table(TableName="Reviews")
    table_with_history(tries.aws)
    second = _arns(tries.whole(_full()))
    first_key, key = supervisor.entries
    assert first_key != key
    supervisor.entries[key] = json.dumps({**json.loads(supervisor.entries[key]), "export_arn": first[0]})
    _lose_the_ledger(tries.aws)
    tries.aws.clock.advance(timedelta(days=3))
    assert _arns(tries.whole(_full())) not in (first, second)


def test_a_noted_export_that_failed_is_not_used(tries: Tries) -> None:
    """Another one is started, as after any failure."""
    tries.aws.configure(fail_next_export=("InternalServerError", "sorry"))
    with pytest.raises(ExportFailedError):
        tries.whole(_full())
    _lose_the_ledger(tries.aws)
    tries.aws.clock.advance(timedelta(days=3))
    assert _arns(tries.whole(_full())) == _billed(tries.aws)


def test_another_generation_whose_first_export_failed_is_found_days_later(tries: Tries) -> None:
    """No list of exports could tell which attempt it was; the note can."""
    task = {"generation": "2"}
    tries.aws.configure(fail_next_export=("InternalServerError", "sorry"))
    with pytest.raises(ExportFailedError):
        tries.whole(_full(**task))
    second = tries.whole(_full(**task))
    _lose_the_ledger(tries.aws)
    tries.aws.clock.advance(timedelta(days=3))
    assert tries.whole(_full(**task)) == second
    assert _arns(second) == _billed(tries.aws)


def test_the_ledger_is_believed_before_the_note(tries: Tries, supervisor: Supervisor) -> None:
    """Where they differ and DynamoDB says that the ledger's export did not fail, it is used, and noted from then on."""
    first = tries.whole(_full())
    ((key, entry),) = supervisor.entries.items()
    supervisor.entries[key] = json.dumps({**json.loads(entry), "export_arn": "arn:of/another"})
    tries.aws.clock.advance(timedelta(days=3))
    assert tries.whole(_full()) == first
    assert supervisor.entries == {key: entry}
    assert _arns(first) == _billed(tries.aws)


def test_a_store_that_fails_does_not_fail_the_task(
    tries: Tries, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said in the log, and the ledger serves as it does without one."""
    supervisor.error = RuntimeError("the API server is gone")
    first = tries.whole(_full())
    assert tries.whole(_full()) == first
    assert _arns(first) == _billed(tries.aws)
    assert "cannot be read: the API server is gone" in caplog.text
    assert f"export {_arns(first)[0]} cannot be noted" in caplog.text
