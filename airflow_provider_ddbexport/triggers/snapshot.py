"""Waiting in the triggerer for a published snapshot."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook

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

    async def is_ready(self) -> bool:
        """Return whether the commit record is there; reads it in a thread, as the store blocks."""
        return await asyncio.to_thread(self._find) is not None

    def _find(self) -> CommitRecord | None:
        from airflow_provider_ddbexport.core.snapshot.published import find_awaited

        s3 = S3Hook(**self.hook_parameters).conn if self.lake.startswith("s3://") else None
        return find_awaited(self.lake, self.table, self.as_of, at_or_after=self.at_or_after, s3=s3)
