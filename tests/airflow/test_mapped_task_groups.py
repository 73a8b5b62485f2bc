"""The task groups inside of a mapped task group, one for each of two tables, against the embedded AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task_group
from airflow.sdk.definitions.taskgroup import MappedTaskGroup
from airflow.sdk.execution_time import task_mapping, task_runner
from emulated_lake import BUCKET, DATABASE, LAKE, RESULTS, EmulatedLake, task_context

from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.pipelines import incremental_snapshot, point_in_time_snapshot, scan_snapshot

TABLES = {"Reviews": "reviews", "Other": "other"}
PLACES: dict[str, Any] = {"bucket": BUCKET, "lake": LAKE, "database": DATABASE, "region_name": "us-east-1"}


class XComs:
    """Airflow's XComs, as its API keeps them: JSON, by task, element and key."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], dict[int, Any]] = {}

    def set(self, *, key: str, value: Any, task_id: str, map_index: int, **_: Any) -> None:
        self.values.setdefault((task_id, key), {})[map_index] = json.loads(json.dumps(value))

    def get_one(self, *, key: str, task_id: str, map_index: int | None, **_: Any) -> Any:
        return self.values.get((task_id, key), {}).get(-1 if map_index is None else map_index)

    def get_all(self, *, key: str, task_id: str, **_: Any) -> list[Any] | None:
        found = self.values.get((task_id, key))
        return found and [found[index] for index in sorted(found)]


@pytest.fixture
def xcoms(monkeypatch: pytest.MonkeyPatch) -> XComs:
    """XComs that Airflow's own task instances read and write, of tasks that are mapped over two tables."""
    kept = XComs()
    monkeypatch.setattr(task_runner, "XCom", kept)
    monkeypatch.setattr(task_mapping, "get_ti_count_for_task", lambda *_: len(TABLES))
    return kept


@pytest.fixture
def lakes(aws: Any) -> list[EmulatedLake]:
    """Two tables, with one item and with two, and one empty lake."""
    lakes = [EmulatedLake(aws, name).create() for name in TABLES]
    for items, lake in enumerate(lakes, start=1):
        lake.put(*({"Id": {"S": str(number)}} for number in range(items)))
    aws.clock.advance(timedelta(minutes=20))
    return lakes


def mapped(group: Callable[..., Any], **arguments: Any) -> DAG:
    """Return a DAG of *group* for each table."""
    with DAG("d", schedule=None) as dag:

        @task_group
        def each(name: Any, folder: Any) -> None:
            group(table_name=name, table=folder, **{**PLACES, **arguments})

        each.expand_kwargs([{"name": name, "folder": folder} for name, folder in TABLES.items()])
    return dag


def run(dag: DAG, xcoms: XComs) -> set[str]:
    """Run each task for each table before those behind it, as Airflow does; return the names of those not skipped."""
    ran: set[str] = set()
    waiting = {task.task_id: task for task in dag.tasks}
    skipped: set[str] = set()
    while waiting:
        task = next(task for task in waiting.values() if not task.upstream_task_ids & waiting.keys())
        del waiting[task.task_id]
        if task.task_id in skipped or (task.upstream_task_ids and task.upstream_task_ids <= skipped):
            skipped.add(task.task_id)
            continue
        ran.add(task.label)
        chosen = [execute(task, index, xcoms) for index in range(len(TABLES))]
        if task.label == "chain":
            skipped |= task.downstream_task_ids - set(chosen)
    return ran


def execute(task: Any, index: int, xcoms: XComs) -> Any:
    """Return the result of *task* for the table *index*, by a task instance of Airflow's."""
    ti = task_runner.RuntimeTaskInstance.model_construct(
        task_id=task.task_id, dag_id="d", run_id="run", map_index=index, try_number=1, task=task
    )
    context: Any = {**task_context(), "ti": ti, "task_instance": ti, "dag_run": SimpleNamespace(run_id="run")}
    operator = task.prepare_for_execution()
    operator.render_template_fields(context)
    result = operator.choose_branch(context) if task.label == "chain" else operator.execute(context)
    result = getattr(result, "xcom_value", result)
    xcoms.set(key="return_value", value=result, task_id=task.task_id, map_index=index)
    return result


