"""The crawler reads Parquet and registers it, in the service's states and with its errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from airflow_provider_ddbexport.local.crawl_discovery import _glob


def error_of(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def put_days(lake: Any, *days: str, folder: str = "reviews", **columns: Any) -> None:
    for day in days:
        lake.put(f"{folder}/day={day}/part-0.parquet", columns or {"rating": [1, 2]})


def test_a_crawl_makes_a_table_with_the_files_columns_and_partition_keys_from_folders(lake: Any) -> None:
    """Columns have Hive's types, keys come from key=value folders, and each partition has its own storage."""
    lake.put(
        "reviews/day=a/kind=x/part.parquet",
        pa.table(
            {
                "User": ["u"],
                "n": pa.array([1], pa.int64()),
                "price": pa.array(["1.5"]).cast(pa.decimal128(38, 9)),
                "address": pa.array([{"city": "Ulm"}], pa.struct([("city", pa.string())])),
                "tags": pa.array([["a"]], pa.list_(pa.string())),
                "_rescued": pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string())),
                "raw": pa.array([b"x"]),
                "at": pa.array([datetime(2026, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001 a Parquet timestamp
            }
        ),
    )
    lake.crawler()
    lake.crawl()
    table = lake.table("reviews")
    assert lake.columns("reviews") == {
        "user": "string",
        "n": "bigint",
        "price": "decimal(38,9)",
        "address": "struct<city:string>",
        "tags": "array<string>",
        "_rescued": "map<string,string>",
        "raw": "binary",
        "at": "timestamp",
    }
    assert [(key["Name"], key["Type"]) for key in table["PartitionKeys"]] == [("day", "string"), ("kind", "string")]
    assert table["StorageDescriptor"]["Location"] == "s3://lake/reviews/"
    assert table["Parameters"]["classification"] == "parquet"
    (partition,) = lake.glue.get_partitions(DatabaseName="db", TableName="reviews")["Partitions"]
    assert partition["Values"] == ["a", "x"]
    assert partition["StorageDescriptor"]["Location"] == "s3://lake/reviews/day=a/kind=x/"


def test_folders_that_begin_with_an_underscore_or_a_dot_are_no_tables_and_no_partitions(lake: Any) -> None:
    """Commit records and temporary files beside the partitions are not crawled."""
    put_days(lake, "a")
    lake.put("reviews/_snapshots/day=b/part.parquet", {"other": ["x"]})
    lake.put("reviews/.tmp/day=c/part.parquet", {"other": ["x"]})
    lake.put("reviews/day=a/_part.parquet", {"other": ["x"]})
    lake.s3.put_object(Bucket="lake", Key="reviews/day=a/notes.txt", Body=b"not Parquet")
    lake.crawler()
    lake.crawl()
    assert lake.partitions("reviews") == [["a"]]
    assert lake.columns("reviews") == {"rating": "bigint"}


def test_each_folder_below_the_target_is_a_table_and_the_target_itself_can_be_one(lake: Any) -> None:
    """A lake's folder gives one table for each table; a table's folder gives that table."""
    put_days(lake, "a", folder="lake/reviews")
    lake.put("lake/books/part.parquet", {"title": ["t"]})
    lake.crawler("whole", "s3://lake/lake/", TablePrefix="W_")
    lake.crawler("one", "s3://lake/lake/reviews", TablePrefix="one_")
    lake.crawl("whole")
    lake.crawl("one")
    tables = [table["Name"] for table in lake.glue.get_tables(DatabaseName="db")["TableList"]]
    assert sorted(tables) == ["one_reviews", "w_books", "w_reviews"]


def test_the_states_follow_the_clock_and_the_catalog_changes_at_the_end(lake: Any) -> None:
    """READY, RUNNING, STOPPING, READY; LastCrawl is the one before until this one has ended."""
    lake.aws.configure(crawl_seconds=10_000)
    put_days(lake, "a")
    lake.crawler()
    assert lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "READY"
    began = lake.aws.clock.now()
    lake.glue.start_crawler(Name="crawler")
    lake.aws.clock.advance(timedelta(seconds=5000))
    running = lake.glue.get_crawler(Name="crawler")["Crawler"]
    assert running["State"] == "RUNNING"
    assert 5_000_000 <= running["CrawlElapsedTime"] < 6_000_000
    assert "LastCrawl" not in running
    assert error_of(lake.glue.get_table, DatabaseName="db", Name="reviews")[0] == "EntityNotFoundException"
    left = lake.metrics()
    assert left["StillEstimating"]
    assert 4000 < left["TimeLeftSeconds"] <= 5000

    lake.aws.clock.advance(timedelta(seconds=4300))
    assert lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "STOPPING"
    assert lake.columns("reviews")

    lake.aws.clock.advance(timedelta(seconds=1000))
    ended = lake.glue.get_crawler(Name="crawler")["Crawler"]
    assert ended["State"] == "READY"
    assert ended["CrawlElapsedTime"] == 0
    assert ended["LastCrawl"]["Status"] == "SUCCEEDED"
    assert abs(ended["LastCrawl"]["StartTime"].astimezone(UTC) - began) < timedelta(seconds=1000)
    assert lake.metrics()["LastRuntimeSeconds"] == pytest.approx(10_000, abs=500)


def test_a_crawl_does_not_see_what_is_written_after_it_started(lake: Any) -> None:
    """Whoever publishes while a crawl runs has to wait it out and start another."""
    lake.aws.configure(crawl_seconds=10_000)
    put_days(lake, "a")
    lake.crawler()
    lake.glue.start_crawler(Name="crawler")
    put_days(lake, "b")
    lake.aws.clock.advance(timedelta(seconds=10_001))
    assert lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "READY"
    assert lake.partitions("reviews") == [["a"]]
    lake.crawl()
    assert lake.partitions("reviews") == [["a"], ["b"]]


def test_a_running_crawler_is_neither_started_nor_changed_nor_deleted(lake: Any) -> None:
    """CrawlerRunningException, with the service's message."""
    lake.aws.configure(crawl_seconds=10_000)
    lake.crawler()
    lake.glue.start_crawler(Name="crawler")
    refused = ("CrawlerRunningException", "Crawler with name crawler has already started")
    assert error_of(lake.glue.start_crawler, Name="crawler") == refused
    assert error_of(lake.glue.update_crawler, Name="crawler", Role="other")[0] == "CrawlerRunningException"
    assert error_of(lake.glue.delete_crawler, Name="crawler")[0] == "CrawlerRunningException"


def test_a_stopped_crawl_changes_nothing_and_ends_as_cancelled(lake: Any) -> None:
    """RUNNING, STOPPING, READY; the catalog stays as it was."""
    lake.aws.configure(crawl_seconds=10_000)
    put_days(lake, "a")
    lake.crawler()
    assert error_of(lake.glue.stop_crawler, Name="crawler")[0] == "CrawlerNotRunningException"
    lake.glue.start_crawler(Name="crawler")
    lake.glue.stop_crawler(Name="crawler")
    assert lake.glue.get_crawler(Name="crawler")["Crawler"]["State"] == "STOPPING"
    assert error_of(lake.glue.stop_crawler, Name="crawler")[0] == "CrawlerStoppingException"
    lake.aws.clock.advance(timedelta(seconds=20_000))
    crawler = lake.glue.get_crawler(Name="crawler")["Crawler"]
    assert (crawler["State"], crawler["LastCrawl"]["Status"]) == ("READY", "CANCELLED")
    assert error_of(lake.glue.get_table, DatabaseName="db", Name="reviews")[0] == "EntityNotFoundException"


def test_a_second_crawl_adds_partitions_and_columns_and_counts_what_it_changed(lake: Any) -> None:
    """TablesCreated and TablesUpdated are those of the latest crawl; nothing new is no update."""
    put_days(lake, "a")
    lake.crawler()
    lake.crawl()
    assert (lake.metrics()["TablesCreated"], lake.metrics()["TablesUpdated"]) == (1, 0)
    put_days(lake, "b", rating=[1], review=["x"])
    lake.crawl()
    assert (lake.metrics()["TablesCreated"], lake.metrics()["TablesUpdated"]) == (0, 1)
    assert lake.columns("reviews") == {"rating": "bigint", "review": "string"}
    lake.crawl()
    assert (lake.metrics()["TablesCreated"], lake.metrics()["TablesUpdated"]) == (0, 0)


def test_a_policy_of_log_keeps_the_columns_and_still_adds_partitions(lake: Any) -> None:
    """UpdateBehavior LOG: only new tables and new partitions are made."""
    put_days(lake, "a")
    lake.crawler(SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"})
    lake.crawl()
    put_days(lake, "b", rating=[1], review=["x"])
    lake.crawl()
    assert lake.columns("reviews") == {"rating": "bigint"}
    assert lake.partitions("reviews") == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("policy", "expected"), [("DELETE_FROM_DATABASE", []), ("LOG", [["a"], ["b"]]), ("DEPRECATE_IN_DATABASE", None)]
)
def test_what_is_gone_from_the_lake_is_dealt_with_by_the_delete_policy(lake: Any, policy: str, expected: Any) -> None:
    """Deleted, deprecated, or left alone."""
    put_days(lake, "a", "b")
    lake.crawler(SchemaChangePolicy={"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": policy})
    lake.crawl()
    for day in ("a", "b"):
        lake.s3.delete_object(Bucket="lake", Key=f"reviews/day={day}/part-0.parquet")
    lake.crawl()
    if policy == "DELETE_FROM_DATABASE":
        assert error_of(lake.glue.get_table, DatabaseName="db", Name="reviews")[0] == "EntityNotFoundException"
        assert lake.metrics()["TablesDeleted"] == 1
    else:
        assert ("DEPRECATED_BY_CRAWLER" in lake.table("reviews")["Parameters"]) == (expected is None)
        assert lake.partitions("reviews") == [["a"], ["b"]]


def test_columns_that_disagree_become_text_while_partitions_keep_their_own_type(lake: Any) -> None:
    """The state in which Athena reports HIVE_PARTITION_SCHEMA_MISMATCH."""
    put_days(lake, "a", rating=[1])
    put_days(lake, "b", rating=["one"])
    lake.crawler()
    lake.crawl()
    assert lake.columns("reviews") == {"rating": "string"}
    own = lake.glue.get_partition(DatabaseName="db", TableName="reviews", PartitionValues=["a"])["Partition"]
    assert own["StorageDescriptor"]["Columns"] == [{"Name": "rating", "Type": "bigint"}]


def test_partitions_inherit_and_columns_merge_where_the_configuration_says_so(lake: Any) -> None:
    """InheritFromTable and MergeNewColumns of the crawler's Configuration."""
    put_days(lake, "a", rating=[1])
    behaviour = (
        '{"Version":1.0,"CrawlerOutput":{"Partitions":{"AddOrUpdateBehavior":"InheritFromTable"},'
        '"Tables":{"AddOrUpdateBehavior":"MergeNewColumns"}}}'
    )
    lake.crawler(Configuration=behaviour)
    lake.crawl()
    put_days(lake, "b", rating=["one"], extra=["x"])
    lake.crawl()
    assert lake.columns("reviews") == {"rating": "bigint", "extra": "string"}
    own = lake.glue.get_partition(DatabaseName="db", TableName="reviews", PartitionValues=["b"])["Partition"]
    assert own["StorageDescriptor"]["Columns"][0] == {"Name": "rating", "Type": "bigint"}


def test_excluded_objects_are_not_seen(lake: Any) -> None:
    """Exclusions are patterns over the path below the target."""
    put_days(lake, "a", "b")
    lake.crawler(exclusions=["reviews/day=b/**"])
    lake.crawl()
    assert lake.partitions("reviews") == [["a"]]


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("**.csv", "x/a.csv", True),
        ("x/**", "x/y/a", True),
        ("a?.txt", "ab.txt", True),
        ("a?.txt", "a/.txt", False),
        ("{a,b}.txt", "b.txt", True),
        ("{a,b}.txt", "c.txt", False),
        ("[!a]x", "bx", True),
        ("[a-c]x", "dx", False),
        ("a+b", "a+b", True),
    ],
)
def test_exclusion_patterns_are_the_crawlers(pattern: str, path: str, matches: bool) -> None:
    """One star stays inside a folder, two do not; braces and brackets are as documented."""
    assert bool(_glob(pattern).fullmatch(path)) is matches


