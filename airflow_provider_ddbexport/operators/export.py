"""Exports of a DynamoDB table as of a point in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import conf

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.point_in_time import (
    PATIENCE_S,
    POLL_S,
    ExportDescription,
    ExportRequest,
    ExportStatus,
    completed,
    destination,
    export_instant,
    export_source_uri,
    wait_for_export,
)
from airflow_provider_ddbexport.core.restorable_window import table_name_of
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError, ServiceError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.triggers.export import DynamoDBExportTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

RUN_INSTANT = "{{ (dag_run.logical_date or dag_run.run_after).isoformat() }}"
"""Template of a run's instant: its logical date, or when it was due where it was triggered without one."""

_TRIGGER_GRACE = timedelta(minutes=10)
"""The trigger ends at the deadline itself; this much later Airflow ends it, should no triggerer be running."""


class DynamoDBPointInTimeExportOperator(AwsBaseOperator[DynamoDBExportHook]):
    """Exports a table as it was at an instant, to S3, at most once.

    Trying again, clearing, or a worker killed between the call and the wait attaches to the export that was started
    (within the 8 hours DynamoDB remembers it), because the ClientToken is a function of table, export time,
    destination, format, key and owner. Only where that export FAILED does the next try start another one. Exports are
    billed by the table's size and cannot be cancelled.

    The task fails at once, without retries, where another try would meet the same error: point-in-time recovery is
    off, the time is no time or is too old, the table is missing, access is denied. A time that cannot be exported
    *yet* leaves it to the retries; :class:`.DynamoDBRestorableTimeSensor` waits for it.

    XCom: ``export_arn``, ``source`` (address of the export's folder, what
    :class:`.DynamoDBExportToParquetOperator` takes), ``manifest_key``, ``item_count``, ``billed_bytes``,
    ``export_time``. Without ``wait_for_completion`` what is not known yet is None.

    :param table_name: the table's name, or its ARN (which spares the call of dynamodb:DescribeTable). (templated)
    :param s3_bucket_name: destination bucket. (templated)
    :param s3_prefix: destination folder in the bucket; the bucket's root by default. (templated)
    :param export_time: the instant, ISO 8601 text with an offset, or an aware datetime; cut to whole seconds. The
        run's logical date by default, or its ``run_after`` where it has none. (templated)
    :param export_format: ``DYNAMODB_JSON`` or ``ION``. (templated)
    :param s3_sse_algorithm: ``AES256`` or ``KMS``; the bucket's default encryption if None. (templated)
    :param s3_sse_kms_key_id: the key, with ``KMS``. (templated)
    :param s3_bucket_owner: account id of the bucket's owner, if it is not the table's. (templated)
    :param wait_for_completion: return only when the export is COMPLETED.
    :param poll_interval_s: seconds between two looks at the export.
    :param patience_s: seconds to wait for the export, per try; the export goes on after that.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields(
        "table_name",
        "s3_bucket_name",
        "s3_prefix",
        "export_time",
        "export_format",
        "s3_sse_algorithm",
        "s3_sse_kms_key_id",
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
        export_time: str | datetime = RUN_INSTANT,
        export_format: str = OutputFormat.DYNAMODB_JSON.value,
        s3_sse_algorithm: str | None = None,
        s3_sse_kms_key_id: str | None = None,
        s3_bucket_owner: str | None = None,
        wait_for_completion: bool = True,
        poll_interval_s: float = POLL_S,
        patience_s: float = PATIENCE_S,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.s3_bucket_name = s3_bucket_name
        self.s3_prefix = s3_prefix
        self.export_time = export_time
        self.export_format = export_format
        self.s3_sse_algorithm = s3_sse_algorithm
        self.s3_sse_kms_key_id = s3_sse_kms_key_id
        self.s3_bucket_owner = s3_bucket_owner
        self.wait_for_completion = wait_for_completion
        self.poll_interval_s = poll_interval_s
        self.patience_s = patience_s
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the COMPLETED export's figures, or defer until there are any."""
        with permanent_errors_fail():
            request = self._request()
            export_arn = self.hook.start_export(request)
            self.log.info(
                "Export %s: %s as of %s to %s",
                export_arn,
                request.table_arn,
                iso(request.export_time),
                destination(request),
            )
            DynamoDBExportLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                table_name=table_name_of(self.table_name),
                export_arn=export_arn,
            )
            description = self.hook.describe_export(export_arn)
            if not self.wait_for_completion:
                return export_figures(description)
            if self.deferrable and description.status is ExportStatus.IN_PROGRESS:
                self._defer_until_ended(export_arn)
            return self._finish(
                wait_for_export(
                    self.hook.conn,
                    export_arn,
                    deadline_s=self.patience_s,
                    poll_s=self.poll_interval_s,
                    on_look=self._log_look,
                )
            )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: ARG002 - Airflow's
        """Return the COMPLETED export's figures. The event only says which export to look at."""
        woken = validate_execute_complete_event(event)
        with permanent_errors_fail():
            description = self.hook.describe_export(str(woken["export_arn"]))
            self._log_look(description)
            if description.status is ExportStatus.IN_PROGRESS and woken["status"] == "error":
                raise ServiceError(
                    f"export {description.export_arn}: is in progress, but the triggerer could not wait for it "
                    f"({woken.get('message', 'no message')}); try again to attach to it"
                )
            return self._finish(completed(description, waited_s=self.patience_s))

    def on_kill(self) -> None:
        """Say what goes on: there is no call that cancels an export."""
        self.log.warning("An export cannot be cancelled: one that was started goes on, and trying again attaches to it")

    def _request(self) -> ExportRequest:
        moment = export_instant(self.export_time)
        try:
            output_format = OutputFormat(self.export_format)
        except ValueError:
            raise BadCallError(f"export_format: expected DYNAMODB_JSON or ION, found {self.export_format!r}") from None
        return ExportRequest(
            table_arn=self.hook.table_arn(self.table_name),
            export_time=moment,
            bucket=self.s3_bucket_name,
            prefix=self.s3_prefix or None,
            output_format=output_format,
            sse_algorithm=self.s3_sse_algorithm or None,
            kms_key_id=self.s3_sse_kms_key_id or None,
            bucket_owner=self.s3_bucket_owner or None,
        )

    def _defer_until_ended(self, export_arn: str) -> None:
        patience = timedelta(seconds=self.patience_s)
        self.defer(
            trigger=DynamoDBExportTrigger(
                export_arn=export_arn,
                deadline=(datetime.now(UTC) + patience).isoformat(),
                waiter_delay=self.poll_interval_s,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=patience + _TRIGGER_GRACE,
        )

    def _log_look(self, description: ExportDescription) -> None:
        if description.status is ExportStatus.FAILED:
            self.log.error(
                "Export %s FAILED: %s: %s",
                description.export_arn,
                description.failure_code,
                description.failure_message,
            )
        else:
            self.log.info("Export %s is %s", description.export_arn, description.status)

    def _finish(self, description: ExportDescription) -> dict[str, Any]:
        figures = export_figures(description)
        self.log.info("Exported %s items, %s bytes billed", figures["item_count"], figures["billed_bytes"])
        return figures


def export_figures(description: ExportDescription) -> dict[str, Any]:
    """Return what a task tells the next one about an export; JSON values."""
    return {
        "export_arn": description.export_arn,
        "source": export_source_uri(description),
        "manifest_key": description.manifest_key,
        "item_count": description.item_count,
        "billed_bytes": description.billed_bytes,
        "export_time": description.export_time and iso(description.export_time),
    }
