"""Chunks of leaves with levels and dictionaries: what every reader reads, and no larger than pyarrow's."""

from __future__ import annotations

import decimal
import io
import math
import random
import runpy
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns.sparse import SparseBatch, SparseColumn
from airflow_provider_ddbexport.core.compiled import loading
from airflow_provider_ddbexport.core.snapshot import parquet_encoding, parquet_leaves, record
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import Encoder
from airflow_provider_ddbexport.core.snapshot.parquet_footer import row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part

DECIMAL = pa.decimal128(20, 3)
LEAVES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int64(): st.integers(-3, 3) | st.integers(-(1 << 63), (1 << 63) - 1),
    pa.float64(): st.sampled_from([0.0, -0.0, 1.5, -math.inf]) | st.floats(allow_nan=False),
    DECIMAL: st.integers(-(10**20) + 1, 10**20 - 1).map(lambda n: decimal.Decimal(n).scaleb(-3)),
    pa.string(): st.text("aé\0", max_size=3) | st.text("ab", min_size=7, max_size=18),
    pa.binary(): st.binary(max_size=12),
}
TYPES = st.recursive(
    st.sampled_from(list(LEAVES)),
    lambda below: (
        below.map(lambda kind: pa.list_(pa.field("element", kind)))
        | below.map(lambda kind: pa.map_(pa.string(), kind))
        | st.lists(below, min_size=1, max_size=3).map(
            lambda kinds: pa.struct([(f"f{number}", kind) for number, kind in enumerate(kinds)])
        )
    ),
    max_leaves=4,
)


def values_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_map(kind):
        return st.none() | st.lists(st.tuples(st.text("k", max_size=2), values_of(kind.item_type)), max_size=3)
    if pa.types.is_list(kind):
        return st.none() | st.lists(values_of(kind.value_type), max_size=4)
    if pa.types.is_struct(kind):
        return st.none() | st.fixed_dictionaries({field.name: values_of(field.type) for field in kind})
    return st.none() | LEAVES[kind]


def write(path: Path, *batches: pa.RecordBatch | SparseBatch, repeats: bool = True) -> None:
    """Make a part of a row group for each of *batches*, whose leaves are all ours."""
    part = open_part(path, batches[0].schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_encoding, "_repeats", lambda _: repeats)
        patch.setattr(parquet_encoding, "sparse_chunk", lambda *_: None)
        patch.setattr(parquet_encoding, "plain_chunk", lambda *_: None)
        patch.delattr(parquet_encoding, "_dense_chunks")
        for batch in batches:
            part.write(batch)
    part.finish()


def column_of(path: Path, leaf: int = 0) -> Any:
    return pq.read_metadata(path).row_group(0).column(leaf)


@given(st.data(), TYPES, st.integers(1, 200), st.booleans())
@settings(max_examples=80, deadline=None, database=None)
def test_any_column_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: pa.DataType, most: int, repeats: bool
) -> None:
    """Of every type and nesting, in pages of any size, wherever it begins in its buffers, with a dictionary or not."""
    values = data.draw(st.lists(values_of(kind), min_size=1, max_size=30))
    start = data.draw(st.integers(0, len(values) - 1))
    whole = pa.array([*values, values[0]], kind)
    array = whole[start : len(values)]
    path = tmp_path_factory.mktemp("parts") / "part"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_leaves, "LARGEST_PAGE", most)
        write(path, pa.record_batch({"c": array}), repeats=repeats)
    read = pq.read_table(path)
    read.validate(full=True)
    assert read.equals(pa.table({"c": array}))
    if array.type in LEAVES:
        present = [order(value) for value in array.to_pylist() if value is not None]
        statistics = column_of(path).statistics
        assert statistics.null_count == len(array) - len(present)
        assert statistics.has_min_max == bool(present)
        if present:
            assert (order(statistics.min), order(statistics.max)) == (min(present), max(present))


