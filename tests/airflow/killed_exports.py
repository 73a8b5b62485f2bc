"""A table, a bucket, and tries of export tasks that are killed at a chosen instruction."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook, AwsGenericHook
from emulated_table import create_table

from airflow_provider_ddbexport.core.exporting.exactly_once import start_once
from airflow_provider_ddbexport.core.exporting.ledger import ExportLedger
from airflow_provider_ddbexport.core.exporting.point_in_time import wait_for_export

BUCKET = "exports"
START = datetime(2026, 1, 14, 6, tzinfo=UTC)
"""When the first try runs, by the clock of the embedded AWS and of the workers."""

POLL_S = 0.05

KILL_POINTS = ("before the call", "response lost", "before the record")
DELAYS = {
    "1 min": timedelta(minutes=1),
    "7 h 59": timedelta(hours=7, minutes=59),
    "8 h 01": timedelta(hours=8, minutes=1),
    "3 days": timedelta(days=3),
}
WAYS = ("retry", "clear", "triggerer restart")


@functools.cache
def _client_of(client_type: str) -> Any:
    """Spare each of a hundred workers the making of its clients: they all talk to the same embedded AWS."""
    return AwsBaseHook(client_type=client_type, config={"retries": {"total_max_attempts": 1}}).get_client_type()


class Killed(BaseException):
    """The worker died here: nothing of the package's own can catch it."""


class Tries:
    """Runs export tasks against the embedded AWS, whose clock is the workers' too.

    Attributes:
        kills: the kill points that did kill.
    """

    def __init__(
        self,
        aws: Any,
        monkeypatch: pytest.MonkeyPatch,
        make_context: Callable[..., dict[str, Any]],
        rebuilt: Callable[[Any], Any],
        event_of: Callable[[Any], Any],
    ) -> None:
        self.aws = aws
        self._rebuilt = rebuilt
        self._event_of = event_of
        self.kills: list[str] = []
        self._monkeypatch = monkeypatch
        self._make_context = make_context
        monkeypatch.setattr(AwsGenericHook, "conn", property(lambda hook: _client_of(hook.client_type)))
        monkeypatch.setitem(start_once.__kwdefaults__, "now", aws.clock.now)
        monkeypatch.setitem(wait_for_export.__kwdefaults__, "sleep", lambda _: aws.configure(export_seconds=0))

    def no_sleep(self) -> None:
        """Let pauses between two calls pass at once, by the stopwatch that bounds them too."""
        seconds = [0.0]
        self._monkeypatch.setitem(start_once.__kwdefaults__, "sleep", lambda s: seconds.append(seconds.pop() + s))
        self._monkeypatch.setitem(start_once.__kwdefaults__, "monotonic", lambda: seconds[0])

    def killed(self, operator: Any, at: str, *, skip: int = 0) -> None:
        """Run a try of *operator* that is killed at the point *at*, when it comes there after *skip* times."""
        with self._monkeypatch.context() as patching:
            self._arm(patching, operator, at, skip)
            with pytest.raises(Killed):
                operator.execute(self._make_context())
        assert self.kills[-1] == at

    def whole(self, operator: Any) -> Any:
        """Run a try to its end, in the worker or over the triggerer, and return its XCom."""
        return self._resumed(operator, restarts=0, delay=timedelta(0))

    def restarted(self, operator: Any, delay: timedelta) -> Any:
        """Run a deferred try whose triggerer is stopped in the middle of waiting, and started again after *delay*."""
        assert operator.deferrable
        return self._resumed(operator, restarts=1, delay=delay)

    def overtaken(self, operator: Any, at: str, other: Callable[[], Any]) -> Any:
        """Run a try of *operator* that stands still at the point *at* while *other* runs, and return its XCom.

        So does what a scheduler leaves behind that dies: the next one runs the task again, while the worker lives on.
        """
        left = [other]

        def stand_still() -> None:
            while left:
                self.kills.append(at)
                left.pop()()

        with self._monkeypatch.context() as patching:
            if at == "before the call":
                call = operator.hook.conn.export_table_to_point_in_time
                patching.setattr(
                    operator.hook.conn,
                    "export_table_to_point_in_time",
                    lambda **asked: (stand_still(), call(**asked))[1],
                )
            elif at == "response lost":
                self.aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)
                patching.setitem(start_once.__kwdefaults__, "sleep", lambda _: stand_still())
            else:
                record = ExportLedger.record
                patching.setattr(ExportLedger, "record", lambda *entry: (stand_still(), record(*entry))[1])
            found = operator.execute(self._make_context())
        assert self.kills == [at]
        return found

    def _resumed(self, operator: Any, *, restarts: int, delay: timedelta) -> Any:
        from airflow_provider_ddbexport.airflow_exceptions import TaskDeferred

        context = self._make_context()
        step: Callable[[], Any] = lambda: operator.execute(context)  # noqa: E731 - replaced below
        while True:
            try:
                found = step()
            except TaskDeferred as deferred:
                for _ in range(restarts):
                    asyncio.run(_cancelled(self._rebuilt(deferred.trigger)))
                    self.aws.clock.advance(delay)
                restarts = 0
                self.aws.configure(export_seconds=0)
                event = json.loads(json.dumps(self._event_of(self._rebuilt(deferred.trigger))))
                step = _resumption(operator, deferred.method_name, event, context)
            else:
                assert restarts == 0, "the task was not deferred"
                return found

    def _arm(self, patching: pytest.MonkeyPatch, operator: Any, at: str, skip: int) -> None:
        def die(*_: Any, **__: Any) -> Any:
            self.kills.append(at)
            raise Killed

        if at == "before the call":
            patching.setattr(operator.hook.conn, "export_table_to_point_in_time", die)
        elif at == "response lost":
            billed = len(self.aws.exports_billed())
            self.aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)

            def die_with_it_started(*_: Any) -> None:
                assert len(self.aws.exports_billed()) == billed + 1, "the call did not take effect"
                die()

            patching.setitem(start_once.__kwdefaults__, "sleep", die_with_it_started)
        else:
            record = ExportLedger.record
            left = [skip]

            def die_in_turn(*arguments: Any) -> Any:
                left[0] -= 1
                return record(*arguments) if left[0] >= 0 else die()

            patching.setattr(ExportLedger, "record", die_in_turn)


