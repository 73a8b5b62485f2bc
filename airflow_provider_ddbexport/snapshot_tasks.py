"""What the pipelines share: the tasks that lead from an export to a checked snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseOperator, TaskGroup

from airflow_provider_ddbexport.arguments import check_arguments
from airflow_provider_ddbexport.assets import snapshot_asset, table_asset
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.operators.convert_shards import (
    DynamoDBConversionPlanOperator,
    DynamoDBConversionShardOperator,
)
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.merge_shards import DynamoDBMergePlanOperator, DynamoDBMergeShardOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

AWS_ARGUMENTS = ("aws_conn_id", "region_name", "verify", "botocore_config")

ShardSteps = tuple[tuple[str, type[BaseOperator]], tuple[str, type[BaseOperator]]]
"""Ids and operators of the task that plans shards and of the mapped ones that do them."""

CONVERTING: ShardSteps = (
    ("plan_shards", DynamoDBConversionPlanOperator),
    ("convert_shards", DynamoDBConversionShardOperator),
)
MERGING: ShardSteps = (("plan_merge", DynamoDBMergePlanOperator), ("merge_shards", DynamoDBMergeShardOperator))


def to_checked_snapshot(
    source: BaseOperator,
    *,
    lake: str,
    database: str,
    table: str | None,
    shards: int,
    crawler: Mapping[str, Any] | None,
    check: Mapping[str, Any] | None,
    convert: Mapping[str, Any] | None,
    aws: Mapping[str, Any],
) -> None:
    """Chain ``convert``, ``crawl`` and ``check`` after the task whose XCom has the address of an export.

    With *shards* above 1, ``convert`` comes after a plan and so many mapped tasks that convert.
    """
    conversion: dict[str, Any] = {
        "task_id": "convert",
        "source": pulled(source, "source"),
        "lake": lake,
        "table": table,
        **registration(database, crawler),
        **aws,
        **(convert or {}),
    }
    before: Any = source
    if shards > 1:
        before = in_shards(CONVERTING, conversion, shards, after=source)
    before >> checked(
        DynamoDBExportToParquetOperator,
        conversion,
        lake=lake,
        database=database,
        table=table,
        crawler=crawler,
        check=check,
        aws=aws,
    )


def in_shards(steps: ShardSteps, arguments: Mapping[str, Any], shards: int, *, after: BaseOperator) -> Any:
    """Return mapped tasks that do most of what the task with *arguments* does, behind the plan that comes *after*."""
    (plan_id, planner), (work_id, worker) = steps
    shared = {name: value for name, value in arguments.items() if name not in ("task_id", "outlets")}
    plan = planner(task_id=plan_id, shards=shards, **shared)
    after >> plan
    return worker.partial(task_id=work_id, **shared).expand(shard=plan.output)


def checked(
    publisher: type[BaseOperator],
    published: dict[str, Any],
    *,
    lake: str,
    database: str,
    table: str | None,
    crawler: Mapping[str, Any] | None,
    check: Mapping[str, Any] | None,
    aws: Mapping[str, Any],
) -> BaseOperator:
    """Return the task of *publisher* with the arguments *published*, chained to ``crawl`` and ``check``.

    The last of them has the snapshot's asset as its outlet: what it tells of has passed all of them.
    """
    arguments: list[tuple[type[BaseOperator], dict[str, Any]]] = [(publisher, published)]
    after_conversion = {"database": database, **aws}
    if crawler:
        arguments.append((GlueSnapshotCrawlerOperator, {"task_id": "crawl", **after_conversion, **crawler}))
    if check is not None:
        arguments.append((AthenaSnapshotCheckOperator, {"task_id": "check", **after_conversion, **check}))
    if outlets := snapshot_assets(lake, table):
        arguments[-1][1].setdefault("outlets", outlets)
    (first, given), *others = arguments
    converted = last = first(**given)
    for operator, given in others:
        following = operator(**{"record": pulled(converted, "record"), **given})
        last >> following
        last = following
    return converted


def registration(database: str, crawler: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments that say who registers a snapshot: the task that publishes it, or a crawler behind that."""
    if not crawler:
        return {"database": database}
    return {"database": None, "registered_in": crawler.get("database", database)}


