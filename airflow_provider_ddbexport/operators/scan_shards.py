"""A backup by parallel scan whose segments are spread over mapped tasks: plan, then each shard, then finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.core.scan import ScanPlan, finish_scan, read_plan, scan_shard
from airflow_provider_ddbexport.core.store import ObjectStore
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.scan_backup import DynamoDBScanBackupOperator
from airflow_provider_ddbexport.operators.scanning import export_of_shard, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanPlanOperator(DynamoDBScanBackupOperator):
    """Begins a backup by parallel scan, or finds the one this task began in an earlier try.

    Reads nothing, but one item where there are expressions.

    XCom: one ``{"export_id": …, "shard": n}`` for each shard, what :class:`DynamoDBScanShardOperator` is expanded over.

    :param shards: mapped tasks that share the segments, and the one read budget.

    All other parameters are those of :class:`.DynamoDBScanBackupOperator`, and the same for all three operators.
    """

    def __init__(self, *, shards: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: Context) -> Any:
        """Return the shards."""
        with permanent_errors_fail(self):
            bucket = self._bucket(context)
            plan = self._plan(bucket, scan_of_task(context, self.task_id), shards=self.shards)
            return [{"export_id": plan.export_id, "shard": shard} for shard in range(plan.shards)]


class DynamoDBScanShardOperator(DynamoDBScanBackupOperator):
    """Reads one shard of a planned backup; another try goes on where the one before it ended.

    Each running shard has the read budget divided by the shards that are not through, so that together they keep it.

    XCom: ``export_id``, ``shard``, ``items``, ``pages``, ``consumed_units``, ``response_bytes``, ``runs``.

    :param shard: one element of :class:`DynamoDBScanPlanOperator`'s XCom. (templated)
    """

    template_fields: Sequence[str] = (*DynamoDBScanBackupOperator.template_fields, "shard")

    def __init__(self, *, shard: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Context) -> Any:
        """Return the shard's figures."""
        with permanent_errors_fail(self):
            bucket = self._bucket(context)
            plan = _planned(bucket, self.s3_prefix, self.shard)
            shard = int(self.shard["shard"])
            done = self._scan(bucket, plan, shard)
            return {"export_id": plan.export_id, "shard": shard, **done.figures()}


class DynamoDBScanFinishOperator(DynamoDBScanBackupOperator):
    """Makes a backup complete once all of its shards are through.

    XCom: as :class:`.DynamoDBScanBackupOperator`'s.

    :param shards: :class:`DynamoDBScanPlanOperator`'s XCom. (templated)
    """

    template_fields: Sequence[str] = (*DynamoDBScanBackupOperator.template_fields, "shards")

    def __init__(self, *, shards: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: Context) -> Any:
        """Return the complete backup's figures."""
        with permanent_errors_fail(self):
            bucket = self._bucket(context)
            shards = list(self.shards)
            plan = _planned(bucket, self.s3_prefix, shards[0] if shards else None)
            request = self._request()
            backup = finish_scan(bucket, plan)
            # They are through: this reads what they came to, and no page.
            done = [scan_shard(self.hook.conn, bucket, plan, request, shard=shard) for shard in range(plan.shards)]
            return self._figures(backup, done)


def _planned(bucket: ObjectStore, prefix: str | None, shard: object) -> ScanPlan:
    return read_plan(bucket, prefix or None, export_of_shard(shard))
