"""Chunks of columns that are mostly null: what every reader reads, and the same with the compiled part and without."""

from __future__ import annotations

import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns.sparse import SparseBatch, SparseColumn
from airflow_provider_ddbexport.core.snapshot import parquet_encoding, parquet_leaves, parquet_sparse
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import Encoder
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parquet_plain import PlainChunk
from airflow_provider_ddbexport.core.snapshot.parquet_sparse import distinct_values, sparse_chunk

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**28), max_value=10**28)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.integers(-(1 << 63), (1 << 63) - 1),
    pa.float64(): st.floats(allow_nan=False).map(lambda value: value + 0.0),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
    pa.binary(): st.binary(max_size=5),
    pa.decimal128(38, 9): decimals,
    pa.decimal128(10, 2): st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-9999, max_value=9999),
}


@st.composite
def sparse_arrays(draw: st.DrawFn) -> pa.Array:
    """Arrays of all types, cut out of longer ones, of which at least half is null."""
    arrow = draw(st.sampled_from(list(VALUES)))
    values = draw(st.lists(VALUES[arrow], max_size=12))
    rows = draw(st.integers(max(1, 2 * len(values)), 2 * len(values) + 150))
    places = draw(st.permutations(range(rows)))
    by_place = dict(zip(places, values, strict=False))
    before = draw(st.integers(0, 70))
    whole = [draw(VALUES[arrow]) for _ in range(before % 9)] + [None] * (before - before % 9)
    array = pa.array([*whole, *(by_place.get(row) for row in range(rows)), None], arrow)
    return array[len(whole) : len(whole) + rows]


def both(array: pa.Array | SparseColumn) -> PlainChunk | None:
    """Return the chunk that is made with and without the compiled part, which has to be there."""
    assert parquet_sparse._kernel() is not None
    compiled = sparse_chunk("c", array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_sparse, "_kernel", lambda: None)
        assert sparse_chunk("c", array) == compiled
    return compiled


def written(path: Path, array: pa.Array) -> pa.RecordBatch:
    """Write *array* as the column of a part."""
    batch = pa.record_batch({"c": array})
    part = open_part(path, batch.schema)
    part.write(batch)
    part.finish()
    return batch


@given(sparse_arrays())
@settings(max_examples=40, deadline=None, database=None)
def test_any_sparse_column_is_read_back(tmp_path_factory: pytest.TempPathFactory, array: pa.Array) -> None:
    """Of every type, wherever it begins in its buffers: its values, their number and their bounds."""
    path = tmp_path_factory.mktemp("parts") / "part"
    sparse = SparseColumn.of(array)
    assert sparse.array().equals(array)
    assert both(sparse) == both(array) is not None
    batch = written(path, array)
    assert pq.read_table(path).equals(pa.Table.from_batches([batch]))
    column = pq.read_metadata(path).row_group(0).column(0)
    values = array.drop_null().to_pylist()
    assert column.encodings == ("PLAIN", "RLE")
    assert column.statistics.null_count == array.null_count
    assert column.statistics.has_min_max == bool(values)
    if values:
        assert (column.statistics.min, column.statistics.max) == (min(values, key=order), max(values, key=order))


def order(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def test_duckdb_reads_sparse_columns_and_skips_by_their_bounds(tmp_path: Path) -> None:
    """A second reader, of all types at once, in row groups of thousands of rows."""
    dice = random.Random(4)
    makers: dict[pa.DataType, Any] = {
        pa.int64(): lambda: dice.randrange(-(10**15), 10**15),
        pa.float64(): lambda: dice.uniform(-1e9, 1e9),
        pa.bool_(): lambda: dice.random() < 0.5,
        pa.string(): lambda: "é" * dice.randrange(9) + str(dice.random()),
        pa.binary(): lambda: dice.randbytes(dice.randrange(20)),
        pa.decimal128(38, 9): lambda: Decimal(dice.randrange(-(10**30), 10**30)) / 1000,
        pa.decimal128(10, 2): lambda: Decimal(dice.randrange(-(10**9), 10**9)) / 100,
    }
    columns = [
        pa.array([make() if dice.random() < 0.1 else None for _ in range(3000)], arrow)
        for arrow, make in makers.items()
    ]
    names = [f"c{number}" for number in range(len(columns))]
    batch = pa.record_batch(columns, names)
    part = open_part(tmp_path / "part", batch.schema)
    part.write(batch)
    part.write(batch[1000:])
    part.finish()
    assert all(both(column) is not None for column in columns)
    rows = [tuple(row.values()) for row in [*batch.to_pylist(), *batch[1000:].to_pylist()]]
    highest = max(row[0] for row in rows if row[0] is not None)
    with duckdb.connect() as db:
        found = db.execute(f"SELECT * FROM read_parquet('{tmp_path}/part')").fetchall()
        assert found == rows
        counted = db.execute(f"SELECT count(*) FROM read_parquet('{tmp_path}/part') WHERE c0 >= {highest}").fetchone()
        assert counted == (sum(row[0] == highest for row in rows),)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 2, None]),
        pa.array([1, 2]),
        pa.array([], pa.int64()),
        pa.array([[1], None, None]),
        pa.array([{"a": 1}, None, None]),
        pa.array(["x" * 1_100_000, None, None]),
    ],
    ids=["mostly there", "all there", "no rows", "lists", "structs", "long values"],
)
def test_other_columns_are_left_to_pyarrow(tmp_path: Path, array: pa.Array) -> None:
    """And written as well."""
    assert both(array) is None
    batch = written(tmp_path / "part", array)
    assert pq.read_table(tmp_path / "part").equals(pa.Table.from_batches([batch]))


