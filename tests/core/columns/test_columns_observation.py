"""An observation depends on the items alone, and stays small."""

from __future__ import annotations

import pickle
import random
import sys

import pytest
from generated_items import item_lists, random_items
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import ColumnOptions, Kind, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.columns.options import Nested
from airflow_provider_ddbexport.core.decode import Item

observe = sys.modules["airflow_provider_ddbexport.core.columns.observe"]


def observed(items: list[Item]) -> Observation:
    observation = Observation()
    for item in items:
        observation.add(item)
    return observation


@pytest.fixture(params=[256, 3, 1], autouse=True)
def most_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps turn into MAP columns after many keys, or so soon that everything here does."""
    monkeypatch.setattr(observe, "MAX_MEMBERS", request.param)


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(items=item_lists(max_size=6), cut=st.integers(0, 6), shuffled=st.randoms())
def test_neither_order_nor_splitting_matters(items: list[Item], cut: int, shuffled: random.Random) -> None:
    """Adding in any order, or in two places and merging in either direction, is the same observation."""
    expected = observed(items)
    others = [dict(shuffled.sample(list(item.items()), len(item))) for item in items]
    shuffled.shuffle(others)
    assert observed(others) == expected
    for first, second in [(others[:cut], others[cut:]), (others[cut:], others[:cut])]:
        one, other = observed(first), pickle.loads(pickle.dumps(observed(second)))
        one.merge(other)
        assert one == expected
        assert other == observed(second), "merging changed the other one"
    assert expected.items == len(items)


@pytest.mark.parametrize("nested", ["struct", "flatten", "json"])
def test_however_shards_are_cut_and_merged_the_schema_and_the_rows_are_the_same(nested: Nested) -> None:
    """Many random tables, cut into shards at random: one schema, and each item one row."""
    for seed in range(5):
        dice = random.Random(seed)
        items = random_items(dice, rows=40)
        options = ColumnOptions(nested=nested)
        expected = resolve(observed(items), options)
        shards = [Observation() for _ in range(dice.randint(1, 6))]
        for item in dice.sample(items, len(items)):
            dice.choice(shards).add(item)
        while len(shards) > 1:
            shards.sort(key=lambda _: dice.random())
            shards[0].merge(shards.pop())
        assert resolve(shards[0], options) == expected, f"seed {seed}"

        whole, single = RowBuilder(expected), RowBuilder(expected)
        for item in items:
            whole.add(item)
        batch = whole.finish()
        for place, item in enumerate(items):
            single.add(dict(dice.sample(list(item.items()), len(item))))
            assert single.finish() == batch.slice(place, 1), f"seed {seed}, item {place}"
        assert single.rescued == whole.rescued


def test_a_map_with_too_many_keys_becomes_one_value_and_stays_so(most_keys: None) -> None:
    """Memory does not grow with the number of keys, and what the values look like is kept."""
    observation = observed([{"m": {"M": {f"key {number}": {"N": str(number)}}}} for number in range(1000)])
    assert len(pickle.dumps(observation)) < 1000
    (column,) = resolve(observation, ColumnOptions()).columns
    assert (column.kind, column.children[0].kind) == (Kind.MAP, Kind.NUMBER)
    observation.merge(observed([{"m": {"M": {"one": {"N": "0.5"}}}}]))
    (column,) = resolve(observation, ColumnOptions()).columns
    assert column.kind is Kind.MAP
    assert str(column.children[0].arrow) == "decimal128(38, 9)"


def test_halves_of_a_map_with_too_many_keys_become_one_value_when_they_meet() -> None:
    """Neither process has seen too many keys; together they have."""
    halves = [observed([{"m": {"M": {f"{half}{number}": {"N": "1"} for number in range(200)}}}]) for half in "xy"]
    halves[0].merge(halves[1])
    (column,) = resolve(halves[0], ColumnOptions()).columns
    assert (column.kind, column.children[0].kind) == (Kind.MAP, Kind.NUMBER)


def test_of_too_many_attributes_the_shortest_names_get_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attribute names made of data do not fill memory, nor push out the real ones, in whatever order they come."""
    monkeypatch.setattr(observe, "MAX_ATTRIBUTES", 10)
    items: list[Item] = [{f"generated {number:03}": {"S": "x"}, "pk": {"S": "x"}} for number in range(100)]
    items[50] = {"sk": {"S": "x"}, "zz": {"N": "1"}}
    names = {f"generated {number:03}" for number in range(7)} | {"pk", "sk", "zz"}
    for order in (items, items[::-1], random.Random(1).sample(items, 100)):
        observation = observed(order[:40])
        observation.merge(observed(order[40:]))
        assert observation.attributes.keys() == names
        assert observation == observed(items)
        assert len(pickle.dumps(observation)) < 3000
