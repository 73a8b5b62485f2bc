"""Backups of a DynamoDB table by parallel scan."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
from airflow_provider_ddbexport.core.scan import (
    ReadBudgetOptions,
    Resumption,
    ScanPlan,
    ScanRequest,
    ScanSettings,
    ShardDone,
    finish_scan,
    plan_scan,
    scan_shard,
)
from airflow_provider_ddbexport.core.scan.shard import WORKERS
from airflow_provider_ddbexport.core.store import ObjectStore, RetryPolicy, open_store
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

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields(
        "table_name",
        "s3_bucket_name",
        "s3_prefix",
        "segments",
        "read_units",
        "read_percent",
        "ceiling_units",
        "index_name",
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
        workers: int = WORKERS,
        read_units: float | str | None = None,
        read_percent: float | str | None = None,
        ceiling_units: float | str | None = None,
        throttle_deadline_s: float = 900.0,
        index_name: str | None = None,
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
        self.workers = workers
        self.read_units = read_units
        self.read_percent = read_percent
        self.ceiling_units = ceiling_units
        self.throttle_deadline_s = throttle_deadline_s
        self.index_name = index_name
        self.is_consistent = is_consistent
        self.filter_expression = filter_expression
        self.projection_expression = projection_expression
        self.expression_attribute_names = expression_attribute_names
        self.expression_attribute_values = expression_attribute_values
        self.s3_bucket_owner = s3_bucket_owner

    def execute(self, context: Context) -> Any:
        """Return the complete backup's figures."""
        with permanent_errors_fail():
            bucket = self._begin(context)
            plan = self._plan(bucket, scan_of_task(context, self.task_id), shards=1)
            done = self._scan(bucket, plan, 0)
            return self._figures(finish_scan(bucket, plan), [done])

    def on_kill(self) -> None:
        """End the scan after the pages it is at; they are checkpointed, and another try goes on from there."""
        stop: threading.Event | None = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()

    def _begin(self, context: Context) -> ObjectStore:
        """Return the bucket, once everything that a template may have filled in is there."""
        # Made here, because an operator is copied before it runs and an event cannot be.
        self._stop = threading.Event()
        # A connection for each worker; more of them than botocore's ten would be made anew for each page.
        self.botocore_config = {"max_pool_connections": self.workers + 2, **(self.botocore_config or {})}
        DynamoDBExportLink.persist(
            context=context,
            operator=self,
            region_name=self.hook.conn_region_name,
            aws_partition=self.hook.conn_partition,
            table_name=table_name_of(self.table_name),
        )
        return open_store(
            f"s3://{self.s3_bucket_name}",
            s3=S3Hook(**self._hook_parameters).conn,
            expected_bucket_owner=self.s3_bucket_owner or None,
        )

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
        settings = ScanSettings(
            budget=self._budget(),
            workers=self.workers,
            retries=RetryPolicy(deadline_s=self.throttle_deadline_s),
            stop=self._stop,
        )
        return scan_shard(self.hook.conn, bucket, plan, self._request(), shard=shard, settings=settings)

    def _request(self) -> ScanRequest:
        return ScanRequest(
            table_name=self.table_name,
            index_name=self.index_name,
            is_consistent=self.is_consistent,
            filter_expression=self.filter_expression,
            projection_expression=self.projection_expression,
            names=self.expression_attribute_names or {},
            values=self.expression_attribute_values or {},
        )

    def _budget(self) -> ReadBudgetOptions:
        return ReadBudgetOptions(
            read_units=_number("read_units", self.read_units),
            read_percent=_number("read_percent", self.read_percent),
            ceiling_units=_number("ceiling_units", self.ceiling_units),
        )

    def _segments(self) -> int | None:
        if self.segments is None or self.segments == "":
            return None
        try:
            return int(self.segments)
        except ValueError:
            raise BadCallError(f"segments: expected a number from 1 to 1000000, found {self.segments!r}") from None

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
            "pages": sum(shard.pages for shard in done),
            "response_bytes": sum(shard.response_bytes for shard in done),
            "seconds": (summary.ended_at - summary.started_at).total_seconds(),
            "runs": max(shard.runs for shard in done),
            "busiest_segment_share": round(_busiest(done), 4),
            "is_point_in_time": False,
        }


def _busiest(done: Sequence[ShardDone]) -> float:
    items = sum(shard.scanned_items for shard in done)
    return max(shard.busiest_share * shard.scanned_items for shard in done) / items if items else 0.0


def _number(name: str, value: float | str | None) -> float | None:
    """Return a number that a template may have made text of; what it must be is for the budget to say."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except ValueError:
        raise BadCallError(f"{name}: expected a number above 0, found {value!r}") from None


def scan_of_task(context: Context, task_id: str) -> Resumption:
    """Return what names this task's scan through all of its tries.

    Clearing a task raises its ``max_tries``, a retry does not: so a scan that is through is scanned anew after the
    one and is taken as it is after the other.
    """
    ti, dag_run = context["ti"], context.get("dag_run")
    parts = (
        getattr(ti, "dag_id", None),
        getattr(dag_run, "run_id", None) or getattr(ti, "run_id", None),
        getattr(ti, "task_id", None) or task_id,
        getattr(ti, "map_index", None),
    )
    return Resumption("\n".join(str(part) for part in parts), occasion=f"max_tries {getattr(ti, 'max_tries', 0)}")
