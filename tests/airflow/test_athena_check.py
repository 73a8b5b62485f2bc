"""The operator that checks a snapshot through Athena."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, RESULTS, EmulatedLake, task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException, TaskDeferred
from airflow_provider_ddbexport.errors import CheckFailedError, DeadlineError, QueryFailedError
from airflow_provider_ddbexport.operators.athena_check import AthenaSnapshotCheckOperator
from airflow_provider_ddbexport.triggers.athena_queries import AthenaQueriesTrigger

AS_OF = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)
ROWS = ({"Id": {"S": "sesame-1"}, "Rating": {"N": "5"}}, {"Id": {"S": "sesame-2"}, "Rating": {"N": "4"}})


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A lake without snapshots."""
    return EmulatedLake(aws)


@pytest.fixture
def record(lake: EmulatedLake) -> str:
    """The address of the commit record of a snapshot of two rows that is fine."""
    return lake.place(ROWS, AS_OF)


def test_keys_that_the_commit_record_tells_are_not_asked_for(lake: EmulatedLake, record: str, run_task: Any) -> None:
    """Nor need they be given; where it does not tell, DynamoDB is asked."""
    key = record.removeprefix(f"s3://{BUCKET}/")
    fields = json.loads(lake.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    fields["source"]["keys"] = ["Id"]
    lake.aws.fail_next("DescribeTable", "AccessDeniedException")
    with pytest.raises(AirflowFailException, match="because keys= is not given"):
        run_task(checking(record, keys=None), first_try())
    lake.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(fields).encode())
    lake.aws.fail_next("DescribeTable", "AccessDeniedException")
    assert run_task(checking(record, keys=None), first_try())["checks"]["keys unique"] == "passed"


