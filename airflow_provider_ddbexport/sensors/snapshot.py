"""Waiting for a published snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.sensors.waking import WakingSensor
from airflow_provider_ddbexport.triggers.snapshot import SnapshotTrigger


class DynamoDBSnapshotSensor(WakingSensor[S3Hook]):
    """Waits until a snapshot is published: its commit record exists.

    XCom: ``record`` (address of the commit record), ``table``, ``as_of``, ``rows``, ``parts``, ``bytes``.

    :param lake: a path or ``s3://``. (templated)
    :param table: name of the lake's table. (templated)
    :param as_of: the snapshot's instant, ISO 8601 text with an offset, or an aware datetime; the run's logical date by
        default, or its ``run_after`` where it has none. (templated)
    :param at_or_after: the first snapshot at *as_of* or later will do. A backup by scan shows no instant known
        beforehand: wait for it this way.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the lake. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = S3Hook
    template_fields: Sequence[str] = aws_template_fields("lake", "table", "as_of")

    def __init__(
        self,
        *,
        lake: str,
        table: str,
        as_of: str | datetime = RUN_INSTANT,
        at_or_after: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.table = table
        self.as_of = as_of
        self.at_or_after = at_or_after

    def look(self) -> dict[str, Any] | None:
        """Return the snapshot's figures."""
        from airflow_provider_ddbexport.core.snapshot import layout
        from airflow_provider_ddbexport.core.snapshot.published import find_awaited

        s3 = self.hook.conn if self.lake.startswith("s3://") else None
        record = find_awaited(self.lake, self.table, self._instant(), at_or_after=self.at_or_after, s3=s3)
        if record is None:
            self.log.info("No snapshot of %s as of %s in %s yet", self.table, self.as_of, self.lake)
            return None
        return {
            "record": open_store(self.lake, s3=s3).child(self.table).uri_of(layout.record_key(record.as_of)),
            "table": record.table,
            "as_of": iso(record.as_of),
            "rows": record.rows,
            "parts": len(record.parts),
            "bytes": sum(part.size for part in record.parts),
        }

    def trigger(self, **waiting: Any) -> SnapshotTrigger:
        """Return the trigger that waits for the commit record."""
        return SnapshotTrigger(
            lake=self.lake,
            table=self.table,
            as_of=self._instant(),
            at_or_after=self.at_or_after,
            poll_interval_s=self.poke_interval,
            **waiting,
        )

    def _instant(self) -> str:
        return iso(parse_time(self.as_of, what="as_of"))
