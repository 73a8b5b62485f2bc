"""A DynamoDB client, with what this package does to exports and a waiter that knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_ddbexport.core.exporting import point_in_time
from airflow_provider_ddbexport.core.exporting.exactly_once import start_once
from airflow_provider_ddbexport.core.exporting.ledger import ExportLedger, ledger_uri
from airflow_provider_ddbexport.core.exporting.point_in_time import ExportDescription, TableIdentity
from airflow_provider_ddbexport.core.exporting.request import ExportRequest
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow, restorable_window
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import BadCallError

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

    def table_identity(self, table_name: str) -> TableIdentity:
        """Return what *table_name*, a name or an ARN, is now. Raises TableNotFoundError, AccessError."""
        return point_in_time.table_identity(self.conn, table_name)

    def key_attributes(self, table_arn: str) -> tuple[str, ...]:
        """Return the attributes of the table's key. Raises TableNotFoundError, AccessError."""
        with service_errors(f"asking DynamoDB for the key of {table_arn}, because keys= is not given"):
            described = self.conn.describe_table(TableName=table_arn)["Table"]
        return tuple(str(key["AttributeName"]) for key in described["KeySchema"])

    def start_export(self, request: ExportRequest, *, ledger: str | None = None, **patience: Any) -> str:
        """Return the ARN of the one export of *request*; see :func:`.core.exporting.exactly_once.start_once`.

        *ledger* is where the export ledger is kept, ``s3://``; the destination by default. It is written as the export
        is: to the same owner's bucket, under the same key. Raises BadCallError where it is no such address: a folder of
        one worker would not know what the others ask for.
        """
        if ledger and not ledger.startswith("s3://"):
            raise BadCallError(f"ledger: expected s3://<bucket>/<folder>, found {ledger!r}; nothing was asked for")
        options = {"AES256": {"ServerSideEncryption": "AES256"}, "KMS": {"ServerSideEncryption": "aws:kms"}}
        encryption = dict(options.get(request.sse_algorithm or "", {}))
        if request.kms_key_id:
            encryption["SSEKMSKeyId"] = request.kms_key_id
        s3 = S3Hook(
            aws_conn_id=self.aws_conn_id, region_name=self._region_name, verify=self._verify, config=self._config
        )
        store = open_store(
            ledger or ledger_uri(request),
            s3=s3.conn,
            # A ledger of the author's own may be in another account's bucket than the export.
            expected_bucket_owner=None if ledger else request.bucket_owner,
            write_options=None if ledger else encryption,
        )
        return start_once(self.conn, ExportLedger(store), request, **patience)

    def describe_export(self, export_arn: str) -> ExportDescription:
        """Return what the service says about the export now."""
        return point_in_time.describe(self.conn, export_arn)

    def is_filtered(self, export_arn: str) -> bool:
        """Return whether the export is known to hold only some items, or some attributes; False if it is not known."""
        return point_in_time.is_filtered(self.conn, export_arn)

    def restorable_window(self, table_name: str) -> RestorableWindow:
        """Return the times that can be exported now. Raises PointInTimeRecoveryError, TableNotFoundError."""
        return restorable_window(self.conn, table_name)
