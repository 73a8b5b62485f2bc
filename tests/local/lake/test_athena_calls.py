"""Athena's calls: states, tokens, parameters, pages, workgroups, cancelling."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_provider_ddbexport.local import athena_execution
from airflow_provider_ddbexport.local.athena_execution import Execution

TOKEN = "token-of-at-least-thirty-two-characters"
ENDLESS = "SELECT count(*) FROM UNNEST(sequence(1, 100000)) a(x), UNNEST(sequence(1, 100000)) b(y) WHERE x * y % 7 = x"


def refusal(call: Any, **arguments: Any) -> str:
    """Return the message with which *call* is refused as an InvalidRequestException."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    return str(caught.value.response["Error"]["Message"])


def test_a_query_is_queued_then_runs_then_succeeds_by_the_clock(lake: Any) -> None:
    """Its times are the clock's; results are refused until it has succeeded, and its object is not there before."""
    lake.aws.configure(query_seconds=10_000)
    query_id = lake.start("SELECT 1")
    assert lake.state(query_id) == "QUEUED"
    lake.aws.clock.advance(timedelta(seconds=5000))
    assert lake.state(query_id) == "RUNNING"
    message = refusal(lake.athena.get_query_results, QueryExecutionId=query_id)
    assert message == "Query has not yet finished. Current state: RUNNING"
    assert "Contents" not in lake.s3.list_objects_v2(Bucket="results")
    lake.aws.clock.advance(timedelta(seconds=5100))
    execution = lake.ended(query_id)
    status = execution["Status"]
    assert status["State"] == "SUCCEEDED"
    assert status["CompletionDateTime"] - status["SubmissionDateTime"] >= timedelta(seconds=10_000)
    assert execution["StatementType"] == "DML"
    assert execution["ResultConfiguration"]["OutputLocation"] == f"s3://results/athena/{query_id}.csv"
    assert execution["Statistics"]["TotalExecutionTimeInMillis"] >= 10_000_000
    body = lake.s3.get_object(Bucket="results", Key=f"athena/{query_id}.csv")["Body"].read()
    assert body == b'"_col0"\n"1"\n'


def test_a_failed_query_has_no_results_and_no_object(lake: Any) -> None:
    """GetQueryResults says that it did not finish."""
    answer = lake.query("SELECT * FROM nope")
    message = refusal(lake.athena.get_query_results, QueryExecutionId=answer.id)
    assert message == "Query did not finish successfully. Final query state: FAILED"
    assert "Contents" not in lake.s3.list_objects_v2(Bucket="results")


def test_the_same_token_and_request_are_the_same_query(lake: Any) -> None:
    """A retry attaches to the first try; another query under the same token is refused."""
    lake.aws.configure(query_seconds=0)
    first = lake.start("SELECT 1", ClientRequestToken=TOKEN)
    assert lake.start("SELECT 1", ClientRequestToken=TOKEN) == first
    assert lake.start("SELECT 1") != first
    with pytest.raises(ClientError, match="Idempotent parameters do not match") as caught:
        lake.start("SELECT 2", ClientRequestToken=TOKEN)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        lake.start("SELECT 1", database="other", ClientRequestToken=TOKEN)


def test_the_first_row_of_the_first_page_is_the_header_and_pages_follow(lake: Any) -> None:
    """MaxResults counts the header; pages join up to all rows, each once."""
    query_id = lake.query("SELECT x FROM UNNEST(sequence(1, 25)) AS t(x) ORDER BY x").id
    pages = lake.athena.get_paginator("get_query_results").paginate(
        QueryExecutionId=query_id, PaginationConfig={"PageSize": 10}
    )
    found = [[row["Data"][0]["VarCharValue"] for row in page["ResultSet"]["Rows"]] for page in pages]
    assert [len(page) for page in found] == [10, 10, 6]
    assert [text for page in found for text in page] == ["x", *(str(number) for number in range(1, 26))]
    first = lake.athena.get_query_results(QueryExecutionId=query_id, MaxResults=1)
    assert first["ResultSet"]["Rows"] == [{"Data": [{"VarCharValue": "x"}]}]
    other = lake.query("SELECT 1").id
    message = refusal(lake.athena.get_query_results, QueryExecutionId=other, NextToken=first["NextToken"])
    assert "NextToken" in message
    assert refusal(lake.athena.get_query_results, QueryExecutionId=other, NextToken="nonsense")
    assert "MaxResults" in refusal(lake.athena.get_query_results, QueryExecutionId=other, MaxResults=1001)