@pytest.mark.parametrize("text", ["x" * 256, "x" * 257])
def test_bounds_of_many_bytes_are_left_out(tmp_path: Path, text: str) -> None:
    """Footers stay small, whatever the longest text is; the same for columns that pyarrow writes."""
    for others in ([None, None], ["z", "z"]):
        written(tmp_path / "part", pa.array([text, "y", *others]))
        statistics = pq.read_metadata(tmp_path / "part").row_group(0).column(0).statistics
        assert statistics.null_count == others.count(None)
        assert statistics.has_min_max == (len(text) == 256)


@st.composite
def repeating_arrays(draw: st.DrawFn) -> pa.Array:
    """Arrays of all types, with and without nulls, whose values come again, cut out of longer ones."""
    arrow = draw(st.sampled_from(list(VALUES)))
    some = draw(st.lists(VALUES[arrow], min_size=1, max_size=30))
    values = draw(st.lists(st.sampled_from([*some, *draw(st.sampled_from([[], [None]]))]), max_size=200))
    start = draw(st.integers(0, len(values)))
    return pa.array(values, arrow)[start:]


@given(repeating_arrays(), st.integers(0, 200))
@settings(max_examples=100, deadline=None, database=None)
def test_distinct_values_are_counted_with_the_compiled_part_as_without(array: pa.Array, wanted: int) -> None:
    """Among as many as are wanted of those that are not null."""
    sample = array.drop_null()[:wanted]
    assert parquet_sparse._kernel() is not None
    assert distinct_values(array, wanted) == (pc.count_distinct(sample).as_py(), len(sample))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_sparse, "_kernel", lambda: None)
        assert distinct_values(array, wanted) == (pc.count_distinct(sample).as_py(), len(sample))


def test_sparse_columns_that_repeat_are_made_dense_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow has to: hundreds of them together would take what being sparse has saved; their chunks are those of
    one go."""
    monkeypatch.setattr(parquet_leaves, "_kernel", lambda: None)
    rows = 4000
    valid = pa.array([row % 5 == 0 for row in range(rows)])
    values = pa.array([Decimal(row % 3) for row in range(rows // 5)], pa.decimal128(38, 9))
    names = [f"c{number}" for number in range(50)]
    columns: list[pa.Array | SparseColumn] = [SparseColumn(valid, values) for _ in names]
    columns[7] = pa.array([row % 4 for row in range(rows)])
    fields = [pa.field(name, pa.int64() if place == 7 else values.type) for place, name in enumerate(names)]
    batch = SparseBatch(pa.schema(fields), rows, columns)
    made_dense: list[int] = []
    dense_chunks = parquet_encoding._dense_chunks

    def watched(of: Any, schema: pa.Schema, dictionary: Any) -> Any:
        made_dense.append(sum(len(of[name]) for name in schema.names if isinstance(of[name], SparseColumn)))
        return dense_chunks(of, schema, dictionary)

    monkeypatch.setattr(parquet_encoding, "_dense_chunks", watched)
    at_once = encoded(batch)
    assert made_dense == [49 * rows]
    monkeypatch.setattr(parquet_encoding, "_MADE_DENSE_AT_ONCE", 3 * rows)
    assert encoded(batch) == at_once
    assert max(made_dense[1:]) == 3 * rows
    assert sum(made_dense[1:]) == 49 * rows


def encoded(batch: SparseBatch) -> bytes:
    file = io.BytesIO()
    for chunk in Encoder().chunks(batch):
        chunk.copy_to(file)
    return file.getvalue()