def pulled(task: BaseOperator, key: str) -> str:
    """Return the template of *key* in the result of *task*."""
    return f"{{{{ {pull(task.task_id, task.task_group)}['{key}'] }}}}"


def pull(task_id: str, group: TaskGroup | None, *, key: str | None = None) -> str:
    """Return the expression of what the task *task_id* of *group* has in XCom, for templates of the tasks beside it.

    In a mapped task group that is the XCom of the same element; without its index Airflow gives those of all.
    """
    arguments = [f"task_ids='{task_id}'"]
    if key:
        arguments.append(f"key='{key}'")
    if is_mapped(group):
        arguments.append("map_indexes=ti.map_index")
    return f"ti.xcom_pull({', '.join(arguments)})"


def is_mapped(group: TaskGroup | None) -> bool:
    """Return whether *group* is a mapped task group or inside of one."""
    return group is not None and any(True for _ in group.iter_mapped_task_groups())


def source_assets(table_name: object, aws: Mapping[str, Any]) -> list[Any]:
    """Return the inlet of a task that reads *table_name*, where table and region are known when the DAG is read."""
    region = aws.get("region_name")
    if not region or not isinstance(table_name, str) or not isinstance(region, str):
        return []
    return [] if set("{:/") & set(table_name + region) else [table_asset(table_name, region)]


def snapshot_assets(lake: object, table: object) -> list[Any]:
    """Return the outlet of a task that publishes to *table*, where it and the lake are known when the DAG is read."""
    if not table or not isinstance(lake, str) or not isinstance(table, str):
        return []
    return [] if "{" in lake + table else [snapshot_asset(lake, table)]


@contextmanager
def snapshot_group(group_id: str, shards: int) -> Iterator[TaskGroup]:
    """Make a task group of the block's tasks.

    Raises ValueError where Airflow could not run them as they are given, and BadCallError for an argument of a wrong
    kind, which a task would refuse when the tasks before it are done and the export is billed.
    """
    with TaskGroup(group_id) as group:
        check_shards(shards, group)
        yield group
        if is_mapped(group):
            _check_mapped(group)
        _check_kinds(group)


def _check_mapped(group: TaskGroup) -> None:
    for task in group.iter_tasks():
        for name, value in vars(task).items():
            # What Airflow fills in when it renders templates, and nowhere else.
            if hasattr(value, "iter_references") and name not in task.template_fields:
                raise ValueError(
                    f"{task.label}: {name}: is not templated, so it cannot be an argument of a mapped task group: give "
                    "one value for all elements, or make the task groups in a loop instead of expand()"
                )


def _check_kinds(group: TaskGroup) -> None:
    for task in group.iter_tasks():
        try:
            check_arguments(task, templates=task.template_fields)
        except BadCallError as error:
            raise BadCallError(f"{task.label}: {error}", **error.context) from None


def check_shards(shards: int, group: TaskGroup) -> None:
    """Raise ValueError unless work can be spread over *shards* mapped tasks in *group*."""
    if not isinstance(shards, int) or shards < 1:
        raise ValueError(f"shards: expected a number from 1 on, known when the DAG is read; found {shards!r}")
    if shards > 1 and is_mapped(group):
        raise ValueError(
            f"shards: expected 1 inside of a mapped task group, found {shards}; Airflow maps no tasks in there: give "
            "the tasks workers=, or make the task groups of the tables in a loop instead of expand()"
        )


def check_followed(**arguments: Mapping[str, Any] | None) -> None:
    """Raise ValueError where *arguments* of a task, by its name, turn off what the tasks after it need."""
    for task, given in arguments.items():
        for name, reason in _NEEDED.items():
            if not (given or {}).get(name, True):
                raise ValueError(f"{task}: {name}: {reason}; leave it out")


_NEEDED = {
    "wait_for_completion": "only what is complete can be converted or merged",
    "do_xcom_push": "the tasks after it take its result from XCom",
}


def check_aws_arguments(aws: Mapping[str, Any]) -> None:
    """Raise TypeError for a keyword that no task group has."""
    if unknown := sorted(set(aws) - set(AWS_ARGUMENTS)):
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}; for one task, pass it as {{'convert': …}} etc.")