def test_parameters_are_literals_in_the_order_of_the_text(reviews_lake: Any) -> None:
    """Also where the text is not in the order of evaluation; text needs its quotes, and SQL is no parameter."""
    lake = reviews_lake.lake
    sql = "WITH w AS (SELECT rating FROM reviews WHERE \"user\" = ?) SELECT rating, '?' FROM w WHERE rating = ? LIMIT ?"
    assert lake.values(sql, ExecutionParameters=["'user-3'", "3", "1"]) == [["3", "?"]]
    hostile = "'x'' OR 1 = 1 --'"
    assert lake.values('SELECT count(*) FROM reviews WHERE "user" = ?', ExecutionParameters=[hostile]) == [["0"]]
    pruned = lake.query("SELECT 1 FROM reviews WHERE ddb_export_timestamp = ?", ExecutionParameters=["'T1'"])
    assert pruned.scanned == reviews_lake.first
    assert pruned.execution["ExecutionParameters"] == ["'T1'"]
    for wrong in ("1 OR 1 = 1", "user", "(SELECT 1)", "1; SELECT 2"):
        answer = lake.query("SELECT count(*) FROM reviews WHERE rating = ?", ExecutionParameters=[wrong])
        assert answer.state == "FAILED"
        assert answer.reason.startswith("SYNTAX_ERROR: an execution parameter is not a literal")


@pytest.mark.parametrize(("given", "expected"), [(["1", "2"], 1), (None, 1)])
def test_too_many_or_too_few_parameters_fail_the_query(lake: Any, given: Any, expected: int) -> None:
    """With the numbers expected and found."""
    more = {"ExecutionParameters": given} if given else {}
    answer = lake.query("SELECT ?", **more)
    assert answer.reason == (
        "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: "
        f"expected {expected} but found {len(given or [])}"
    )


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "line 1:7: mismatched input '1'"),
        ("SELECT *\nFORM reviews", "mismatched input"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("INSERT INTO x SELECT 1", "Queries of this type are not supported"),
        ("GRANT ALL", "not supported"),
        ("-- nothing", "Query string is empty"),
    ],
)
def test_text_that_is_no_query_is_refused_at_once(lake: Any, sql: str, message: str) -> None:
    """StartQueryExecution itself is refused, as MALFORMED_QUERY."""
    with pytest.raises(ClientError) as caught:
        lake.start(sql)
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"
    assert caught.value.response["AthenaErrorCode"] == "MALFORMED_QUERY"
    assert message in caught.value.response["Error"]["Message"]


def test_a_stopped_query_is_cancelled_and_stays_so(lake: Any) -> None:
    """Also one that DuckDB is busy with; what has ended stays as it ended."""
    lake.aws.configure(query_seconds=100)
    waiting = lake.start("SELECT 1")
    lake.athena.stop_query_execution(QueryExecutionId=waiting)
    status = lake.athena.get_query_execution(QueryExecutionId=waiting)["QueryExecution"]["Status"]
    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    lake.aws.configure(query_seconds=0)
    endless = lake.start(ENDLESS)
    assert lake.state(endless) == "RUNNING"
    lake.athena.stop_query_execution(QueryExecutionId=endless)
    assert lake.state(endless) == "CANCELLED"
    done = lake.query("SELECT 1").id
    lake.athena.stop_query_execution(QueryExecutionId=done)
    assert lake.state(done) == "SUCCEEDED"


