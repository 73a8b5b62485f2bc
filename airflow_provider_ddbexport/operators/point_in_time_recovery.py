"""Point-in-time recovery, without which there is nothing to export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.exporting.recovery import enable_recovery
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBEnablePointInTimeRecoveryOperator(AwsBaseOperator[DynamoDBExportHook]):
    """Makes sure that a table has point-in-time recovery; running it again changes nothing.

    It never turns recovery off, and never shortens a table's history unless told to. Only what is written from then on
    can be exported; the first export is possible after about five minutes, the first increment after about sixteen.

    XCom: ``earliest`` and ``latest`` (the restorable window, None while it holds nothing), ``recovery_period_days``,
    ``was_on``, ``is_changed``.

    :param table_name: the table's name, or its ARN. (templated)
    :param recovery_period_days: how far back history is kept, 1 to 35; None leaves it as it is, which is 35 where
        recovery is turned on. (templated)
    :param shorten: allow a period shorter than the table's, which throws history away for good.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields("table_name", "recovery_period_days")
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        table_name: str,
        recovery_period_days: int | str | None = None,
        shorten: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.recovery_period_days = recovery_period_days
        self.shorten = shorten

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's
        """Return the restorable window and what was changed."""
        with permanent_errors_fail(self):
            recovery = enable_recovery(
                self.hook.conn, self.table_name, period_days=self._period_days(), shorten=self.shorten
            )
        window = recovery.window
        self.log.info(
            "Point-in-time recovery of %s is on%s; restorable: %s",
            self.table_name,
            "" if recovery.is_changed else ", as it was",
            window,
        )
        return {
            "earliest": window.earliest and iso(window.earliest),
            "latest": window.latest and iso(window.latest),
            "recovery_period_days": window.period_days,
            "was_on": recovery.was_on,
            "is_changed": recovery.is_changed,
        }

    def _period_days(self) -> int | None:
        # A template gives text, also of a number, and "None" of nothing.
        text = str(self.recovery_period_days).strip()
        if text in {"", "None"}:
            return None
        if not (text.isascii() and text.isdigit()):
            raise BadCallError(f"recovery_period_days: expected 1 to 35, found {self.recovery_period_days!r}")
        return int(text)
