"""Athena runs SELECT on the catalog's tables, and refuses what the service refuses. Nothing here writes."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM reviews", [["5"]]),
        ('SELECT "user", rating FROM "db"."reviews" WHERE rating < 3 ORDER BY 2', [["user-1", "1"], ["user-2", "2"]]),
        ("SELECT USER FROM awsdatacatalog.db.Reviews r WHERE R.Rating = 1", [["user-1"]]),
        ("SELECT db.reviews.rating FROM db.reviews WHERE rating = 1", [["1"]]),
        ("SELECT ddb_export_timestamp, sum(rating) FROM reviews GROUP BY 1 ORDER BY 1", [["T1", "6"], ["T2", "9"]]),
        ("SELECT address.city, r.address.zip FROM reviews r WHERE rating = 1", [["Ulm", None]]),
        ("SELECT _rescued['late'] FROM reviews WHERE rating = 1", [['{"NULL":true}']]),
        ("SELECT element_at(_rescued, 'none') FROM reviews WHERE rating = 1", [[None]]),
        ("SELECT cardinality(tags), cardinality(_rescued) FROM reviews WHERE rating = 1", [["2", "1"]]),
        ("SELECT tags[2], element_at(tags, 9) FROM reviews WHERE rating = 1", [["b", None]]),
        ("SELECT tags[rating] FROM reviews WHERE rating = 1", [["a"]]),
        ("SELECT tag FROM reviews CROSS JOIN UNNEST(tags) AS t(tag) WHERE rating = 1 ORDER BY 1", [["a"], ["b"]]),
        (
            "SELECT tag, n FROM reviews, UNNEST(tags) WITH ORDINALITY AS t(tag, n) WHERE rating = 1 ORDER BY n",
            [["a", "1"], ["b", "2"]],
        ),
        (
            "SELECT k, v FROM reviews CROSS JOIN UNNEST(_rescued) AS t(k, v) WHERE rating = 1",
            [["late", '{"NULL":true}']],
        ),
        ("SELECT x, y FROM UNNEST(ARRAY[ROW(1, 'a')]) AS t(x, y)", [["1", "a"]]),
        ("SELECT x, y FROM UNNEST(ARRAY[1, 2], ARRAY['a']) AS t(x, y) ORDER BY 1", [["1", "a"], ["2", None]]),
        (
            "WITH reviews AS (SELECT * FROM reviews WHERE rating > 4) SELECT rating FROM reviews",
            [["5"]],
        ),
        ("SELECT 7 / 2, 7 / 2.0, 7 % 2", [["3", "3.5", "1"]]),
        (
            "SELECT avg(price), max(price) / 2, 1 / DECIMAL '4.00' FROM reviews",
            [["4.500000000", "2.250000000", "0.25"]],
        ),
        ("SELECT cardinality(slice(tags, cardinality(tags), 1)) FROM reviews WHERE rating = 1", [["1"]]),
        ("SELECT MAP(ARRAY['a'], ARRAY[ARRAY['x', 'y']])['a'][cardinality(ARRAY[1, 2])]", [["y"]]),
        (
            "SELECT DATE '2026-01-31' + INTERVAL '1' DAY, date_add('month', -1, DATE '2026-03-01')",
            [["2026-02-01", "2026-02-01"]],
        ),
        ("SELECT length(to_utf8('äb')), length('äb')", [["3", "2"]]),
        ('SELECT max_by("user", rating), approx_distinct(rating), count_if(rating > 2) FROM reviews', None),
        (
            "SELECT filter(ARRAY[1, 2], x -> x > 1), transform(ARRAY[1], x -> x + 1), any_match(ARRAY[1], x -> x = 1)",
            [["[2]", "[2]", "true"]],
        ),
        ("SELECT reduce(ARRAY[1, 2], 0, (s, x) -> s + x, s -> s), slice(ARRAY[1, 2, 3], 2, 2)", [["3", "[2, 3]"]]),
        ("SELECT date_diff('day', DATE '2026-01-01', DATE '2026-02-01')", [["31"]]),
        ("SELECT date_parse('20260114T101850Z', '%Y%m%dT%H%i%sZ')", [["2026-01-14 10:18:50.000"]]),
        ("SELECT format_datetime(TIMESTAMP '2026-01-02 03:04:05', 'yyyy-MM-dd''T''HH:mm')", [["2026-01-02T03:04"]]),
        ("SELECT date_trunc('month', DATE '2026-01-14') = DATE '2026-01-01'", [["true"]]),
        ("SELECT from_iso8601_timestamp('2026-01-14T10:18:50Z')", [["2026-01-14 10:18:50.000 UTC"]]),
        (
            "SELECT try_cast('x' AS bigint), try(1 / 0), coalesce(NULL, 'a'), if(1 = 1, 'y', 'n')",
            [[None, None, "a", "y"]],
        ),
        ("SELECT json_extract_scalar('{\"a\":{\"b\":1}}', '$.a.b')", [["1"]]),
        ("VALUES (1, 'a'), (2, 'b')", [["1", "a"], ["2", "b"]]),
        ("(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC", [["2"], ["1"]]),
        ("SELECT row_number() OVER (ORDER BY rating DESC) FROM reviews WHERE rating > 3 ORDER BY 1", [["1"], ["2"]]),
        ("-- a comment\n/* and one more */ SELECT 1;", [["1"]]),
        ('SELECT ddb_export_timestamp FROM "reviews$partitions" ORDER BY 1', [["T1"], ["T2"]]),
        ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'db'", [["reviews"]]),
        (
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'reviews' AND column_name = 'address'",
            [['row("city" varchar, "zip" varchar)']],
        ),
        ("SELECT count(DISTINCT schema_name) FROM information_schema.schemata", [["2"]]),
        (
            'SELECT DISTINCT "$path" FROM reviews WHERE rating = 1',
            [["s3://lake/reviews/ddb_export_timestamp=T1/part-0.parquet"]],
        ),
    ],
)
def test_a_query_gives_the_rows_that_athena_gives(shared_reviews: Any, sql: str, rows: Any) -> None:
    """Names are found whatever their case; structs, maps, arrays, dates and lambdas mean what they mean in Trino."""
    found = shared_reviews.lake.values(sql)
    assert found == rows if rows is not None else found


def test_columns_without_a_name_are_numbered_and_names_are_kept_as_written(shared_reviews: Any) -> None:
    """``_col0`` and on; an alias keeps its case; a star has the table's names, the partition key last."""
    lake = shared_reviews.lake
    assert lake.query("SELECT count(*), 1 AS Total, 'x', address.city FROM reviews GROUP BY 4").names == [
        "_col0",
        "Total",
        "_col2",
        "city",
    ]
    assert lake.query("SELECT *, 1 FROM reviews").names == [
        *("user", "rating", "price", "tags", "address", "_rescued", "ddb_export_timestamp"),
        "_col7",
    ]
    info = lake.athena.get_query_results(QueryExecutionId=lake.query("SELECT price FROM reviews").id)
    (column,) = info["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert (column["Type"], column["Precision"], column["Scale"]) == ("decimal", 38, 9)
    assert (column["CatalogName"], column["Nullable"], column["CaseSensitive"]) == ("hive", "UNKNOWN", False)


@pytest.mark.parametrize(
    ("where", "share"),
    [
        ("", "both"),
        ("WHERE ddb_export_timestamp = 'T1'", "first"),
        ("WHERE 'T1' = r.ddb_export_timestamp AND rating > 0", "first"),
        ("WHERE ddb_export_timestamp IN ('T2', 'T3')", "second"),
        ("WHERE ddb_export_timestamp LIKE 'T_' AND substr(ddb_export_timestamp, 2) > '1'", "second"),
        ("WHERE ddb_export_timestamp = 'T1' OR rating = 2", "both"),
        ("WHERE ddb_export_timestamp = 'T9'", "none"),
        ("WHERE rating = 1", "both"),
        (
            "JOIN reviews s ON s.ddb_export_timestamp = 'T2' WHERE r.ddb_export_timestamp = 'T1'",
            "both",
        ),
        ("LEFT JOIN reviews s ON s.ddb_export_timestamp = 'T1' WHERE r.ddb_export_timestamp = 'T1'", "first twice"),
    ],
)
def test_only_the_objects_of_partitions_that_can_match_are_scanned(shared_reviews: Any, where: str, share: str) -> None:
    """DataScannedInBytes is the size of exactly those objects, once for each mention of the table."""
    sizes = {
        "both": shared_reviews.first + shared_reviews.second,
        "first": shared_reviews.first,
        "second": shared_reviews.second,
        "first twice": 2 * shared_reviews.first,
        "none": 0,
    }
    answer = shared_reviews.lake.query(f"SELECT count(*) FROM reviews r {where}")
    assert answer.state == "SUCCEEDED", answer.reason
    assert answer.scanned == sizes[share]


def test_pruning_never_changes_the_rows_of_an_outer_join(shared_reviews: Any) -> None:
    """A predicate on the side that may be null is not pushed into that side's scan."""
    rows = shared_reviews.lake.values(
        "SELECT r.rating FROM reviews r LEFT JOIN reviews s ON r.rating = s.rating "
        "WHERE s.ddb_export_timestamp IS NULL OR s.ddb_export_timestamp = 'T2' ORDER BY 1"
    )
    assert rows == [["2"], ["3"], ["4"]]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT nope FROM reviews", "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved"),
        ("SELECT r.nope FROM reviews r", "COLUMN_NOT_FOUND: line 1:8: Column 'r.nope' cannot be resolved"),
        ("SELECT address.nope FROM reviews", "COLUMN_NOT_FOUND"),
        ("SELECT *\nFROM nope", "TABLE_NOT_FOUND: line 2:6: Table 'awsdatacatalog.db.nope' does not exist"),
        ("SELECT * FROM other.reviews", "SCHEMA_NOT_FOUND: line 1:15: Schema 'other' does not exist"),
        ("SELECT * FROM hive.db.reviews", "CATALOG_NOT_FOUND"),
        ("SELECT nosuch(rating) FROM reviews", "FUNCTION_NOT_FOUND: line 1:8: Function 'nosuch' not registered"),
        ('SELECT "user", count(*) FROM reviews', "EXPRESSION_NOT_AGGREGATE: line 1:8: 'user' must be an aggregate"),
        (
            "SELECT * FROM reviews WHERE rating = '5'",
            "TYPE_MISMATCH: line 1:29: Cannot apply operator: bigint = varchar",
        ),
        ('SELECT * FROM reviews WHERE "user" IN (1, 2)', "TYPE_MISMATCH"),
        ('SELECT * FROM reviews WHERE "user" BETWEEN 1 AND 2', "TYPE_MISMATCH"),
        ("SELECT rating FROM reviews a, reviews b", "AMBIGUOUS_NAME: line 1:8: Column 'rating' is ambiguous"),
        ('SELECT CAST("user" AS bigint) FROM reviews', "INVALID_CAST_ARGUMENT: Cannot cast 'user-"),
        ("SELECT 1 / (rating - rating) FROM reviews", "DIVISION_BY_ZERO: / by zero"),
        ("SELECT _rescued['none'] FROM reviews", "INVALID_FUNCTION_ARGUMENT: Key not present in map: none"),
        ("SELECT tags[3] FROM reviews", "INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to"),
        ("SELECT tags[0] FROM reviews", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
        ("SELECT 9223372036854775807 + 1", "NUMERIC_VALUE_OUT_OF_RANGE"),
        ("SELECT x FROM reviews CROSS JOIN UNNEST(_rescued) AS t(x)", "MISMATCHED_COLUMN_ALIASES"),
        ("SELECT * FROM read_text('/etc/hostname')", "FUNCTION_NOT_FOUND"),
        ('SELECT * FROM "/etc/hostname"', "TABLE_NOT_FOUND"),
        ("SELECT * FROM duckdb_settings()", "FUNCTION_NOT_FOUND"),
    ],
)
def test_a_mistake_is_named_as_athena_names_it(shared_reviews: Any, sql: str, reason: str) -> None:
    """The query ends as FAILED with a reason that says what is wrong and where; files cannot be reached."""
    answer = shared_reviews.lake.query(sql)
    assert answer.state == "FAILED"
    assert answer.reason.startswith(reason)
    assert answer.execution["Status"]["AthenaError"]["ErrorCategory"] == 2
