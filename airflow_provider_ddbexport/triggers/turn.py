"""Waiting in the triggerer for a turn, where AWS takes no more for now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_ddbexport.triggers.polling import PollingTrigger


class TurnTrigger(PollingTrigger):
    """Fires at a time, or at the deadline; the task then asks again. Calls nothing.

    :param until: ISO 8601 text with an offset.
    """

    def __init__(self, *, until: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.until = until

    def own_fields(self) -> dict[str, Any]:
        """Return the time."""
        return {"until": self.until}

    async def is_ready(self, client: Any) -> bool:  # noqa: ARG002 - there is nothing to look at
        """Return whether the time has come."""
        return datetime.now(UTC) >= datetime.fromisoformat(self.until)
