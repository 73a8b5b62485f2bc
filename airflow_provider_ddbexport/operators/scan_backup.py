"""Backups of a DynamoDB table by parallel scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.restorable_window import table_name_of
from airflow_provider_ddbexport.core.scan import scan_backup
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanBackupOperator(AwsBaseOperator[DynamoDBExportHook]):
    """Backs a table up to S3 by a parallel scan, in the layout of an export.

    For tables without point-in-time recovery, and for parts of tables. The backup holds each item as it was at some
    moment while the scan ran: it is marked as a scan, because it is no point in time. It spends read capacity: half
    a unit for each 4 KB, a whole one when consistent.

    Each try makes a backup of its own; one that was cut off has no manifest and is never taken for a backup.

    XCom: ``export_arn``, ``source`` (address of the backup's folder, what :class:`.DynamoDBExportToParquetOperator`
    takes), ``manifest_key``, ``item_count``, ``billed_bytes`` (0: scans are billed by ``consumed_units``),
    ``export_time`` (when the scan started), ``consumed_units`` (read capacity units), ``segments``.

    :param table_name: the table's name. (templated)
    :param s3_bucket_name: destination bucket. (templated)
    :param s3_prefix: destination folder in the bucket; the bucket's root by default. (templated)
    :param segments: parts scanned side by side; from the table's size by default. (templated)
    :param is_consistent: read strongly consistently, for twice the capacity.
    :param filter_expression: only items for which this holds; what is filtered out is paid for all the same.
        (templated)
    :param projection_expression: only these attributes. (templated)
    :param expression_attribute_names: what ``#names`` in expressions stand for. (templated)
    :param expression_attribute_values: what ``:values`` in expressions stand for, in DynamoDB JSON. Not templated:
        Airflow's UI shows rendered fields to everybody.
    :param s3_bucket_owner: account id that must own the bucket; not checked if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields(
        "table_name",
        "s3_bucket_name",
        "s3_prefix",
        "segments",
        "filter_expression",
        "projection_expression",
        "expression_attribute_names",
        "s3_bucket_owner",
    )
    operator_extra_links = (DynamoDBExportLink(),)
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        table_name: str,
        s3_bucket_name: str,
        s3_prefix: str | None = None,
        segments: int | str | None = None,
        is_consistent: bool = False,
        filter_expression: str | None = None,
        projection_expression: str | None = None,
        expression_attribute_names: dict[str, str] | None = None,
        expression_attribute_values: dict[str, Any] | None = None,
        s3_bucket_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.s3_bucket_name = s3_bucket_name
        self.s3_prefix = s3_prefix
        self.segments = segments
        self.is_consistent = is_consistent
        self.filter_expression = filter_expression
        self.projection_expression = projection_expression
        self.expression_attribute_names = expression_attribute_names
        self.expression_attribute_values = expression_attribute_values
        self.s3_bucket_owner = s3_bucket_owner

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the complete backup's figures."""
        with permanent_errors_fail():
            DynamoDBExportLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                table_name=table_name_of(self.table_name),
            )
            bucket = open_store(
                f"s3://{self.s3_bucket_name}",
                s3=S3Hook(**self._hook_parameters).conn,
                expected_bucket_owner=self.s3_bucket_owner or None,
            )
            backup = scan_backup(
                self.hook.conn,
                bucket,
                table_name=self.table_name,
                bucket=self.s3_bucket_name,
                prefix=self.s3_prefix or None,
                segments=self._segments(),
                is_consistent=self.is_consistent,
                filter_expression=self.filter_expression or None,
                projection_expression=self.projection_expression or None,
                expression_attribute_names=self.expression_attribute_names or None,
                expression_attribute_values=self.expression_attribute_values or None,
            )
        return self._figures(backup)

    def _segments(self) -> int | None:
        if self.segments is None or self.segments == "":
            return None
        try:
            return int(self.segments)
        except ValueError:
            raise BadCallError(f"segments: expected a number from 1 to 1000000, found {self.segments!r}") from None

    def _figures(self, backup: Export) -> dict[str, Any]:
        summary, scan = backup.summary, backup.summary.scan
        self.log.info("Backed %s up: %s items, %s", self.table_name, summary.item_count, backup.source)
        return {
            "export_arn": summary.export_arn,
            "source": backup.source,
            "manifest_key": summary.manifest_files_key,
            "item_count": summary.item_count,
            "billed_bytes": summary.billed_bytes,
            "export_time": iso(summary.as_of),
            "consumed_units": None if scan is None else scan.consumed_units,
            "segments": None if scan is None else scan.segments,
        }
