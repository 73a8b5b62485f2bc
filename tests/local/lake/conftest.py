"""A small lake on the embedded AWS: buckets, Parquet, a crawler, queries."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_ddbexport.local.handle import LocalAws


@dataclass
class Answer:
    """How a query ended."""

    id: str
    state: str
    reason: str = ""
    names: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    scanned: int = 0
    execution: dict[str, Any] = field(default_factory=dict)


class Lake:
    """Bucket ``lake`` for data, bucket ``results`` for Athena, database ``db``."""

    def __init__(self, aws: LocalAws, clients: dict[str, Any]) -> None:
        self.aws = aws
        self.s3 = clients["s3"]
        self.glue = clients["glue"]
        self.athena = clients["athena"]
        for bucket in ("lake", "results"):
            self.s3.create_bucket(Bucket=bucket)

    def put(self, key: str, table: pa.Table | dict[str, Any]) -> int:
        """Write *table* as Parquet; return its size in bytes."""
        buffer = io.BytesIO()
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), buffer)
        self.s3.put_object(Bucket="lake", Key=key, Body=buffer.getvalue())
        return len(buffer.getvalue())

    def crawler(self, name: str = "crawler", path: str = "s3://lake/", **changes: Any) -> None:
        """Create a crawler of *path*."""
        target = {"Path": path, **({"Exclusions": changes.pop("exclusions")} if "exclusions" in changes else {})}
        self.glue.create_crawler(Name=name, Role="role", DatabaseName="db", Targets={"S3Targets": [target]}, **changes)

    def crawl(self, name: str = "crawler") -> dict[str, Any]:
        """Run a crawler, which takes no time, and return it as it is then."""
        self.aws.configure(crawl_seconds=0)
        self.glue.start_crawler(Name=name)
        crawler = self.glue.get_crawler(Name=name)["Crawler"]
        assert crawler["State"] == "READY"
        return dict(crawler)

    def metrics(self, name: str = "crawler") -> dict[str, Any]:
        """Return a crawler's figures."""
        return dict(self.glue.get_crawler_metrics(CrawlerNameList=[name])["CrawlerMetricsList"][0])

    def table(self, name: str) -> dict[str, Any]:
        """Return a table of the catalog."""
        return dict(self.glue.get_table(DatabaseName="db", Name=name)["Table"])

    def columns(self, name: str) -> dict[str, str]:
        """Return a table's columns and their types."""
        return {column["Name"]: column["Type"] for column in self.table(name)["StorageDescriptor"]["Columns"]}

    def partitions(self, name: str) -> list[list[str]]:
        """Return the values of a table's partitions, sorted."""
        found = self.glue.get_partitions(DatabaseName="db", TableName=name)["Partitions"]
        return sorted(partition["Values"] for partition in found)

    def start(self, sql: str, *, database: str = "db", **more: Any) -> str:
        """Submit *sql* and return its id."""
        arguments = {"ResultConfiguration": {"OutputLocation": "s3://results/athena/"}, **more}
        context = {"Database": database}
        answer = self.athena.start_query_execution(QueryString=sql, QueryExecutionContext=context, **arguments)
        return str(answer["QueryExecutionId"])

    def state(self, query_id: str) -> str:
        """Return a query's state."""
        execution = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return str(execution["Status"]["State"])

    def ended(self, query_id: str) -> dict[str, Any]:
        """Return a query that is due as it is when DuckDB is through with it."""
        while True:
            execution: dict[str, Any] = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if execution["Status"]["State"] not in {"QUEUED", "RUNNING"}:
                return execution

    def query(self, sql: str, **more: Any) -> Answer:
        """Run *sql*, which takes no time but DuckDB's, and return how it ended."""
        self.aws.configure(query_seconds=0)
        query_id = self.start(sql, **more)
        execution = self.ended(query_id)
        status = execution["Status"]
        answer = Answer(query_id, status["State"], status.get("StateChangeReason", ""), execution=execution)
        answer.scanned = execution["Statistics"]["DataScannedInBytes"]
        if answer.state == "SUCCEEDED":
            result = self.athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]
            info = result["ResultSetMetadata"]["ColumnInfo"]
            answer.names = [column["Name"] for column in info]
            answer.types = [column["Type"] for column in info]
            answer.rows = [[datum.get("VarCharValue") for datum in row["Data"]] for row in result["Rows"]]
        return answer

    def values(self, sql: str, **more: Any) -> list[list[str | None]]:
        """Return the rows of a SELECT without its header; fail where it fails."""
        answer = self.query(sql, **more)
        assert answer.state == "SUCCEEDED", answer.reason
        assert answer.rows[0] == answer.names
        return answer.rows[1:]


def reviews(ratings: list[int]) -> pa.Table:
    """Return one row for each rating, with every kind of column."""
    count = len(ratings)
    return pa.table(
        {
            "user": [f"user-{rating}" for rating in ratings],
            "rating": pa.array(ratings, pa.int64()),
            "price": pa.array(["4.5"] * count).cast(pa.decimal128(38, 9)),
            "tags": pa.array([["a", "b"]] * count, pa.list_(pa.string())),
            "address": pa.array(
                [{"city": "Ulm", "zip": None}] * count, pa.struct([("city", pa.string()), ("zip", pa.string())])
            ),
            "_rescued": pa.array([[("late", '{"NULL":true}')]] * count, pa.map_(pa.string(), pa.string())),
        }
    )


@pytest.fixture(scope="session")
def lake_clients(local_aws_server: LocalAws) -> dict[str, Any]:
    """One client of each service for all tests: making one takes longer than a test."""
    return {service: local_aws_server.client(service) for service in ("s3", "glue", "athena")}


@pytest.fixture
def lake(local_aws: LocalAws, lake_clients: dict[str, Any]) -> Lake:
    """An embedded AWS with two empty buckets."""
    return Lake(local_aws, lake_clients)


@dataclass
class Reviews:
    """A crawled table of two partitions, and the sizes of their objects."""

    lake: Lake
    first: int
    second: int


def _crawled_reviews(lake: Lake) -> Reviews:
    first = lake.put("reviews/ddb_export_timestamp=T1/part-0.parquet", reviews([1, 5]))
    second = lake.put("reviews/ddb_export_timestamp=T2/part-0.parquet", reviews([2, 3, 4]))
    lake.crawler()
    lake.crawl()
    return Reviews(lake, first, second)


@pytest.fixture
def reviews_lake(lake: Lake) -> Reviews:
    """``db.reviews`` with the partitions T1 (ratings 1 and 5) and T2 (ratings 2, 3 and 4)."""
    return _crawled_reviews(lake)


@pytest.fixture(scope="module")
def shared_reviews(local_aws_server: LocalAws, lake_clients: dict[str, Any]) -> Reviews:
    """The same for a whole module whose tests only read; none of them may ask for ``lake``, which empties it."""
    local_aws_server.reset()
    return _crawled_reviews(Lake(local_aws_server, lake_clients))
