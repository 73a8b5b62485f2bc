"""Schemas that are made room in while rows are built under them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Kind,
    Observation,
    grow,
    observation_from_json,
    observation_to_json,
    resolve,
)
from airflow_provider_ddbexport.core.columns.widen import can_widen
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


@settings(max_examples=60, deadline=None)
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
    assert can_widen(first, grown, {}) or options.partition_by
    assert grow(grown, observed(some + others), options, table) == grown
    assert grow(first, observed(some), options, table) == first
    assert grow(final, observed(some), options, table) == final
    assert grow(final, observed(others), options, table) == final


@settings(max_examples=25, deadline=None)
@given(tables)
def test_observations_survive_json(items: list[Any]) -> None:
    """What shards saw is merged from records, so nothing of it may get lost there."""
    seen = observed(items)
    assert observation_from_json(json.loads(json.dumps(observation_to_json(seen)))) == seen


def test_columns_come_by_name_as_if_all_had_been_known() -> None:
    """New columns, and new fields inside of structs, lists and maps, stand where the schema of all items has them."""
    first = [{"id": {"N": "1"}, "l": {"L": [{"M": {"x": {"S": ""}}}]}}]
    later = [{"id": {"N": "0.5"}, "l": {"L": [{"M": {"a/b": {"S": ""}}}]}, "a": {"M": {"k": {"S": ""}}}}]
    options = ColumnOptions()
    grown = grow(resolve(observed(first), options), observed(later), options, None)
    assert grown == resolve(observed(first + later), options)
    assert [column.name for column in grown.columns] == ["a", "id", "l"]


def test_too_many_keys_are_no_widening() -> None:
    """A struct that becomes a map has another column, so that its rows have to be built again."""
    before = resolve(observed([{"m": {"M": {"k": {"S": ""}}}}]), ColumnOptions())
    many = {"m": {"M": {f"k{n}": {"S": ""} for n in range(300)}}}
    grown = grow(before, observed([many]), ColumnOptions(), None)
    assert grown.columns[0].kind is Kind.MAP
    assert not can_widen(before, grown, {})
