"""The task group that merges increments, run after run, cleared and run again, against the embedded AWS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from emulated_lake import BUCKET, DATABASE, FILTERED_EXPORTS, LAKE, EmulatedLake, task_context
from emulated_table import create_table

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.pipelines import incremental_snapshot

ONLY_ZERO = {"FilterExpression": "Id = :zero", "ExpressionAttributeValues": {":zero": {"S": "0"}}}


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table with an item, and an empty lake."""
    lake = EmulatedLake(aws).create()
    lake.put({"Id": {"S": "0"}})
    return lake


def a_day(lake: EmulatedLake) -> datetime:
    """Return the time almost a day later, ten minutes ago; an item is written before.

    It has a fraction, as a manual run's. The clock goes on meanwhile, and what is more than a day is two exports.
    """
    lake.put({"Id": {"S": lake.aws.clock.now().isoformat()}})
    lake.aws.clock.advance(timedelta(hours=23))
    moment: datetime = (lake.aws.clock.now() - timedelta(minutes=10)).replace(microsecond=345_678)
    return moment


def group(lake: EmulatedLake, moment: datetime, **arguments: Any) -> DAG:
    """Return a DAG of the task group."""
    with DAG("d", schedule=None) as dag:
        incremental_snapshot(
            table_name=lake.table,
            bucket=BUCKET,
            lake=LAKE,
            database=DATABASE,
            to_time=moment,
            region_name="us-east-1",
            **{"table": "reviews", **arguments},
        )
    return dag