def test_a_query_that_is_stopped_before_duckdb_has_begun_does_not_go_on(
    lake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB forgets an interruption that comes so early."""
    begun, interrupted = threading.Event(), threading.Event()
    run, wait = athena_execution.run, Execution.wait

    def run_late(*arguments: Any) -> Any:
        begun.set()
        interrupted.wait()
        return run(*arguments)

    def noticed(execution: Execution, seconds: float) -> None:
        interrupted.set()
        wait(execution, seconds)

    monkeypatch.setattr(athena_execution, "run", run_late)
    monkeypatch.setattr(Execution, "wait", noticed)
    lake.aws.configure(query_seconds=10_000)
    query_id = lake.start(ENDLESS)
    begun.wait()
    lake.athena.stop_query_execution(QueryExecutionId=query_id)
    assert not [thread for thread in threading.enumerate() if thread.name == f"athena-{query_id}"]


def test_queries_are_listed_by_workgroup_newest_first(lake: Any) -> None:
    """In pages; several are described in one call, with those that are not there told apart."""
    lake.athena.create_work_group(Name="team", Configuration={"EnforceWorkGroupConfiguration": False})
    lake.aws.configure(query_seconds=0)
    ids = [lake.start(f"SELECT {number}") for number in range(3)]
    other = lake.start("SELECT 9", WorkGroup="team")
    page = lake.athena.list_query_executions(MaxResults=2)
    assert page["QueryExecutionIds"] == [ids[2], ids[1]]
    assert lake.athena.list_query_executions(NextToken=page["NextToken"])["QueryExecutionIds"] == [ids[0]]
    assert lake.athena.list_query_executions(WorkGroup="team")["QueryExecutionIds"] == [other]
    batch = lake.athena.batch_get_query_execution(QueryExecutionIds=[ids[0], "none"])
    assert [execution["Query"] for execution in batch["QueryExecutions"]] == ["SELECT 0"]
    assert [missing["QueryExecutionId"] for missing in batch["UnprocessedQueryExecutionIds"]] == ["none"]
    assert "was not found" in refusal(lake.athena.get_query_execution, QueryExecutionId="none")


def test_the_output_location_is_the_callers_or_the_workgroups(lake: Any) -> None:
    """A workgroup that enforces its own wins; without any, or without the bucket, the call is refused."""
    lake.aws.configure(query_seconds=0)
    own = {"ResultConfiguration": {"OutputLocation": "s3://results/team"}}
    lake.athena.create_work_group(Name="strict", Configuration={**own, "EnforceWorkGroupConfiguration": True})
    lake.athena.create_work_group(Name="loose", Configuration={**own, "EnforceWorkGroupConfiguration": False})
    given = {"OutputLocation": "s3://results/mine/"}

    def output(**arguments: Any) -> str:
        query_id = lake.athena.start_query_execution(QueryString="SELECT 1", **arguments)["QueryExecutionId"]
        execution = lake.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return str(execution["ResultConfiguration"]["OutputLocation"]).replace(query_id, "ID")

    assert output(WorkGroup="strict", ResultConfiguration=given) == "s3://results/team/ID.csv"
    assert output(WorkGroup="loose", ResultConfiguration=given) == "s3://results/mine/ID.csv"
    assert output(WorkGroup="loose") == "s3://results/team/ID.csv"
    start = lake.athena.start_query_execution
    assert refusal(start, QueryString="SELECT 1").startswith("No output location provided.")
    nowhere = {"OutputLocation": "s3://nowhere/"}
    message = refusal(start, QueryString="SELECT 1", ResultConfiguration=nowhere)
    assert message == "Unable to verify/create output bucket nowhere"
    assert refusal(start, QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "/tmp"})
    assert refusal(start, QueryString="SELECT 1", WorkGroup="none") == "WorkGroup none is not found."


def test_everything_is_forgotten_on_reset(lake: Any) -> None:
    """Queries, tokens and crawls do not outlive the emulator's contents."""
    lake.aws.configure(query_seconds=0)
    query_id = lake.start("SELECT 1", ClientRequestToken=TOKEN)
    lake.aws.reset()
    assert "was not found" in refusal(lake.athena.get_query_execution, QueryExecutionId=query_id)


def test_a_query_tells_what_it_read_and_returned(reviews_lake: Any) -> None:
    """GetQueryRuntimeStatistics has the same figures as the query and its result."""
    answer = reviews_lake.lake.query("SELECT rating FROM reviews")
    statistics = reviews_lake.lake.athena.get_query_runtime_statistics(QueryExecutionId=answer.id)
    rows = statistics["QueryRuntimeStatistics"]["Rows"]
    assert rows["InputBytes"] == answer.scanned == reviews_lake.first + reviews_lake.second
    assert rows["OutputRows"] == 5
