"""The task groups, and that every example DAG can be read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup
from dag_bag import DagBag

from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.publishing import PublishingOperator
from airflow_provider_ddbexport.operators.scan_to_parquet import DynamoDBScanToParquetOperator
from airflow_provider_ddbexport.pipelines import incremental_snapshot, point_in_time_snapshot, scan_snapshot

DAGS = Path(__file__).parents[2] / "dags"
PLACES: dict[str, Any] = {"table_name": "Reviews", "bucket": "b", "lake": "s3://b/lake", "database": "d"}
AWS: dict[str, Any] = {
    "aws_conn_id": "other",
    "region_name": "eu-west-1",
    "verify": "/ca.pem",
    "botocore_config": {"read_timeout": 5},
}


def chain(dag: DAG) -> list[str]:
    """Return the ids of a DAG whose tasks follow one another."""
    (task,) = dag.roots
    ids = [task.task_id]
    while task.downstream_list:
        (task,) = task.downstream_list
        ids.append(task.task_id)
    assert sorted(ids) == sorted(dag.task_ids)
    return ids


@pytest.fixture
def dag() -> DAG:
    """An empty DAG."""
    return DAG("d", schedule="@daily", start_date=datetime(2026, 1, 1))  # noqa: DTZ001 - in the DAG's time zone


def test_a_point_in_time_snapshot_is_a_chain_of_five(dag: DAG) -> None:
    """With a crawler and a check it is the whole way; the crawler registers, so the conversion does not."""
    with dag:
        point_in_time_snapshot(**PLACES, table="reviews", crawler={"crawler_name": "c"}, check={"max_growth": 0.1})
    assert chain(dag) == [f"snapshot.{task}" for task in ("wait", "export", "convert", "crawl", "check")]
    convert, crawl, check = (dag.get_task(f"snapshot.{task}") for task in ("convert", "crawl", "check"))
    assert convert.database is None
    assert convert.source == "{{ ti.xcom_pull(task_ids='snapshot.export')['source'] }}"
    assert crawl.record == check.record == "{{ ti.xcom_pull(task_ids='snapshot.convert')['record'] }}"
    assert (crawl.database, check.database, check.max_growth) == ("d", "d", 0.1)


def test_an_incremental_snapshot_goes_one_of_two_ways(dag: DAG) -> None:
    """By an increment, or by a full export; what follows takes the snapshot of whichever it was."""
    with dag:
        incremental_snapshot(
            **PLACES, table="reviews", crawler={"crawler_name": "c"}, check={}, chain={"retries": 7}, **AWS
        )
    chain_task, increment, merge, convert, crawl = (
        dag.get_task(f"snapshot.{task}") for task in ("chain", "increment", "merge", "convert", "crawl")
    )
    assert chain_task.retries == 7
    assert chain_task.downstream_task_ids == {chain_task.increment, chain_task.full}
    assert {chain_task.increment, chain_task.full} == {"snapshot.increment", "snapshot.wait"}
    assert increment.downstream_task_ids == {"snapshot.merge"}
    assert merge.downstream_task_ids == convert.downstream_task_ids == {"snapshot.crawl"}
    assert crawl.downstream_task_ids == {"snapshot.check"}
    assert crawl.trigger_rule == "none_failed_min_one_success"
    assert merge.database is convert.database is None
    assert merge.registered_in == convert.registered_in == "d"
    assert dag.get_task("snapshot.check").outlets == [snapshot_asset("s3://b/lake", "reviews")]
    assert all(task.aws_conn_id == "other" for task in dag.tasks)


def test_an_incremental_snapshot_finds_its_tasks_whatever_they_are_called(dag: DAG) -> None:
    """Inside of another group, and by other ids than the usual ones."""
    with dag, TaskGroup("outer"):
        incremental_snapshot(
            **PLACES,
            table="reviews",
            chain={"task_id": "look"},
            increment={"task_id": "changes"},
            wait={"task_id": "await"},
        )
    chain_task, changes, merge = (dag.get_task(f"outer.snapshot.{task}") for task in ("look", "changes", "merge"))
    assert {chain_task.increment, chain_task.full} == {"outer.snapshot.changes", "outer.snapshot.await"}
    assert chain_task.downstream_task_ids == {chain_task.increment, chain_task.full}
    asked = "ti.xcom_pull(task_ids='outer.snapshot.look', key='chain')"
    assert (changes.from_time, merge.base) == (f"{{{{ {asked}['from_time'] }}}}", f"{{{{ {asked}['base'] }}}}")
    assert changes.cut_at == f"{{{{ {asked}.get('cut_at', ()) | join(',') }}}}"


def test_an_incremental_snapshot_alone_tells_of_itself_either_way(dag: DAG) -> None:
    """Without crawler and check, both ways register and have the snapshot's asset as outlet."""
    with dag:
        incremental_snapshot(**PLACES, table="reviews")
    for task in ("merge", "convert"):
        assert dag.get_task(f"snapshot.{task}").outlets == [snapshot_asset("s3://b/lake", "reviews")]
        assert dag.get_task(f"snapshot.{task}").database == "d"


