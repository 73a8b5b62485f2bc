"""A DynamoDB client, with what this package does to exports and a waiter that knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from airflow_provider_ddbexport.core import point_in_time
from airflow_provider_ddbexport.core.point_in_time import ExportDescription, ExportRequest
from airflow_provider_ddbexport.core.restorable_window import RestorableWindow, restorable_window

WAITERS = Path(__file__).parents[1] / "waiters" / "dynamodb.json"


class DynamoDBExportHook(AwsBaseHook):
    """Start, describe and wait for exports of DynamoDB tables.

    ``hook.conn`` is a boto3 *client* (the amazon provider's DynamoDBHook has a resource, which no waiter can use).
    Every argument of :class:`~airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook` but ``client_type`` is passed
    on: ``aws_conn_id``, ``region_name``, ``verify``, ``config``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "dynamodb"
        super().__init__(*args, **kwargs)

    @property
    def waiter_path(self) -> Path:
        """The waiter models of this package, in place of the amazon provider's, which give up after 30 minutes."""
        return WAITERS

    def table_arn(self, table_name: str) -> str:
        """Return the ARN of *table_name*, a name or already an ARN. Raises TableNotFoundError, AccessError."""
        return point_in_time.table_arn(self.conn, table_name)

    def start_export(self, request: ExportRequest) -> str:
        """Return the ARN of the one export of *request*; see :func:`.core.point_in_time.start_export`."""
        return point_in_time.start_export(self.conn, request)

    def describe_export(self, export_arn: str) -> ExportDescription:
        """Return what the service says about the export now."""
        return point_in_time.describe(self.conn, export_arn)

    def restorable_window(self, table_name: str) -> RestorableWindow:
        """Return the times that can be exported now. Raises PointInTimeRecoveryError, TableNotFoundError."""
        return restorable_window(self.conn, table_name)
