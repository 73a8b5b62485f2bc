"""A scan straight into a snapshot whose segments are spread over mapped tasks: plan, then each shard, then publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.operators.scanning import export_of_shard, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanToParquetPlanOperator(DynamoDBScanToParquetOperator):
    """Begins a scan straight into a snapshot, or finds the one this task began in an earlier try.

    Reads nothing, but one item where there are expressions.

    XCom: one ``{"export_id": …, "shard": n}`` for each shard, what :class:`DynamoDBScanToParquetShardOperator` is
    expanded over, and what :class:`.DynamoDBScanToParquetOperator` takes as ``shards`` to publish them.

    :param shards: mapped tasks that share the segments, and the one read budget; fewer where it is too small for so
        many.

    All other parameters are those of :class:`.DynamoDBScanToParquetOperator`, and the same for all three tasks.
    """

    def __init__(self, *, shards: int, **kwargs: Any) -> None:
        super().__init__(shards=shards, **kwargs)

    def execute(self, context: Context) -> Any:
        """Return the shards."""
        from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS

        with permanent_errors_fail(self):
            lake = self._open_lake(context)
            plan = self._parquet_scan(lake).begin(
                self.hook.conn,
                self._request(),
                segments=self._segments(),
                shards=int(self.shards),
                other_table=self.other_table,
                resumption=scan_of_task(context, self.task_id),
                settings=self._settings(GROUPS),
            )
            return [{"export_id": plan.export_id, "shard": shard} for shard in range(plan.shards)]


class DynamoDBScanToParquetShardOperator(DynamoDBScanToParquetOperator):
    """Reads one shard of a planned scan and converts it; another try goes on where the one before it ended.

    Each running shard has the read budget divided by the shards that are not through, so that together they keep it.

    XCom: ``export_id``, ``shard``, and unless the snapshot is published already ``items``, ``pages``,
    ``consumed_units``, ``response_bytes``, ``runs``.

    :param shard: one element of :class:`DynamoDBScanToParquetPlanOperator`'s XCom. (templated)
    """

    template_fields: Sequence[str] = (*DynamoDBScanToParquetOperator.template_fields, "shard")

    def __init__(self, *, shard: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Context) -> Any:
        """Return the shard's figures."""
        from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS

        with permanent_errors_fail(self):
            lake = self._open_lake(context)
            scan = self._parquet_scan(lake)
            plan = scan.planned(export_of_shard(self.shard))
            shard = int(self.shard["shard"])
            done = scan.read(self.hook.conn, plan, self._request(), shard=shard, settings=self._settings(GROUPS))
            named = {"export_id": plan.export_id, "shard": shard}
            return named if done is None else {**named, **done.figures()}
