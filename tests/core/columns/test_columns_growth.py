"""A table's columns only ever grow."""

from __future__ import annotations

import random
import sys
from typing import Any

import pyarrow as pa
import pytest
from generated_items import random_items

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Kind,
    Observation,
    RowBuilder,
    Schema,
    part_schema,
    resolve,
    schema_from_json,
    schema_to_json,
)
from airflow_provider_ddbexport.core.columns.options import Nested
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.errors import ColumnNameConflictError, SchemaConflictError

S, N, HALF, NULL = {"S": "x"}, {"N": "1"}, {"N": "0.5"}, {"NULL": True}


def grown(items: list[Item], previous: Schema | None, **options: Any) -> Schema:
    observation = Observation()
    for item in items:
        observation.add(item)
    return resolve(observation, ColumnOptions(**options), previous)


def columns_of(schema: Schema) -> list[tuple[str, str]]:
    return [(field.name, str(field.type)) for field in part_schema(schema)][:-1]


def assert_grew(old: pa.DataType, new: pa.DataType) -> None:
    """Fail unless *new* is *old*, but for fields behind the old ones in structs."""
    if pa.types.is_struct(old):
        assert [new.field(place).name for place in range(old.num_fields)] == [field.name for field in old]
        for place in range(old.num_fields):
            assert_grew(old.field(place).type, new.field(place).type)
    elif pa.types.is_map(old):
        assert_grew(old.item_type, new.item_type)
    elif pa.types.is_list(old):
        assert_grew(old.value_type, new.value_type)
    else:
        assert new == old


@pytest.mark.parametrize("nested", ["struct", "flatten", "json"])
@pytest.mark.parametrize("most_keys", [256, 2])
def test_no_item_moves_retypes_or_removes_a_column(
    nested: Nested, most_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Day after day of random items: columns keep their places and types, and the same day again changes nothing."""
    for module in ("observe", "resolve"):
        monkeypatch.setattr(sys.modules[f"airflow_provider_ddbexport.core.columns.{module}"], "MAX_MEMBERS", most_keys)
    schema = Schema(())
    grew = 0
    for seed in range(25):
        items = random_items(random.Random(seed), rows=4)
        later = grown(items, schema, nested=nested)
        old, new = part_schema(schema).remove(len(part_schema(schema)) - 1), part_schema(later)
        assert new.names[: len(old)] == old.names, f"seed {seed}"
        for field in old:
            assert_grew(field.type, new.field(field.name).type)
        assert grown(items, later, nested=nested) == later, f"seed {seed}"
        assert schema_from_json(schema_to_json(later)) == later
        grew += later != schema
        schema = later
    assert grew > 1


def test_columns_of_today_follow_those_of_yesterday() -> None:
    """New columns and new fields, at any depth, come last; attributes that are gone keep their columns."""
    first = grown([{"b": S, "m": {"M": {"y": N}}, "l": {"L": [{"M": {"y": N}}]}, "gone": S}], None)
    second = grown([{"a": S, "b": N, "m": {"M": {"x": S, "y": HALF}}, "l": {"L": [{"M": {"x": S}}]}}], first)
    assert columns_of(second) == [
        ("b", "string"),
        ("gone", "string"),
        ("l", "list<element: struct<y: int64, x: string>>"),
        ("m", "struct<y: int64, x: string>"),
        ("a", "string"),
    ]


def test_new_leaves_of_a_flattened_map_follow_all_old_columns() -> None:
    """Also when they are of a map that had leaves before, at any depth."""
    first = grown([{"m": {"M": {"y": N, "k": {"M": {"z": S}}}}, "n": S}], None, nested="flatten")
    second = grown([{"a": S, "m": {"M": {"x": S, "k": {"M": {"b": S}}}}}], first, nested="flatten")
    assert [name for name, _ in columns_of(second)] == ["m_k_z", "m_y", "n", "a", "m_k_b", "m_x"]
    third = grown([{"m": {"M": {"w": S, "x": N}}}], second, nested="flatten")
    assert [name for name, _ in columns_of(third)] == ["m_k_z", "m_y", "n", "a", "m_k_b", "m_x", "m_w"]
    assert dict(columns_of(third))["m_x"] == "string"


def test_a_struct_stays_one_when_its_keys_become_many_and_a_map_when_they_become_few() -> None:
    """Neither can turn into the other; a struct stops growing at 256 fields."""
    few: list[Item] = [{"m": {"M": {"a": N, "b": N}}}]
    many: list[Item] = [{"m": {"M": {f"k{number}": N for number in range(300)}}}]
    assert columns_of(grown(many, grown(few, None))) == [("m", "struct<a: int64, b: int64>")]
    assert columns_of(grown(few, grown(many, None))) == [("m", "map<string, int64>")]
    halves = [[{"m": {"M": {f"{half}{number}": N for number in range(200)}}}] for half in "xy"]
    (column,) = grown(halves[1], grown(halves[0], None)).columns
    assert len(column.children) == 256


def test_a_name_taken_yesterday_is_a_conflict_today() -> None:
    """A new attribute cannot slip into an old one's column."""
    first = grown([{"User": S}], None)
    with pytest.raises(ColumnNameConflictError, match="'User' and 'user'"):
        grown([{"user": S}], first)
    assert [name for name, _ in columns_of(grown([{"user": S}], first, column_names={"user": "user_2"}))] == [
        "user",
        "user_2",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"numbers": "double"}),
        ({"numbers": "double"}, {"numbers": "string"}),
        ({"numbers": "double"}, {"numbers": {"m/n": "decimal(5,2)"}}),
        ({}, {"numbers": {"s": "string"}}),
        ({}, {"nested": "flatten"}),
        ({}, {"nested": "json"}),
        ({"nested": "flatten"}, {"nested": "struct"}),
        ({"nested": "flatten"}, {"nested": "json"}),
        ({"nested": "json"}, {"nested": "struct"}),
        ({"nested": "json"}, {"nested": "flatten"}),
        ({}, {"column_names": {"b": "other"}}),
        ({}, {"column_names": {"m/n": "other"}}),
        ({}, {"partition_by": "b"}),
        ({"partition_by": "b"}, {}),
        ({"partition_by": ("b", "n")}, {"partition_by": ("n", "b")}),
    ],
)
@pytest.mark.parametrize("is_empty", [False, True], ids=["", "no items"])
def test_an_option_that_contradicts_a_column_is_refused(before: Any, after: Any, is_empty: bool) -> None:
    """Whether or not today's items use the column; the same options as before are fine."""
    items: list[Item] = [{"b": S, "n": N, "m": {"M": {"n": N}}, "l": {"L": [N]}, "s": {"NS": ["1"]}}]
    first = grown(items, None, **before)
    assert grown([] if is_empty else items, first, **before) == first
    with pytest.raises(SchemaConflictError, match="another table"):
        grown([] if is_empty else items, first, **after)


