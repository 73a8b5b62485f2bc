"""From a table to a published, registered snapshot by parallel scan, without a backup in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS, scan_to_parquet
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.publishing import PUBLISHING_FIELDS, PublishingOperator
from airflow_provider_ddbexport.operators.scanning import SCAN_FIELDS, ScanningOperator, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanToParquetOperator(PublishingOperator[DynamoDBExportHook], ScanningOperator):
    """Scans a table straight into Parquet, publishes it as a snapshot and registers it in the Glue Catalog.

    For small and frequent snapshots, and where no backup is wanted: no JSON lies in S3 in between. The snapshot is
    named by the time the scan began and is no point in time: each item is as it was at some moment while the scan ran.
    Read capacity, its budget and the tries of a task are as :class:`.DynamoDBScanBackupOperator` has them: another try
    goes on from what is in the lake already, no item is in the snapshot twice, and none is missing. Readers see the
    whole snapshot or none.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the same figures as XCom.

    XCom: what :class:`.DynamoDBExportToParquetOperator` has, with ``consumed_units`` (read capacity units),
    ``segments``, ``seconds`` and ``is_point_in_time`` (false).

    The parameters ``lake``, ``table``, ``database``, ``catalog_id``, ``numbers``, ``nested``, ``partition_by``,
    ``column_names``, ``rows_per_part``, ``part_bytes`` (most parts are smaller, a group of pages makes one) and
    ``other_table`` are those of :class:`.DynamoDBExportToParquetOperator`.

    The parameters ``table_name``, ``segments``, ``workers``, ``read_units``, ``read_percent``, ``ceiling_units``,
    ``throttle_deadline_s``, ``index_name``, ``is_consistent``, ``filter_expression``, ``projection_expression``,
    ``expression_attribute_names``, ``expression_attribute_values``, ``s3_bucket_owner`` and those of AWS are those of
    :class:`.DynamoDBScanBackupOperator`.
    """

    template_fields: Sequence[str] = aws_template_fields(*SCAN_FIELDS, *PUBLISHING_FIELDS)

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the published snapshot's figures."""
        with permanent_errors_fail():
            self._check_lake()
            self._begin(context)
            lake = self._store(self.lake)
            record = scan_to_parquet(
                self.hook.conn,
                lake,
                self._request(),
                **self._columns(),
                segments=self._segments(),
                resumption=scan_of_task(context, self.task_id),
                settings=self._settings(GROUPS),
            )
            figures = self._figures(record, lake.child(record.table))
        self._tell(context, figures)
        return figures

    def _figures(self, record: CommitRecord, table_store: ObjectStore) -> dict[str, Any]:
        scan = record.source.scan
        return {
            **self._registered(record, table_store),
            "consumed_units": None if scan is None else scan.consumed_units,
            "segments": None if scan is None else scan.segments,
            "seconds": None if scan is None else (scan.ended_at - scan.started_at).total_seconds(),
            "is_point_in_time": False,
        }
