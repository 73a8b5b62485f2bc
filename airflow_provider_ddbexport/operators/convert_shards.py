"""A conversion whose shards are spread over mapped tasks: plan, then the shards, then convert, which publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.core.export.source import split_source
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.dealing import check_tasks, deal, shards_of
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard

_NOTHING = {"items": 0, "parts": 0, "read_bytes": 0}


class DynamoDBConversionPlanOperator(DynamoDBExportToParquetOperator):
    """Plans the conversion of an export, or finds the plan of an earlier try; reads the beginnings of a few files.

    Where another snapshot is to be replaced, it reads and verifies the whole export and withdraws that, as
    :class:`.DynamoDBExportToParquetOperator` does.

    XCom: one ``{"table": …, "conversion": …, "shards": [n, …]}`` for each task, what
    :class:`DynamoDBConversionShardOperator` is expanded over; one without shards where the snapshot is published
    already.

    :param shards: mapped tasks that share the conversion's shards, at most; the parts are the same however many.

    All other parameters are those of :class:`.DynamoDBExportToParquetOperator`, and the same for all three operators.
    """

    def __init__(self, *, shards: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - the bases' signature
        """Return what each mapped task has to do."""
        from airflow_provider_ddbexport.core.snapshot.convert import plan_conversion
        from airflow_provider_ddbexport.core.snapshot.record import CommitRecord

        with permanent_errors_fail(self):
            check_tasks(self.shards)
            arguments = self._conversion()
            root, export, lake = self._open()
            plan = plan_conversion(root, export, lake, **arguments)
            if isinstance(plan, CommitRecord):
                self.log.info("The snapshot of %s is published already", plan.table)
                return deal(plan.table, "", [], self.shards)
            self.log.info("%s shards of %s items", len(plan.shards), export.summary.item_count)
            numbers = [shard.number for shard in plan.shards]
            return deal(plan.table, plan.publication.conversion, numbers, self.shards)


class DynamoDBConversionShardOperator(DynamoDBExportToParquetOperator):
    """Converts its shards of a planned conversion; another try goes on at the first that is not done.

    Nobody sees what it writes before :class:`.DynamoDBExportToParquetOperator` has published it; where that has
    happened there is nothing left to do.

    XCom: ``table``, ``shards``, ``items``, ``parts``, ``read_bytes``.

    :param shard: one element of :class:`DynamoDBConversionPlanOperator`'s XCom. (templated)

    All other parameters are those of :class:`.DynamoDBExportToParquetOperator`, and the same for all three operators.
    """

    template_fields: Sequence[str] = (*DynamoDBExportToParquetOperator.template_fields, "shard")

    def __init__(self, *, shard: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - the bases' signature
        """Return the figures of its shards."""
        from airflow_provider_ddbexport.core.snapshot.conversion import find_plan
        from airflow_provider_ddbexport.core.snapshot.convert import convert_shards, shard_crew
        from airflow_provider_ddbexport.core.snapshot.workers import Stores

        with permanent_errors_fail(self):
            task = shards_of(self.shard, DynamoDBConversionPlanOperator.__name__)
            told = {"table": task.table, "shards": task.numbers}
            root, lake = self._store(split_source(self.source)[0]), self._store(self.lake)
            plan = find_plan(lake.child(task.table), task.conversion) if task.numbers else None
            if plan is None:
                self.log.info("Nothing to do: the conversion has ended")
                return {**told, **_NOTHING}
            with shard_crew(plan, Stores(root, lake), self.workers) as crew:
                records = convert_shards(plan, crew, _shards(plan, task.numbers), progress=self._progress())
            return {
                **told,
                "items": sum(record.items for record in records),
                "parts": sum(len(record.parts) for record in records),
                "read_bytes": sum(record.figures.read_bytes for record in records),
            }


def _shards(plan: ConversionPlan, numbers: Sequence[int]) -> list[Shard]:
    """Return the shards of *plan* that have these *numbers*."""
    if not set(numbers) <= set(range(len(plan.shards))):
        raise BadCallError(
            f"shard: expected numbers from 0 to {len(plan.shards) - 1}, found {', '.join(map(str, numbers))}: they are "
            "of an earlier plan; clear the task that plans the conversion, and those behind it"
        )
    return [plan.shards[number] for number in numbers]