@pytest.mark.parametrize("group", [point_in_time_snapshot, scan_snapshot, incremental_snapshot])
def test_what_a_crawler_registers_is_unregistered_from_its_database(dag: DAG, group: Any) -> None:
    """Every task that may replace a snapshot knows where the crawler puts it, the mapped ones' plan as well."""
    with dag:
        group(**PLACES, table="reviews", shards=2, crawler={"crawler_name": "c", "database": "crawled"})
    names = {"convert", "merge", "plan_shards", "plan_merge"} & {task.rpartition(".")[2] for task in dag.task_ids}
    for name in names:
        task = dag.get_task(f"snapshot.{name}")
        assert (task.database, task.registered_in) == (None, "crawled")
    assert len(names) == (4 if group is incremental_snapshot else 2)


def test_no_example_registers_what_it_crawls() -> None:
    """The two would write one table in two ways, as the page of the crawler says."""
    crawling = set()
    for dag_id, dag in DagBag(DAGS).dags.items():
        if any(isinstance(task, GlueSnapshotCrawlerOperator) for task in dag.tasks):
            crawling.add(dag_id)
            publishing = [task for task in dag.tasks if isinstance(task, PublishingOperator)]
            assert {task.database for task in publishing} == {None}, dag_id
    assert crawling == {"reviews_daily_snapshot"}


def test_without_crawler_and_check_the_conversion_registers(dag: DAG) -> None:
    """The least there can be: nothing is crawled, nothing is checked, the catalog knows all the same."""
    with dag:
        point_in_time_snapshot(**PLACES, group_id="g")
    assert chain(dag) == ["g.wait", "g.export", "g.convert"]
    assert dag.get_task("g.convert").database == "d"


def test_a_scan_snapshot_begins_with_a_backup(dag: DAG) -> None:
    """It has nothing to wait for."""
    with dag:
        scan_snapshot(**PLACES, check={}, backup={"segments": 3})
    assert chain(dag) == ["snapshot.backup", "snapshot.convert", "snapshot.check"]
    assert dag.get_task("snapshot.backup").segments == 3


def test_a_scan_snapshot_without_a_bucket_keeps_no_backup(dag: DAG) -> None:
    """One task scans and publishes."""
    with dag:
        scan_snapshot(
            **{**PLACES, "bucket": None}, check={}, backup={"read_units": 100}, convert={"nested": "flatten"}, **AWS
        )
    assert chain(dag) == ["snapshot.convert", "snapshot.check"]
    converting = dag.get_task("snapshot.convert")
    assert isinstance(converting, DynamoDBScanToParquetOperator)
    assert (converting.read_units, converting.nested, converting.region_name) == (100, "flatten", AWS["region_name"])


def test_a_scan_snapshot_without_a_backup_may_be_spread_over_mapped_tasks(dag: DAG) -> None:
    """A plan, one task for each of its shards, and what publishes them; all with the same arguments."""
    with dag:
        scan_snapshot(
            **{**PLACES, "bucket": None},
            table="reviews",
            shards=3,
            check={},
            backup={"read_units": 100},
            convert={"nested": "flatten", "task_id": "publish"},
            **AWS,
        )
    plan, scan, publish, check = (dag.get_task(f"snapshot.{task}") for task in ("plan", "scan", "publish", "check"))
    assert len(dag.tasks) == 4
    assert (scan.is_mapped, scan.upstream_task_ids) == (True, {plan.task_id})
    assert publish.upstream_task_ids == {plan.task_id, scan.task_id}
    assert check.upstream_task_ids == {publish.task_id}
    assert (plan.shards, plan.read_units, plan.nested, publish.read_units, publish.nested) == (
        *(3, 100, "flatten"),
        *(100, "flatten"),
    )
    assert (scan.partial_kwargs["read_units"], scan.partial_kwargs["nested"]) == (100, "flatten")
    assert {task.task_id for task in dag.tasks if task.outlets} == {check.task_id}
    assert {task.task_id for task in dag.tasks if task.inlets} == {plan.task_id}