def test_a_target_without_a_bucket_fails_the_crawl_and_says_so(lake: Any) -> None:
    """LastCrawl has FAILED and a message; nothing is catalogued."""
    lake.crawler(path="s3://nowhere/lake/")
    last = lake.crawl()["LastCrawl"]
    assert last["Status"] == "FAILED"
    assert "The specified bucket does not exist" in last["ErrorMessage"]


def test_a_table_of_the_same_name_elsewhere_is_not_overwritten(lake: Any) -> None:
    """The second gets a hash behind its name, as in Glue."""
    put_days(lake, "a", folder="one/reviews")
    put_days(lake, "a", folder="two/reviews")
    lake.crawler()
    lake.crawl()
    names = [table["Name"] for table in lake.glue.get_tables(DatabaseName="db")["TableList"]]
    plain, hashed = sorted(names)
    assert plain == "reviews"
    assert re.fullmatch(r"reviews_[0-9a-f]{32}", hashed)


def test_partition_values_are_unescaped_and_folders_without_a_key_are_numbered(lake: Any) -> None:
    """Hive's %XX in folder names is undone; a folder without ``=`` below a table is partition_0."""
    lake.put("escaped/name=a%2Fb/part.parquet", {"n": [1]})
    lake.put("plain/part.parquet", {"n": [1]})
    lake.put("numbered/key=1/sub/part.parquet", {"n": [1]})
    lake.crawler()
    lake.crawl()
    assert lake.partitions("escaped") == [["a/b"]]
    assert lake.table("plain")["PartitionKeys"] == []
    assert [key["Name"] for key in lake.table("numbered")["PartitionKeys"]] == ["key", "partition_0"]
    assert lake.partitions("numbered") == [["1", "sub"]]