def run(lake: EmulatedLake, moment: datetime, *, until: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Return the results of the tasks of a run that were not skipped, by name, and what ``chain`` has in XCom.

    It is killed before the task *until*.
    """
    dag = group(lake, moment, **arguments)
    xcoms: dict[tuple[str, str], Any] = {}
    context = task_context()
    context["ti"].xcom_pull = lambda *, task_ids, key="return_value", default=None, **_: xcoms.get(
        (task_ids, key), default
    )
    context["dag_run"] = SimpleNamespace(logical_date=moment, run_after=moment)
    chosen = dag.get_task("snapshot.chain").choose_branch(context)
    xcoms["snapshot.chain", "chain"] = context["ti"].xcoms["chain"]
    results = {"chain": context["ti"].xcoms["chain"]}
    while chosen and chosen != f"snapshot.{until}":
        task = dag.get_task(chosen)
        task.render_template_fields(context)
        results[task.label] = xcoms[task.task_id, "return_value"] = task.execute(context)
        (chosen,) = task.downstream_task_ids or {None}
    return results


def exports(lake: EmulatedLake) -> int:
    return len(lake.dynamodb.list_exports()["ExportSummaries"])


def ledger(lake: EmulatedLake) -> Ledger:
    return Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3))


def rows(lake: EmulatedLake) -> list[int]:
    return [record.rows for record in ledger(lake).records()]


def recreate(lake: EmulatedLake) -> None:
    lake.dynamodb.delete_table(TableName=lake.table)
    create_table(lake.dynamodb, lake.table, "Id", recovery=False)


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
        ledger(lake).delete(first.replace(microsecond=0))
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


def damage(lake: EmulatedLake, what: str) -> None:
    """Damage the snapshot that is published, or the increments there are."""
    (record,) = ledger(lake).records()
    part = f"lake/reviews/{record.parts[0].key}"
    if what == "a part is lost":
        lake.s3.delete_object(Bucket=BUCKET, Key=part)
    elif what == "a part is damaged":
        lake.s3.put_object(Bucket=BUCKET, Key=part, Body=b"x" * record.parts[0].size)
    else:
        for entry in lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="AWSDynamoDB/data/")["Contents"]:
            lake.s3.put_object(Bucket=BUCKET, Key=entry["Key"], Body=b"damaged")


@pytest.mark.parametrize(
    ("what", "state"), [("a part is damaged", "BASE_DAMAGED"), ("an increment is damaged", "INCREMENT_DAMAGED")]
)
def test_the_run_after_a_merge_that_cannot_be_begins_anew(lake: EmulatedLake, what: str, state: str) -> None:
    """With a full export, and says why, be it the next one or the same, cleared; increments follow that again."""
    first, second, third = a_day(lake), a_day(lake), a_day(lake)
    run(lake, first)
    run(lake, second, until="merge")
    damage(lake, what)
    with pytest.raises(AirflowFailException):
        run(lake, second)
    assert (exports(lake), rows(lake)) == (2, [2])
    healed = run(lake, third if state == "BASE_DAMAGED" else second)
    assert (healed.keys(), healed["chain"]["state"]) == ({"chain", "wait", "export", "convert"}, state)
    assert (exports(lake), rows(lake)) == (3, [2, 4 if state == "BASE_DAMAGED" else 3])
    assert run(lake, a_day(lake), until="increment")["chain"]["state"] == "WHOLE"


def manifest(lake: EmulatedLake, results: dict[str, Any]) -> str:
    """Return the key of the first manifest of the increment of a run."""
    (export,) = results["increment"]["exports"]
    return f"{export['source'].removeprefix(f's3://{BUCKET}/')}/manifest-summary.json"


def test_the_run_after_a_manifest_was_deleted_begins_anew(lake: EmulatedLake) -> None:
    """The export was complete, so that nobody need wait for it; what follows is billed a full export."""
    first, second, third = a_day(lake), a_day(lake), a_day(lake)
    run(lake, first)
    lake.s3.delete_object(Bucket=BUCKET, Key=manifest(lake, run(lake, second, until="merge")))
    with pytest.raises(AirflowFailException, match="the manifest is missing"):
        run(lake, second)
    healed = run(lake, third)
    assert (healed.keys(), healed["chain"]["state"]) == ({"chain", "wait", "export", "convert"}, "INCREMENT_DAMAGED")
    assert "if it was deleted, put it back" in healed["chain"]["reason"]
    assert (exports(lake), rows(lake)) == (3, [2, 4])


@pytest.mark.parametrize(
    ("way_out", "billed"),
    [
        ({}, 0),
        ({"increment": {"generation": "again"}}, 1),
        ({"merge": {"accept_edited_summary": True}}, 0),
    ],
    ids=["put back", "another generation", "accepted"],
)
def test_an_increment_that_cannot_be_read_has_cheaper_ways_out(lake: EmulatedLake, way_out: Any, billed: int) -> None:
    """Than a full export: the note is deleted and the run cleared, once the increment is there."""
    first, second = a_day(lake), a_day(lake)
    run(lake, first)
    key = manifest(lake, run(lake, second, until="merge"))
    body = lake.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    lake.s3.put_object(Bucket=BUCKET, Key=key, Body=body.replace(b"{", b"{ ", 1))
    with pytest.raises(AirflowFailException, match="accept_edited_summary"):
        run(lake, second)
    if not way_out:
        lake.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    lake.s3.delete_object(Bucket=BUCKET, Key=f"lake/reviews/_chains/{first:%Y%m%dT%H%M%SZ}-broken.json")
    healed = run(lake, second, **way_out)
    assert (healed.keys(), healed["chain"]["state"]) == ({"chain", "increment", "merge"}, "WHOLE")
    assert (exports(lake), rows(lake)) == (2 + billed, [2, 3])


def test_an_attribute_that_would_share_a_column_is_named_and_the_run_cleared(lake: EmulatedLake) -> None:
    """By the increment it has paid for; the runs after it know the name without being told, as does a new chain."""
    lake.put({"Id": {"S": "1"}, "Rating": {"N": "1"}})
    first = a_day(lake)
    run(lake, first)
    lake.put({"Id": {"S": "2"}, "rating": {"N": "2"}})
    second = a_day(lake)
    with pytest.raises(AirflowFailException, match="give 'rating' another name where this failed"):
        run(lake, second)
    named = run(lake, second, merge={"column_names": {"rating": "lower"}})
    assert (named["chain"]["state"], named["merge"]["new_columns"], exports(lake)) == ("WHOLE", ["lower"], 2)
    assert run(lake, a_day(lake))["chain"]["state"] == "WHOLE"
    anew = run(lake, a_day(lake), chain={"full_every": timedelta(days=1)})
    assert (anew["chain"]["state"], anew["convert"]["new_columns"]) == ("FULL_DUE", [])


def test_what_runs_before_have_exported_in_vain_is_merged_and_not_billed_again(lake: EmulatedLake) -> None:
    """Each time is exported once, whatever runs failed behind it; cleared, a run takes the same exports again."""
    first, second, third, last = a_day(lake), a_day(lake), a_day(lake), a_day(lake)
    run(lake, first)
    for moment in (second, third):
        run(lake, moment, until="merge")
    merged = run(lake, last)
    assert [export["export_time"] for export in merged["increment"]["exports"]] == [
        f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (second, third, last)
    ]
    assert (exports(lake), rows(lake)) == (4, [2, 5])
    again = run(lake, last)
    assert (again["chain"]["state"], again["merge"]["published_at"]) == ("PUBLISHED", merged["merge"]["published_at"])
    run(lake, third)
    assert (exports(lake), rows(lake)) == (4, [2, 4, 5])


def test_two_dags_that_make_two_tables_pay_for_one_export(lake: EmulatedLake) -> None:
    """Of the same times to the same destination; each table has a chain of its own."""
    first, second = a_day(lake), a_day(lake)
    for table in ("reviews", "others"):
        ways = [run(lake, day, table=table)["chain"]["state"] for day in (first, second)]
        assert (ways, exports(lake)) == (["NO_FULL_EXPORT", "WHOLE"], 2)


def test_a_part_that_is_lost_is_seen_before_anything_is_billed(lake: EmulatedLake) -> None:
    """By one listing; the increment would be paid for and not be merged."""
    first, second = a_day(lake), a_day(lake)
    run(lake, first)
    damage(lake, "a part is lost")
    anew = run(lake, second, until="wait")
    assert (anew["chain"]["state"], exports(lake)) == ("BASE_DAMAGED", 1)


def test_a_run_that_is_cleared_follows_what_it_followed(lake: EmulatedLake) -> None:
    """Killed before it merged, it takes the increment it has paid for, whatever was published in between since."""
    first, last = a_day(lake), a_day(lake)
    run(lake, first)
    run(lake, last, until="merge")
    run(lake, last - timedelta(hours=12))
    billed = exports(lake)
    again = run(lake, last)
    assert (again["chain"]["from_time"], exports(lake)) == (f"{first:%Y-%m-%dT%H:%M:%SZ}", billed)
    assert rows(lake) == [2, 3, 3]


def test_recovery_that_was_off_for_a_while_begins_anew(lake: EmulatedLake) -> None:
    """While it is off the run fails at once and bills nothing."""
    first, second = a_day(lake), a_day(lake)
    run(lake, first)
    for enabled in (False, True):
        lake.dynamodb.update_continuous_backups(
            TableName=lake.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled}
        )
        if not enabled:
            with pytest.raises(AirflowFailException, match="recovery is off"):
                run(lake, second)
    assert exports(lake) == 1
    assert run(lake, a_day(lake), until="wait")["chain"]["state"] == "HISTORY_GONE"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"increment": {"filter_specification": {}}}, "increments are merged into a table's items, all of them"),
        ({"export": {"filter_specification": {}}}, "increments are merged into a table's items, all of them"),
        ({"increment": {"export_format": "ION"}}, "only DYNAMODB_JSON can be merged"),
    ],
)
def test_exports_that_cannot_be_merged_are_refused_when_the_dag_is_read(arguments: Any, message: str) -> None:
    """Before any of them is paid for."""
    anything = SimpleNamespace(table="Reviews")
    with pytest.raises(ValueError, match=message):
        group(anything, datetime(2026, 1, 14, tzinfo=UTC), **arguments)  # type: ignore[arg-type]


@FILTERED_EXPORTS
def test_a_full_export_that_was_filtered_begins_no_chain(lake: EmulatedLake) -> None:
    """Increments tell of other items, too, and are not merged into it by anybody."""
    first, second = a_day(lake), a_day(lake)
    moment = first.replace(microsecond=0)
    arn = lake.dynamodb.describe_table(TableName=lake.table)["Table"]["TableArn"]
    made = lake.dynamodb.export_table_to_point_in_time(
        TableArn=arn, S3Bucket=BUCKET, ExportTime=moment, FilterSpecification=ONLY_ZERO
    )["ExportDescription"]["ExportArn"]
    assert DynamoDBExportHook(region_name="us-east-1").is_filtered(made)
    lake.publish(f"s3://{BUCKET}/AWSDynamoDB/{made.rpartition('/')[2]}", table="reviews")
    assert run(lake, second, until="wait")["chain"]["state"] == "FILTERED"
    with pytest.raises(AirflowFailException, match="was made of an export with a filter"):
        merging(lake, moment, second).execute(task_context())


def merging(lake: EmulatedLake, since: datetime, until: datetime, **asked: Any) -> DynamoDBMergeIncrementsOperator:
    """Return the task that merges what changed between two times."""
    increment = lake.export_at(until.replace(microsecond=0), since=since.replace(microsecond=0), **asked)
    return DynamoDBMergeIncrementsOperator(task_id="merge", increments=increment, lake=LAKE, table="reviews")


@FILTERED_EXPORTS
def test_an_increment_that_was_filtered_is_not_merged(lake: EmulatedLake) -> None:
    """It does not tell of all changes, and its files do not tell that; DynamoDB does."""
    first, second = a_day(lake), a_day(lake)
    run(lake, first)
    with pytest.raises(AirflowFailException, match="exported with a filter"):
        merging(lake, first, second, FilterSpecification=ONLY_ZERO).execute(task_context())
    assert rows(lake) == [2]
