"""Backups of a DynamoDB table by parallel scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.scan import (
    Resumption,
    ScanPlan,
    ShardDone,
    finish_scan,
    plan_scan,
    scan_figures,
    scan_shard,
)
from airflow_provider_ddbexport.core.store import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.scanning import SCAN_FIELDS, ScanningOperator, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanBackupOperator(ScanningOperator):
    """Backs a table up to S3 by a parallel scan, in the layout of an export.

    For tables without point-in-time recovery, and for parts of tables. The backup holds each item as it was at some
    moment while the scan ran: it is marked as a scan, because it is no point in time. It spends read capacity: half
    a unit for each 4 KB, a whole one when consistent; how much of it at once, the read budget says, which is one for
    all segments: by default half of the provisioned capacity, as it is then; none for a table on demand.

    Another try goes on where the one before it ended, however it ended: checkpoints lie beside the backup's files.
    No item is read into it twice, none is missing. A killed task checkpoints what it has. A task that is cleared after
    it had succeeded makes a new backup; one that is cleared after it had failed goes on. What decides what is read
    (table, segments, filter, projection, consistency, index) may not be changed in between: the task fails and names
    the difference. A backup that was cut off has no manifest and is never taken for a backup.

    XCom: ``export_arn``, ``source`` (address of the backup's folder, what :class:`.DynamoDBExportToParquetOperator`
    takes), ``manifest_key``, ``item_count``, ``billed_bytes`` (0: scans are billed by ``consumed_units``),
    ``export_time`` (when the scan started), ``consumed_units`` (read capacity units), ``segments``, ``files``,
    ``pages``, ``response_bytes``, ``seconds``, ``runs`` (tries it took), ``busiest_segment_share`` (of the items; with
    even keys one by ``segments``), ``is_point_in_time`` (false).

    :param table_name: the table's name. (templated)
    :param s3_bucket_name: destination bucket. (templated)
    :param s3_prefix: destination folder in the bucket; the bucket's root by default. (templated)
    :param segments: parts of the scan; from the table's size and the budget by default. (templated)
    :param workers: segments read at the same time.
    :param read_units: the read budget, read capacity units a second. (templated)
    :param read_percent: the read budget as a percentage, 1 to 100, of the provisioned capacity, which is read again
        each minute, or of ``ceiling_units`` for a table on demand. (templated)
    :param ceiling_units: what 100 % is for a table on demand. (templated)
    :param throttle_deadline_s: seconds for which one page is asked for while DynamoDB throttles or fails; then this
        try ends.
    :param index_name: scan this secondary index instead. (templated)
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

    template_fields: Sequence[str] = aws_template_fields(*SCAN_FIELDS, "s3_bucket_name", "s3_prefix")

    def __init__(self, *, s3_bucket_name: str, s3_prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.s3_bucket_name = s3_bucket_name
        self.s3_prefix = s3_prefix

    def execute(self, context: Context) -> Any:
        """Return the complete backup's figures."""
        with permanent_errors_fail(self):
            bucket = self._bucket(context)
            plan = self._plan(bucket, scan_of_task(context, self.task_id), shards=1)
            done = self._scan(bucket, plan, 0)
            return self._figures(finish_scan(bucket, plan), [done])

    def _bucket(self, context: Context) -> ObjectStore:
        self._begin(context)
        return self._store(f"s3://{self.s3_bucket_name}")

    def _plan(self, bucket: ObjectStore, resumption: Resumption, *, shards: int) -> ScanPlan:
        return plan_scan(
            self.hook.conn,
            bucket,
            self._request(),
            bucket=self.s3_bucket_name,
            prefix=self.s3_prefix or None,
            segments=self._segments(),
            shards=shards,
            resumption=resumption,
            budget=self._budget(),
        )

    def _scan(self, bucket: ObjectStore, plan: ScanPlan, shard: int) -> ShardDone:
        return scan_shard(self.hook.conn, bucket, plan, self._request(), shard=shard, settings=self._settings())

    def _figures(self, backup: Export, done: Sequence[ShardDone]) -> dict[str, Any]:
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
            "files": len(backup.files),
            "seconds": (summary.ended_at - summary.started_at).total_seconds(),
            **scan_figures(done),
            "is_point_in_time": False,
        }