def test_a_crawler_that_is_not_there_is_an_entity_not_found(lake: Any) -> None:
    """With the service's words, which differ between reading and starting."""
    read = error_of(lake.glue.get_crawler, Name="none")
    assert read == ("EntityNotFoundException", "Crawler entry with name none does not exist")
    assert error_of(lake.glue.start_crawler, Name="none") == (
        "EntityNotFoundException",
        "Crawler with name none does not exist",
    )
    assert lake.glue.get_crawler_metrics(CrawlerNameList=["none"])["CrawlerMetricsList"] == []


def test_an_update_changes_what_it_names_and_counts_the_version(lake: Any) -> None:
    """The other settings stay; creating a name twice is refused."""
    lake.crawler()
    lake.glue.update_crawler(Name="crawler", TablePrefix="p_")
    crawler = lake.glue.get_crawler(Name="crawler")["Crawler"]
    assert (crawler["TablePrefix"], crawler["Role"], crawler["Version"]) == ("p_", "role", 2)
    assert crawler["SchemaChangePolicy"] == {
        "UpdateBehavior": "UPDATE_IN_DATABASE",
        "DeleteBehavior": "DEPRECATE_IN_DATABASE",
    }
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        lake.crawler()


def test_past_crawls_are_listed_newest_first(lake: Any) -> None:
    """With their states, and by state."""
    lake.crawler(path="s3://nowhere/")
    lake.crawl()
    lake.s3.create_bucket(Bucket="nowhere")
    lake.crawl()
    crawls = lake.glue.list_crawls(CrawlerName="crawler")["Crawls"]
    assert [crawl["State"] for crawl in crawls] == ["COMPLETED", "FAILED"]
    filters = [{"FieldName": "STATE", "FilterOperator": "EQ", "FieldValue": "FAILED"}]
    assert len(lake.glue.list_crawls(CrawlerName="crawler", Filters=filters)["Crawls"]) == 1
    assert len(lake.glue.get_crawlers()["Crawlers"]) == 1
    assert lake.glue.batch_get_crawlers(CrawlerNames=["crawler", "x"])["CrawlersNotFound"] == ["x"]
    lake.glue.delete_crawler(Name="crawler")
    assert lake.glue.get_crawlers()["Crawlers"] == []


