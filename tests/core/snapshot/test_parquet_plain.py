"""Chunks of columns without nulls: what every reader reads, and the same with the compiled part and without."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.snapshot import parquet_encoding, parquet_plain
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parquet_plain import PlainChunk, plain_chunk

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(1 << 63), (1 << 63) - 1),
    pa.float64(): st.floats(allow_nan=False),
    # Bounds are told apart by their first eight bytes where these differ.
    pa.string(): st.text("aé\0", max_size=12),
    pa.binary(): st.binary(max_size=12),
}


def both(array: pa.Array) -> PlainChunk | None:
    """Return the chunk that is made with and without the compiled part, which has to be there."""
    assert parquet_plain._kernel() is not None
    compiled = plain_chunk("c", array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_plain, "_kernel", lambda: None)
        assert plain_chunk("c", array) == compiled
    return compiled


def write(path: Path, *batches: pa.RecordBatch) -> None:
    """Make a part of a row group for each of *batches*, none of whose columns is thought to repeat."""
    part = open_part(path, batches[0].schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_encoding, "_repeats", lambda _: False)
        for batch in batches:
            part.write(batch)
    part.finish()


@given(st.data(), st.sampled_from(list(VALUES)), st.integers(1, 60))
@settings(max_examples=50, deadline=None, database=None)
def test_any_column_without_nulls_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, arrow: pa.DataType, most: int
) -> None:
    """Of every type and in pages of any size, wherever it begins in its buffers: its values and their bounds."""
    values = data.draw(st.lists(VALUES[arrow], min_size=1, max_size=40))
    start = data.draw(st.integers(0, len(values) - 1))
    whole = pa.array([*values, values[0]], arrow)
    array, values = whole[start : len(values)], values[start:]
    path = tmp_path_factory.mktemp("parts") / "part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_plain, "LARGEST_PAGE", most)
        chunk = both(array)
        write(path, pa.record_batch({"c": array}))
    assert chunk is not None
    assert len(chunk.pages) // 2 == pages_of([bytes_of(value) for value in values], most)
    assert pq.read_table(path).equals(pa.table({"c": array}))
    column = pq.read_metadata(path).row_group(0).column(0)
    assert column.encodings == ("PLAIN", "RLE")
    assert column.statistics.null_count == 0
    assert (column.statistics.min, column.statistics.max) == (min(values, key=order), max(values, key=order))


def order(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def bytes_of(value: Any) -> int:
    return 8 if isinstance(value, int | float) else 4 + len(order(value))


def pages_of(sizes: list[int], most: int) -> int:
    """Return how many pages values of those sizes take: a page is ended by the first value that it has no room for."""
    pages = filled = 0
    for size in sizes:
        if not pages or filled + size > most:
            pages, filled = pages + 1, 0
        filled += size
    return pages


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None]),
        pa.array([True, False]),
        pa.array([1], pa.decimal128(9, 2)),
        pa.array([["x"]]),
        pa.array([{"a": 1}]),
    ],
    ids=["a null", "booleans", "decimals", "lists", "structs"],
)
def test_other_columns_are_left_to_others(tmp_path: Path, array: pa.Array) -> None:
    """And written as well."""
    assert both(array) is None
    batch = pa.record_batch({"c": array})
    write(tmp_path / "part", batch)
    assert pq.read_table(tmp_path / "part").equals(pa.Table.from_batches([batch]))


def test_a_column_without_rows_is_left_to_others() -> None:
    """It has no page and no bounds."""
    assert both(pa.array([], pa.string())) is None


def test_columns_that_may_not_be_null_are_left_to_pyarrow(tmp_path: Path) -> None:
    """Their pages have no levels."""
    schema = pa.schema([pa.field("c", pa.int64(), nullable=False)])
    batch = pa.record_batch([pa.array([3, 1, 2])], schema=schema)
    write(tmp_path / "part", batch)
    assert pq.read_table(tmp_path / "part").equals(pa.Table.from_batches([batch]))


def test_duckdb_reads_pages_of_a_megabyte_and_skips_by_their_bounds(tmp_path: Path) -> None:
    """A second reader, of row groups with and without nulls, and of values that are longer than a page."""
    dice = random.Random(7)
    rows = 5000
    columns: dict[str, list[Any]] = {
        "n": [dice.randrange(-(10**15), 10**15) for _ in range(rows)],
        "d": [dice.uniform(-1e9, 1e9) for _ in range(rows)],
        "t": [f"{row:05d}" + "é" * dice.randrange(300) for row in range(rows - 1)] + ["z" * 1_500_000],
        "b": [dice.randbytes(dice.randrange(500)) for _ in range(rows)],
    }
    whole = pa.record_batch(columns)
    columns["n"][3] = columns["t"][5] = None
    batches = [whole, pa.record_batch(columns, whole.schema)]
    write(tmp_path / "part", *batches)
    groups = [pq.read_metadata(tmp_path / "part").row_group(number) for number in range(2)]
    assert [groups[0].column(place).encodings for place in range(4)] == [("PLAIN", "RLE")] * 4
    chunk = both(whole.column("t"))
    assert chunk is not None
    assert len(chunk.pages) // 2 == 3
    assert chunk.size == groups[0].column(2).total_compressed_size
    assert chunk.uncompressed == groups[0].column(2).total_uncompressed_size
    highest = max(whole.column("n").to_pylist())
    with duckdb.connect() as db:
        found = db.execute(f"SELECT * FROM read_parquet('{tmp_path}/part')").fetchall()
        assert found == [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
        counted = db.execute(f"SELECT count(*) FROM read_parquet('{tmp_path}/part') WHERE n >= {highest}").fetchone()
        assert counted == (2,)
