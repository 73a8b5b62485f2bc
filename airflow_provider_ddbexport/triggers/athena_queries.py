"""Waiting in the triggerer for Athena queries."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.core.conversation import Conversation, Patience
from airflow_provider_ddbexport.triggers.conversation import ConversationTrigger


class AthenaQueriesTrigger(ConversationTrigger):
    """Fires when all queries have ended, well or not; the task reads what came of them.

    The event repeats what the task needs to go on, because ``dag.test()`` resumes a task with its event alone.

    :param executions: QueryExecutionId by name of the query.
    :param keys: attributes of the table's key, as the task found them out.
    :param previous: instant of the snapshot before the one that is checked, ISO 8601 text; None where there was none.
    """

    aws_hook_class = AthenaHook

    def __init__(self, *, executions: dict[str, str], keys: list[str], previous: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.executions = executions
        self.keys = keys
        self.previous = previous

    def own_fields(self) -> dict[str, Any]:
        """Return the queries, the keys and the snapshot before."""
        return {"executions": self.executions, "keys": self.keys, "previous": self.previous}

    def conversation(self, patience: Patience) -> Conversation[dict[str, Any]]:
        """Return the conversation that ends with the queries."""
        from airflow_provider_ddbexport.core.check.athena import await_queries

        yield from await_queries(self.executions, patience)
        return self.own_fields()

    async def on_kill(self) -> None:
        """Cancel the queries when somebody ends or clears the deferred task (from Airflow 3.3 on)."""
        async with await self.hook().get_async_conn() as client:  # type: ignore[no-untyped-call]
            for query_id in self.executions.values():
                try:
                    await client.stop_query_execution(QueryExecutionId=query_id)
                except (ClientError, BotoCoreError) as error:
                    self.log.warning("query %s could not be cancelled: %s", query_id, error)
