"""Whether the snapshots of a table can go on by increments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.operators.branch import BaseBranchOperator

from airflow_provider_ddbexport.core.export.chain import ChainState, check_continuation
from airflow_provider_ddbexport.core.export.model import ExportType
from airflow_provider_ddbexport.core.merge import chain_base
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import ExportChainError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBChainBranchOperator(AwsBaseOperator[DynamoDBExportHook], BaseBranchOperator):
    """Goes on by increments where the newest snapshot before a time allows it, and by a full export where not.

    It does where that snapshot shows a point in time of the very table that is there now (a table deleted and made
    again is another), and where what was written since can be exported still. Nothing is exported and nothing billed.

    XCom: the ids of the tasks that follow. Under the key ``chain``: ``state``, which is ``WHOLE``, ``NO_FULL_EXPORT``,
    ``TABLE_RECREATED`` or ``HISTORY_GONE``; ``from_time`` of the next increment and ``record``, the address of the
    snapshot's commit record, both None without a snapshot; and ``reason``, a sentence, None if the state is WHOLE.

    :param table_name: the DynamoDB table's name, or its ARN. (templated)
    :param lake: folder of the lake, ``s3://`` or a path. (templated)
    :param table: folder of the table in it. (templated)
    :param to_time: the instant that the next snapshot shows; the run's logical date by default, or its ``run_after``
        where it has none. (templated)
    :param increment: ids of the tasks that follow where increments do.
    :param full: ids of the tasks that follow where a full export has to be made.
    :param s3_bucket_owner: account id that must own the lake's bucket; not checked if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields("table_name", "lake", "table", "to_time", "s3_bucket_owner")
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        table_name: str,
        lake: str,
        table: str,
        increment: str | Sequence[str],
        full: str | Sequence[str],
        to_time: str | datetime = RUN_INSTANT,
        s3_bucket_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.lake = lake
        self.table = table
        self.increment = increment
        self.full = full
        self.to_time = to_time
        self.s3_bucket_owner = s3_bucket_owner

    def choose_branch(self, context: Context) -> str | list[str]:
        """Return the ids of the tasks that follow."""
        with permanent_errors_fail():
            s3 = S3Hook(**self._hook_parameters).conn if self.lake.startswith("s3://") else None
            lake = open_store(self.lake, s3=s3, expected_bucket_owner=self.s3_bucket_owner or None)
            store = lake.child(layout.check_table(self.table))
            record = Ledger(store).previous(parse_time(self.to_time, what="to_time"))
            state, reason = self._state(record)
        chain = {
            "state": state,
            "reason": reason,
            "from_time": record and iso(record.as_of.replace(microsecond=0)),
            "record": record and store.uri_of(layout.record_key(record.as_of)),
        }
        self.log.info("%s", reason or f"Increments follow the snapshot as of {chain['from_time']}")
        context["ti"].xcom_push(key="chain", value=chain)
        chosen = self.increment if state == ChainState.WHOLE.value else self.full
        return chosen if isinstance(chosen, str) else list(chosen)

    def _state(self, record: CommitRecord | None) -> tuple[str, str | None]:
        if record is None or record.source.export_type == ExportType.SCAN.value:
            return ChainState.NO_FULL_EXPORT.value, "No snapshot before shows a point in time: a full export begins"
        try:
            check_continuation(
                chain_base(record),
                table_id=self.hook.table_identity(self.table_name).table_id,
                window=self.hook.restorable_window(self.table_name),
            )
        except ExportChainError as error:
            return str(error.context["state"]), str(error)
        return ChainState.WHOLE.value, None
