"""Airflow, as little of it as operators need: no metadata database."""

from __future__ import annotations

import asyncio
import functools
import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from emulated_table import create_table
from packaging.version import Version

# They are about code that Airflow has from 3.3 on.
_NEWER = ["test_mapped_task_groups.py", "test_task_state_store.py"]
collect_ignore = _NEWER if Version(version("apache-airflow")) < Version("3.3") else []


@pytest.fixture(scope="session", autouse=True)
def _cheap_clients() -> Iterator[None]:
    """Make a hook's client cheap, of which every test makes several; it talks as any other.

    Each hook has a session of its own, which would list all services and read its own's model again (up to 300 ms),
    and looks through the call stack for a word in its user agent (150 ms under pytest).
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from botocore.loaders import create_loader

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr("botocore.session.create_loader", functools.cache(create_loader))
        patching.setattr(AwsGenericHook, "_get_caller", staticmethod(lambda *_: "Test"))
        yield


class TaskInstance:
    """What operators use of one: XCom, which has to be JSON here as it has to be in Airflow's API."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep *value* as it would come back."""
        self.xcoms[key] = json.loads(json.dumps(value))


@pytest.fixture
def aws(local_aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The embedded AWS, which every hook of this process now talks to; exports, crawls and queries end at once."""
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return local_aws


@pytest.fixture
def reviews(aws: Any) -> Any:
    """The embedded AWS with the bucket ``exports`` and the table Reviews, which can be exported since an hour ago.

    Its key is User; it has no items. Exports go on until they are let end.
    """
    now = aws.clock.now()
    aws.clock.set(now - timedelta(hours=1))
    aws.client("s3").create_bucket(Bucket="exports")
    create_table(aws.client("dynamodb"), "Reviews", "User")
    aws.clock.set(now)
    aws.configure(export_seconds=3600)
    return aws


@pytest.fixture
def make_context() -> Callable[..., dict[str, Any]]:
    """Return what makes a task's context: a new task instance, and a run with or without a logical date."""

    def make(
        logical_date: datetime | None = datetime(2026, 1, 14, tzinfo=UTC), run_after: datetime | None = None
    ) -> dict[str, Any]:
        dag_run = SimpleNamespace(logical_date=logical_date, run_after=run_after or logical_date, run_id="run")
        context: dict[str, Any] = {"ti": TaskInstance(), "dag_run": dag_run, "outlet_events": {}, "params": {}}
        context["task_instance"] = context["ti"]
        if logical_date is not None:
            context["logical_date"] = logical_date
        return context

    return make


@pytest.fixture
def context(make_context: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The context of a run with the logical date 2026-01-14."""
    return make_context()


@pytest.fixture
def run_task() -> Callable[..., Any]:
    """Return what runs an operator to its end as Airflow does, and returns its XCom.

    A deferred one's trigger is serialised, rebuilt from that, run until its first event, and the operator resumed with
    the event. ``run_task.deferrals`` lists the classpaths of the triggers of the last run, ``run_task.events`` what
    they said; ``run_task.on_deferral`` is called between deferring and waiting.
    """
    return _TaskRunner()


class _TaskRunner:
    def __init__(self) -> None:
        self.deferrals: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.on_deferral: Callable[[], None] = lambda: None

    def __call__(self, operator: Any, context: dict[str, Any]) -> Any:
        from airflow_provider_ddbexport.airflow_exceptions import TaskDeferred

        self.deferrals, self.events = [], []
        step: Callable[[], Any] = lambda: operator.execute(context)  # noqa: E731 - replaced below
        while True:
            try:
                return step()
            except TaskDeferred as deferred:
                event = self._wait(deferred.trigger)
                arguments = {**json.loads(json.dumps(deferred.kwargs or {})), "event": event}
                step = _resumption(operator, deferred.method_name, arguments, context)

    def _wait(self, trigger: Any) -> dict[str, Any]:
        path, arguments = trigger.serialize()
        self.deferrals.append(path)
        self.on_deferral()
        rebuilt = rebuild_trigger(path, json.loads(json.dumps(arguments)))
        event: dict[str, Any] = json.loads(json.dumps(first_event(rebuilt)))
        self.events.append(event)
        return event


def _resumption(operator: Any, method: str, arguments: dict[str, Any], context: dict[str, Any]) -> Callable[[], Any]:
    return lambda: operator.resume_execution(method, arguments, context)


@pytest.fixture
def rebuilt() -> Callable[[Any], Any]:
    """Return what gives the trigger that a triggerer would make of a serialised one."""

    def rebuild(trigger: Any) -> Any:
        path, arguments = trigger.serialize()
        return rebuild_trigger(path, json.loads(json.dumps(arguments)))

    return rebuild


@pytest.fixture
def event_of() -> Callable[[Any], Any]:
    """Return what runs a trigger until its first event, and gives the event's payload."""
    return first_event


def rebuild_trigger(path: str, arguments: dict[str, Any]) -> Any:
    """Return the trigger as a triggerer makes it from the database."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


def first_event(trigger: Any, *, timeout_s: float = 600.0) -> Any:
    """Return the payload of the trigger's first event."""

    async def wait() -> Any:
        async with asyncio.timeout(timeout_s):
            events = trigger.run()
            try:
                return (await anext(events)).payload
            finally:
                await events.aclose()

    return asyncio.run(wait())
