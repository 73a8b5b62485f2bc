"""The executor of ``make airflow``; Airflow imports it by its name."""

from __future__ import annotations

from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState


class OrderlyLocalExecutor(LocalExecutor):
    """Begins a task again only once it has told the scheduler that the task's process before has ended.

    A task that defers goes on as soon as its trigger fires, and the embedded AWS is so fast that the process that
    deferred may not have ended by then, least of all on a machine that is busy. The scheduler, told of that end when
    the task has begun again, takes it for killed, and tries it anew.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._under_way: set[Any] = set()

    def trigger_tasks(self, open_slots: int) -> None:
        """Begin what is queued but for what is under way still, which stays queued."""
        early = {key: self.queued_tasks.pop(key) for key in self._under_way & self.queued_tasks.keys()}
        queued = set(self.queued_tasks)
        super().trigger_tasks(open_slots)
        self._under_way |= queued - self.queued_tasks.keys()
        self.queued_tasks.update(early)

    def change_state(self, key: Any, state: Any, *arguments: Any, **options: Any) -> None:
        """Note an end; the scheduler hears of it before tasks are next begun."""
        if state in {TaskInstanceState.SUCCESS, TaskInstanceState.FAILED}:
            self._under_way.discard(key)
        super().change_state(key, state, *arguments, **options)
