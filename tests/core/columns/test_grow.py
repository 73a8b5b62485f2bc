"""Schemas that are made room in while rows are built under them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    Column,
    ColumnOptions,
    Kind,
    Observation,
    Schema,
    additions,
    grow,
    observation_from_json,
    observation_to_json,
    resolve,
)
from airflow_provider_ddbexport.errors import ColumnNameConflictError, SchemaConflictError

OPTIONS = [
    ColumnOptions(),
    ColumnOptions(nested="flatten"),
    ColumnOptions(nested="json"),
    ColumnOptions(numbers="double"),
    ColumnOptions(numbers="string"),
    ColumnOptions(numbers={"a": "decimal(5,2)"}),
    ColumnOptions(partition_by=("a",)),
]

leaves = st.one_of(
    st.just({"S": "x"}),
    st.just({"NULL": True}),
    st.just({"BOOL": True}),
    st.just({"SS": ["x"]}),
    st.integers(-(10**30), 10**30).map(lambda number: {"N": str(number)}),
    st.decimals("-1e9", "1e9", places=5).map(lambda number: {"N": str(number)}),
    st.integers(1, 10**30).map(lambda number: {"N": f"0.{number}"}),
    st.integers(0, 10**20).map(lambda number: {"NS": [str(number)]}),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda value: {"L": value}),
        st.dictionaries(st.sampled_from("abM"), inner, max_size=3).map(lambda value: {"M": value}),
    ),
    max_leaves=6,
)
tables = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "S"]), values, min_size=1), max_size=8)


def observed(items: list[Any]) -> Observation:
    observation = Observation()
    for item in items:
        observation.add(item)
    return observation


@settings(max_examples=150, deadline=None)
@given(tables, tables, tables, st.sampled_from(OPTIONS))
def test_a_schema_holds_what_it_has_and_makes_room_for_the_rest(
    earlier: list[Any], some: list[Any], others: list[Any], options: ColumnOptions
) -> None:
    """Growing only widens, is done after once, and leaves the schema of all items as it is, whichever of them come."""
    try:
        table = resolve(observed(earlier), options, is_sample=True) if earlier else None
        final = resolve(observed(some + others), options, table, is_sample=True)
        first = resolve(observed(some), options, table, is_sample=True)
        grown = grow(first, observed(others), options, table)
    except (ColumnNameConflictError, SchemaConflictError):
        return
    assert additions(first, grown) is not None
    assert grow(grown, observed(some + others), options, table) == grown
    assert grow(first, observed(some), options, table) == first
    assert grow(final, observed(some), options, table) == final
    assert grow(final, observed(others), options, table) == final


@settings(max_examples=50, deadline=None)
@given(tables)
def test_observations_survive_json(items: list[Any]) -> None:
    """What shards saw is merged from records, so nothing of it may get lost there."""
    seen = observed(items)
    assert observation_from_json(json.loads(json.dumps(observation_to_json(seen)))) == seen


def test_additions_are_told_by_path() -> None:
    """New columns, and new fields inside of structs, lists and maps."""
    before = resolve(observed([{"id": {"N": "1"}, "l": {"L": [{"M": {"x": {"S": ""}}}]}}]), ColumnOptions())
    later = [{"id": {"N": "0.5"}, "l": {"L": [{"M": {"y/z": {"S": ""}}}]}, "new": {"M": {"k": {"S": ""}}}}]
    grown = grow(before, observed(later), ColumnOptions(), None)
    assert additions(before, grown) == {"l/y~1z", "new"}
    assert additions(grown, before) is None
    assert [column.name for column in grown.columns] == ["id", "l", "new"], "by name, as if all had been known"


def number(arrow: pa.DataType) -> Schema:
    return Schema((Column("n", "n", Kind.NUMBER, arrow),))


@pytest.mark.parametrize(
    ("narrow", "wide", "is_wider"),
    [
        (pa.int64(), pa.decimal128(38, 9), True),
        (pa.int64(), pa.string(), True),
        (pa.decimal128(38, 9), pa.decimal128(38, 12), True),
        (pa.decimal128(38, 9), pa.string(), True),
        (pa.decimal128(38, 9), pa.int64(), False),
        (pa.string(), pa.decimal128(38, 9), False),
        (pa.float64(), pa.string(), False),
        (pa.int64(), pa.float64(), False),
        (pa.float64(), pa.float64(), True),
    ],
)
def test_only_exact_numbers_are_widened(narrow: pa.DataType, wide: pa.DataType, is_wider: bool) -> None:
    """A double is no wider number: it may not hold what an exact type held."""
    assert (additions(number(narrow), number(wide)) is not None) == is_wider


def test_too_many_keys_are_no_widening() -> None:
    """A struct that becomes a map has another column, so that its rows have to be built again."""
    before = resolve(observed([{"m": {"M": {"k": {"S": ""}}}}]), ColumnOptions())
    many = {"m": {"M": {f"k{n}": {"S": ""} for n in range(300)}}}
    grown = grow(before, observed([many]), ColumnOptions(), None)
    assert grown.columns[0].kind is Kind.MAP
    assert additions(before, grown) is None
