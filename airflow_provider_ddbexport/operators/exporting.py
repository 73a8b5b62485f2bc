"""What the export operators share: asking once, waiting their turn, waiting for the end, in a worker or deferred."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.triggers.base import BaseTrigger

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.core.exporting.exactly_once import not_restorable
from airflow_provider_ddbexport.core.exporting.point_in_time import (
    PATIENCE_S,
    POLL_S,
    ExportDescription,
    ExportStatus,
    completed,
    export_source_uri,
    wait_for_export,
)
from airflow_provider_ddbexport.core.exporting.request import ExportRequest
from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of, wait_until_restorable
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError, RestorableWindowError, ServiceError, ThrottledError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import DynamoDBExportLink
from airflow_provider_ddbexport.operators.out_of_window import OutOfWindow, gone_times
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.remembering import TaskStateStore
from airflow_provider_ddbexport.triggers.export import GOES_ON, DynamoDBExportTrigger
from airflow_provider_ddbexport.triggers.restorable_time import DynamoDBRestorableTimeTrigger
from airflow_provider_ddbexport.triggers.turn import TurnTrigger
from airflow_provider_ddbexport.triggers.waiting import TRIGGER_GRACE

if TYPE_CHECKING:
    from airflow.sdk import Context

EXPORT_FIELDS = (
    "table_name",
    "s3_bucket_name",
    "s3_prefix",
    "export_format",
    "s3_sse_algorithm",
    "s3_sse_kms_key_id",
    "s3_bucket_owner",
    "generation",
    "ledger",
)
"""Template fields of every export operator."""

_SHORT_TURN_S = 60.0
"""A deferrable task waits this long for its turn in the worker, longer in the triggerer."""


class ExportingOperator(AwsBaseOperator[DynamoDBExportHook]):
    """Asks for one or more exports, each exactly once, and waits for them. Base of the export operators.

    A deferred task is woken with all it needs to go on in the event, which is what every way of running a deferred
    task hands it: ``export_arns``, those asked for so far, and ``deadline``.
    """

    aws_hook_class = DynamoDBExportHook
    operator_extra_links = (DynamoDBExportLink(),)
    ui_color = "#e8f0fb"
    waits_until_restorable = False
    """Whether a time that cannot be exported yet is waited for, rather than left to the retries."""
    out_of_window: OutOfWindow = "fail"
    """What becomes of the task where a time it is to export is gone."""

    def __init__(
        self,
        *,
        table_name: str,
        s3_bucket_name: str,
        s3_prefix: str | None = None,
        export_format: str = OutputFormat.DYNAMODB_JSON.value,
        s3_sse_algorithm: str | None = None,
        s3_sse_kms_key_id: str | None = None,
        s3_bucket_owner: str | None = None,
        filter_specification: dict[str, Any] | None = None,
        generation: str | int | None = None,
        ledger: str | None = None,
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
        self.export_format = export_format
        self.s3_sse_algorithm = s3_sse_algorithm
        self.s3_sse_kms_key_id = s3_sse_kms_key_id
        self.s3_bucket_owner = s3_bucket_owner
        self.filter_specification = filter_specification
        self.generation = generation
        self.ledger = ledger
        self.wait_for_completion = wait_for_completion
        self.poll_interval_s = poll_interval_s
        self.patience_s = patience_s
        self.deferrable = deferrable
        self._asked: list[str] = []

    @abstractmethod
    def export_requests(self) -> Sequence[ExportRequest]:
        """Return what to export, in order; the same for every try of the task."""

    @abstractmethod
    def figures(self, descriptions: Sequence[ExportDescription]) -> dict[str, Any]:
        """Return what goes to XCom, of the exports in the order of their requests."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the COMPLETED exports' figures, or defer until there are any."""
        with permanent_errors_fail(self), gone_times(self.out_of_window):
            deadline = datetime.now(UTC) + timedelta(seconds=self.patience_s)
            return self._ask(context, [], deadline, deferrable=self.deferrable)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on. The event only says where the task was; what there is it looks at itself."""
        woken = validate_execute_complete_event(event)
        deadline = datetime.fromisoformat(woken["deadline"]) if "deadline" in woken else datetime.now(UTC)
        failed = woken["status"] == "error"
        self._asked = list(woken.get("export_arns") or filter(None, [woken.get("export_arn")]))
        with permanent_errors_fail(self), gone_times(self.out_of_window):
            if "export_arn" not in woken:
                # A triggerer that cannot wait is not asked again: the try ends with what there is to say.
                deferrable = self.deferrable and not failed
                return self._ask(context, list(woken["export_arns"]), deadline, deferrable=deferrable)
            description = self.hook.describe_export(str(woken["export_arn"]))
            self._log_look(description)
            if description.status is ExportStatus.IN_PROGRESS and failed:
                raise ServiceError(
                    f"export {description.export_arn}: is in progress, but the triggerer could not wait for it "
                    f"({woken.get('message', 'no message')}); try again to attach to it"
                )
            completed(description, waited_s=self.patience_s)
            return self._await(list(woken.get("export_arns") or [description.export_arn]), deadline, deferrable=True)

    def on_kill(self) -> None:
        """Say what goes on: there is no call that cancels an export."""
        for asked in self._asked:
            self.log.warning(GOES_ON, asked)
        if not self._asked:
            self.log.warning("An export cannot be cancelled: one that was started goes on, and trying again finds it")

    def request_arguments(self) -> dict[str, Any]:
        """Return the arguments of ExportRequest but for its times. Raises BadCallError, TableNotFoundError."""
        try:
            output_format = OutputFormat(self.export_format)
        except ValueError:
            raise BadCallError(f"export_format: expected DYNAMODB_JSON or ION, found {self.export_format!r}") from None
        table = self.hook.table_identity(self.table_name)
        return {
            "table_arn": table.arn,
            "table_id": table.table_id,
            "bucket": self.s3_bucket_name,
            "prefix": self.s3_prefix or None,
            "output_format": output_format,
            "sse_algorithm": self.s3_sse_algorithm or None,
            "kms_key_id": self.s3_sse_kms_key_id or None,
            "bucket_owner": self.s3_bucket_owner or None,
            "filter_specification": self.filter_specification or None,
            "generation": self.generation,
        }

    def _ask(self, context: Context, arns: list[str], deadline: datetime, *, deferrable: bool) -> dict[str, Any]:
        for request in self.export_requests()[len(arns) :]:
            self._asked.append(f"({request}, if it was started)")
            export_arn = self._start(context, request, arns, deadline, deferrable=deferrable)
            self._asked[-1] = export_arn
            arns.append(export_arn)
            self.log.info("Export %s: %s", export_arn, request)
            DynamoDBExportLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                table_name=table_name_of(request.table_arn),
                export_arn=export_arn,
            )
        return self._await(arns, deadline, deferrable=deferrable)

    def _start(
        self, context: Context, request: ExportRequest, arns: list[str], deadline: datetime, *, deferrable: bool
    ) -> str:
        def check() -> None:
            if self.waits_until_restorable and (refusal := not_restorable(self.hook.conn, request)):
                raise refusal

        while True:
            left_s = _seconds_until(deadline)
            turn_s = min(left_s, _SHORT_TURN_S) if deferrable else left_s
            try:
                return self.hook.start_export(
                    request,
                    ledger=self.ledger or None,
                    turn_s=turn_s,
                    before_call=check,
                    remembered=TaskStateStore(context),
                )
            except ThrottledError as error:
                if not deferrable or _seconds_until(deadline) <= 0:
                    raise
                self.log.info("%s; waiting for a turn", error)
                self._defer_for_turn(arns, deadline)
            except RestorableWindowError as error:
                left_s = _seconds_until(deadline)
                if not self.waits_until_restorable or error.context.get("is_past") is not False or left_s <= 0:
                    raise
                self.log.info("%s", error)
                if deferrable:
                    self._defer_until_restorable(request, arns, deadline)
                wait_until_restorable(
                    self.hook.conn,
                    table_name_of(request.table_arn),
                    request.export_time,
                    deadline_s=left_s,
                    poll_s=self.poll_interval_s,
                )

    def _await(self, arns: list[str], deadline: datetime, *, deferrable: bool) -> dict[str, Any]:
        descriptions = [self.hook.describe_export(export_arn) for export_arn in arns]
        if not self.wait_for_completion:
            return self.figures(descriptions)
        for description in descriptions:
            if deferrable and self.deferrable and description.status is ExportStatus.IN_PROGRESS:
                self._defer_until_ended(description.export_arn, arns, deadline)
        ended = [self._ended(description, deadline) for description in descriptions]
        figures = self.figures(ended)
        self.log.info("Exported %s items, %s bytes billed", figures["item_count"], figures["billed_bytes"])
        return figures

    def _ended(self, description: ExportDescription, deadline: datetime) -> ExportDescription:
        if description.status is not ExportStatus.IN_PROGRESS:
            self._log_look(description)
            return completed(description, waited_s=self.patience_s)
        return wait_for_export(
            self.hook.conn,
            description.export_arn,
            deadline_s=_seconds_until(deadline),
            waited_s=self.patience_s,
            poll_s=self.poll_interval_s,
            on_look=self._log_look,
        )

    def _defer_until_ended(self, export_arn: str, arns: list[str], deadline: datetime) -> None:
        self._defer(
            DynamoDBExportTrigger(
                export_arn=export_arn,
                deadline=deadline.isoformat(),
                carried={"export_arns": arns, "deadline": deadline.isoformat()},
                waiter_delay=self.poll_interval_s,
                **self._aws,
            ),
            deadline,
        )

    def _defer_for_turn(self, arns: list[str], deadline: datetime) -> None:
        # Jitter, because a backfill's tasks are throttled together.
        until = datetime.now(UTC) + timedelta(seconds=self.poll_interval_s * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        self._defer(
            TurnTrigger(
                until=until.isoformat(),
                deadline=deadline.isoformat(),
                carried={"export_arns": arns, "deadline": deadline.isoformat()},
                poll_interval_s=self.poll_interval_s,
                **self._aws,
            ),
            deadline,
        )

    def _defer_until_restorable(self, request: ExportRequest, arns: list[str], deadline: datetime) -> None:
        self._defer(
            DynamoDBRestorableTimeTrigger(
                table_name=table_name_of(request.table_arn),
                export_time=iso(request.export_time),
                deadline=deadline.isoformat(),
                carried={"export_arns": arns, "deadline": deadline.isoformat()},
                poll_interval_s=self.poll_interval_s,
                **self._aws,
            ),
            deadline,
        )

    def _defer(self, trigger: BaseTrigger, deadline: datetime) -> None:
        timeout = timedelta(seconds=_seconds_until(deadline)) + TRIGGER_GRACE
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)

    @property
    def _aws(self) -> dict[str, Any]:
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

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


def _seconds_until(deadline: datetime) -> float:
    return max(0.0, (deadline - datetime.now(UTC)).total_seconds())
