"""Athena reads Parquet through the catalog: kinds of values, partitions, schemas that differ, hostile names."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa


def test_values_are_printed_as_athena_prints_them(lake: Any) -> None:
    """Doubles as Java does, timestamps with milliseconds, binary as hex, collections in their brackets."""
    lake.put(
        "kinds/part.parquet",
        pa.table(
            {
                "text": ['a "quoted", text'],
                "whole": pa.array([-5], pa.int32()),
                "big": pa.array([9007199254740993], pa.int64()),
                "exact": pa.array(["12.5"]).cast(pa.decimal128(10, 3)),
                "real": pa.array([1.5], pa.float32()),
                "tiny": pa.array([1e-5]),
                "huge": pa.array([12345678.9]),
                "truth": [True],
                "day": pa.array([date(2026, 1, 14)]),
                "moment": pa.array([datetime(2026, 1, 14, 10, 18, 50, 123456)], pa.timestamp("us")),  # noqa: DTZ001
                "raw": [b"\x01\xff"],
                "listed": [["a", None]],
                "pairs": pa.array([[("k", 1), ("l", None)]], pa.map_(pa.string(), pa.int64())),
                "nested": [{"a": [{"b": True}], "c": None}],
                "nothing": pa.array([None], pa.string()),
            }
        ),
    )
    lake.crawler()
    lake.crawl()
    answer = lake.query("SELECT * FROM kinds")
    expected = {
        "text": ("varchar", 'a "quoted", text'),
        "whole": ("integer", "-5"),
        "big": ("bigint", "9007199254740993"),
        "exact": ("decimal", "12.500"),
        "real": ("float", "1.5"),
        "tiny": ("double", "1.0E-5"),
        "huge": ("double", "1.23456789E7"),
        "truth": ("boolean", "true"),
        "day": ("date", "2026-01-14"),
        "moment": ("timestamp", "2026-01-14 10:18:50.123"),
        "raw": ("varbinary", "01 ff"),
        "listed": ("array", "[a, null]"),
        "pairs": ("map", "{k=1, l=null}"),
        "nested": ("row", "{a=[{b=true}], c=null}"),
        "nothing": ("varchar", None),
    }
    printed = dict(zip(answer.names, zip(answer.types, answer.rows[1], strict=True), strict=True))
    assert printed == expected
    body = lake.s3.get_object(Bucket="results", Key=f"athena/{answer.id}.csv")["Body"].read().decode()
    header, line = body.splitlines()
    assert header.startswith('"text","whole","big"')
    assert line.startswith('"a ""quoted"", text","-5",')
    assert line.endswith(',"{a=[{b=true}], c=null}",')
    assert lake.s3.head_object(Bucket="results", Key=f"athena/{answer.id}.csv.metadata")["ContentLength"] > 0


def test_names_are_only_ever_names(lake: Any) -> None:
    """Quotes, semicolons and keywords in column names and partition values stay what they are."""
    hostile = 'a"; DROP TABLE x; --'
    value = "it's; DROP TABLE reviews"
    lake.put(f"odd/day={value}/part.parquet", pa.table({hostile: ["v"], "select": ["s"]}))
    lake.crawler()
    lake.crawl()
    quoted = hostile.replace('"', '""')
    literal = value.replace("'", "''")
    assert lake.values(f'SELECT "{quoted}", "select" FROM odd WHERE day = \'{literal}\'') == [["v", "s"]]
    assert lake.values("SELECT day FROM odd") == [[value]]
    assert lake.query("SHOW PARTITIONS odd").rows == [["day=it%27s; DROP TABLE reviews"]]


def test_the_current_time_is_the_emulators(lake: Any) -> None:
    """CURRENT_TIMESTAMP and CURRENT_DATE follow the clock that can be set."""
    lake.aws.clock.set(datetime(2020, 2, 29, 12, tzinfo=UTC), frozen=True)
    lake.aws.configure(query_seconds=0)
    rows = lake.values("SELECT current_timestamp, now(), current_date, localtimestamp")
    stamp = "2020-02-29 12:00:00.000"
    assert rows == [[f"{stamp} UTC", f"{stamp} UTC", "2020-02-29", stamp]]


def register(lake: Any, columns: dict[str, str], partition_columns: dict[str, str]) -> None:
    """Register ``db.t``, partitioned by day, with one partition that declares columns of its own."""

    def storage(location: str, declared: dict[str, str]) -> dict[str, Any]:
        return {"Location": location, "Columns": [{"Name": name, "Type": kind} for name, kind in declared.items()]}

    lake.glue.create_database(DatabaseInput={"Name": "db"})
    lake.glue.create_table(
        DatabaseName="db",
        TableInput={
            "Name": "t",
            "PartitionKeys": [{"Name": "day", "Type": "date"}],
            "StorageDescriptor": storage("s3://lake/t/", columns),
        },
    )
    lake.glue.create_partition(
        DatabaseName="db",
        TableName="t",
        PartitionInput={
            "Values": ["2026-01-14"],
            "StorageDescriptor": storage("s3://lake/t/day=2026-01-14/", partition_columns),
        },
    )


def test_a_partition_whose_type_disagrees_with_the_tables_is_a_schema_mismatch(lake: Any) -> None:
    """HIVE_PARTITION_SCHEMA_MISMATCH names column, table, partition and both types; other columns stay readable."""
    lake.put("t/day=2026-01-14/part.parquet", {"a": ["x"], "b": [1]})
    register(lake, {"a": "bigint", "b": "bigint"}, {"a": "string", "b": "bigint"})
    answer = lake.query("SELECT a FROM t")
    assert answer.state == "FAILED"
    assert answer.reason == (
        "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. The types are "
        "incompatible and cannot be coerced. The column 'a' in table 'db.t' is declared as type 'bigint', but "
        "partition 'day=2026-01-14' declared column 'a' as type 'string'."
    )
    assert lake.values("SELECT b, day FROM t WHERE day > DATE '2026-01-01'") == [["1", "2026-01-14"]]


def test_columns_that_a_partition_does_not_have_are_null_and_structs_may_have_grown(lake: Any) -> None:
    """Old partitions stay readable when the table has grown columns and struct fields; integers widen."""
    lake.put("t/day=2026-01-14/part.parquet", pa.table({"s": [{"a": 1}, None], "n": pa.array([1, 2], pa.int32())}))
    register(
        lake,
        {"s": "struct<a:bigint,b:array<string>>", "n": "bigint", "new": "map<string,string>"},
        {"s": "struct<a:bigint>", "n": "int"},
    )
    assert lake.values("SELECT s, s.b, n, new FROM t ORDER BY n") == [
        ["{a=1, b=null}", None, "1", None],
        [None, None, "2", None],
    ]


def test_a_file_that_is_not_what_the_table_says_is_bad_data(lake: Any) -> None:
    """HIVE_BAD_DATA names the object: another type, or not Parquet at all."""
    lake.put("t/day=2026-01-14/part.parquet", {"a": ["x"]})
    register(lake, {"a": "bigint"}, {"a": "bigint"})
    answer = lake.query("SELECT a FROM t")
    assert answer.reason.startswith("HIVE_BAD_DATA: Field a's type string in parquet file s3://lake/t/day=2026-01-14/")
    lake.s3.put_object(Bucket="lake", Key="t/day=2026-01-14/part.parquet", Body=b"not Parquet")
    assert lake.query("SELECT a FROM t").reason.startswith("HIVE_BAD_DATA: Malformed Parquet file.")


def test_the_default_partition_is_null(lake: Any) -> None:
    """Hive's name for a missing partition value reads as NULL."""
    lake.put("odd/kind=__HIVE_DEFAULT_PARTITION__/part.parquet", {"n": [1]})
    lake.put("odd/kind=a/part.parquet", {"n": [2]})
    lake.crawler()
    lake.crawl()
    assert lake.values("SELECT n, kind FROM odd WHERE kind IS NULL") == [["1", None]]


def test_a_table_of_a_snapshot_without_rows_has_columns_and_no_rows(lake: Any) -> None:
    """One part with no rows is an empty table."""
    lake.put("empty/day=a/part.parquet", pa.schema([("n", pa.int64())]).empty_table())
    lake.crawler()
    lake.crawl()
    assert lake.values("SELECT * FROM empty") == []
    assert lake.values("SELECT count(*), max(n) FROM empty") == [["0", None]]
