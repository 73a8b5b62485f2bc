"""Waiting in the triggerer by the same conversation a worker would hold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, ClassVar

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.triggers.base import TriggerEvent

from airflow_provider_ddbexport import errors
from airflow_provider_ddbexport.core.conversation import Conversation, Patience, aconverse
from airflow_provider_ddbexport.errors import DdbExportError
from airflow_provider_ddbexport.triggers.waiting import WaitingTrigger


class ConversationTrigger(WaitingTrigger):
    """Fires once, with the outcome of its conversation or with the error that ended it.

    The event goes to :func:`outcome_of`, which returns the one and raises the other, so that a deferred task ends as
    it would have without deferring. A triggerer that restarts holds the conversation anew.

    The parameters are those of :class:`.WaitingTrigger`.
    """

    aws_hook_class: ClassVar[type[AwsGenericHook[Any]]]

    @abstractmethod
    def conversation(self, patience: Patience) -> Conversation[Any]:
        """Return the conversation to hold; its outcome consists of JSON values."""

    def hook(self) -> AwsGenericHook[Any]:
        """Return the hook whose client the conversation is held with."""
        return self.aws_hook_class(**self.hook_parameters)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        patience = Patience(datetime.fromisoformat(self.deadline), self.poll_interval_s)
        try:
            async with await self.hook().get_async_conn() as client:  # type: ignore[no-untyped-call]
                outcome = await aconverse(self.conversation(patience), client)
        except DdbExportError as error:
            event = {
                "status": "error",
                "error": {"type": type(error).__name__, "message": str(error), "context": error.context},
            }
        else:
            event = {"status": "success", "outcome": outcome}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]


def outcome_of(event: dict[str, Any]) -> Any:
    """Return the outcome *event* tells of, or raise the error it tells of, with its message and context."""
    if event["status"] == "success":
        return event["outcome"]
    told = event["error"]
    kind = getattr(errors, told["type"], DdbExportError)
    raise kind(told["message"], **told["context"])
