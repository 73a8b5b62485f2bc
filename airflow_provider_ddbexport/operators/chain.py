"""Whether the snapshots of a table can go on by increments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.operators.branch import BaseBranchOperator

from airflow_provider_ddbexport.core.export.chain import ChainState, check_continuation
from airflow_provider_ddbexport.core.export.model import ExportType
from airflow_provider_ddbexport.core.exporting.request import export_instant
from airflow_provider_ddbexport.core.history import TimeState
from airflow_provider_ddbexport.core.merge import chain_base, merged_into
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ExportChainError, PointInTimeRecoveryError, TableNotFoundError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBChainBranchOperator(AwsBaseOperator[DynamoDBExportHook], BaseBranchOperator):
    """Goes on by increments where the newest snapshot before a time allows it, and by a full export where not.

    It does where that snapshot shows a point in time of the very table that is there now (a table deleted and made
    again is another), and where what was written since can be exported still. Nothing is exported and nothing billed.

    Where a snapshot of the very time is published already, because the run was cleared, say, it goes the way that
    snapshot was made: by the same times, so that the exports it was made of are used again. Where that cannot be
    (the table was made again, the history of those times is gone, the snapshot it was merged into is), all that follows
    is skipped.

    XCom: the ids of the tasks that follow, None for none. Under the key ``chain``: ``state``, which is ``WHOLE``,
    ``NO_FULL_EXPORT``, ``TABLE_RECREATED``, ``HISTORY_GONE`` or ``PUBLISHED``; ``from_time`` of the increment and
    ``record``, the address of the commit record of the snapshot that it follows, both None without one; and
    ``reason``, a sentence, None if the state is WHOLE.

    :param table_name: the DynamoDB table's name, or its ARN. (templated)
    :param lake: folder of the lake, ``s3://`` or a path. (templated)
    :param table: folder of the table in it. (templated)
    :param to_time: the instant that the next snapshot shows, cut to whole seconds; the run's logical date by default,
        or its ``run_after`` where it has none. (templated)
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

    def choose_branch(self, context: Context) -> str | list[str] | None:
        """Return the ids of the tasks that follow."""
        with permanent_errors_fail():
            s3 = S3Hook(**self._hook_parameters).conn if self.lake.startswith("s3://") else None
            lake = open_store(self.lake, s3=s3, expected_bucket_owner=self.s3_bucket_owner or None)
            store = lake.child(layout.check_table(self.table))
            moment = export_instant(self.to_time, what="to_time")
            way = self._way(Ledger(store), moment)
        base = way.base
        chain = {
            "state": way.state,
            "reason": way.reason,
            "from_time": base and iso(base.as_of.replace(microsecond=0)),
            "record": base and store.uri_of(layout.record_key(base.as_of)),
        }
        self.log.info("%s", way.reason or f"Increments follow the snapshot as of {chain['from_time']}")
        context["ti"].xcom_push(key="chain", value=chain)
        chosen = {"increment": self.increment, "full": self.full, None: None}[way.by]
        return chosen if chosen is None or isinstance(chosen, str) else list(chosen)

    def _way(self, ledger: Ledger, moment: datetime) -> _Way:
        own = ledger.get(moment)
        if own is not None and not _is_scan(own):
            return self._same_way(own, ledger)
        base = ledger.previous(moment)
        if base is None or _is_scan(base):
            reason = "No snapshot before shows a point in time: a full export begins"
            return _Way("full", ChainState.NO_FULL_EXPORT.value, base, reason)
        try:
            self._check_continuation(base)
        except ExportChainError as error:
            return _Way("full", str(error.context["state"]), base, str(error))
        return _Way("increment", ChainState.WHOLE.value, base, None)

    def _same_way(self, own: CommitRecord, ledger: Ledger) -> _Way:
        """Return the way that *own*, which is published for the very time, was made."""
        state, published = TimeState.PUBLISHED.value, f"The snapshot as of {iso(own.as_of)} is published already"
        base = merged_into(own, ledger) if own.source.export_type == MERGE else None
        if base is None and own.source.export_type == MERGE:
            return _Way(None, state, base, f"{published}, the one it was merged into is not: nothing is left to do")
        try:
            # A full export has to be of the table and of a time that can be exported, like what an increment follows.
            self._check_continuation(base or own)
        except (ExportChainError, PointInTimeRecoveryError, TableNotFoundError) as error:
            return _Way(None, state, base, f"{published}, and its exports could not be made again: {error}")
        return _Way("increment" if base else "full", state, base, f"{published}: its exports are used again")

    def _check_continuation(self, record: CommitRecord) -> None:
        check_continuation(
            chain_base(record),
            table_id=self.hook.table_identity(self.table_name).table_id,
            window=self.hook.restorable_window(self.table_name),
        )


@dataclass(frozen=True, slots=True)
class _Way:
    """How a run goes on, and why.

    Attributes:
        by: None where nothing is left to do.
        base: the snapshot that increments follow, or would.
        reason: a sentence; None where increments follow as they should.
    """

    by: Literal["increment", "full"] | None
    state: str
    base: CommitRecord | None
    reason: str | None


def _is_scan(record: CommitRecord) -> bool:
    return record.source.export_type == ExportType.SCAN.value