async def _cancelled(trigger: Any) -> None:
    """Run the trigger until it has looked and waits, then stop it as a triggerer that is stopped does."""
    waits = asyncio.Event()
    sleep = asyncio.sleep

    async def noticed(seconds: float, *rest: Any) -> Any:
        if seconds == POLL_S:
            waits.set()
        return await sleep(seconds, *rest)

    events = trigger.run()
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(asyncio, "sleep", noticed)
        running = asyncio.ensure_future(anext(events))
        waiting = asyncio.ensure_future(waits.wait())
        await asyncio.wait({running, waiting}, timeout=600, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done(), "the trigger did not wait"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _resumption(operator: Any, method: str, event: dict[str, Any], context: dict[str, Any]) -> Callable[[], Any]:
    return lambda: operator.resume_execution(method, {"event": event}, context)


def table_with_history(aws: Any) -> None:
    """Give *aws* the table Reviews, written to at its first hour of 2026-01-13, the bucket, and START as the time."""
    aws.clock.set(START - timedelta(days=1), frozen=True)
    dynamodb = _client_of("dynamodb")
    _client_of("s3").create_bucket(Bucket=BUCKET)
    create_table(dynamodb, "Reviews", "User")
    aws.clock.set(START - timedelta(hours=3), frozen=True)
    for user in ("a", "b"):
        dynamodb.put_item(TableName="Reviews", Item={"User": {"S": user}})
    aws.clock.set(START, frozen=True)
    aws.configure(export_seconds=10 * 86400)
