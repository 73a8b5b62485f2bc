"""Waiting for one export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.exporting.point_in_time import ExportStatus, completed
from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.exporting import export_figures
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.sensors.waking import WakingSensor
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger


class DynamoDBExportSensor(WakingSensor[DynamoDBExportHook]):
    """Waits until an export is COMPLETED; fails when it FAILED, with its FailureCode and FailureMessage.

    XCom: what :class:`.DynamoDBPointInTimeExportOperator` returns.

    :param export_arn: the export. (templated)
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the export. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields("export_arn")
    operator_extra_links = (DynamoDBExportLink(),)

    def __init__(self, *, export_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.export_arn = export_arn

    def execute(self, context: Any) -> Any:
        """Return the export's figures, or defer until there are any."""
        with permanent_errors_fail(self):
            DynamoDBExportLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                table_name=table_name_of(self.export_arn),
                export_arn=self.export_arn,
            )
        return super().execute(context)

    def look(self) -> dict[str, Any] | None:
        """Return the figures of the COMPLETED export. Raises ExportFailedError."""
        description = self.hook.describe_export(self.export_arn)
        self.log.info("Export %s is %s", description.export_arn, description.status)
        if description.status is ExportStatus.IN_PROGRESS:
            return None
        return export_figures(completed(description, waited_s=0))

    def trigger(self, **waiting: Any) -> DynamoDBExportTrigger:
        """Return the trigger that waits for the export."""
        return DynamoDBExportTrigger(export_arn=self.export_arn, waiter_delay=self.poke_interval, **waiting)
