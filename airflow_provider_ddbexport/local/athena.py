"""Athena as its callers see it: StartQueryExecution and what follows from it."""

from __future__ import annotations

import uuid
from typing import Any

from airflow_provider_ddbexport.local.athena_execution import Execution
from airflow_provider_ddbexport.local.athena_metadata import MetadataCalls
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.glue_catalog import Catalog
from airflow_provider_ddbexport.local.lake_objects import LakeError, split_uri
from airflow_provider_ddbexport.local.sql_parse import MalformedQueryError, parse_statement
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

SERVICE = "AmazonAthena"
_MAX_QUERY_LENGTH = 262144
_GRACE_SECONDS = 0.2
"""Real seconds that a call waits for a query that ought to have ended: a busy machine is not a slow query."""


def _invalid(message: str, code: str = "INVALID_INPUT") -> AwsError:
    return AwsError("InvalidRequestException", message, AthenaErrorCode=code)


class Athena:
    """Queries of all accounts and regions of an emulator. Workgroups and prepared statements are moto's."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._executions: dict[tuple[str, str], dict[str, Execution]] = {}
        self._tokens: dict[tuple[str, str], dict[str, str]] = {}
        self._metadata = MetadataCalls(emulator)
        emulator.on_request(self._settle)
        emulator.on_reset(self._forget)

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return what is answered here instead of by moto."""
        answered: dict[str, Handler] = {
            "StartQueryExecution": self.start,
            "GetQueryExecution": self.get,
            "BatchGetQueryExecution": self.batch_get,
            "GetQueryResults": self.results,
            "GetQueryRuntimeStatistics": self.runtime_statistics,
            "StopQueryExecution": self.stop,
            "ListQueryExecutions": self.list,
            **self._metadata.handlers(),
        }
        return {(SERVICE, operation): handler for operation, handler in answered.items()}

    def start(self, call: Call) -> dict[str, Any]:
        """Submit a query; the same client token and the same request give the same query."""
        text = call.body.get("QueryString") or ""
        token = call.body.get("ClientRequestToken") or ""
        if not 1 <= len(text) <= _MAX_QUERY_LENGTH:
            raise _invalid(f"QueryString must have 1 to {_MAX_QUERY_LENGTH} characters")
        if not 32 <= len(token) <= 128:
            raise _invalid("ClientRequestToken must have 32 to 128 characters")
        request = {name: value for name, value in call.body.items() if name != "ClientRequestToken"}
        home = (call.account, call.region)
        executions = self._executions.setdefault(home, {})
        tokens = self._tokens.setdefault(home, {})
        if known := tokens.get(token):
            if executions[known].request != request:
                raise _invalid("Idempotent parameters do not match")
            return {"QueryExecutionId": known}
        execution = self._submit(call, request, text)
        executions[execution.id] = execution
        tokens[token] = execution.id
        execution.begin(self._catalog(call.account, call.region), self._emulator.moto.s3(call.account))
        return {"QueryExecutionId": execution.id}

    def _submit(self, call: Call, request: dict[str, Any], text: str) -> Execution:
        workgroup = request.get("WorkGroup") or "primary"
        folder = self._output_folder(call, workgroup, request)
        context = request.get("QueryExecutionContext") or {}
        catalog = context.get("Catalog") or "AwsDataCatalog"
        if catalog.lower() != "awsdatacatalog":
            raise _invalid(f"Data catalog {catalog} was not found")
        try:
            statement = parse_statement(text)
        except MalformedQueryError as error:
            raise _invalid(str(error), "MALFORMED_QUERY") from error
        query_id = str(uuid.uuid4())
        return Execution(
            id=query_id,
            request=request,
            statement=statement,
            database=str(context.get("Database") or "").lower(),
            workgroup=workgroup,
            output=f"{folder}{query_id}.{'csv' if statement.query is not None else 'txt'}",
            submitted_at=self._emulator.clock.now(),
            started=self._emulator.elapsed(),
            parameters=list(request.get("ExecutionParameters") or []),
        )

    def _output_folder(self, call: Call, workgroup: str, request: dict[str, Any]) -> str:
        group = self._emulator.moto.athena(call.account, call.region).get_work_group(workgroup)
        if group is None:
            raise _invalid(f"WorkGroup {workgroup} is not found.")
        if group.get("State") == "DISABLED":
            raise _invalid(f"WorkGroup {workgroup} is disabled.")
        configuration = group.get("Configuration") or {}
        own = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
        given = (request.get("ResultConfiguration") or {}).get("OutputLocation")
        is_enforced = bool(configuration.get("EnforceWorkGroupConfiguration"))
        location = (own or given) if is_enforced else (given or own)
        if not location:
            raise _invalid(
                "No output location provided. An output location is required either through the Workgroup result "
                "configuration setting or as an API input."
            )
        try:
            bucket, _ = split_uri(location)
        except LakeError as error:
            raise _invalid("outputLocation is not a valid S3 path.") from error
        if bucket not in self._emulator.moto.s3(call.account).buckets:
            raise _invalid(f"Unable to verify/create output bucket {bucket}")
        return location if location.endswith("/") else f"{location}/"

    def get(self, call: Call) -> dict[str, Any]:
        """Return one query's state."""
        return {"QueryExecution": self._describe(call, self._find(call))}

    def batch_get(self, call: Call) -> dict[str, Any]:
        """Return the states of up to 50 queries, and which there are not."""
        known = self._executions.get((call.account, call.region), {})
        wanted = call.body.get("QueryExecutionIds") or []
        return {
            "QueryExecutions": [self._describe(call, known[one]) for one in wanted if one in known],
            "UnprocessedQueryExecutionIds": [
                {
                    "QueryExecutionId": one,
                    "ErrorCode": "INVALID_INPUT",
                    "ErrorMessage": f"QueryExecution {one} was not found",
                }
                for one in wanted
                if one not in known
            ],
        }

    def results(self, call: Call) -> dict[str, Any]:
        """Return a page of a query's rows; the first row of the first page of a SELECT is its header."""
        execution = self._find(call)
        limit = call.body.get("MaxResults") or 1000
        if not 1 <= limit <= 1000:
            raise _invalid("MaxResults is more than maximum allowed length 1000.")
        self._await(execution)
        state = execution.state(self._emulator.elapsed(), self._emulator.settings.query_seconds)
        if state in {"QUEUED", "RUNNING"}:
            raise _invalid(f"Query has not yet finished. Current state: {state}", "INVALID_QUERY_EXECUTION_STATE")
        if state != "SUCCEEDED":
            raise _invalid(
                f"Query did not finish successfully. Final query state: {state}", "INVALID_QUERY_EXECUTION_STATE"
            )
        return execution.result.page(execution.id, call.body.get("NextToken"), limit)

    def runtime_statistics(self, call: Call) -> dict[str, Any]:
        """Return how long a query took and how much it read and returned."""
        execution = self._find(call)
        statistics = self._describe(call, execution)["Statistics"]
        return {
            "QueryRuntimeStatistics": {
                "Timeline": {name: value for name, value in statistics.items() if name.endswith("InMillis")},
                "Rows": {
                    "InputBytes": statistics["DataScannedInBytes"],
                    "OutputBytes": len(execution.result.body()),
                    "OutputRows": execution.result.row_count,
                },
            }
        }

    def stop(self, call: Call) -> dict[str, Any]:
        """Cancel a query; one that has ended stays as it ended."""
        self._find(call).cancel(self._emulator.elapsed())
        return {}

    def list(self, call: Call) -> dict[str, Any]:
        """Return the ids of a workgroup's queries, newest first."""
        workgroup = call.body.get("WorkGroup") or "primary"
        limit = call.body.get("MaxResults") or 50
        if not 1 <= limit <= 50:
            raise _invalid("MaxResults must be from 1 to 50")
        found = [
            execution.id
            for execution in reversed(self._executions.get((call.account, call.region), {}).values())
            if execution.workgroup == workgroup
        ]
        token = call.body.get("NextToken")
        if token and token not in found:
            raise _invalid("Invalid NextToken")
        start = found.index(token) if token else 0
        answer: dict[str, Any] = {"QueryExecutionIds": found[start : start + limit]}
        if start + limit < len(found):
            answer["NextToken"] = found[start + limit]
        return answer

    def _find(self, call: Call) -> Execution:
        query_id = call.body.get("QueryExecutionId") or ""
        execution = self._executions.get((call.account, call.region), {}).get(query_id)
        if execution is None:
            raise _invalid(f"QueryExecution {query_id} was not found")
        return execution

    def _describe(self, _call: Call, execution: Execution) -> dict[str, Any]:
        self._await(execution)
        return execution.describe(self._emulator.elapsed(), self._emulator.settings.query_seconds)

    def _await(self, execution: Execution) -> None:
        """Let a query end that is due, on a machine that is a little late."""
        due = self._emulator.elapsed() - execution.started >= self._emulator.settings.query_seconds
        if due and not execution.final and execution.is_running:
            execution.wait(_GRACE_SECONDS)
        self._settle()

    def _settle(self) -> None:
        elapsed = self._emulator.elapsed()
        for (account, region), executions in self._executions.items():
            for execution in executions.values():
                due = elapsed - execution.started >= self._emulator.settings.query_seconds
                if due and not execution.final and not execution.is_running:
                    execution.finish(self._catalog(account, region), self._emulator.moto.s3(account), elapsed)

    def _catalog(self, account: str, region: str) -> Catalog:
        return Catalog(self._emulator.moto.glue(account, region))

    def _forget(self) -> None:
        for executions in self._executions.values():
            for execution in executions.values():
                execution.cancel(execution.started)
        self._executions.clear()
        self._tokens.clear()
