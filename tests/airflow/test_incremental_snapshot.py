"""The task group that merges increments, run after run, cleared and run again, against the embedded AWS."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.pipelines import incremental_snapshot


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table with an item, and an empty lake."""
    lake = EmulatedLake(aws).create()
    lake.put({"Id": {"S": "0"}})
    return lake


def a_day(lake: EmulatedLake) -> datetime:
    """Return the time a day later, ten minutes ago; an item is written before. It has a fraction, as a manual run's."""
    lake.put({"Id": {"S": lake.aws.clock.now().isoformat()}})
    lake.aws.clock.advance(timedelta(days=1))
    moment: datetime = (lake.aws.clock.now() - timedelta(minutes=10)).replace(microsecond=345_678)
    return moment


def run(lake: EmulatedLake, moment: datetime) -> dict[str, Any]:
    """Return the results of the tasks of a run that were not skipped, by name, and what ``chain`` has in XCom."""
    with DAG("d", schedule=None) as dag:
        incremental_snapshot(
            table_name=lake.table,
            bucket=BUCKET,
            lake=LAKE,
            database=DATABASE,
            table="reviews",
            to_time=moment,
            region_name="us-east-1",
        )
    xcoms: dict[tuple[str, str], Any] = {}
    context = task_context()
    context["ti"].xcom_pull = lambda *, task_ids, key="return_value", default=None, **_: xcoms.get(
        (task_ids, key), default
    )
    context["dag_run"] = SimpleNamespace(logical_date=moment, run_after=moment)
    chosen = dag.get_task("snapshot.chain").choose_branch(context)
    xcoms["snapshot.chain", "chain"] = context["ti"].xcoms["chain"]
    results = {"chain": context["ti"].xcoms["chain"]}
    while chosen:
        task = dag.get_task(chosen)
        task.render_template_fields(context)
        results[task.label] = xcoms[task.task_id, "return_value"] = task.execute(context)
        (chosen,) = task.downstream_task_ids or {None}
    return results


def exports(lake: EmulatedLake) -> int:
    return len(lake.dynamodb.list_exports()["ExportSummaries"])


def rows(lake: EmulatedLake) -> list[int]:
    return [record.rows for record in Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3)).records()]


def recreate(lake: EmulatedLake) -> None:
    lake.dynamodb.delete_table(TableName=lake.table)
    lake.dynamodb.create_table(
        TableName=lake.table,
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_a_finished_run_that_is_cleared_goes_its_way_again_and_bills_nothing(lake: EmulatedLake) -> None:
    """By the same exports, to the same snapshot; also where another run has published a time in between."""
    first, _, last = a_day(lake), a_day(lake), a_day(lake)
    full = run(lake, first)
    assert full.keys() == {"chain", "wait", "export", "convert"}
    merged = run(lake, last)
    assert merged.keys() == {"chain", "increment", "merge"}
    assert (merged["chain"]["state"], len(merged["increment"]["exports"])) == ("WHOLE", 2)
    billed = exports(lake)
    assert (billed, rows(lake)) == (3, [2, 4])

    for before, moment in ((full, first), (merged, last)):
        again = run(lake, moment)
        assert (again.keys(), again["chain"]["state"]) == (before.keys(), "PUBLISHED")
        published = "convert" if before is full else "merge"
        assert again[published]["published_at"] == before[published]["published_at"]
    assert exports(lake) == billed
    assert run(lake, first + timedelta(hours=12))["chain"]["state"] == "WHOLE"
    again = run(lake, last)
    assert again["chain"]["record"] == merged["chain"]["record"]
    assert again["merge"]["published_at"] == merged["merge"]["published_at"]
    assert rows(lake) == [2, 3, 4]
    assert exports(lake) == billed + 1


def test_a_run_that_began_anew_is_not_merged_when_it_is_cleared(lake: EmulatedLake) -> None:
    """A snapshot before it, published later, could be followed by increments; this one is a full export still."""
    before, moment = a_day(lake), a_day(lake)
    full = run(lake, moment)
    run(lake, before)
    billed = exports(lake)
    again = run(lake, moment)
    assert again.keys() == full.keys() == {"chain", "wait", "export", "convert"}
    assert (again["chain"]["state"], exports(lake)) == ("PUBLISHED", billed)


@pytest.mark.parametrize("gone", ["history", "recovery", "recreated", "base"])
def test_what_is_published_and_cannot_be_made_again_is_left_alone(lake: EmulatedLake, gone: str) -> None:
    """All that follows is skipped, with the reason, whichever way the snapshot was made."""
    first, last = a_day(lake), a_day(lake)
    run(lake, first)
    run(lake, last)
    if gone == "history":
        lake.aws.clock.advance(timedelta(days=40))
    elif gone == "base":
        Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3)).delete(first.replace(microsecond=0))
    else:
        if gone == "recreated":
            recreate(lake)
        lake.dynamodb.update_continuous_backups(
            TableName=lake.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": gone == "recreated"}
        )
    billed = exports(lake)
    for moment in (last,) if gone == "base" else (first, last):
        results = run(lake, moment)
        assert (results.keys(), results["chain"]["state"]) == ({"chain"}, "PUBLISHED")
        assert "is published already" in results["chain"]["reason"]
    assert exports(lake) == billed
