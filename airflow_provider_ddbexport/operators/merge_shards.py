"""A merge whose shards are spread over mapped tasks: plan, then the shards, then merge, which publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.operators.dealing import check_tasks, deal, shards_of
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.record import Part


class DynamoDBMergePlanOperator(DynamoDBMergeIncrementsOperator):
    """Plans a merge, or finds the plan of an earlier try; reads and verifies the increments, and stages what they tell.

    Where another snapshot is to be replaced, it goes through the whole snapshot that is merged into and withdraws that,
    as :class:`.DynamoDBMergeIncrementsOperator` does.

    XCom: one ``{"table": …, "conversion": …, "shards": [n, …]}`` for each task, what
    :class:`DynamoDBMergeShardOperator` is expanded over; one without shards where the snapshot is published already.

    :param shards: mapped tasks that share the merge's shards, at most; the parts are the same however many.

    All other parameters are those of :class:`.DynamoDBMergeIncrementsOperator`, and the same for all three operators.
    """

    def __init__(self, *, shards: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shards = shards

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - the bases' signature
        """Return what each mapped task has to do."""
        from airflow_provider_ddbexport.core.merge import plan_merge
        from airflow_provider_ddbexport.core.snapshot.record import CommitRecord

        with permanent_errors_fail(self):
            check_tasks(self.shards)
            arguments = self._merging()
            lake = self._store(self.lake)
            with self._noting_breaks(lake.child(arguments["table"]), arguments["base"]):
                plan = plan_merge(self._read_increments(), lake, **arguments)
        if isinstance(plan, CommitRecord):
            self.log.info("The snapshot of %s is published already", plan.table)
            return deal(plan.table, "", [], self.shards)
        self.log.info(
            "%s shards: %s changed keys, %s parts of the snapshot before",
            len(plan.shards),
            plan.compacted.changed,
            len(plan.base.parts),
        )
        return deal(plan.base.table, plan.publication.conversion, plan.shards, self.shards)


class DynamoDBMergeShardOperator(DynamoDBMergeIncrementsOperator):
    """Merges its shards of a planned merge; another try goes on at the first that is not done.

    A shard is some parts of the snapshot before, from which the rows that changed are taken, or some of the items that
    take their place. Nobody sees what it writes before :class:`.DynamoDBMergeIncrementsOperator` has published it;
    where that has happened, or the snapshot before was replaced, there is nothing left to do. Where what the plan
    staged is lost, the try fails, and the next leaves the rest of the merge to that task.

    XCom: ``table``, ``shards``, and ``rows`` and ``parts`` that they come to.

    :param shard: one element of :class:`DynamoDBMergePlanOperator`'s XCom. (templated)

    All other parameters are those of :class:`.DynamoDBMergeIncrementsOperator`, and the same for all three operators.
    """

    template_fields: Sequence[str] = (*DynamoDBMergeIncrementsOperator.template_fields, "shard")

    def __init__(self, *, shard: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - the bases' signature
        """Return the figures of its shards."""
        from airflow_provider_ddbexport.core.merge import find_merge, merge_crew, merge_shards

        with permanent_errors_fail(self):
            task = shards_of(self.shard, DynamoDBMergePlanOperator.__name__)
            lake = self._store(self.lake)
            store = lake.child(task.table)
            plan = find_merge(store, task.conversion) if task.numbers else None
            if plan is None:
                self.log.info("Nothing to do: the merge has ended, or the task that publishes plans it again")
                parts: tuple[Part, ...] = ()
            else:
                base = plan.base.as_of if self.base else None
                with self._noting_breaks(store, base), merge_crew(plan, lake, self.workers) as crew:
                    parts = merge_shards(plan, crew, task.numbers, self._progress())
        return {
            "table": task.table,
            "shards": task.numbers,
            "rows": sum(part.rows for part in parts),
            "parts": len(parts),
        }
