"""Waiting in the triggerer for a published snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from asgiref.sync import sync_to_async

from airflow_provider_ddbexport.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord


class SnapshotTrigger(PollingTrigger):
    """Fires when *table* has the snapshot.

    :param lake: a path or ``s3://``.
    :param table: name of the lake's table.
    :param as_of: ISO 8601 text with an offset.
    :param at_or_after: any later snapshot will do.
    """

    def __init__(self, *, lake: str, table: str, as_of: str, at_or_after: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.table = table
        self.as_of = as_of
        self.at_or_after = at_or_after

    def own_fields(self) -> dict[str, Any]:
        """Return what names the snapshot."""
        return {"lake": self.lake, "table": self.table, "as_of": self.as_of, "at_or_after": self.at_or_after}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Keep an S3 client, where the lake is in S3."""
        hook = S3Hook(**self.hook_parameters)
        yield await _in_thread(lambda: hook.conn) if self.lake.startswith("s3://") else None

    async def is_ready(self, client: Any) -> bool:
        """Return whether the commit record is there; reads it in a thread, as the store blocks."""
        return await _in_thread(lambda: self._find(client)) is not None

    def _find(self, s3: Any) -> CommitRecord | None:
        from airflow_provider_ddbexport.core.snapshot.published import find_awaited

        return find_awaited(self.lake, self.table, self.as_of, at_or_after=self.at_or_after, s3=s3)


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Return what *call* returns, which may ask for the connection.

    Airflow asks for it over the triggerer's one pipe, in the event loop. Before 3.2.2 it finds the way there only from
    a thread of asgiref's; from another one it takes an answer that the triggerer waits for, which is the end of that.
    """
    return await sync_to_async(call, thread_sensitive=False)()
