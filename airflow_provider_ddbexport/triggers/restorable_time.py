"""Waiting in the triggerer for a table's restorable window."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow_provider_ddbexport.core.exporting.restorable_window import looking_at, outside_window, window_in
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.triggers.polling import PollingTrigger


class DynamoDBRestorableTimeTrigger(PollingTrigger):
    """Fires when the window of *table_name* has reached *export_time*, or will never hold it again.

    :param table_name: a name or an ARN.
    :param export_time: ISO 8601 text with an offset.
    """

    def __init__(self, *, table_name: str, export_time: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.export_time = export_time

    def own_fields(self) -> dict[str, Any]:
        """Return what names the table and the time."""
        return {"table_name": self.table_name, "export_time": self.export_time}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Keep a DynamoDB client open."""
        with service_errors(looking_at(self.table_name)):
            hook = DynamoDBExportHook(**self.hook_parameters)
            async with await hook.get_async_conn() as client:  # type: ignore[no-untyped-call]
                yield client

    async def is_ready(self, client: Any) -> bool:
        """Return whether the window has reached the time; raises RestorableWindowError when it has left it behind."""
        moment = parse_time(self.export_time)
        answer = await client.describe_continuous_backups(TableName=self.table_name)
        window = window_in(answer, self.table_name)
        if window.is_past(moment):
            raise outside_window(moment, window, what=self.table_name)
        return not window.is_before(moment)
