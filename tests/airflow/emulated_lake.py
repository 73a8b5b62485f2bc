"""A table in the embedded AWS and the lake its snapshots go to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

BUCKET = "lakes"
LAKE = f"s3://{BUCKET}/lake"
DATABASE = "snapshots"
RESULTS = f"s3://{BUCKET}/results/"


class EmulatedLake:
    """Puts items into a DynamoDB table, exports it, and publishes snapshots of it by the operator.

    The table's time is two hours ago and goes on by a minute with each export, so that publication, which happens in
    real time, is after all of it. ``create`` makes the table; its key is ``Id``.
    """

    def __init__(self, aws: Any, table: str = "Reviews") -> None:
        self.aws, self.table = aws, table
        self.s3, self.glue, self.athena = (aws.client(name) for name in ("s3", "glue", "athena"))
        self.dynamodb = aws.client("dynamodb")
        aws.configure(export_seconds=0, crawl_seconds=0.2, query_seconds=0, restorable_lag_seconds=0)
        aws.clock.set(datetime.now(UTC) - timedelta(hours=2))
        self.s3.create_bucket(Bucket=BUCKET)

    def create(self, key_type: str = "S") -> EmulatedLake:
        self.dynamodb.create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": key_type}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.dynamodb.update_continuous_backups(
            TableName=self.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
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
        now = self.aws.clock.now().replace(microsecond=0)
        arn = self.dynamodb.describe_table(TableName=self.table)["Table"]["TableArn"]
        started = self.dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket=BUCKET, ExportTime=now)
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
