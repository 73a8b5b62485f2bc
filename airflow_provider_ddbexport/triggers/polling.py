"""Looking every so often, until it is time or too late."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.errors import DdbExportError, ServiceError
from airflow_provider_ddbexport.triggers.waiting import WaitingTrigger


class PollingTrigger(WaitingTrigger):
    """Fires once: when :meth:`is_ready` says so, when it raises what will not pass, or at the deadline.

    The event wakes the task and no more: ``status`` is ``success``, ``error`` or ``timeout``, and the task looks for
    itself, so that it ends as it would have without deferring.

    :param carried: returned with the event, for the task to go on with; JSON values.

    The other parameters are those of :class:`.WaitingTrigger`.
    """

    def __init__(self, *, carried: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.carried = carried

    @abstractmethod
    async def is_ready(self) -> bool:
        """Return whether what is waited for is there. Must not block the event loop."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the constructor's arguments."""
        path, arguments = super().serialize()
        return path, {**arguments, "carried": self.carried}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        yield TriggerEvent({**(self.carried or {}), **await self._outcome()})  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, str]:
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            try:
                if await self.is_ready():
                    return {"status": "success"}
            except DdbExportError as error:
                if not (isinstance(error, ServiceError) and is_transient(error)):
                    return {"status": "error", "message": str(error)}
                self.log.warning("looking again: %s", error)
            remaining_s = (deadline - datetime.now(UTC)).total_seconds()
            if remaining_s <= 0:
                return {"status": "timeout"}
            await asyncio.sleep(min(self.poll_interval_s, remaining_s))
