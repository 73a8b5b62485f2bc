"""Footers are read and written again as the same bytes, and damage never looks like a footer."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.snapshot import parquet_thrift as thrift
from airflow_provider_ddbexport.core.snapshot.parquet_footer import read_footer
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import read_struct, read_structs, write_struct
from airflow_provider_ddbexport.errors import SnapshotDamagedError


@pytest.fixture(autouse=True, scope="module", params=["compiled", "Python"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both come to the same."""
    if request.param == "compiled":
        assert thrift._kernel() is not None
        yield
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(thrift, "_kernel", lambda: None)
            yield


integers = st.integers(-(1 << 63), (1 << 63) - 1)


def lists(kind: int, elements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(elements, max_size=20).map(lambda found: (thrift.LIST, (kind, found)))


def structs(fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    numbers = st.integers(1, 20) | st.integers(-(1 << 15), (1 << 15) - 1)
    return st.dictionaries(numbers, fields, max_size=6)


values = st.one_of(
    st.sampled_from([(thrift.TRUE, None), (thrift.FALSE, None)]),
    st.tuples(st.just(thrift.BYTE), st.integers(0, 255)),
    st.tuples(st.sampled_from([thrift.I16, thrift.I32, thrift.I64]), integers),
    st.tuples(st.just(thrift.DOUBLE), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(thrift.BINARY), st.binary(max_size=200)),
    lists(thrift.I64, integers),
    lists(thrift.TRUE, st.sampled_from([1, 2])),
    lists(thrift.BINARY, st.binary(max_size=3)),
)
nested = st.recursive(
    structs(values),
    lambda inner: structs(
        values | st.tuples(st.just(thrift.STRUCT), inner) | lists(thrift.STRUCT, inner),
    ),
    max_leaves=8,
)


@given(nested)
@settings(max_examples=100, deadline=None, database=None)
def test_what_is_written_is_read(struct: thrift.Struct) -> None:
    """Any struct comes back equal, and so do its bytes; what follows it is left alone."""
    body = write_struct(struct)
    assert read_struct(body + b"more") == struct
    assert write_struct(read_struct(body)) == body
    for number, (kind, value) in struct.items():
        if kind == thrift.LIST and value[0] == thrift.STRUCT:
            assert list(read_structs(body, number)) == value[1]
            written = {**struct, number: (kind, (thrift.STRUCT, [write_struct(one) for one in value[1]]))}
            assert write_struct(written) == body


@pytest.mark.parametrize("opens", [b"\x19", b"\x1c", b"\x1c\x19"], ids=["lists", "structs", "both"])
def test_what_is_nested_too_deep_is_damage(opens: bytes) -> None:
    """It ends in the error of damaged footers, not in that of a stack without room."""
    body = opens * 10**6
    with pytest.raises(SnapshotDamagedError, match="is nested too deep"):
        read_struct(body)
    with pytest.raises(SnapshotDamagedError):
        list(read_structs(body, 4))


@pytest.fixture(scope="module")
def footers(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Footers of two writers, with all they can put there."""
    folder = tmp_path_factory.mktemp("footers")
    table = pa.table(
        {
            "n": [1, None, 3],
            "t": ["a", "b", None],
            "d": pa.array([1, 2, 3]).cast(pa.decimal128(38, 9)),
            "f": [0.5, None, -1.0],
            "s": [{"x": True, "y": [b"1"]}, None, {"x": None, "y": []}],
        }
    )
    pq.write_table(
        table,
        folder / "pyarrow",
        row_group_size=1,
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(0)],
        bloom_filter_options={"t": {"ndv": 3}},
        compression={"n": "none", "t": "gzip"},
    )
    with duckdb.connect() as db:
        db.register("rows", table)
        db.execute(f"COPY rows TO '{folder}/duckdb' (FORMAT parquet, KV_METADATA {{a: 'b'}})")
    return [footer_of(folder / name) for name in ("pyarrow", "duckdb")]


def footer_of(path: Path) -> bytes:
    return read_footer(io.BytesIO(path.read_bytes()))


def test_footers_of_pyarrow_and_duckdb_come_back_as_they_were(footers: list[bytes]) -> None:
    """Whatever fields a writer has used, known to us or not."""
    for footer in footers:
        assert write_struct(read_struct(footer)) == footer


def test_damage_is_refused_or_read_and_never_anything_else(footers: list[bytes]) -> None:
    """A footer cut anywhere is refused; one with other bytes in it is refused or is another footer."""
    dice = random.Random(3)
    for footer in footers:
        refused = 0
        for end in range(0, len(footer), 7):
            with pytest.raises(SnapshotDamagedError):
                read_struct(footer[:end])
        for _ in range(300):
            damaged = bytearray(footer)
            for _ in range(dice.randint(1, 4)):
                damaged[dice.randrange(len(footer))] = dice.randrange(256)
            try:
                read_struct(bytes(damaged))
            except SnapshotDamagedError:
                refused += 1
        assert refused > 50
