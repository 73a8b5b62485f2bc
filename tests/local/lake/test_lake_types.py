"""Types of the catalog, of Arrow and of Athena: conversions that lose nothing."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.local.athena_values import java_double
from airflow_provider_ddbexport.local.hive import HiveTypeError, arrow_type, hive_type, reads_as, widest
from airflow_provider_ddbexport.local.lake_objects import conform

scalars = st.sampled_from(
    [pa.string(), pa.bool_(), pa.int32(), pa.int64(), pa.float64(), pa.binary(), pa.date32(), pa.timestamp("us")]
) | st.builds(lambda scale: pa.decimal128(38, scale), st.integers(0, 38))
names = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)
types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(lambda item: pa.map_(pa.string(), item)),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(lambda fields: pa.struct(list(fields.items()))),
    ),
    max_leaves=8,
)


@given(types)
def test_a_hive_type_read_back_is_the_same_type(kind: pa.DataType) -> None:
    """What the crawler writes into the catalog, Athena reads as the file's own type."""
    assert arrow_type(hive_type(kind)) == kind


@given(types)
def test_a_type_agrees_with_itself(kind: pa.DataType) -> None:
    """A partition that declares what its table declares is never a mismatch."""
    assert reads_as(kind, kind)
    assert widest(kind, kind) == kind


@pytest.mark.parametrize(
    "text", ["", "nosuch", "array<string", "array<>", "struct<a>", "map<string>", "decimal(x)", "int int"]
)
def test_what_is_no_hive_type_is_refused(text: str) -> None:
    """With an error of its own, which names the text."""
    with pytest.raises(HiveTypeError, match="not a Hive type"):
        arrow_type(text)


@pytest.mark.parametrize(
    ("partition", "table", "agrees"),
    [
        ("int", "bigint", True),
        ("bigint", "int", False),
        ("bigint", "double", False),
        ("bigint", "string", True),
        ("string", "bigint", False),
        ("float", "double", True),
        ("decimal(10,2)", "decimal(38,9)", True),
        ("struct<a:int>", "struct<a:bigint,b:string>", True),
        ("struct<b:int>", "struct<a:int,b:int>", False),
        ("array<int>", "array<bigint>", True),
        ("map<string,int>", "map<string,boolean>", False),
        ("array<int>", "string", False),
    ],
)
def test_a_partition_is_coerced_where_trino_coerces_it(partition: str, table: str, agrees: bool) -> None:
    """Wider and appended is fine; anything else is a schema mismatch."""
    assert reads_as(arrow_type(partition), arrow_type(table)) is agrees


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("int", "bigint", "bigint"),
        ("int", "double", "double"),
        ("decimal(10,2)", "decimal(12,6)", "decimal(14,6)"),
        ("bigint", "string", "string"),
        ("struct<a:int>", "struct<b:string,a:bigint>", "struct<a:bigint,b:string>"),
        ("array<int>", "array<string>", "array<string>"),
        ("map<string,int>", "map<string,bigint>", "map<string,bigint>"),
        ("array<int>", "bigint", "string"),
    ],
)
def test_files_that_differ_get_a_column_that_holds_both(first: str, second: str, both: str) -> None:
    """In either order, but for the order of fields."""
    assert hive_type(widest(arrow_type(first), arrow_type(second))) == both


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-2.5, "-2.5"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (9999999.0, "9999999.0"),
        (10000000.0, "1.0E7"),
        (-1.5e300, "-1.5E300"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
    ],
)
def test_a_double_is_printed_as_java_prints_it(value: float, text: str) -> None:
    """Plain from 10^-3 up to 10^7, with an exponent beyond."""
    assert java_double(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_double_reads_back_as_itself(value: float) -> None:
    """No digit is lost."""
    assert float(java_double(value)) == value


def test_nested_values_are_conformed_without_touching_the_others() -> None:
    """Lists, maps and structs with nulls and empties in between, also where the array is a slice."""
    old = pa.array(
        [None, [], [{"a": 1, "m": [("k", 1)]}], [None, {"a": None, "m": None}]],
        pa.list_(pa.struct([("a", pa.int32()), ("m", pa.map_(pa.string(), pa.int32()))])),
    )
    new = pa.list_(pa.struct([("a", pa.int64()), ("m", pa.map_(pa.string(), pa.int64())), ("n", pa.string())]))
    expected = [None, [], [{"a": 1, "m": [("k", 1)], "n": None}], [None, {"a": None, "m": None, "n": None}]]
    assert conform(old, new).to_pylist() == expected
    assert conform(old.slice(1), new).to_pylist() == expected[1:]
