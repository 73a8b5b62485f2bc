"""Looking every so often, until it is time or too late."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.errors import AccessError, DdbExportError, ServiceError
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
    async def is_ready(self, client: Any) -> bool:
        """Return whether what is waited for is there, by looking with *client*. Must not block the event loop."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Keep open what all looks are made with, until one of them fails; nothing by default."""
        yield None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the constructor's arguments."""
        path, arguments = super().serialize()
        return path, {**arguments, "carried": self.carried}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        yield TriggerEvent({**(self.carried or {}), **await self._outcome()})  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, str]:
        while (outcome := await self._watch()) is None:
            pass
        return outcome

    async def _watch(self) -> dict[str, str] | None:
        """Look with one client, and return what the event says; None where another client is to look."""
        has_looked = False
        try:
            async with self.client() as client:
                while not await self.is_ready(client):
                    has_looked = True
                    if not await self._pause():
                        return {"status": "timeout"}
                return {"status": "success"}
        except DdbExportError as error:
            # What was allowed before may be so again: the connection may hold newer credentials by now.
            is_passing = isinstance(error, ServiceError) and (
                is_transient(error) or (has_looked and isinstance(error, AccessError))
            )
            if not is_passing:
                return {"status": "error", "message": str(error)}
            self.log.warning("looking again: %s", error)
        return None if await self._pause() else {"status": "timeout"}

    async def _pause(self) -> bool:
        """Wait for the next look; return False where there is no time for one."""
        remaining_s = (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds()
        if remaining_s <= 0:
            return False
        await asyncio.sleep(min(self.poll_interval_s, remaining_s))
        return True
