"""Waiting in the triggerer by the same conversation a worker would hold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, ClassVar

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_ddbexport import errors
from airflow_provider_ddbexport.core.conversation import Conversation, Patience, aconverse
from airflow_provider_ddbexport.errors import DdbExportError


class ConversationTrigger(BaseTrigger):
    """Fires once, with the outcome of its conversation or with the error that ended it.

    The event goes to :func:`outcome_of`, which returns the one and raises the other, so that a deferred task ends as
    it would have without deferring. A triggerer that restarts holds the conversation anew.

    :param deadline: ISO 8601 text with an offset; the wait ends then, however often the triggerer was restarted.
    :param poll_interval_s: seconds between two looks.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region.
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle.
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class: ClassVar[type[AwsGenericHook[Any]]]

    def __init__(
        self,
        *,
        deadline: str,
        poll_interval_s: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.deadline = deadline
        self.poll_interval_s = poll_interval_s
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config

    @abstractmethod
    def own_fields(self) -> dict[str, Any]:
        """Return the constructor's arguments that the subclass adds."""

    @abstractmethod
    def conversation(self, patience: Patience) -> Conversation[Any]:
        """Return the conversation to hold; its outcome consists of JSON values."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the constructor's arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            **self.own_fields(),
            "deadline": self.deadline,
            "poll_interval_s": self.poll_interval_s,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    def hook(self) -> AwsGenericHook[Any]:
        """Return the hook whose client the conversation is held with."""
        return self.aws_hook_class(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

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
