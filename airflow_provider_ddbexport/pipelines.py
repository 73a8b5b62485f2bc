"""Task groups that chain the operators: the whole way from a table to a checked snapshot, in one call.

::

    point_in_time_snapshot   wait ─▶ export ─┐
                                             ├─▶ convert ─▶ [crawl] ─▶ [check]
    scan_snapshot                    backup ─┘

    incremental_snapshot     chain ─▶ increment ─▶ merge ─▶ [crawl] ─▶ [check], or the way of point_in_time_snapshot

``convert`` verifies, converts, publishes and, unless a crawler does it, registers. Its XCom has the snapshot's figures.
With ``shards=`` above 1 ``plan_shards`` and the mapped ``convert_shards`` come before it and do most of its work, and
``plan_merge`` and the mapped ``merge_shards`` before ``merge``.

Inside of a mapped task group, one for each of many tables, say, every templated parameter may be one of the group's;
``shards=`` has to be 1 there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator, TaskGroup

from airflow_provider_ddbexport.core.export.model import OutputFormat
from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.operators.chain import DynamoDBChainBranchOperator
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.export import RUN_INSTANT, DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.operators.incremental_export import DynamoDBIncrementalExportOperator
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.scan_backup import DynamoDBScanBackupOperator
from airflow_provider_ddbexport.operators.scan_shards import (
    DynamoDBScanFinishOperator,
    DynamoDBScanPlanOperator,
    DynamoDBScanShardOperator,
)
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.operators.scan_to_parquet_shards import (
    DynamoDBScanToParquetPlanOperator,
    DynamoDBScanToParquetShardOperator,
)
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator
from airflow_provider_ddbexport.sensors.restorable_time import DynamoDBRestorableTimeSensor
from airflow_provider_ddbexport.snapshot_tasks import (
    CONVERTING,
    MERGING,
    check_aws_arguments,
    check_followed,
    checked,
    in_shards,
    pull,
    pulled,
    registration,
    snapshot_assets,
    snapshot_group,
    source_assets,
    to_checked_snapshot,
)

_JSON = OutputFormat.DYNAMODB_JSON.value


def point_in_time_snapshot(
    *,
    table_name: str,
    bucket: str,
    lake: str,
    database: str,
    group_id: str = "snapshot",
    prefix: str | None = None,
    export_time: str | datetime = RUN_INSTANT,
    table: str | None = None,
    shards: int = 1,
    crawler: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] | None = None,
    wait: Mapping[str, Any] | None = None,
    export: Mapping[str, Any] | None = None,
    convert: Mapping[str, Any] | None = None,
    **aws: Any,
) -> TaskGroup:
    """Return the task group of a snapshot as of *export_time*, by point-in-time export.

    Its tasks are ``wait`` (until the time can be exported), ``export``, ``convert``, ``crawl`` and ``check``. Repeating
    a run neither bills a second export nor publishes twice; each task says how far that goes.

    :param table_name: the DynamoDB table's name.
    :param bucket: where the export goes.
    :param lake: where the Parquet goes, ``s3://``.
    :param database: database of the Glue Catalog.
    :param group_id: of the task group.
    :param prefix: of the export in *bucket*.
    :param export_time: the instant; the run's logical date by default, or its ``run_after`` where it has none.
    :param table: name of the snapshot's table; made from *table_name* by default. With it, and if *lake* is no
        template, each snapshot is an event of :func:`.snapshot_asset`.
    :param shards: mapped tasks that convert side by side; the parts are the same however many.
    :param crawler: arguments of :class:`.GlueSnapshotCrawlerOperator`; with them a crawler registers the snapshot, and
        without them ``convert`` does.
    :param check: arguments of :class:`.AthenaSnapshotCheckOperator`; without them nothing is checked.
    :param wait: further arguments of :class:`.DynamoDBRestorableTimeSensor`.
    :param export: further arguments of :class:`.DynamoDBPointInTimeExportOperator`.
    :param convert: further arguments of :class:`.DynamoDBExportToParquetOperator`.
    :param aws: ``aws_conn_id``, ``region_name``, ``verify`` and ``botocore_config`` of every task.
    """
    check_aws_arguments(aws)
    check_followed(export=export)
    with snapshot_group(group_id, shards) as group:
        waiting = DynamoDBRestorableTimeSensor(
            **{"task_id": "wait", "table_name": table_name, "export_time": export_time, **aws, **(wait or {})}
        )
        source = DynamoDBPointInTimeExportOperator(
            **{
                "task_id": "export",
                "table_name": table_name,
                "s3_bucket_name": bucket,
                "s3_prefix": prefix,
                "export_time": export_time,
                "inlets": source_assets(table_name, aws),
                **aws,
                **(export or {}),
            }
        )
        waiting >> source
        to_checked_snapshot(
            source,
            lake=lake,
            database=database,
            table=table,
            shards=shards,
            crawler=crawler,
            check=check,
            convert=convert,
            aws=aws,
        )
    return group


def scan_snapshot(
    *,
    table_name: str,
    bucket: str | None,
    lake: str,
    database: str,
    group_id: str = "snapshot",
    prefix: str | None = None,
    table: str | None = None,
    shards: int = 1,
    crawler: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] | None = None,
    backup: Mapping[str, Any] | None = None,
    convert: Mapping[str, Any] | None = None,
    **aws: Any,
) -> TaskGroup:
    """Return the task group of a snapshot by parallel scan, for tables without point-in-time recovery.

    Its tasks are ``backup``, ``convert``, ``crawl`` and ``check``. A scan is no point in time: writes while it runs may
    or may not be in it. The snapshot is named by the time the scan began, so each run makes another one.

    :param table_name: the DynamoDB table's name.
    :param bucket: where the backup goes; with None none is kept: ``convert`` scans the table and publishes the
        snapshot, with the arguments of both *backup* and *convert*.
    :param lake: where the Parquet goes, ``s3://``.
    :param database: database of the Glue Catalog.
    :param group_id: of the task group.
    :param prefix: of the backup in *bucket*.
    :param table: name of the snapshot's table, as for :func:`point_in_time_snapshot`.
    :param shards: mapped tasks that read the table side by side, within one read budget, and that convert side by side.
        With more than one, ``plan`` and the mapped ``scan`` come first, and ``backup`` completes what they read; where
        no backup is kept, ``scan`` converts as well and ``convert`` publishes.
    :param crawler: arguments of :class:`.GlueSnapshotCrawlerOperator`, likewise.
    :param check: arguments of :class:`.AthenaSnapshotCheckOperator`, likewise.
    :param backup: further arguments of :class:`.DynamoDBScanBackupOperator`, the read budget among them.
    :param convert: further arguments of :class:`.DynamoDBExportToParquetOperator`.
    :param aws: ``aws_conn_id``, ``region_name``, ``verify`` and ``botocore_config`` of every task.
    """
    check_aws_arguments(aws)
    check_followed(backup=backup)
    with snapshot_group(group_id, shards) as group:
        arguments: dict[str, Any] = {"table_name": table_name, **aws, **(backup or {})}
        inlets = arguments.pop("inlets", source_assets(table_name, aws))
        shared: dict[str, Any] = {
            "lake": lake,
            "database": database,
            "table": table,
            "crawler": crawler,
            "check": check,
            "aws": aws,
        }
        if bucket is None:
            published: dict[str, Any] = {
                "task_id": "convert",
                "lake": lake,
                "table": table,
                "database": None if crawler else database,
                "inlets": inlets,
                **arguments,
                **(convert or {}),
            }
            if shards == 1:
                checked(DynamoDBScanToParquetOperator, published, **shared)
                return group
            parts = {name: value for name, value in published.items() if name not in ("task_id", "inlets", "outlets")}
            planned = DynamoDBScanToParquetPlanOperator(task_id="plan", shards=shards, inlets=inlets, **parts)
            scanning = DynamoDBScanToParquetShardOperator.partial(task_id="scan", **parts).expand(shard=planned.output)
            del published["inlets"]
            scanning >> checked(DynamoDBScanToParquetOperator, {**published, "shards": planned.output}, **shared)
            return group
        arguments = {"s3_bucket_name": bucket, "s3_prefix": prefix, **arguments}
        source: BaseOperator
        if shards == 1:
            source = DynamoDBScanBackupOperator(**{"task_id": "backup", "inlets": inlets, **arguments})
        else:
            plan = DynamoDBScanPlanOperator(task_id="plan", shards=shards, inlets=inlets, **arguments)
            scanned = DynamoDBScanShardOperator.partial(task_id="scan", **arguments).expand(shard=plan.output)
            source = DynamoDBScanFinishOperator(task_id="backup", shards=plan.output, **arguments)
            scanned >> source
        to_checked_snapshot(source, shards=shards, convert=convert, **shared)
    return group


def incremental_snapshot(
    *,
    table_name: str,
    bucket: str,
    lake: str,
    database: str,
    table: str,
    group_id: str = "snapshot",
    prefix: str | None = None,
    to_time: str | datetime = RUN_INSTANT,
    shards: int = 1,
    crawler: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] | None = None,
    chain: Mapping[str, Any] | None = None,
    wait: Mapping[str, Any] | None = None,
    export: Mapping[str, Any] | None = None,
    convert: Mapping[str, Any] | None = None,
    increment: Mapping[str, Any] | None = None,
    merge: Mapping[str, Any] | None = None,
    **aws: Any,
) -> TaskGroup:
    """Return the task group of a snapshot as of *to_time* that costs what changed since the snapshot before.

    ``chain`` looks at the newest snapshot before. Where increments can follow it, ``increment`` exports what was
    written since, however many runs ago that was, and ``merge`` merges it. Where not (the first run, the table was made
    again, recovery was off for a while, the run before could not merge), ``wait``, ``export`` and ``convert`` begin a
    new chain with a full export. ``crawl`` and ``check`` follow either. ``chain``'s XCom says why.
    Runs should come one after the other (``max_active_runs=1``): side by side they export the same windows, each once,
    and merge more than a day. Repeating a run neither bills again nor publishes twice; one whose snapshot is published,
    but cannot be made again, is skipped behind ``chain``.

    :param table_name: the DynamoDB table's name.
    :param bucket: where the exports go.
    :param lake: where the Parquet goes, ``s3://``.
    :param database: database of the Glue Catalog.
    :param table: name of the snapshot's table.
    :param group_id: of the task group.
    :param prefix: of the exports in *bucket*.
    :param to_time: the instant; the run's logical date by default, or its ``run_after`` where it has none.
    :param shards: mapped tasks that convert or merge side by side; the parts are the same however many.
    :param crawler: arguments of :class:`.GlueSnapshotCrawlerOperator`; with them a crawler registers the snapshot.
    :param check: arguments of :class:`.AthenaSnapshotCheckOperator`; without them nothing is checked.
    :param chain: further arguments of :class:`.DynamoDBChainBranchOperator`.
    :param wait: further arguments of :class:`.DynamoDBRestorableTimeSensor`.
    :param export: further arguments of :class:`.DynamoDBPointInTimeExportOperator`.
    :param convert: further arguments of :class:`.DynamoDBExportToParquetOperator`; merged snapshots keep its options.
    :param increment: further arguments of :class:`.DynamoDBIncrementalExportOperator`.
    :param merge: further arguments of :class:`.DynamoDBMergeIncrementsOperator`; ``column_names`` among them, for
        attributes that come with increments and would share a column.
    :param aws: ``aws_conn_id``, ``region_name``, ``verify`` and ``botocore_config`` of every task.
    """
    check_aws_arguments(aws)
    check_followed(chain=chain, export=export, increment=increment)
    if "filter_specification" in {**(export or {}), **(increment or {})}:
        raise ValueError("filter_specification: increments are merged into a table's items, all of them; leave it out")
    if (increment or {}).get("export_format", _JSON) != _JSON:
        raise ValueError(f"increment: export_format: only {_JSON} can be merged; export may have another format")
    source = {"table_name": table_name, "s3_bucket_name": bucket, "s3_prefix": prefix, **aws}
    to_lake = {"lake": lake, "table": table, **registration(database, crawler), **aws}
    looking: dict[str, Any] = {"task_id": "chain", "table_name": table_name, "lake": lake, "table": table}
    looking |= {"to_time": to_time, **aws, **(chain or {})}
    with snapshot_group(group_id, shards) as group:
        inlets = source_assets(table_name, aws)
        chosen = pull(f"{group.group_id}.{looking['task_id']}", group, key="chain")
        changes = DynamoDBIncrementalExportOperator(
            **{
                "task_id": "increment",
                "from_time": f"{{{{ {chosen}['from_time'] }}}}",
                "to_time": to_time,
                "cut_at": f"{{{{ {chosen}.get('cut_at', ()) | join(',') }}}}",
                "inlets": inlets,
                **source,
                **(increment or {}),
            }
        )
        merging: dict[str, Any] = {
            "task_id": "merge",
            "increments": changes.output,
            "base": f"{{{{ {chosen}['base'] }}}}",
            **to_lake,
            **(merge or {}),
        }
        merged = DynamoDBMergeIncrementsOperator(**merging)
        waiting = DynamoDBRestorableTimeSensor(
            **{"task_id": "wait", "table_name": table_name, "export_time": to_time, **aws, **(wait or {})}
        )
        full = DynamoDBPointInTimeExportOperator(
            **{"task_id": "export", "export_time": to_time, "inlets": inlets, **source, **(export or {})}
        )
        conversion: dict[str, Any] = {
            "task_id": "convert",
            "source": pulled(full, "source"),
            **to_lake,
            **(convert or {}),
        }
        converted = DynamoDBExportToParquetOperator(**conversion)
        branch = DynamoDBChainBranchOperator(**{"increment": changes.task_id, "full": waiting.task_id, **looking})
        branch >> [changes, waiting]
        waiting >> full >> converted
        if shards > 1:
            in_shards(MERGING, merging, shards, after=changes) >> merged
            in_shards(CONVERTING, conversion, shards, after=full) >> converted
        last: list[BaseOperator] = [merged, converted]
        record = " or ".join(pull(task.task_id, group) for task in last)
        following = {
            "database": database,
            "record": f"{{{{ ({record})['record'] }}}}",
            # One of the two ways was skipped.
            "trigger_rule": "none_failed_min_one_success",
            **aws,
        }
        if crawler:
            crawled = GlueSnapshotCrawlerOperator(**{"task_id": "crawl", **following, **crawler})
            last >> crawled
            last = [crawled]
        if check is not None:
            checked = AthenaSnapshotCheckOperator(**{"task_id": "check", **following, **check})
            last >> checked
            last = [checked]
        for task in last:
            task.add_outlets(snapshot_assets(lake, table))
    return group
