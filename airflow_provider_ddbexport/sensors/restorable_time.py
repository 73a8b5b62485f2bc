"""Waiting until a time can be exported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.exporting.request import export_instant
from airflow_provider_ddbexport.core.exporting.restorable_window import outside_window
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.sensors.waking import WakingSensor
from airflow_provider_ddbexport.triggers.restorable_time import DynamoDBRestorableTimeTrigger


class DynamoDBRestorableTimeSensor(WakingSensor[DynamoDBExportHook]):
    """Waits until a table's restorable window reaches a time, which takes about five minutes from then.

    Fails at once, naming the window, when the time is too old to be ever exported again, and when point-in-time
    recovery is off.

    XCom: ``export_time``, ``earliest``, ``latest``.

    :param table_name: the table's name or ARN. (templated)
    :param export_time: ISO 8601 text with an offset, or an aware datetime; the run's logical date by default, or its
        ``run_after`` where it has none. (templated)
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields("table_name", "export_time")

    def __init__(self, *, table_name: str, export_time: str | datetime = RUN_INSTANT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.export_time = export_time

    def look(self) -> dict[str, Any] | None:
        """Return the window that holds the time. Raises RestorableWindowError when it never will."""
        moment = export_instant(self.export_time)
        window = self.hook.restorable_window(self.table_name)
        if window.is_past(moment):
            raise outside_window(moment, window, what=f"waiting for table {self.table_name}")
        self.log.info("Restorable window of %s: %s", self.table_name, window)
        if window.earliest is None or window.latest is None or window.is_before(moment):
            return None
        return {"export_time": iso(moment), "earliest": iso(window.earliest), "latest": iso(window.latest)}

    def trigger(self, **waiting: Any) -> DynamoDBRestorableTimeTrigger:
        """Return the trigger that waits for the window."""
        return DynamoDBRestorableTimeTrigger(
            table_name=self.table_name,
            export_time=iso(export_instant(self.export_time)),
            poll_interval_s=self.poke_interval,
            **waiting,
        )