def test_a_scan_snapshot_may_be_spread_over_mapped_tasks(dag: DAG) -> None:
    """A plan, one task for each of its shards, and what completes the backup; all with the same arguments."""
    with dag:
        scan_snapshot(**PLACES, shards=3, backup={"read_units": 100})
    tasks = ("plan", "scan", "backup", "plan_shards", "convert_shards", "convert")
    assert set(dag.task_ids) == {f"snapshot.{task}" for task in tasks}
    plan, scan, backup = (dag.get_task(f"snapshot.{task}") for task in ("plan", "scan", "backup"))
    assert scan.is_mapped
    assert scan.upstream_task_ids == {plan.task_id}
    assert backup.upstream_task_ids == {plan.task_id, scan.task_id}
    assert (plan.shards, plan.read_units, backup.read_units) == (3, 100, 100)
    assert scan.partial_kwargs["read_units"] == 100


def test_a_conversion_may_be_spread_over_mapped_tasks(dag: DAG) -> None:
    """A plan and its shards come before what publishes, with the same arguments; only the last task tells the asset."""
    with dag:
        point_in_time_snapshot(**PLACES, table="reviews", shards=3, convert={"nested": "json", "task_id": "publish"})
    plan, shards, convert = (dag.get_task(f"snapshot.{task}") for task in ("plan_shards", "convert_shards", "publish"))
    assert plan.upstream_task_ids == {"snapshot.export"}
    assert shards.is_mapped
    assert shards.upstream_task_ids == {plan.task_id}
    assert convert.upstream_task_ids == {shards.task_id}
    assert (plan.shards, plan.nested, convert.nested) == (3, "json", "json")
    assert shards.partial_kwargs["nested"] == "json"
    assert plan.source == convert.source == shards.partial_kwargs["source"]
    assert {task.task_id for task in dag.tasks if task.outlets} == {convert.task_id}


def test_a_merge_may_be_spread_over_mapped_tasks(dag: DAG) -> None:
    """A plan and its shards come between the increment and what publishes; a full export's conversion is spread too."""
    with dag:
        incremental_snapshot(**PLACES, table="reviews", shards=3, merge={"workers": 2, "task_id": "publish"}, check={})
    plan, shards, merge = (dag.get_task(f"snapshot.{task}") for task in ("plan_merge", "merge_shards", "publish"))
    assert plan.upstream_task_ids == {"snapshot.increment"}
    assert shards.is_mapped
    assert shards.upstream_task_ids == {"snapshot.increment", plan.task_id}
    assert merge.upstream_task_ids == {"snapshot.increment", shards.task_id}
    assert (plan.shards, plan.workers, merge.workers, shards.partial_kwargs["workers"]) == (3, 2, 2, 2)
    assert plan.base == merge.base == shards.partial_kwargs["base"]
    assert dag.get_task("snapshot.plan_shards").upstream_task_ids == {"snapshot.export"}
    assert "snapshot.convert_shards" in dag.get_task("snapshot.convert").upstream_task_ids
    assert {task.task_id for task in dag.tasks if task.outlets} == {"snapshot.check"}


@pytest.mark.parametrize(
    ("options", "last"), [({}, "convert"), ({"crawler": {"crawler_name": "c"}}, "crawl"), ({"check": {}}, "check")]
)
def test_the_event_is_the_last_tasks(dag: DAG, options: dict[str, Any], last: str) -> None:
    """Who is scheduled on the snapshots sees only those that have passed every task."""
    with dag:
        point_in_time_snapshot(**PLACES, table="reviews", **options)
    outlets = {task.task_id: task.outlets for task in dag.tasks if task.outlets}
    assert outlets == {f"snapshot.{last}": [snapshot_asset("s3://b/lake", "reviews")]}


