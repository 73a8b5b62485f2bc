"""A table in the embedded AWS and the lake its snapshots go to."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors
from botocore.session import get_session
from emulated_table import create_table

from airflow_provider_ddbexport.core.catalog.register import register_snapshot
from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, Part, Source, layout
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

BUCKET = "lakes"
LAKE = f"s3://{BUCKET}/lake"
DATABASE = "snapshots"
RESULTS = f"s3://{BUCKET}/results/"

_EXPORTING = get_session().get_service_model("dynamodb").operation_model("ExportTableToPointInTime")
FILTERED_EXPORTS = pytest.mark.skipif(
    "FilterSpecification" not in _EXPORTING.input_shape.members,
    reason="this boto3 knows no filters of exports",
)


@cache
def client_of(aws: Any, service: str) -> Any:
    """Return a client; making one takes longer than most tests."""
    return aws.client(service)


class EmulatedLake:
    """A DynamoDB table with the key ``Id``, and the lake its snapshots are in.

    Snapshots get there by :meth:`publish`, the operator's way from an export, or by :meth:`place`, at once.
    """

    def __init__(self, aws: Any, table: str = "Reviews") -> None:
        self.aws, self.table = aws, table
        self.s3, self.glue, self.athena, self.dynamodb = (
            client_of(aws, service) for service in ("s3", "glue", "athena", "dynamodb")
        )
        aws.configure(export_seconds=0, crawl_seconds=0.1, query_seconds=0, restorable_lag_seconds=0)
        self.s3.create_bucket(Bucket=BUCKET)

    def create(self, key_type: str = "S") -> EmulatedLake:
        """Make the table, two hours ago; its time goes on by a minute with each export."""
        self.aws.clock.set(datetime.now(UTC) - timedelta(hours=2))
        create_table(self.dynamodb, self.table, "Id", key_type=key_type)
        return self

    def put(self, *items: dict[str, Any]) -> None:
        for item in items:
            self.dynamodb.put_item(TableName=self.table, Item=item)

    def delete(self, *keys: dict[str, Any]) -> None:
        for key in keys:
            self.dynamodb.delete_item(TableName=self.table, Key=key)

    def export(self) -> str:
        """Return the address of an export as of now."""
        self.aws.clock.advance(timedelta(minutes=1))
        return self.export_at(self.aws.clock.now().replace(microsecond=0))

    def export_at(self, moment: datetime, *, since: datetime | None = None, **asked: Any) -> str:
        """Return the address of an export as of *moment*, or of what changed *since* until then, as *asked*."""
        arn = self.dynamodb.describe_table(TableName=self.table)["Table"]["TableArn"]
        window = {"ExportFromTime": since, "ExportToTime": moment}
        times = (
            {"ExportTime": moment}
            if since is None
            else {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": window}
        )
        started = self.dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=BUCKET, **times, **asked)
        export_arn = started["ExportDescription"]["ExportArn"]
        while True:
            found = self.dynamodb.describe_export(ExportArn=export_arn)["ExportDescription"]
            if found["ExportStatus"] != "IN_PROGRESS":
                break
        assert found["ExportStatus"] == "COMPLETED"
        return f"s3://{BUCKET}/AWSDynamoDB/{export_arn.rpartition('/')[2]}"

    def publish(self, source: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Return the operator's XCom for a snapshot of *source*, by default of an export as of now."""
        operator = DynamoDBExportToParquetOperator(
            task_id="to_parquet", **{"source": source or self.export(), "lake": LAKE, "database": DATABASE, **arguments}
        )
        figures: dict[str, Any] = json.loads(json.dumps(operator.execute(task_context())))
        return figures

    def place(
        self,
        items: Sequence[dict[str, Any]],
        as_of: datetime,
        *,
        table: str = "reviews",
        register: bool = True,
        **record: Any,
    ) -> str:
        """Return the address of the commit record of a snapshot of *items*, published now.

        They need not be what a table can hold: keys may be double or missing. *record* are other values of the commit
        record.
        """
        store = open_store(f"{LAKE}/{table}", s3=self.s3)
        ledger = Ledger(store)
        number, previous = ledger.newest_schema()
        observation = Observation()
        for item in items:
            observation.add(item)
        schema = resolve(observation, ColumnOptions(), previous)
        if schema != previous:
            ledger.append_schema(number + 1, schema)
        builder = RowBuilder(schema)
        for item in items:
            builder.add(item)
        body = io.BytesIO()
        pq.write_table(pa.Table.from_batches([builder.finish()]), body)
        key = f"{layout.snapshot_folder(as_of)}/part-00000-00000000.parquet"
        store.write(key, body.getvalue())
        sha256 = hashlib.sha256(body.getvalue()).hexdigest()
        arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.table}"
        fields: dict[str, Any] = {
            "table": table,
            "as_of": as_of,
            "published_at": datetime.now(UTC),
            "rows": len(items),
            "parts": (Part(key, len(items), len(body.getvalue()), sha256),),
            "schema": schema,
            "source": Source("", f"{arn}/export/0", "FULL_EXPORT", arn, "", "DYNAMODB_JSON", "", 1, len(items), 0, ()),
            "digest": sha256,
            "rescued": dict(builder.rescued),
            **record,
        }
        published = CommitRecord(**fields)
        ledger.create(published)
        if register:
            register_snapshot(self.glue, published, schema, database=DATABASE, lake_uri=LAKE)
        return store.uri_of(layout.record_key(as_of))

    def partitions(self, table: str = "reviews") -> list[dict[str, Any]]:
        """Return the table's partitions in the catalog; none without a table."""
        try:
            found: list[dict[str, Any]] = self.glue.get_partitions(DatabaseName=DATABASE, TableName=table)["Partitions"]
        except self.glue.exceptions.EntityNotFoundException:
            return []
        return found

    def query(self, sql: str) -> list[list[str | None]]:
        """Return the rows Athena answers, without the header."""
        query_id = self.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": DATABASE},
            ResultConfiguration={"OutputLocation": RESULTS},
        )["QueryExecutionId"]
        while True:
            status = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
            if status["State"] not in {"QUEUED", "RUNNING"}:
                break
        assert status["State"] == "SUCCEEDED", status
        rows = self.athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows[1:]]


class TaskInstance(SimpleNamespace):
    """What operators use of one; what is pushed has to be JSON."""

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


def task_context(*, try_number: int = 1, max_tries: int = 0, run_id: str = "run") -> dict[str, Any]:
    """Return the context of a try, as far as operators use it."""
    ti = TaskInstance(
        dag_id="dag",
        run_id=run_id,
        task_id="task",
        map_index=-1,
        try_number=try_number,
        max_tries=max_tries,
        xcoms={},
    )
    return {"ti": ti, "task_instance": ti, "outlet_events": OutletEventAccessors()}
