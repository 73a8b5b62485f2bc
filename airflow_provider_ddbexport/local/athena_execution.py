"""One query, from its submission to its end."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from airflow_provider_ddbexport.local.athena_ddl import CatalogStatements
from airflow_provider_ddbexport.local.athena_results import ResultSet, of_listing, of_select
from airflow_provider_ddbexport.local.duck import connect, run
from airflow_provider_ddbexport.local.glue_catalog import Catalog
from airflow_provider_ddbexport.local.lake_objects import LakeError, split_uri
from airflow_provider_ddbexport.local.sql_parse import QueryError, Statement, bind_parameters, parse_statement
from airflow_provider_ddbexport.local.sql_plan import Plan, plan_query

QUEUED_SHARE = 0.25
"""Part of a query's time that it spends in QUEUED."""

_INTERRUPTIONS = 100
_BETWEEN_INTERRUPTIONS_S = 0.05


@dataclass(slots=True)
class Execution:
    """A submitted query. Its rows are read when it is submitted; DuckDB then runs in a thread of its own.

    Attributes:
        request: what StartQueryExecution was given, which a client token stands for.
        output: address of the result object.
        submitted_at: by the emulator's clock.
        started: by :meth:`.Emulator.elapsed`, seconds.
        ended: seconds after the start; None while it goes on.
        final: SUCCEEDED, FAILED or CANCELLED, once it has ended.
    """

    id: str
    request: dict[str, Any]
    statement: Statement
    database: str
    workgroup: str
    output: str
    submitted_at: datetime
    started: float
    parameters: list[str] = field(default_factory=list)
    ended: float | None = None
    final: str = ""
    reason: str = ""
    result: ResultSet = field(default_factory=ResultSet)
    scanned_bytes: int = 0
    _thread: threading.Thread | None = None
    _connection: duckdb.DuckDBPyConnection | None = None
    _is_cancelled: bool = False

    def begin(self, catalog: Catalog, s3: Any) -> None:
        """Plan a SELECT, read what it needs, and let it run. Statements about the catalog wait for :meth:`finish`."""
        if self.statement.query is None:
            return
        try:
            query = self.statement.query
            if self.parameters or "?" in self.statement.text:
                bound = parse_statement(bind_parameters(self.statement.text, self.parameters))
                query = bound.query or query
            plan = plan_query(query, catalog, s3, database=self.database, now=self.submitted_at)
        except (QueryError, LakeError) as error:
            self.reason = str(error)
            return
        self.scanned_bytes = plan.scanned_bytes
        self._thread = threading.Thread(target=self._run, args=(plan,), name=f"athena-{self.id}", daemon=True)
        self._thread.start()

    def _run(self, plan: Plan) -> None:
        self_reason = "GENERIC_INTERNAL_ERROR: the emulated Athena stopped"
        try:
            with connect() as connection:
                self._connection = connection
                if self._is_cancelled:
                    return
                for name, rows in plan.tables.items():
                    connection.register(name, rows)
                self.result = of_select(run(connection, plan.sql), plan.names)
                self_reason = ""
        except QueryError as error:
            self_reason = str(error)
        except duckdb.InterruptException:
            self_reason = "Query cancelled by user"
        finally:
            self._connection = None
            self.reason = self_reason

    @property
    def is_running(self) -> bool:
        """Whether DuckDB is still at it."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Give a thread that is at it up to *seconds* of real time."""
        if self._thread is not None:
            self._thread.join(seconds)

    def state(self, elapsed: float, query_seconds: float) -> str:
        """Return QUEUED, RUNNING or how it ended."""
        if self.final:
            return self.final
        return "QUEUED" if elapsed - self.started < query_seconds * QUEUED_SHARE else "RUNNING"

    def finish(self, catalog: Catalog, s3: Any, elapsed: float) -> None:
        """Make it SUCCEEDED, with its result objects written, or FAILED."""
        self.ended = elapsed - self.started
        if self.statement.query is None:
            try:
                self.result = of_listing(CatalogStatements(catalog, s3, self.database).run(self.statement.text))
            except (QueryError, LakeError) as error:
                self.reason = str(error)
        if not self.reason:
            bucket, key = split_uri(self.output)
            if bucket in s3.buckets:
                s3.put_object(bucket, key, self.result.body())
                s3.put_object(bucket, f"{key}.metadata", self.result.metadata())
            else:
                self.reason = f"HIVE_FILESYSTEM_ERROR: Failed to write the result to {self.output}: no such bucket"
        self.final = "FAILED" if self.reason else "SUCCEEDED"

    def cancel(self, elapsed: float) -> None:
        """Make it CANCELLED; what has ended stays as it ended."""
        if self.final:
            return
        self._is_cancelled = True
        # DuckDB forgets an interruption that comes before it has begun, and would be busy with the query to its end.
        for _ in range(_INTERRUPTIONS):
            if (connection := self._connection) is not None:
                with contextlib.suppress(duckdb.Error):  # it may have closed in between
                    connection.interrupt()
            self.wait(_BETWEEN_INTERRUPTIONS_S)
            if not self.is_running:
                break
        self.ended, self.final, self.reason = elapsed - self.started, "CANCELLED", "Query cancelled by user"
        self.result = ResultSet()

    def describe(self, elapsed: float, query_seconds: float) -> dict[str, Any]:
        """Return the QueryExecution, as GetQueryExecution shows it."""
        state = self.state(elapsed, query_seconds)
        status: dict[str, Any] = {"State": state, "SubmissionDateTime": self.submitted_at.timestamp()}
        seconds = self.ended if self.ended is not None else max(0.0, elapsed - self.started)
        if self.final:
            status["CompletionDateTime"] = (self.submitted_at + timedelta(seconds=seconds)).timestamp()
            if self.reason:
                status["StateChangeReason"] = self.reason
            if self.final == "FAILED":
                status["AthenaError"] = self._athena_error()
        total = round(seconds * 1000)
        queued = min(total, round(query_seconds * QUEUED_SHARE * 1000))
        described: dict[str, Any] = {
            "QueryExecutionId": self.id,
            "Query": self.request["QueryString"],
            "StatementType": self.statement.kind,
            "SubstatementType": self._substatement(),
            "ResultConfiguration": {**(self.request.get("ResultConfiguration") or {}), "OutputLocation": self.output},
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": self.request.get("QueryExecutionContext") or {},
            "Status": status,
            "Statistics": {
                "EngineExecutionTimeInMillis": total - queued,
                "DataScannedInBytes": self.scanned_bytes if self.final else 0,
                "TotalExecutionTimeInMillis": total,
                "QueryQueueTimeInMillis": queued,
                "ServicePreProcessingTimeInMillis": 0,
                "QueryPlanningTimeInMillis": 0,
                "ServiceProcessingTimeInMillis": 0,
                "ResultReuseInformation": {"ReusedPreviousResult": False},
            },
            "WorkGroup": self.workgroup,
            "EngineVersion": {
                "SelectedEngineVersion": "AUTO",
                "EffectiveEngineVersion": "Athena engine version 3",
            },
        }
        if self.parameters:
            described["ExecutionParameters"] = self.parameters
        return described

    def _substatement(self) -> str:
        words = self.statement.text.upper().split(None, 2)
        return "SELECT" if self.statement.query is not None else "_".join(words[:2])

    def _athena_error(self) -> dict[str, Any]:
        # 1001: data error; 1003: DDL task failed; 1000: user error. From the error catalog of the user guide.
        is_data = self.reason.startswith("HIVE_")
        kind = 1001 if is_data else 1003 if self.reason.startswith("FAILED:") else 1000
        return {"ErrorCategory": 2, "ErrorType": kind, "Retryable": False, "ErrorMessage": self.reason}