def test_what_partitions_an_empty_table_is_text_until_its_first_items_tell() -> None:
    """That is no type it had; once there are items, it never changes."""
    empty = grown([], None, partition_by=("Year", "City"))
    assert grown([], empty, partition_by=("Year", "City")) == empty
    first = grown([{"k": S, "Year": N, "City": NULL}], empty, partition_by=("Year", "City"))
    assert [(column.name, column.kind) for column in first.columns] == [
        ("city", Kind.STRING),
        ("year", Kind.NUMBER),
        ("k", Kind.STRING),
    ]
    assert grown([{"k": S, "Year": S, "City": N}], first, partition_by=("Year", "City")) == first
    keys = grown([{"Year": N}], grown([], None, partition_by="Year"), partition_by="Year")
    assert grown([{"Year": HALF}], keys, partition_by="Year") == keys


def test_leaving_an_option_out_contradicts_nothing() -> None:
    """numbers="auto" takes the columns as they are."""
    first = grown([{"n": N}], None, numbers="double")
    assert columns_of(grown([{"n": HALF, "o": N}], first)) == [("n", "double"), ("o", "int64")]


def test_lists_of_maps_stay_as_they_are_under_flatten() -> None:
    """Structs inside of lists are no contradiction to nested="flatten"."""
    items: list[Item] = [{"l": {"L": [{"M": {"a": N}}]}}]
    first = grown(items, None, nested="flatten")
    second = grown([{"l": {"L": [{"M": {"b": N}}]}}], first, nested="flatten")
    assert columns_of(second) == [("l", "list<element: struct<a: int64, b: int64>>")]


def test_what_stops_fitting_is_rescued_and_counted() -> None:
    """Drift changes no column, and is seen."""
    first = grown([{"n": N, "m": {"M": {"a": N}}}], None)
    items: list[Item] = [{"n": HALF, "m": {"M": {"a": S}}}, {"n": S, "m": S}]
    builder = RowBuilder(grown(items, first))
    for item in items:
        builder.add(item)
    assert builder.rescued == {"n": 2, "m/a": 1, "m": 1}
