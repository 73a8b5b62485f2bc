"""The executor of ``make airflow``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from stack import SETTINGS

KEY = TaskInstanceKey("dag", "task", "run", try_number=1, map_index=-1)
OTHER = KEY.with_try_number(2)


def test_a_task_goes_on_once_the_scheduler_can_know_that_its_process_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until then it is queued, for which the scheduler asks the executor; others need not wait for it."""
    # No longer than for this: Airflow imports what else lies there when it starts.
    monkeypatch.syspath_prepend(SETTINGS)
    from orderly_executor import OrderlyLocalExecutor

    begun: list[TaskInstanceKey] = []

    def process(executor: Any, workloads: list[Any]) -> None:
        begun.extend(workload.key for workload in workloads)
        for workload in workloads:
            del executor.queued_tasks[workload.key]

    monkeypatch.setattr(OrderlyLocalExecutor, "_process_workloads", process)
    executor = OrderlyLocalExecutor(parallelism=4)

    def queue(key: TaskInstanceKey) -> None:
        executor.queued_tasks[key] = SimpleNamespace(key=key, ti=SimpleNamespace(priority_weight=1))

    def is_known(key: TaskInstanceKey) -> bool:
        return bool(executor.has_task(SimpleNamespace(id=None, key=key)))

    queue(KEY)
    executor.trigger_tasks(4)
    queue(KEY)
    queue(OTHER)
    executor.change_state(KEY, TaskInstanceState.RUNNING)
    executor.trigger_tasks(4)
    assert begun == [KEY, OTHER]
    executor.change_state(KEY, TaskInstanceState.SUCCESS)
    assert is_known(KEY)
    executor.trigger_tasks(4)
    assert begun == [KEY, OTHER, KEY]
    assert not is_known(KEY)
