"""Waiting for an export in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.providers.amazon.aws.utils.waiter_with_logging import async_wait
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import BotoCoreError, WaiterError

from airflow_provider_ddbexport.airflow_exceptions import AirflowException
from airflow_provider_ddbexport.arguments import check_arguments
from airflow_provider_ddbexport.core.exporting.point_in_time import POLL_S
from airflow_provider_ddbexport.core.service import TRANSIENT_CODES
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook

_NO_END = 2**31 - 1
"""Attempts are not what ends the wait: the deadline does, which a restart of the triggerer does not set back."""


GOES_ON = "export %s goes on and is billed: there is no call that cancels it; trying again attaches to it"
"""What to log, with the ARN, when a task is killed."""


class DynamoDBExportTrigger(AwsBaseWaiterTrigger):
    """Fires once when the export has ended, or at the deadline.

    The event wakes the task and no more: it names the export and holds ``status`` (``success``, ``error``,
    ``timeout``); the task looks at the export itself, so that it ends as it would have without deferring.

    :param export_arn: the export to wait for.
    :param deadline: ISO 8601 text with an offset; the wait ends then.
    :param carried: returned with the event, for the task to go on with; JSON values.
    :param waiter_delay: seconds between two looks.
    :param waiter_max_attempts: looks at most; unlimited by default, the deadline ends the wait.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region of the export.
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle.
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    def __init__(
        self,
        *,
        export_arn: str,
        deadline: str,
        carried: dict[str, Any] | None = None,
        waiter_delay: float = POLL_S,
        waiter_max_attempts: int = _NO_END,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            serialized_fields={"export_arn": export_arn, "deadline": deadline, "carried": carried},
            waiter_name="export_completed",
            waiter_args={"ExportArn": export_arn},
            failure_message="The export failed",
            status_message="The export is",
            status_queries=[
                "ExportDescription.ExportStatus",
                "ExportDescription.FailureCode",
                "ExportDescription.FailureMessage",
            ],
            return_key="export_arn",
            return_value=export_arn,
            waiter_delay=waiter_delay,  # type: ignore[arg-type] # it is only slept
            waiter_max_attempts=waiter_max_attempts,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.export_arn = export_arn
        self.deadline = deadline
        self.carried = carried
        check_arguments(self)

    def hook(self) -> DynamoDBExportHook:
        """Return the hook whose client looks at the export; the base makes it only from amazon's provider 9.37 on."""
        return DynamoDBExportHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        event = await self._outcome()
        yield TriggerEvent({**(self.carried or {}), **event.payload})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say what goes on, when somebody ends or clears the deferred task (from Airflow 3.3 on)."""
        self.log.warning(GOES_ON, self.export_arn)

    async def _outcome(self) -> TriggerEvent:
        hook = self.hook()
        async with await hook.get_async_conn() as client:  # type: ignore[no-untyped-call]
            waiter = hook.get_waiter(self.waiter_name, deferrable=True, client=client)
            while (remaining_s := self._remaining_s()) > 0:
                try:
                    # async_wait may retry a throttled call without end; this is its end.
                    async with asyncio.timeout(remaining_s) as scope:
                        return await self._wait(waiter)
                except TimeoutError:
                    if not scope.expired():
                        raise
                except BotoCoreError as error:
                    self.log.warning("could not look at export %s, trying again: %s", self.export_arn, error)
                    await asyncio.sleep(min(self.waiter_delay, remaining_s))
        return self._event("timeout")

    async def _wait(self, waiter: Any) -> TriggerEvent:
        try:
            await async_wait(
                waiter,
                self.waiter_delay,
                self.attempts,
                self.waiter_args,
                self.failure_message,
                self.status_message,
                self.status_queries,
            )
        except AirflowException as error:
            look = error.__context__
            # Older ones of amazon's providers give up where a call was throttled.
            if isinstance(look, WaiterError) and look.last_response.get("Error", {}).get("Code") in TRANSIENT_CODES:
                raise look from None
            return self._event("error", message=str(error))
        return self._event("success")

    def _event(self, status: str, **told: str) -> TriggerEvent:
        return TriggerEvent({"status": status, **told, "export_arn": self.export_arn})  # type: ignore[no-untyped-call]

    def _remaining_s(self) -> float:
        return (datetime.fromisoformat(self.deadline) - datetime.now(UTC)).total_seconds()