def order(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


@given(st.data(), st.sampled_from(list(LEAVES)))
@settings(max_examples=20, deadline=None, database=None)
def test_a_sparse_column_has_the_chunk_of_the_dense_one(data: st.DataObject, kind: pa.DataType) -> None:
    """Whichever of the two the decoder handed over."""
    array = pa.array(data.draw(st.lists(st.none() | LEAVES[kind], min_size=1, max_size=30)), kind)
    field = pa.field("c", kind)
    sparse = SparseColumn.of(array)
    assert parquet_leaves.leaf_chunks(field, sparse, lambda _: True) == parquet_leaves.leaf_chunks(
        field, array, lambda _: True
    )


@pytest.mark.parametrize(
    "array",
    [
        pa.array([None, None], pa.string()),
        pa.array([None, [], [None]], pa.list_(pa.int64())),
        pa.array([None, {"a": None}], pa.struct([("a", pa.float64())])),
        pa.array([[], None], pa.map_(pa.string(), pa.string())),
    ],
    ids=["text", "lists", "structs", "maps"],
)
def test_a_leaf_without_a_value_has_neither_dictionary_nor_bounds(array: pa.Array, tmp_path: Path) -> None:
    """But the levels that tell what is null, and what empty."""
    write(tmp_path / "part", pa.record_batch({"c": array}))
    assert pq.read_table(tmp_path / "part").column("c").to_pylist() == array.to_pylist()
    column = column_of(tmp_path / "part")
    assert not column.has_dictionary_page
    assert not column.statistics.has_min_max


def test_a_list_without_elements_may_have_an_empty_validity(tmp_path: Path) -> None:
    """As pyarrow makes it where it sorts rows."""
    nothing = pa.StringArray.from_buffers(0, pa.py_buffer(bytes(4)), pa.py_buffer(b""), pa.py_buffer(b""))
    array = pa.ListArray.from_arrays(pa.array([0, 0, 0], pa.int32()), nothing)
    write(tmp_path / "part", pa.record_batch({"c": array}))
    assert pq.read_table(tmp_path / "part").column("c").to_pylist() == [[], []]


def test_lists_that_are_not_there_may_have_no_offsets(tmp_path: Path) -> None:
    """As Arrow leaves open for arrays of no rows."""
    strings = pa.list_(pa.string())
    nothing = pa.Array.from_buffers(strings, 0, [None, pa.py_buffer(b"")], children=[pa.array([], pa.string())])
    array = pa.ListArray.from_arrays(pa.array([0, None, 0], pa.int32()), nothing)
    array.validate(full=True)
    write(tmp_path / "part", pa.record_batch({"c": array}))
    assert pq.read_table(tmp_path / "part").column("c").to_pylist() == [[], None]


@pytest.mark.parametrize("repeats", [True, False], ids=["dictionary", "plain"])
def test_doubles_that_are_no_numbers_are_kept_and_zeroes_are_within_the_bounds(repeats: bool, tmp_path: Path) -> None:
    """A reader may compare a zero of one sign with a bound of the other; nothing is compared with what is no number."""
    numbers = pa.array([0.0, None, -0.0, 0.0])
    others = pa.array([math.nan, 1.0, None, -math.inf])
    write(tmp_path / "part", pa.record_batch({"n": numbers, "o": others}), repeats=repeats)
    read = pq.read_table(tmp_path / "part")
    assert list(map(str, read["n"].to_pylist())) == ["0.0", "None", "-0.0", "0.0"]
    assert list(map(str, read["o"].to_pylist())) == ["nan", "1.0", "None", "-inf"]
    bounds = column_of(tmp_path / "part").statistics
    assert (str(bounds.min), str(bounds.max)) == ("-0.0", "0.0")
    assert not column_of(tmp_path / "part", 1).statistics.has_min_max


def test_one_value_is_one_run(tmp_path: Path) -> None:
    """However many rows have it, and none of them is null: a few bytes."""
    write(tmp_path / "part", pa.record_batch({"c": pa.array(["x" * 30] * 100_000)}))
    column = column_of(tmp_path / "part")
    assert set(column.encodings) == {"PLAIN", "RLE", "RLE_DICTIONARY"}
    assert column.total_uncompressed_size < 120
    assert pq.read_table(tmp_path / "part").column("c").unique().to_pylist() == ["x" * 30]


def test_a_dictionary_that_were_larger_than_a_page_is_given_up(tmp_path: Path) -> None:
    """At just a megabyte it is there, at one byte more the values are plain."""
    fits = [f"{number:06d}".ljust(508, "x") for number in range(2048)]
    beyond = [*fits[:-1], fits[-1] + "x"]
    arrays = {"fits": pa.array(fits * 2), "beyond": pa.array(beyond * 2)}
    write(tmp_path / "part", pa.record_batch(arrays))
    columns = [column_of(tmp_path / "part", place) for place in range(2)]
    assert [column.has_dictionary_page for column in columns] == [True, False]
    assert columns[0].total_uncompressed_size < 1.01 * (1 << 20)
    # Values are too long for others to be the bounds.
    assert not any(column.statistics.has_min_max for column in columns)
    assert pq.read_table(tmp_path / "part").equals(pa.table(arrays))


def test_lists_are_not_torn_between_pages(tmp_path: Path) -> None:
    """A page has whole rows, also where one row is larger than a page; a reader may begin with any page."""
    dice = random.Random(5)
    lists = [[dice.randrange(50) for _ in range(dice.choice([0, 1, 5, 3000]))] for _ in range(100)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_leaves, "LARGEST_PAGE", 4000)
        write(tmp_path / "part", pa.record_batch({"c": pa.array(lists)}))
    with duckdb.connect() as db:
        assert [row for (row,) in db.execute(f"FROM read_parquet('{tmp_path}/part')").fetchall()] == lists
    assert pq.read_table(tmp_path / "part").column("c").to_pylist() == lists


def reviews(rows: int) -> pa.RecordBatch:
    dice = random.Random(9)
    return pa.record_batch(
        {
            "author": [f"author {int(dice.expovariate(0.001))}" for _ in range(rows)],
            "price": pa.array([decimal.Decimal(dice.randrange(3000)) / 100 for _ in range(rows)], pa.decimal128(38, 9)),
            "rating": [dice.choice([1, 2, 3, 4, 5, None]) for _ in range(rows)],
            "sorted": [row // 40 for row in range(rows)],
            "verified": [dice.random() < 0.9 for _ in range(rows)],
            "details": [
                None if dice.random() < 0.01 else {"lang": dice.choice(["en", "de"]), "pages": dice.randrange(900)}
                for _ in range(rows)
            ],
            "tags": [dice.sample(["red", "green", "blue", "black", "white"], dice.randrange(4)) for _ in range(rows)],
        }
    )


def test_duckdb_and_polars_read_what_repeats_and_it_is_no_larger_than_pyarrows(tmp_path: Path) -> None:
    """More readers; and 2 % at most are the price of making it quickly."""
    batch = reviews(8_000)
    write(tmp_path / "part", batch)
    with duckdb.connect() as db:
        found = db.execute(f"SELECT * FROM read_parquet('{tmp_path}/part')").fetchall()
    assert found == [tuple(row.values()) for row in batch.to_pylist()]
    assert polars.read_parquet(tmp_path / "part").to_dicts() == batch.to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_leaves, "_kernel", lambda: None)
        others = {chunk.path: chunk.size for chunk in Encoder().chunks(batch)}  # type: ignore[attr-defined]
    ours = {chunk.path: chunk.size for chunk in Encoder().chunks(batch)}  # type: ignore[attr-defined]
    assert ours.keys() == others.keys()
    assert sum(ours.values()) <= 1.02 * sum(others.values())


def test_readers_are_told_that_all_values_are_in_the_dictionary(tmp_path: Path) -> None:
    """Spark and Trino then skip a row group whose dictionary has not what they look for."""
    write(tmp_path / "part", pa.record_batch({"c": pa.array(["a", "b", None] * 50)}))
    (chunk,) = next(row_groups(io.BytesIO((tmp_path / "part").read_bytes()))).chunks
    (_, meta), data_page, dictionary_page, plain, rle_dictionary = chunk.fields[3], 0, 2, 0, 8
    _, pages = meta[13][1]
    counts = {(page[1][1], page[2][1]): page[3][1] for page in pages}
    assert counts == {(data_page, rle_dictionary): 1, (dictionary_page, plain): 1}
    assert 4 == meta[11][1] < meta[9][1]


def test_parts_that_are_written_without_the_compiled_part_have_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their bytes are pyarrow's, and the same name stands for the same bytes."""
    assert runpy.run_path(record.__file__)["WRITER"] == record.WRITER
    monkeypatch.setattr(loading, "load", lambda _: None)
    assert runpy.run_path(record.__file__)["WRITER"] == f"{record.WRITER}, not compiled"
