"""Whether the snapshots of a table can go on by increments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.standard.operators.branch import BaseBranchOperator

from airflow_provider_ddbexport.core.exporting.request import export_instant
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBChainBranchOperator(AwsBaseOperator[DynamoDBExportHook], BaseBranchOperator):
    """Goes on by increments where the newest snapshot before a time allows it, and by a full export where not.

    That is the newest one, 15 minutes before or more, that shows a point in time, which a scan does not. Increments
    follow it where it is of the very table that is there now (a table deleted and made again is another), where all of
    its parts are there, where no merge has found that they do not fit, and where what was written since can be exported
    still. Nothing is exported and nothing billed.

    Which snapshot it was is noted in the lake: a run that is cleared follows the same one, by the exports it has paid
    for. Where a snapshot of the very time is published already, because the run was cleared, say, it goes the way that
    snapshot was made: by the same times, so that the exports it was made of are used again. Where that cannot be
    (the table was made again, the history of those times is gone, the snapshot it was merged into is), all that follows
    is skipped.

    XCom: the ids of the tasks that follow, None for none. Under the key ``chain``: ``state``, which is ``WHOLE``,
    ``NO_FULL_EXPORT``, ``TABLE_RECREATED``, ``HISTORY_GONE``, ``CONFLICT``, ``BASE_DAMAGED``, ``INCREMENT_DAMAGED``,
    ``FILTERED``, ``FULL_DUE``, ``TOO_SOON`` or ``PUBLISHED``; ``from_time`` of the increment, ``base`` and ``record``,
    the instant of the snapshot that it follows and the address of its commit record, None without one; ``cut_at``, the
    times at which its windows end besides, so that what runs before have exported and not published is used; and
    ``reason``, a sentence, None if the state is WHOLE.

    :param table_name: the DynamoDB table's name, or its ARN. (templated)
    :param lake: folder of the lake, ``s3://`` or a path. (templated)
    :param table: folder of the table in it. (templated)
    :param to_time: the instant that the next snapshot shows, cut to whole seconds; the run's logical date by default,
        or its ``run_after`` where it has none. (templated)
    :param increment: ids of the tasks that follow where increments do.
    :param full: ids of the tasks that follow where a full export has to be made.
    :param full_every: the age from which on the chain's full export is followed by another one; never by default.
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
        full_every: timedelta | None = None,
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
        self.full_every = full_every
        self.s3_bucket_owner = s3_bucket_owner

    def choose_branch(self, context: Context) -> str | list[str] | None:
        """Return the ids of the tasks that follow."""
        from airflow_provider_ddbexport.core.merge import TableNow, find_way_on
        from airflow_provider_ddbexport.core.snapshot import layout

        with permanent_errors_fail(self):
            s3 = S3Hook(**self._hook_parameters).conn if self.lake.startswith("s3://") else None
            lake = open_store(self.lake, s3=s3, expected_bucket_owner=self.s3_bucket_owner or None)
            store = lake.child(check_table(self.table))
            moment = export_instant(self.to_time, what="to_time")
            table = TableNow(
                table_id=lambda: self.hook.table_identity(self.table_name).table_id,
                window=lambda: self.hook.restorable_window(self.table_name),
                is_filtered=self.hook.is_filtered,
            )
            way = find_way_on(store, moment, table, full_every=self.full_every)
        base = way.base
        chain = {
            "state": way.state.value,
            "reason": way.reason,
            "from_time": base and iso(base.as_of.replace(microsecond=0)),
            "base": base and iso(base.as_of),
            "record": base and store.uri_of(layout.record_key(base.as_of)),
            "cut_at": [iso(end) for end in way.cut_at],
        }
        self.log.info("%s", way.reason or f"Increments follow the snapshot as of {chain['from_time']}")
        context["ti"].xcom_push(key="chain", value=chain)
        chosen = {"increment": self.increment, "full": self.full, None: None}[way.by]
        return chosen if chosen is None or isinstance(chosen, str) else list(chosen)