@pytest.fixture(params=[False, True], ids=["waiting in the worker", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Both ways have to end alike."""
    return bool(request.param)


def checking(record: str, **arguments: Any) -> AthenaSnapshotCheckOperator:
    defaults: dict[str, Any] = {
        "database": DATABASE,
        "keys": ["Id"],
        "output_location": RESULTS,
        "poll_interval_s": 0.05,
        "patience_s": 600,
        "retries": 3,
    }
    return AthenaSnapshotCheckOperator(task_id="check", record=record, **{**defaults, **arguments})


def first_try(**arguments: Any) -> dict[str, Any]:
    return task_context(**{"max_tries": 3, **arguments})


def executions(lake: EmulatedLake) -> list[str]:
    """Return the ids of all queries that were ever started."""
    found: list[str] = lake.athena.list_query_executions()["QueryExecutionIds"]
    return found


def test_a_good_snapshot_passes_with_figures_and_bytes_scanned(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """XCom has counts, the outcome of each check and the queries; nothing in it or in the log is an item's value."""
    later = lake.place((*ROWS, {"Id": {"S": "sesame-3"}, "Rating": {"S": "five"}}), AS_OF + timedelta(days=1))
    context = first_try()
    operator = checking(
        later,
        deferrable=deferrable,
        max_growth=1.0,
        max_shrink=0.1,
        expectations={
            "ratings": "SELECT bool_and(rating BETWEEN 1 AND 5) FROM {snapshot}",
            "nobody left": "SELECT count(*) = 0 FROM {previous} AS p WHERE id NOT IN (SELECT id FROM {snapshot} AS s)",
        },
    )
    figures = run_task(operator, context)
    assert bool(run_task.deferrals) is deferrable
    assert (figures["rows"], figures["previous_rows"], figures["rescued"]) == (3, 2, 1)
    assert (figures["null_keys"], figures["double_keys"]) == (0, 0)
    assert figures["bytes_scanned"] > 0
    assert set(figures["checks"].values()) == {"passed"}
    assert set(figures["queries"]) == {"counts", "ratings", "nobody left"}
    assert context["ti"].xcoms["_ddbexport_query"]["query_execution_id"] == figures["queries"]["counts"]
    assert "sesame" not in json.dumps(figures)


def test_a_snapshot_published_while_the_queries_run_is_not_compared_with(
    lake: EmulatedLake, record: str, run_task: Any
) -> None:
    """A backfill may publish the day in between: bounds and queries are of the one that was there before."""
    later = lake.place(ROWS, AS_OF + timedelta(days=2))
    run_task.on_deferral = lambda: lake.place(ROWS * 9, AS_OF + timedelta(days=1))
    figures = run_task(checking(later, deferrable=True, max_growth=0.1, max_shrink=0.1), first_try())
    assert len(run_task.deferrals) == 1
    assert (figures["previous_rows"], figures["checks"]["row count change"]) == (2, "passed")


def test_everything_that_is_wrong_is_listed_and_fails_for_good(
    lake: EmulatedLake, run_task: Any, deferrable: bool
) -> None:
    """One task tells all: count, keys, change, and the author's; retries would find the same."""
    lake.place(ROWS, AS_OF - timedelta(days=1))
    bad = ({"Id": {"S": "sesame"}}, {"Id": {"S": "sesame"}}, {"Rating": {"N": "9"}})
    record = lake.place(bad, AS_OF, rows=4)
    operator = checking(
        record,
        deferrable=deferrable,
        max_growth=0.1,
        expectations={
            "ratings": "SELECT bool_and(rating <= 5) FROM {snapshot}",
            "typo": "SELECT bool_and(ratng <= 5) FROM {snapshot}",
        },
    )
    with pytest.raises(AirflowFailException) as caught:
        run_task(operator, first_try())
    told = str(caught.value)
    assert "6 of 7 checks failed" in told
    for failure in (
        "row count: the commit record has 4 rows, Athena counts 3",
        "row count change: 3 rows are +50.0%",
        "keys not null: rows without Id: 1",
        "keys unique: rows that repeat the Id of another: 1",
        "ratings: the query answers false",
        "typo: the query failed: COLUMN_NOT_FOUND",
    ):
        assert failure in told
    assert "sesame" not in told
    assert isinstance(caught.value.__cause__, CheckFailedError)
    assert len(caught.value.__cause__.context["failures"]) == 6


def test_a_failure_that_quotes_a_value_is_told_without_it(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """Athena's reason for a failed cast has the value it failed on; the task names the kind of failure."""
    operator = checking(
        record, deferrable=deferrable, expectations={"cast": "SELECT bool_and(CAST(id AS integer) > 0) FROM {snapshot}"}
    )
    with pytest.raises(
        AirflowFailException, match=r"cast: the query failed: .*with the query.*\(query [0-9a-f-]+\)"
    ) as caught:
        run_task(operator, first_try())
    assert "sesame" not in str(caught.value)


def test_a_snapshot_nobody_registered_does_not_pass(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """Athena counts no rows where the commit record has some, and the failure says what to do."""
    hidden = lake.place(ROWS, AS_OF + timedelta(days=1), register=False)
    with pytest.raises(AirflowFailException, match="its partition is not in the catalog: register or crawl it"):
        run_task(checking(hidden, deferrable=deferrable), first_try())


def test_a_retry_takes_up_the_queries_of_the_try_before(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """A worker that was killed after starting the queries cost nothing: the next try waits for the same ones."""
    with pytest.raises(TaskDeferred):
        checking(record, deferrable=True).execute(first_try())
    started = executions(lake)
    assert len(started) == 1
    figures = run_task(checking(record, deferrable=deferrable), first_try(try_number=2))
    assert executions(lake) == started
    assert list(figures["queries"].values()) == started


def test_a_retry_runs_anew_only_what_failed(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """A cancelled query fails the try, which is retried; the next try runs that query again and the other one not."""
    aws.configure(query_seconds=3600)
    operator = checking(record, deferrable=True, expectations={"e": "SELECT count(*) > 0 FROM {snapshot}"})
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(first_try())
    ids = deferred.value.trigger.executions
    lake.athena.stop_query_execution(QueryExecutionId=ids["e"])
    aws.configure(query_seconds=0)
    with pytest.raises(QueryFailedError, match="'e' ended as CANCELLED"):
        run_task(checking(record, deferrable=deferrable, expectations=operator.expectations), first_try())
    assert sorted(executions(lake)) == sorted(ids.values())
    again = checking(record, deferrable=deferrable, expectations=operator.expectations)
    figures = run_task(again, first_try(try_number=2))
    assert figures["queries"]["counts"] == ids["counts"]
    assert figures["queries"]["e"] != ids["e"]
    assert len(executions(lake)) == 3


def test_clearing_the_task_looks_anew(lake: EmulatedLake, run_task: Any, deferrable: bool) -> None:
    """The catalog was mended after a failed check: the cleared task does not repeat the old answer."""
    record = lake.place(ROWS, AS_OF, register=False)
    lake.place(ROWS, AS_OF - timedelta(days=1))
    with pytest.raises(AirflowFailException, match="not in the catalog"):
        run_task(checking(record, deferrable=deferrable), first_try())
    lake.glue.create_partition(
        DatabaseName=DATABASE,
        TableName="reviews",
        PartitionInput={
            "Values": ["20260114T101850Z"],
            "StorageDescriptor": {
                **lake.partitions()[0]["StorageDescriptor"],
                "Location": f"{LAKE}/reviews/ddb_export_timestamp=20260114T101850Z/",
            },
        },
    )
    cleared = first_try(try_number=2, max_tries=1 + 3)
    assert run_task(checking(record, deferrable=deferrable), cleared)["rows"] == 2


def test_the_wait_ends_at_the_deadline_and_the_next_try_goes_on(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """A slow query outlives the patience of a try; the next try waits for that query."""
    aws.configure(query_seconds=3600)
    with pytest.raises(DeadlineError, match="patience_s"):
        run_task(checking(record, patience_s=0.4, deferrable=deferrable), first_try())
    started = executions(lake)
    aws.configure(query_seconds=0)
    run_task(checking(record, deferrable=deferrable), first_try(try_number=2))
    assert executions(lake) == started


def test_an_empty_snapshot_passes_only_where_that_is_allowed(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """No rows is a failure by default, and fine with allow_empty; keys of no rows are in order."""
    empty = lake.place((), AS_OF + timedelta(days=1))
    with pytest.raises(AirflowFailException, match="not empty"):
        run_task(checking(empty, deferrable=deferrable), first_try())
    figures = run_task(checking(empty, allow_empty=True, deferrable=deferrable), first_try(run_id="other"))
    assert (figures["rows"], figures["checks"]["keys unique"]) == (0, "passed")


def test_an_empty_first_snapshot_has_no_columns_to_check(lake: EmulatedLake, run_task: Any, deferrable: bool) -> None:
    """A table that never had an item is checked for its rows all the same."""
    empty = lake.place((), AS_OF)
    assert run_task(checking(empty, allow_empty=True, deferrable=deferrable), first_try())["rows"] == 0


def test_keys_that_fit_no_column_are_told_apart(lake: EmulatedLake, run_task: Any, deferrable: bool) -> None:
    """Rescued keys are neither null nor double; a key that is rescued twice is double."""
    lake.place(({"Id": {"N": "1"}}, {"Id": {"N": "2"}}), AS_OF - timedelta(days=1))
    rescued = ({"Id": {"N": "1"}}, {"Id": {"N": "1E-130"}}, {"Id": {"N": "2E-130"}})
    figures = run_task(checking(lake.place(rescued, AS_OF), deferrable=deferrable), first_try())
    assert (figures["rescued"], figures["null_keys"], figures["double_keys"]) == (2, 0, 0)
    twice = lake.place((*rescued, {"Id": {"N": "1E-130"}}), AS_OF + timedelta(days=1))
    with pytest.raises(AirflowFailException, match="rows that repeat the Id of another: 1"):
        run_task(checking(twice, deferrable=deferrable), first_try())


@pytest.mark.parametrize("key", ["select", 'drop"table', "it's", "größe", "a/b~c", "Select From"])
def test_hostile_attributes_are_checked_like_others(lake: EmulatedLake, key: str) -> None:
    """SQL keywords, quotes, umlauts and slashes in the key's name are names."""
    figures = checking(lake.place(({key: {"S": "a"}}, {key: {"S": "b"}}), AS_OF), keys=[key]).execute(first_try())
    assert (figures["rows"], figures["null_keys"], figures["double_keys"]) == (2, 0, 0)


@pytest.mark.parametrize("name", ['drop"table', "select", "größe", "it's"])
def test_a_hostile_table_name_is_one_name(lake: EmulatedLake, record: str, name: str) -> None:
    """A catalog's table may be named by somebody else: it is quoted, and what it means is not executed."""
    table = lake.glue.get_table(DatabaseName=DATABASE, Name="reviews")["Table"]
    lake.glue.create_table(
        DatabaseName=DATABASE,
        TableInput={
            "Name": name,
            **{part: table[part] for part in ("StorageDescriptor", "PartitionKeys", "TableType", "Parameters")},
        },
    )
    (partition,) = lake.partitions()
    lake.glue.create_partition(
        DatabaseName=DATABASE,
        TableName=name,
        PartitionInput={part: partition[part] for part in ("Values", "StorageDescriptor")},
    )
    assert checking(record, table=name).execute(first_try())["rows"] == 2


def test_the_tables_key_is_asked_of_dynamodb(lake: EmulatedLake, record: str, aws: Any) -> None:
    """Without keys= the key schema is; a table that is gone is told with what to do instead."""
    with pytest.raises(AirflowFailException, match="keys= is not given"):
        checking(record, keys=None).execute(first_try())
    lake.create()
    aws.clock.reset()
    assert checking(record, keys=None).execute(first_try())["null_keys"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keys": ["Idd"]}, "'Idd' is no attribute"),
        ({"expectations": {"e": "SELECT true"}}, "expected {snapshot}"),
        ({"max_shrink": 50}, "expected a share from 0 to 1"),
        ({"record": f"{LAKE}/reviews"}, "address of a commit record"),
    ],
)
def test_a_wrong_call_fails_at_once_and_runs_nothing(
    lake: EmulatedLake, record: str, arguments: dict[str, Any], message: str
) -> None:
    """What no retry can mend is found before a query is paid for."""
    with pytest.raises(AirflowFailException, match=message):
        checking(**{"record": record, **arguments}).execute(first_try())
    assert executions(lake) == []


def test_a_killed_task_cancels_its_queries(lake: EmulatedLake, record: str, aws: Any) -> None:
    """Neither a worker nor a triggerer that is told to stop leaves a query running that is billed to its end."""
    aws.configure(query_seconds=3600)
    operator = checking(record, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(first_try())
    operator.on_kill()
    (query_id,) = executions(lake)
    assert state(lake, query_id) == "CANCELLED"

    with pytest.raises(TaskDeferred) as deferred:
        checking(record, deferrable=True).execute(first_try(run_id="other"))
    asyncio.run(deferred.value.trigger.on_kill())
    assert state(lake, deferred.value.trigger.executions["counts"]) == "CANCELLED"


def state(lake: EmulatedLake, query_id: str) -> str:
    found: str = lake.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]["State"]
    return found


def test_the_trigger_survives_serialisation(rebuilt: Any) -> None:
    """A triggerer makes the same trigger of what was serialised, with every AWS argument."""
    trigger = AthenaQueriesTrigger(
        executions={"counts": "1-2", "it's": "3-4"},
        keys=["Id", 'drop"table'],
        previous="2026-01-13T10:18:50Z",
        deadline="2026-01-14T12:00:00+00:00",
        poll_interval_s=3.5,
        aws_conn_id="other",
        region_name="eu-west-1",
        verify=False,
        botocore_config={"read_timeout": 5},
    )
    again = rebuilt(trigger)
    assert type(again) is AthenaQueriesTrigger
    assert again.serialize() == trigger.serialize()
    assert again.hook().region_name == "eu-west-1"
