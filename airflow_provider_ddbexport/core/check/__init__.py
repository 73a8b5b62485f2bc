"""Whether a snapshot is what it should be, as Athena sees it: the queries, their running, and the verdict."""

from airflow_provider_ddbexport.core.check.athena import (
    QuerySettings,
    Tries,
    await_queries,
    query_token,
    read_answers,
    start_queries,
)
from airflow_provider_ddbexport.core.check.queries import COUNTS, CheckQuery, build_checks
from airflow_provider_ddbexport.core.check.verdict import Answer, Bounds, Verdict, judge

__all__ = [
    "COUNTS",
    "CheckQuery",
    "build_checks",
    "QuerySettings",
    "Tries",
    "start_queries",
    "await_queries",
    "read_answers",
    "query_token",
    "Answer",
    "Bounds",
    "Verdict",
    "judge",
]
