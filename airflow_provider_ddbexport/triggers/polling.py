"""Looking every so often, until it is time or too late."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.errors import DdbExportError, ServiceError


class PollingTrigger(BaseTrigger):
    """Fires once: when :meth:`is_ready` says so, when it raises what will not pass, or at the deadline.

    The event wakes the task and no more: ``status`` is ``success``, ``error`` or ``timeout``, and the task looks for
    itself, so that it ends as it would have without deferring.

    :param deadline: ISO 8601 text with an offset; the wait ends then, however often the triggerer was restarted.
    :param poll_interval_s: seconds between two looks.
    :param carried: returned with the event, for the task to go on with; JSON values.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region.
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle.
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    def __init__(
        self,
        *,
        deadline: str,
        poll_interval_s: float,
        carried: dict[str, Any] | None = None,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.deadline = deadline
        self.poll_interval_s = poll_interval_s
        self.carried = carried
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @abstractmethod
    async def is_ready(self) -> bool:
        """Return whether what is waited for is there. Must not block the event loop."""

    @abstractmethod
    def own_fields(self) -> dict[str, Any]:
        """Return the constructor's arguments that the subclass adds."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the constructor's arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            **self.own_fields(),
            "deadline": self.deadline,
            "poll_interval_s": self.poll_interval_s,
            "carried": self.carried,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def hook_parameters(self) -> dict[str, Any]:
        """The arguments of an AWS hook."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }

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
