"""Running queries in Athena so that trying again does not run, and bill, one twice.

A query's ClientRequestToken is a function of what asks for it, of the query, and of a number. A token that was used
before gives the execution it was used for, also when that one FAILED, so each try may go one number further than the
one before it: it takes up the first execution that has not failed.

Needs athena:StartQueryExecution, GetQueryExecution, GetQueryResults (StopQueryExecution when killed); the queries need
glue:GetDatabase, GetTable, GetPartitions, and s3:GetObject and ListBucket on the lake; their results s3:PutObject,
GetObject and GetBucketLocation at the output location.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.core.check.queries import CheckQuery
from airflow_provider_ddbexport.core.check.verdict import Answer
from airflow_provider_ddbexport.core.conversation import Ask, Conversation, Patience, insist
from airflow_provider_ddbexport.errors import QueryFailedError

_BAD = frozenset({"FAILED", "CANCELLED"})
_ENDED = _BAD | {"SUCCEEDED"}

_ROWS_READ = 3
"""The header, the one row a check has, and one more to notice that it has more."""

_VALUE_FREE = frozenset(
    {
        "AMBIGUOUS_NAME",
        "CATALOG_NOT_FOUND",
        "COLUMN_NOT_FOUND",
        "EXPRESSION_NOT_AGGREGATE",
        "FUNCTION_NOT_FOUND",
        "HIVE_CANNOT_OPEN_SPLIT",
        "HIVE_METASTORE_ERROR",
        "HIVE_PARTITION_SCHEMA_MISMATCH",
        "MISSING_COLUMN_NAME",
        "NOT_SUPPORTED",
        "SCHEMA_NOT_FOUND",
        "SYNTAX_ERROR",
        "TABLE_NOT_FOUND",
        "TYPE_MISMATCH",
        "TYPE_NOT_FOUND",
    }
)
"""Failures found before data is read, or about files: their reasons name tables and columns. Others, such as
INVALID_CAST_ARGUMENT, quote the value they failed on."""


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """How queries run.

    Attributes:
        database: of the catalog, where a query names a table without one.
        workgroup: Athena's.
        output_location: ``s3://`` folder of the results; None where the workgroup has one.
        catalog: the data source.
    """

    database: str
    workgroup: str = "primary"
    output_location: str | None = None
    catalog: str = "AwsDataCatalog"

    def arguments(self) -> dict[str, Any]:
        """Return StartQueryExecution's arguments besides the query and the token."""
        given = {
            "QueryExecutionContext": {"Database": self.database, "Catalog": self.catalog},
            "WorkGroup": self.workgroup,
        }
        if self.output_location:
            given["ResultConfiguration"] = {"OutputLocation": self.output_location}
        return given


@dataclass(frozen=True, slots=True)
class Tries:
    """Numbers a try may put into its tokens.

    Attributes:
        first: the same for all tries that share executions; another after somebody asked for a fresh look.
        last: larger by one with each try.
    """

    first: int = 0
    last: int = 0


def query_token(sql: str, settings: QuerySettings, *, asker: str, number: int) -> str:
    """Return the ClientRequestToken of *sql* (64 hex digits). *asker* is who may share executions, in any text."""
    whole = json.dumps([asker, number, sql, settings.arguments()], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def start_queries(
    queries: Iterable[CheckQuery], settings: QuerySettings, patience: Patience, *, asker: str, tries: Tries
) -> Conversation[dict[str, str]]:
    """Return the execution id of each query, by name; those of an earlier try where there are good ones."""
    executions: dict[str, str] = {}
    for query in queries:
        what = f"starting query {query.name!r}"
        for number in range(tries.first, max(tries.first, tries.last) + 1):
            token = query_token(query.sql, settings, asker=asker, number=number)
            arguments = {"QueryString": query.sql, "ClientRequestToken": token, **settings.arguments()}
            started = yield from insist(Ask("start_query_execution", arguments), patience, what=what)
            executions[query.name] = started["QueryExecutionId"]
            if number >= tries.last:
                break
            execution = yield from _look(executions[query.name], patience, what=what)
            if execution["Status"]["State"] not in _BAD:
                break
    return executions


def await_queries(executions: Mapping[str, str], patience: Patience) -> Conversation[None]:
    """Return when every one of *executions* has ended, well or not. Raises DeadlineError."""
    open_ones = dict(executions)
    while True:
        for name, query_id in tuple(open_ones.items()):
            execution = yield from _look(query_id, patience, what=f"query {name!r}")
            if execution["Status"]["State"] in _ENDED:
                del open_ones[name]
        if not open_ones:
            return
        yield from patience.rest(f"the end of {len(open_ones)} of {len(executions)} queries")


def read_answers(executions: Mapping[str, str], patience: Patience) -> Conversation[dict[str, Answer]]:
    """Return what came of each of *executions*, all of which have ended.

    A query that failed because of what it asks is an answer with a ``failure``. Raises QueryFailedError for one that
    was cancelled or that Athena failed: trying again may help.
    """
    answers: dict[str, Answer] = {}
    for name, query_id in executions.items():
        execution = yield from _look(query_id, patience, what=f"query {name!r}")
        scanned = int((execution.get("Statistics") or {}).get("DataScannedInBytes") or 0)
        if execution["Status"]["State"] == "SUCCEEDED":
            ask = Ask("get_query_results", {"QueryExecutionId": query_id, "MaxResults": _ROWS_READ})
            results = yield from insist(ask, patience, what=f"results of query {name!r}")
            rows = tuple(
                tuple(cell.get("VarCharValue") for cell in row.get("Data", ()))
                for row in results["ResultSet"].get("Rows", ())[1:]
            )
            answers[name] = Answer(rows, query_id=query_id, bytes_scanned=scanned)
        else:
            failure = _failure(name, query_id, execution["Status"])
            answers[name] = Answer((), failure=failure, query_id=query_id, bytes_scanned=scanned)
    return answers


def _look(query_id: str, patience: Patience, *, what: str) -> Conversation[dict[str, Any]]:
    answer = yield from insist(Ask("get_query_execution", {"QueryExecutionId": query_id}), patience, what=what)
    execution: dict[str, Any] = answer["QueryExecution"]
    return execution


def _failure(name: str, query_id: str, status: Mapping[str, Any]) -> str:
    """Return why the query failed; raises QueryFailedError where it was not the query's fault."""
    error = status.get("AthenaError") or {}
    reason = f"{_reason(str(status.get('StateChangeReason') or error.get('ErrorMessage') or ''))} (query {query_id})"
    of_the_service = error.get("ErrorCategory") == 1 or bool(error.get("Retryable"))
    if status["State"] == "CANCELLED" or of_the_service:
        raise QueryFailedError(
            f"query {name!r} ended as {status['State']}: {reason}; trying again starts it anew",
            query=name,
            query_id=query_id,
            state=str(status["State"]),
        )
    return reason


def _reason(text: str) -> str:
    """Return Athena's reason, cut to its code where the rest may quote an item's value."""
    code = re.match(r"[A-Z][A-Z_]+(?=\b)", text)
    if code is None:
        return "Athena gives its reason with the query" if text else "Athena gives no reason"
    return text.rstrip(".") if code[0] in _VALUE_FREE else f"{code[0]}, whose details are with the query"
