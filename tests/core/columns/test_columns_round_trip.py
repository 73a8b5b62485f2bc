"""Items → columns → Parquet → columns → items is the identity, whatever the items and the options."""

from __future__ import annotations

import random
import sys

import pytest
from generated_items import item_lists, normal_item, random_items, there_and_back
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    Schema,
    resolve,
    schema_from_json,
    schema_to_json,
)
from airflow_provider_ddbexport.core.columns.options import Nested
from airflow_provider_ddbexport.core.decode import Item, check_item
from airflow_provider_ddbexport.errors import BadCallError, ColumnNameConflictError

# Hypothesis finds the small counterexamples; the sweep at the end, without its costs, goes through many more items.
some = settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))

options = st.builds(
    ColumnOptions,
    numbers=st.sampled_from(
        ["auto", "double", "string", "decimal(10,2)", "decimal(38,0)", {"x": "string", "M/x": "double", "*": "auto"}]
    ),
    nested=st.sampled_from(["struct", "flatten", "json"]),
    partition_by=st.sampled_from([(), ("x",), ("User",), ("User", "x"), ("Item",)]),
)


@pytest.fixture(params=[256, 2], ids=["maps have few keys", "maps have many keys"], autouse=True)
def most_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything again with a limit that generated maps exceed."""
    for module in ("observe", "resolve"):
        monkeypatch.setattr(
            sys.modules[f"airflow_provider_ddbexport.core.columns.{module}"], "MAX_MEMBERS", request.param
        )


def observed(items: list[Item]) -> Observation:
    observation = Observation()
    for item in items:
        observation.add(item)
    return observation


def columns_for(items: list[Item], options: ColumnOptions, previous: Schema | None = None) -> Schema:
    """Return the schema, or give the example up where these options cannot have one for these items."""
    try:
        return resolve(observed(items), options, previous)
    except BadCallError as error:
        # Two names become one, or the attribute of partition_by is in no item or cannot be in a path.
        assume(not isinstance(error, ColumnNameConflictError) and "partition_by" not in str(error))
        raise


@some
@given(items=item_lists(), options=options)
def test_items_come_back_exactly_under_every_option(items: list[Item], options: ColumnOptions) -> None:
    """Nothing is lost, rounded or invented by any combination of options."""
    for item in items:
        check_item(item)
    schema = columns_for(items, options)
    assert [normal_item(item) for item in there_and_back(items, schema)] == [normal_item(item) for item in items]


@some
@given(items=item_lists(), others=item_lists(), options=options)
def test_items_come_back_through_columns_made_for_other_items(
    items: list[Item], others: list[Item], options: ColumnOptions
) -> None:
    """A schema need not have seen an item: what it has no place for is rescued."""
    schema = columns_for(others, options)
    assert [normal_item(item) for item in there_and_back(items, schema)] == [normal_item(item) for item in items]


@some
@given(first=item_lists(), second=item_lists(), options=options)
def test_items_come_back_through_the_columns_of_a_table_that_grew(
    first: list[Item], second: list[Item], options: ColumnOptions
) -> None:
    """Today's items fit the columns that yesterday's items began, also after those went through JSON."""
    yesterday = schema_from_json(schema_to_json(columns_for(first, options)))
    today = columns_for(second, options, yesterday)
    assert [normal_item(item) for item in there_and_back(second, today)] == [normal_item(item) for item in second]
    assert [normal_item(item) for item in there_and_back(first, today)] == [normal_item(item) for item in first]


@pytest.mark.parametrize("nested", ["struct", "flatten", "json"])
@pytest.mark.parametrize("numbers", ["auto", "double", "string", "decimal(10,2)"])
def test_many_random_items_come_back_exactly(nested: Nested, numbers: str) -> None:
    """Nothing is lost in larger tables either, and a table's columns take the items of any later day."""
    options = ColumnOptions(numbers=numbers, nested=nested)
    schema = None
    rescued = 0
    for seed in range(4):
        items = random_items(random.Random(seed), rows=50)
        schema = resolve(observed(items), options, schema)
        back = there_and_back(items, schema)
        assert [normal_item(item) for item in back] == [normal_item(item) for item in items], f"seed {seed}"
        builder = RowBuilder(schema)
        for item in items:
            builder.add(item)
        rescued += builder.rescued.total()
    assert rescued > 0