def rows(lakes: list[EmulatedLake]) -> dict[str, list[int]]:
    """Return how many rows each published snapshot has, by table."""
    ledgers = {table: Ledger(open_store(f"{LAKE}/{table}", s3=lakes[0].s3)) for table in TABLES.values()}
    return {table: [record.rows for record in ledger.records()] for table, ledger in ledgers.items()}


def now(lakes: list[EmulatedLake]) -> datetime:
    moment: datetime = lakes[0].aws.clock.now() - timedelta(minutes=1)
    return moment


def test_each_table_is_exported_converted_and_checked(lakes: list[EmulatedLake], xcoms: XComs) -> None:
    """Each task goes on with what the one before it did for the very table."""
    checking = {"output_location": RESULTS, "deferrable": False, "poll_interval_s": 0.01}
    dag = mapped(point_in_time_snapshot, export_time=now(lakes), check=checking)
    assert isinstance(dag.task_group.children["each"], MappedTaskGroup)
    assert run(dag, xcoms) == {"wait", "export", "convert", "check"}
    assert rows(lakes) == {"reviews": [1], "other": [2]}
    checked = xcoms.values["each.snapshot.check", "return_value"]
    assert [(checked[index]["table"], checked[index]["rows"]) for index in checked] == [("reviews", 1), ("other", 2)]


def test_each_table_is_scanned_and_converted(lakes: list[EmulatedLake], xcoms: XComs) -> None:
    """The backup of one table is not taken for that of the other."""
    assert run(mapped(scan_snapshot), xcoms) == {"backup", "convert"}
    assert rows(lakes) == {"reviews": [1], "other": [2]}


def test_each_table_goes_on_by_increments(lakes: list[EmulatedLake], xcoms: XComs) -> None:
    """A full export of each at first, then an increment that is merged into the table's own snapshot."""
    full = run(mapped(incremental_snapshot, to_time=now(lakes)), xcoms)
    assert full == {"chain", "wait", "export", "convert"}
    for lake in lakes:
        lake.put({"Id": {"S": "new"}})
    lakes[0].aws.clock.advance(timedelta(minutes=30))
    xcoms.values.clear()
    assert run(mapped(incremental_snapshot, to_time=now(lakes)), xcoms) == {"chain", "increment", "merge"}
    assert rows(lakes) == {"reviews": [1, 2], "other": [2, 3]}


@pytest.mark.parametrize("group", [point_in_time_snapshot, scan_snapshot, incremental_snapshot])
def test_shards_are_refused_when_the_dag_is_read(group: Any) -> None:
    """Airflow maps no task inside of a mapped task group: it says so before anything is billed, and what to do."""
    with pytest.raises(ValueError, match=r"shards: expected 1 inside of a mapped task group, found 2; .*in a loop"):
        mapped(group, shards=2)


def test_what_is_not_templated_cannot_be_mapped() -> None:
    """Airflow would hand the task a placeholder, which is true: here, whether to replace what is published."""
    with DAG("d", schedule=None):

        @task_group
        def each(name: Any, replace: Any) -> None:
            point_in_time_snapshot(table_name=name, convert={"replace": replace}, **PLACES)

        with pytest.raises(ValueError, match="convert: replace: is not templated"):
            each.expand_kwargs([{"name": name, "replace": False} for name in TABLES])


@pytest.mark.parametrize("shards", [0, "2", None])
def test_shards_have_to_be_a_number(shards: Any) -> None:
    """How many tasks there are is known when the DAG is read."""
    with DAG("d", schedule=None), pytest.raises(ValueError, match=f"shards: expected a number from 1 on.*{shards!r}"):
        point_in_time_snapshot(table_name="Reviews", shards=shards, **PLACES)
