"""From a table to a published, registered snapshot by parallel scan, without a backup in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.scan import Resumption
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.publishing import PUBLISHING_FIELDS, PublishingOperator
from airflow_provider_ddbexport.operators.scanning import SCAN_FIELDS, ScanningOperator, export_of_shard, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.scan.to_parquet import ParquetScan
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord


class DynamoDBScanToParquetOperator(PublishingOperator[DynamoDBExportHook], ScanningOperator):
    """Scans a table straight into Parquet, publishes it as a snapshot and registers it in the Glue Catalog.

    For small and frequent snapshots, and where no backup is wanted: no JSON lies in S3 in between. The snapshot is
    named by the time the scan began and is no point in time: each item is as it was at some moment while the scan ran.
    Read capacity, its budget and the tries of a task are as :class:`.DynamoDBScanBackupOperator` has them: another try
    goes on from what is in the lake already, no item is in the snapshot twice, and none is missing. Readers see the
    whole snapshot or none.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the same figures as XCom.

    XCom: what :class:`.DynamoDBExportToParquetOperator` has, with ``consumed_units`` (read capacity units),
    ``segments``, ``pages``, ``response_bytes``, ``seconds``, ``runs`` (tries it took), ``busiest_segment_share`` (of
    the items; with even keys one by ``segments``) and ``is_point_in_time`` (false).

    :param shards: :class:`.DynamoDBScanToParquetPlanOperator`'s XCom, where mapped tasks have scanned the table: what
        they read is published, and nothing is scanned. (templated)

    The parameters ``lake``, ``table``, ``database``, ``catalog_id``, ``numbers``, ``nested``, ``partition_by``,
    ``column_names``, ``rows_per_part``, ``part_bytes`` (most parts are smaller, a group of pages makes one) and
    ``other_table`` are those of :class:`.DynamoDBExportToParquetOperator`.

    The parameters ``table_name``, ``segments``, ``workers``, ``read_units``, ``read_percent``, ``ceiling_units``,
    ``throttle_deadline_s``, ``index_name``, ``is_consistent``, ``filter_expression``, ``projection_expression``,
    ``expression_attribute_names``, ``expression_attribute_values``, ``s3_bucket_owner`` and those of AWS are those of
    :class:`.DynamoDBScanBackupOperator`.
    """

    template_fields: Sequence[str] = aws_template_fields(*SCAN_FIELDS, *PUBLISHING_FIELDS, "shards")

    def __init__(self, *, shards: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: Context) -> Any:
        """Return the published snapshot's figures."""
        with permanent_errors_fail(self):
            lake = self._open_lake(context)
            record = self._published(lake, scan_of_task(context, self.task_id))
            figures = self._figures(record, lake.child(record.table))
        self._tell(context, figures)
        return figures

    def _open_lake(self, context: Context) -> ObjectStore:
        self._check_lake()
        self._begin(context)
        return self._store(self.lake)

    def _published(self, lake: ObjectStore, resumption: Resumption) -> CommitRecord:
        from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS, scan_to_parquet

        if self.shards is not None:
            scan = self._parquet_scan(lake)
            shards = list(self.shards)
            plan = scan.planned(export_of_shard(shards[0] if shards else None))
            return scan.publish(plan, settings=self._settings())
        return scan_to_parquet(
            self.hook.conn,
            lake,
            self._request(),
            **self._columns(),
            segments=self._segments(),
            resumption=resumption,
            settings=self._settings(GROUPS),
        )

    def _parquet_scan(self, lake: ObjectStore) -> ParquetScan:
        from airflow_provider_ddbexport.core.scan.to_parquet import parquet_scan

        columns = {name: value for name, value in self._columns().items() if name != "other_table"}
        return parquet_scan(lake, self._request(), **columns)

    def _figures(self, record: CommitRecord, table_store: ObjectStore) -> dict[str, Any]:
        scan = record.source.scan
        return {
            **self._registered(record, table_store),
            "consumed_units": None if scan is None else scan.consumed_units,
            "segments": None if scan is None else scan.segments,
            **record.report.get("scan", {}),
            "seconds": None if scan is None else (scan.ended_at - scan.started_at).total_seconds(),
            "is_point_in_time": False,
        }