def test_only_new_folders_are_looked_at_where_the_recrawl_policy_says_so(lake: Any) -> None:
    """CRAWL_NEW_FOLDERS_ONLY: a partition that is registered keeps what it declares."""
    put_days(lake, "a", rating=[1])
    lake.crawler(
        RecrawlPolicy={"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    )
    lake.crawl()
    put_days(lake, "a", rating=["changed"])
    put_days(lake, "b", rating=[2])
    lake.crawl()
    assert lake.partitions("reviews") == [["a"], ["b"]]
    own = lake.glue.get_partition(DatabaseName="db", TableName="reviews", PartitionValues=["a"])["Partition"]
    assert own["StorageDescriptor"]["Columns"] == [{"Name": "rating", "Type": "bigint"}]


LONGEST = 131_072
"""https://docs.aws.amazon.com/glue/latest/webapi/API_Column.html"""


def type_of(length: int) -> str:
    return f"struct<{'n' * (length - len('struct<:int>'))}:int>"


def test_a_type_that_is_too_long_is_refused(lake: Any) -> None:
    """Of a table and of a partition, made or changed, by its place; the longest one is taken."""
    lake.glue.create_database(DatabaseInput={"Name": "db"})

    def storage(length: int) -> dict[str, Any]:
        columns = [{"Name": "a", "Type": "int"}, {"Name": "b", "Type": type_of(length)}]
        return {"Columns": columns, "Location": "s3://lake/t/"}

    def table(length: int) -> dict[str, Any]:
        keys = [{"Name": "day", "Type": "string"}]
        return {
            "DatabaseName": "db",
            "TableInput": {"Name": "t", "StorageDescriptor": storage(length), "PartitionKeys": keys},
        }

    def partition(length: int) -> dict[str, Any]:
        return {"Values": ["a"], "StorageDescriptor": storage(length)}

    says = "columns.2.member.type' failed to satisfy constraint: Member must have length less than or equal to 131072"
    names = {"DatabaseName": "db", "TableName": "t"}
    for call, arguments, place in (
        (lake.glue.create_table, table, "tableInput"),
        (lake.glue.update_table, table, "tableInput"),
        (
            lake.glue.batch_create_partition,
            lambda n: {**names, "PartitionInputList": [partition(n)]},
            "partitionInputList.1.member",
        ),
    ):
        code, message = error_of(call, **arguments(LONGEST + 1))
        assert code == "ValidationException"
        assert message.endswith(f"Value at '{place}.storageDescriptor.{says}")
        call(**arguments(LONGEST))
    assert lake.partitions("t") == [["a"]]
    assert lake.columns("t")["b"] == type_of(LONGEST)


def test_a_crawl_that_finds_a_type_that_is_too_long_fails(lake: Any) -> None:
    """It says which, and writes no table."""
    names = [f"{'n' * 200}{number:04d}" for number in range(700)]
    lake.put(
        "reviews/part.parquet", pa.table({"place": pa.array([None], pa.struct([(name, pa.int64()) for name in names]))})
    )
    lake.crawler()
    crawler = lake.crawl()
    assert crawler["LastCrawl"]["Status"] == "FAILED"
    assert "table.storageDescriptor.columns.1.member.type" in crawler["LastCrawl"]["ErrorMessage"]
    assert lake.glue.get_tables(DatabaseName="db")["TableList"] == []
