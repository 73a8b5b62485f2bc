"""Statements about the catalog, through Athena, on the same tables that Glue shows."""

from __future__ import annotations

from typing import Any

import pytest

TABLE = """
CREATE EXTERNAL TABLE IF NOT EXISTS `db`.ext (
  `a` bigint COMMENT 'the first',
  s struct<x:array<string>,y:map<string,decimal(10,2)>>
)
PARTITIONED BY (`day` string, kind string)
STORED AS PARQUET
LOCATION 's3://lake/ext/'
TBLPROPERTIES ('parquet.compression' = 'ZSTD')
"""


@pytest.fixture
def ext(lake: Any) -> Any:
    """A lake with the table ``db.ext``, without partitions."""
    for statement in ("CREATE DATABASE IF NOT EXISTS db COMMENT 'mine'", TABLE, TABLE):
        answer = lake.query(statement)
        assert answer.state == "SUCCEEDED", answer.reason
    return lake


def test_a_created_table_is_in_glue_with_its_columns_keys_and_comments(ext: Any) -> None:
    """CREATE EXTERNAL TABLE registers Parquet; the result has no rows."""
    table = ext.table("ext")
    assert table["StorageDescriptor"]["Columns"] == [
        {"Name": "a", "Type": "bigint", "Comment": "the first"},
        {"Name": "s", "Type": "struct<x:array<string>,y:map<string,decimal(10,2)>>"},
    ]
    assert [key["Name"] for key in table["PartitionKeys"]] == ["day", "kind"]
    assert table["Parameters"]["parquet.compression"] == "ZSTD"
    again = ext.query(TABLE.replace("IF NOT EXISTS", ""))
    assert again.state == "FAILED"
    assert "AlreadyExistsException(message:Table ext already exists)" in again.reason
    assert again.execution["StatementType"] == "DDL"
    assert again.execution["Statistics"]["DataScannedInBytes"] == 0


def test_partitions_are_found_added_shown_and_dropped(ext: Any) -> None:
    """MSCK REPAIR takes key=value folders in the keys' order only; ALTER TABLE adds and drops by hand."""
    ext.put("ext/day=1/kind=a/part.parquet", {"a": [1]})
    ext.put("ext/kind=a/day=9/part.parquet", {"a": [1]})
    ext.put("ext/_snapshots/day=7/kind=a/part.parquet", {"a": [1]})
    repaired = ext.query("MSCK REPAIR TABLE ext")
    assert repaired.rows == [
        ["Partitions not in metastore:\text:day=1/kind=a"],
        ["Repair: Added partition to metastore ext:day=1/kind=a"],
    ]
    assert ext.query("MSCK REPAIR TABLE db.ext").rows == []
    added = ext.query(
        "ALTER TABLE ext ADD IF NOT EXISTS PARTITION (day='1', kind='a') "
        "PARTITION (day='2', kind='b') LOCATION 's3://lake/ext/day=1/kind=a/'"
    )
    assert added.state == "SUCCEEDED", added.reason
    assert ext.query("SHOW PARTITIONS ext").rows == [["day=1/kind=a"], ["day=2/kind=b"]]
    assert ext.values("SELECT a, s, day, kind FROM ext WHERE day = '2'") == [["1", None, "2", "b"]]
    twice = ext.query("ALTER TABLE ext ADD PARTITION (day='1', kind='a')")
    assert "Partition already exists" in twice.reason
    dropped = ext.query("ALTER TABLE ext DROP IF EXISTS PARTITION (day='1', kind='a'), PARTITION (day='8', kind='x')")
    assert dropped.state == "SUCCEEDED", dropped.reason
    assert ext.partitions("ext") == [["2", "b"]]
    assert "Partition not found" in ext.query("ALTER TABLE ext DROP PARTITION (day='8', kind='x')").reason
    assert "partition spec" in ext.query("ALTER TABLE ext ADD PARTITION (day='8')").reason


