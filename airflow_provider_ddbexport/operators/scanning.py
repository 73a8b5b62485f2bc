"""What the operators that scan share: what is scanned, within which budget, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator

from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    ReadBudgetOptions,
    Resumption,
    ScanRequest,
    ScanSettings,
)
from airflow_provider_ddbexport.core.scan.shard import WORKERS
from airflow_provider_ddbexport.core.store import ObjectStore, RetryPolicy, open_store
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

SCAN_FIELDS = (
    "table_name",
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
"""Template fields of every operator that scans."""


class ScanningOperator(AwsBaseOperator[DynamoDBExportHook]):
    """Scans a table. Base of the operators that do."""

    aws_hook_class = DynamoDBExportHook
    operator_extra_links = (DynamoDBExportLink(),)
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        table_name: str,
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

    def on_kill(self) -> None:
        """End the scan after the pages it is at; they are checkpointed, and another try goes on from there."""
        stop: threading.Event | None = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()

    def _begin(self, context: Context) -> None:
        """Get ready, once everything that a template may have filled in is there."""
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

    def _store(self, uri: str) -> ObjectStore:
        return open_store(
            uri,
            s3=S3Hook(**self._hook_parameters).conn if uri.startswith("s3://") else None,
            expected_bucket_owner=self.s3_bucket_owner or None,
        )

    def _settings(self, limits: GroupLimits | None = None) -> ScanSettings:
        return ScanSettings(
            budget=self._budget(),
            workers=self.workers,
            limits=limits or GroupLimits(),
            retries=RetryPolicy(deadline_s=self.throttle_deadline_s),
            stop=self._stop,
        )

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
        except (TypeError, ValueError):
            raise BadCallError(f"segments: expected a number from 1 to 1000000, found {self.segments!r}") from None


def _number(name: str, value: float | str | None) -> float | None:
    """Return a number that a template may have made text of; what it must be is for the budget to say."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadCallError(f"{name}: expected a number above 0, found {value!r}") from None


def export_of_shard(shard: object) -> str:
    """Return the id of the scan that *shard*, an element of a plan's XCom, is of."""
    if not isinstance(shard, Mapping) or not {"export_id", "shard"} <= set(shard):
        raise BadCallError("shard: expected one element of what the task that plans the scan returned")
    return str(shard["export_id"])


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
