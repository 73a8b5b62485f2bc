"""Who reads the record batches of a live table: DuckDB, Polars, pandas and Spark."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from page_table import PageTable

from airflow_provider_ddbexport.core.scan import ScanProgress
from airflow_provider_ddbexport.core.scan.reader import scan_table
from airflow_provider_ddbexport.core.store import RetryPolicy

ITEMS = 60


class Reviews(PageTable):
    """Sixty items with a type for each kind of column; the rating of one of them fits no number column."""

    def scan(self, **request: Any) -> dict[str, Any]:
        answer = super().scan(**request)
        answer["Items"] = [review(int(item["Id"]["N"])) for item in answer["Items"]]
        return answer


def review(number: int) -> dict[str, Any]:
    return {
        "Id": {"N": str(number)},
        "Rating": {"N": str(number % 5)} if number != 7 else {"S": "seven"},
        "Price": {"N": f"{number}.25"},
        "Tags": {"SS": ["a", "b"]},
        "Details": {"M": {"Year": {"N": str(1990 + number)}}},
        "Cover": {"B": b"\x00\xff"},
    }


def by_duckdb(reader: pa.RecordBatchReader) -> list[tuple[Any, ...]]:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        query = "select id, rating, price, tags, details.year, cover, _rescued['Rating'] from reader"
        return connection.sql(query).fetchall()  # type: ignore[no-any-return]


def by_polars(reader: pa.RecordBatchReader) -> list[tuple[Any, ...]]:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(reader)
    assert frame.schema["_rescued"] == polars.Map(polars.String, polars.String)
    rows = frame.select(
        "id", "rating", "price", "tags", polars.col("details").struct.field("year"), "cover", "_rescued"
    ).rows()
    return [(*row, (dict_of(rescued)).get("Rating")) for *row, rescued in rows]


def by_pandas(reader: pa.RecordBatchReader) -> list[tuple[Any, ...]]:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.from_arrow(reader)
    return [
        (
            row.id,
            None if pandas.isna(row.rating) else int(row.rating),
            row.price,
            list(row.tags),
            row.details["year"],
            row.cover,
            dict_of(row.rescued).get("Rating"),
        )
        for row in frame.rename(columns={"_rescued": "rescued"}).itertuples()
    ]


def by_spark(reader: pa.RecordBatchReader) -> list[tuple[Any, ...]]:
    """Spark is in the group `bench`, not in the environment of `make test`: `make readers` runs this."""
    pyspark = pytest.importorskip("pyspark.sql")
    spark = (
        pyspark.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    try:
        rows = spark.createDataFrame(reader.read_all()).collect()
    finally:
        spark.stop()
    return [
        (
            row.id,
            row.rating,
            row.price,
            row.tags,
            row.details.year,
            bytes(row.cover),
            (row._rescued or {}).get("Rating"),
        )
        for row in rows
    ]


def dict_of(pairs: Any) -> dict[str, str]:
    """Return a map's value, which Arrow's readers give as pairs, or None for an empty one."""
    return dict(pairs) if pairs is not None else {}


@pytest.mark.parametrize("read", [by_duckdb, by_polars, by_pandas, by_spark])
def test_a_live_table_is_read_by(read: Callable[[pa.RecordBatchReader], list[tuple[Any, ...]]]) -> None:
    """Every item once with its values, whole numbers, decimals, sets, maps and binaries; what did not fit its column
    is in _rescued."""
    rows = sorted(read(scan_table(Reviews(ITEMS), "Reviews", segments=3)), key=lambda row: row[0])
    assert rows == [
        (
            number,
            number % 5 if number != 7 else None,
            Decimal(f"{number}.25"),
            ["a", "b"],
            1990 + number,
            b"\x00\xff",
            '{"S":"seven"}' if number == 7 else None,
        )
        for number in range(ITEMS)
    ]


def test_a_table_that_is_read_in_batches_is_logged_as_every_scan(caplog: pytest.LogCaptureFixture) -> None:
    """Every 30 seconds, here of a clock that is quick; and told to whoever wants to show it."""
    told: list[ScanProgress] = []
    quick = RetryPolicy(clock=lambda: 100_000 * time.monotonic())
    with caplog.at_level(logging.INFO):
        table = scan_table(Reviews(ITEMS), "Reviews", segments=3, retries=quick, on_progress=told.append).read_all()
    assert table.num_rows == ITEMS
    lines = [record.message for record in caplog.records if record.message.startswith("Scan: ")]
    assert lines
    assert "segments done" in lines[-1]
    assert (told[-1].items, told[-1].segments_done, told[-1].segments) == (ITEMS, 3, 3)