def test_tables_databases_and_columns_are_listed(ext: Any) -> None:
    """SHOW has no header row and a text object; patterns are Hive's; DESCRIBE separates by tabs."""
    tables = ext.query("SHOW TABLES IN db 'e*|x'")
    assert (tables.names, tables.types, tables.rows) == (["tab_name"], ["string"], [["ext"]])
    assert tables.execution["ResultConfiguration"]["OutputLocation"].endswith(".txt")
    assert tables.execution["SubstatementType"] == "SHOW_TABLES"
    assert ext.query("SHOW TABLES LIKE 'none*'").rows == []
    assert ext.query("SHOW DATABASES").rows == [["db"], ["default"]]
    assert [row[0].strip() for row in ext.query("SHOW COLUMNS IN ext").rows] == ["a", "s", "day", "kind"]
    lines = [[text.strip() for text in row[0].split("\t")] for row in ext.query("DESCRIBE db.ext").rows]
    assert lines[0] == ["a", "bigint", "the first"]
    assert ["# Partition Information", "", ""] in lines
    assert lines[-1] == ["kind", "string", ""]


def test_columns_are_added_and_tables_and_databases_dropped(ext: Any) -> None:
    """ALTER TABLE ADD COLUMNS, DROP TABLE, DROP DATABASE with and without what is not there."""
    assert ext.query("ALTER TABLE ext ADD COLUMNS (late timestamp)").state == "SUCCEEDED"
    assert ext.columns("ext")["late"] == "timestamp"
    assert "is not empty" in ext.query("DROP DATABASE db").reason
    assert ext.query("DROP TABLE ext").state == "SUCCEEDED"
    assert "Table not found" in ext.query("DROP TABLE ext").reason
    assert ext.query("DROP TABLE IF EXISTS ext").state == "SUCCEEDED"
    assert ext.query("DROP DATABASE db CASCADE").state == "SUCCEEDED"
    assert "Database does not exist" in ext.query("DROP DATABASE db").reason
    assert ext.query("DROP SCHEMA IF EXISTS db").state == "SUCCEEDED"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE x AS SELECT 1", "NOT_SUPPORTED"),
        ("DESCRIBE none", "FAILED: SemanticException [Error 10001]: Table not found db.none"),
        ("SHOW TABLES IN none", "FAILED: SemanticException [Error 10072]: Database does not exist: none"),
        ("SHOW PARTITIONS ext extra", "FAILED: ParseException"),
        ("CREATE EXTERNAL TABLE x (a nosuch) STORED AS PARQUET LOCATION 's3://lake/x/'", "FAILED: SemanticException"),
        (
            "CREATE EXTERNAL TABLE x (a array<string) STORED AS PARQUET LOCATION 's3://lake/x/'",
            "FAILED: ParseException",
        ),
        ("CREATE EXTERNAL TABLE x (a string) STORED AS ORC LOCATION 's3://lake/x/'", "FAILED: ParseException"),
        ("CREATE DATABASE db", "FAILED: Execution Error"),
        ("ALTER TABLE ext RENAME TO y", "NOT_SUPPORTED"),
    ],
)
def test_a_statement_that_cannot_be_done_fails_and_says_why(ext: Any, statement: str, reason: str) -> None:
    """It ends as FAILED, in Hive's words."""
    answer = ext.query(statement)
    assert answer.state == "FAILED"
    assert answer.reason.startswith(reason)


def test_a_statement_takes_effect_when_it_ends_and_not_when_it_is_submitted(ext: Any) -> None:
    """A cancelled DROP TABLE drops nothing."""
    ext.aws.configure(query_seconds=100)
    query_id = ext.start("DROP TABLE ext")
    ext.athena.stop_query_execution(QueryExecutionId=query_id)
    assert ext.state(query_id) == "CANCELLED"
    assert ext.table("ext")


def test_athenas_own_catalog_calls_show_glues_tables(ext: Any) -> None:
    """GetTableMetadata, ListTableMetadata, ListDatabases and GetDatabase."""
    found = ext.athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="db", TableName="ext")
    assert found["TableMetadata"]["Columns"][0] == {"Name": "a", "Type": "bigint", "Comment": "the first"}
    listed = ext.athena.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="db")
    assert [table["Name"] for table in listed["TableMetadataList"]] == ["ext"]
    databases = ext.athena.list_databases(CatalogName="AwsDataCatalog")["DatabaseList"]
    assert [database["Name"] for database in databases] == ["db", "default"]
    database = ext.athena.get_database(CatalogName="AwsDataCatalog", DatabaseName="db")["Database"]
    assert database["Description"] == "mine"
    with pytest.raises(ext.athena.exceptions.MetadataException, match="none"):
        ext.athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName="db", TableName="none")
    with pytest.raises(ext.athena.exceptions.MetadataException, match="none"):
        ext.athena.get_database(CatalogName="AwsDataCatalog", DatabaseName="none")