def test_a_templated_lake_has_no_asset(dag: DAG) -> None:
    """An asset's URI has to be known when the DAG is read."""
    with dag:
        point_in_time_snapshot(**{**PLACES, "lake": "s3://{{ var.value.bucket }}/lake"}, table="reviews")
    assert not any(task.outlets for task in dag.tasks)


@pytest.mark.parametrize("group", [point_in_time_snapshot, scan_snapshot])
def test_every_aws_argument_reaches_every_task(dag: DAG, group: Any) -> None:
    """Connection, region, certificates and client configuration are those of the whole group."""
    with dag:
        group(**PLACES, crawler={"crawler_name": "c"}, check={}, **AWS)
    for task in dag.tasks:
        assert {name: getattr(task, name) for name in AWS} == AWS, task.task_id
    (inlet,) = next(task.inlets for task in dag.tasks if task.inlets)
    assert inlet.uri == "dynamodb://eu-west-1/Reviews"


@pytest.mark.parametrize(
    ("group", "task", "broken"),
    [
        (point_in_time_snapshot, "export", "wait_for_completion"),
        (point_in_time_snapshot, "export", "do_xcom_push"),
        (incremental_snapshot, "export", "wait_for_completion"),
        (incremental_snapshot, "increment", "wait_for_completion"),
        (incremental_snapshot, "increment", "do_xcom_push"),
        (incremental_snapshot, "chain", "do_xcom_push"),
        (scan_snapshot, "backup", "do_xcom_push"),
    ],
)
def test_what_the_next_task_needs_is_not_turned_off(dag: DAG, group: Any, task: str, broken: str) -> None:
    """The DAG is refused when it is read, before anything is billed that the tasks after could not use."""
    with dag, pytest.raises(ValueError, match=f"{task}: {broken}: .*; leave it out"):
        group(**PLACES, table="reviews", **{task: {broken: False}})


@pytest.mark.parametrize(
    ("group", "task", "broken"),
    [
        (point_in_time_snapshot, "convert", {"workers": "2"}),
        (point_in_time_snapshot, "convert", {"lake": None}),
        (point_in_time_snapshot, "wait", {"table_name": 5}),
        (point_in_time_snapshot, "check", {"keys": 5}),
        (incremental_snapshot, "merge", {"max_gap": 5}),
        (incremental_snapshot, "convert", {"column_names": 5}),
        (scan_snapshot, "backup", {"is_consistent": "no"}),
        (scan_snapshot, "crawler", {"crawler_name": None}),
    ],
)
@pytest.mark.parametrize("shards", [1, 2])
def test_an_argument_of_a_wrong_kind_is_refused(dag: DAG, group: Any, task: str, broken: Any, shards: int) -> None:
    """When the DAG is read, for the task that would refuse it comes after an export that is billed."""
    (name,) = broken
    first = "crawl" if task == "crawler" else task if shards == 1 else f"({task}|plan|plan_shards)"
    with dag, pytest.raises(BadCallError, match=f"^{first}: {name}: expected .*, found "):
        group(**PLACES, table="reviews", shards=shards, **{task: broken})


@pytest.mark.parametrize("group", [point_in_time_snapshot, scan_snapshot])
def test_what_becomes_an_argument_later_is_no_matter_of_its_kind(dag: DAG, group: Any) -> None:
    """A template's text, or what another task returns, may become what is expected."""
    with dag:
        told = EmptyOperator(task_id="told").output
        group(**PLACES, table="{{ params.table }}", check={"expectations": "{{ params.expected }}", "keys": told})


@pytest.mark.parametrize("group", [point_in_time_snapshot, scan_snapshot])
def test_an_unknown_argument_is_refused(dag: DAG, group: Any) -> None:
    """A typing mistake is not swallowed by the arguments for AWS."""
    with dag, pytest.raises(TypeError, match="'regoin_name'"):
        group(**PLACES, regoin_name="eu-west-1")


def test_every_example_dag_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow imports and serializes all of them without a warning."""
    monkeypatch.delenv("DDBEXPORT_TABLE", raising=False)
    bag = DagBag(DAGS)
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "reviews_daily_snapshot",
        "reviews_daily_increment",
        "reviews_daily_merge",
        "reviews_daily_scan",
        "reviews_hourly_scan",
        "reviews_weekly_backup",
        "reviews_sharded_backup",
        "reviews_sharded_scan",
        "reviews_history",
        "reviews_export_on_demand",
        "reviews_top_authors",
    }
