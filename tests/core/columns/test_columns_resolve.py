"""Which columns a table gets."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from airflow_provider_ddbexport.core.columns import (
    ATTRIBUTE_KEY,
    ColumnOptions,
    Observation,
    Schema,
    column_name,
    part_schema,
    partition_columns,
    resolve,
    table_columns,
)
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.errors import BadCallError, ColumnNameConflictError

RESCUED = "map<string, string>"


def schema_of(items: list[Item], **options: Any) -> Schema:
    observation = Observation()
    for item in items:
        observation.add(item)
    return resolve(observation, ColumnOptions(**options))


def types_of(items: list[Item], **options: Any) -> dict[str, str]:
    """Return column name -> Arrow type, without the column of rescued values."""
    fields = {field.name: str(field.type) for field in part_schema(schema_of(items, **options))}
    assert list(fields)[-1] == "_rescued"
    assert fields.pop("_rescued") == RESCUED
    return fields


def attribute(*values: Any) -> list[Item]:
    """Return items whose attribute ``a`` has these values."""
    return [{"a": value} for value in values]


S, N, HALF, NULL = {"S": "x"}, {"N": "1"}, {"N": "0.5"}, {"NULL": True}
MAP: dict[str, Any] = {"M": {"b": S}}
EMPTY_MAP: dict[str, Any] = {"M": {}}
EMPTY_LIST: dict[str, Any] = {"L": []}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([S], "string"),
        ([{"B": ""}], "binary"),
        ([{"BOOL": False}], "bool"),
        ([N], "int64"),
        ([N, HALF], "decimal128(38, 9)"),
        ([{"SS": ["x"]}], "list<element: string>"),
        ([{"BS": ["QQ=="]}], "list<element: binary>"),
        ([{"NS": ["1", "0.5"]}], "list<element: decimal128(38, 9)>"),
        ([{"L": [S, NULL]}, EMPTY_LIST], "list<element: string>"),
        ([{"L": [{"L": [N]}, EMPTY_LIST]}], "list<element: list<element: int64>>"),
        ([MAP, {"M": {"c": N}}], "struct<b: string, c: int64>"),
        ([{"M": {"b": MAP, "e": EMPTY_MAP}}], "struct<b: struct<b: string>>"),
        ([{"L": [MAP, S, MAP]}], "list<element: struct<b: string>>"),
        # Mixed types: the commonest; of equally common ones always the same.
        ([S, N, N], "int64"),
        ([S, N], "string"),
        ([N, S], "string"),
        ([NULL, NULL, N], "int64"),
        ([{"SS": ["x"]}, {"L": [S]}, {"L": [S]}], "list<element: string>"),
        # What says nothing about a type has no vote.
        ([EMPTY_MAP, EMPTY_MAP, N], "int64"),
        ([EMPTY_LIST, EMPTY_LIST, N], "int64"),
        ([{"L": [NULL]}, {"L": [EMPTY_MAP]}, N], "int64"),
        ([{"M": {"b": NULL}}, {"M": {"b": NULL}}, N], "int64"),
        ([EMPTY_LIST, {"L": [N]}, N], "list<element: int64>"),
    ],
)
def test_an_attribute_gets_the_type_that_most_of_its_values_have(values: list[Any], expected: str) -> None:
    """The type follows from the values, in any order."""
    assert types_of(attribute(*values)) == {"a": expected}
    assert types_of(attribute(*values[::-1])) == {"a": expected}


@pytest.mark.parametrize("value", [NULL, EMPTY_MAP, EMPTY_LIST, {"L": [NULL, EMPTY_MAP]}, {"M": {"b": EMPTY_LIST}}])
@pytest.mark.parametrize("nested", ["struct", "flatten"])
def test_an_attribute_without_a_type_gets_no_column(value: Any, nested: str) -> None:
    """A column of no type could not be written, and would have to change its type later."""
    assert types_of(attribute(value), nested=nested) == {}


def test_maps_with_many_keys_are_a_map_and_with_few_a_struct() -> None:
    """Keys that are data do not become fields; 256 of them still do."""
    assert types_of(attribute(*({"M": {f"k{i}": N}} for i in range(257)))) == {"a": "map<string, int64>"}
    assert types_of(attribute({"M": {f"k{i}": MAP for i in range(257)}})) == {"a": "map<string, struct<b: string>>"}
    (column,) = schema_of(attribute({"M": {f"k{i}": N for i in range(256)}})).columns
    assert len(column.children) == 256


def test_flatten_makes_a_column_of_each_leaf() -> None:
    """Maps in maps become columns; lists stay lists; an attribute that is sometimes scalar follows most."""
    items: list[Item] = [
        {"Address": {"M": {"City": S, "geo": {"M": {"Lat": HALF}}}}, "tags": {"L": [MAP]}},
        {"Address": {"M": {"zip": N}}, "m": MAP},
        {"Address": S, "m": S},
        {"m": S},
        {"many": {"M": {f"k{i}": N for i in range(300)}}},
    ]
    assert types_of(items, nested="flatten") == {
        "address_city": "string",
        "address_geo_lat": "decimal128(38, 9)",
        "address_zip": "int64",
        "m": "string",
        "many": "map<string, int64>",
        "tags": "list<element: struct<b: string>>",
    }


def test_json_makes_text_of_maps_and_lists() -> None:
    """Sets and plain values keep their own types; maps and lists share a column."""
    items = [{"a": MAP, "l": {"L": [N]}, "s": {"SS": ["x"]}, "n": N}, {"a": EMPTY_LIST, "n": S}, {"a": S, "n": N}]
    assert types_of(items, nested="json") == {"a": "string", "l": "string", "n": "int64", "s": "list<element: string>"}
    assert [column.kind.name for column in schema_of(items, nested="json").columns] == [
        "JSON",
        "JSON",
        "NUMBER",
        "STRING_SET",
    ]


def test_numbers_are_of_the_type_asked_for() -> None:
    """For all, or by path with the rest under *; elements of lists and sets go by the path of their list."""
    items = attribute({"M": {"n": N, "l": {"L": [N]}, "s": {"NS": ["1"]}, "o": {"L": [{"M": {"p/q": N}}]}}})
    double = (
        "struct<l: list<element: double>, n: double, o: list<element: struct<p_q: double>>, s: list<element: double>>"
    )
    assert types_of(items, numbers="double") == {"a": double}
    numbers = {"a/n": "string", "a/l": "decimal(10,2)", "a/o/p~1q": "double", "a/s": "auto"}
    assert types_of(items, numbers={**numbers, "*": "string"}) == {
        "a": "struct<l: list<element: decimal128(10, 2)>, n: string, o: list<element: struct<p_q: double>>, "
        "s: list<element: int64>>"
    }


def test_columns_are_sorted_by_name_and_know_their_attributes() -> None:
    """The order of columns does not depend on that of the items; the original name is in the metadata."""
    schema = part_schema(schema_of([{"b": S, "Größe": S, "A/B": S}, {"a": {"M": {"X": S}}}], nested="flatten"))
    assert schema.names == ["a_b", "a_x", "b", "gruf6udfe", "_rescued"]
    attributes = [field.metadata[ATTRIBUTE_KEY].decode() for field in list(schema)[:-1]]
    assert attributes == ["A/B", "a/X", "b", "Größe"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("User", "user"),
        ("Order-Id", "order_id"),
        ("a b.c$d", "a_b_c_d"),
        ("Größe", "gruf6udfe"),
        ("É", "uc9"),
        ("日", "u65e5"),
        ("\u212a", "u212a"),
        ("", "_"),
        ("2024", "2024"),
    ],
)
def test_column_names_are_safe(name: str, expected: str) -> None:
    """Lower case, digits and _ only; letters of other scripts stay apart from each other."""
    assert column_name(name) == expected


def test_long_names_are_cut_and_stay_apart() -> None:
    """Glue takes 255 characters."""
    one, other = column_name("x" * 300 + "a"), column_name("x" * 300 + "b")
    assert len(one) == len(other) == 255
    assert one != other
    assert len(column_name("b" * 200, prefix="a" * 200)) == 255
    assert column_name("x" * 255) == "x" * 255


@pytest.mark.parametrize(
    ("items", "options", "attributes", "column"),
    [
        ([{"User": S, "user": S}], {}, ["User", "user"], "user"),
        ([{"a-b": S}, {"a_b": S}], {}, ["a-b", "a_b"], "a_b"),
        ([{"a_b": S, "a": MAP}], {"nested": "flatten"}, ["a/b", "a_b"], "a_b"),
        (attribute({"M": {"X": S, "x": S}}), {}, ["a/X", "a/x"], "x"),
        (attribute({"L": [{"M": {"X": S, "x": S}}]}), {}, ["a/X", "a/x"], "x"),
        ([{"a": S, "b": S}], {"column_names": {"a": "b"}}, ["a", "b"], "b"),
        ([{"_Rescued": S}], {}, ["_Rescued"], "_rescued"),
        ([{"ddb_export_timestamp": S}], {}, ["ddb_export_timestamp"], "ddb_export_timestamp"),
        ([{"ddb": {"M": {"export": {"M": {"timestamp": S}}}}}], {"nested": "flatten"}, ["ddb/export/timestamp"], None),
        ([{"User": N, "user": S}], {"partition_by": "User"}, ["User", "user"], "user"),
    ],
)
def test_two_attributes_for_one_column_are_refused_by_name(
    items: list[Item], options: Any, attributes: list[str], column: str | None
) -> None:
    """The error names both attributes and says how to tell them apart; the advice works."""
    with pytest.raises(ColumnNameConflictError, match=r"column_names=\{.*--rename") as error:
        schema_of(items, **options)
    assert sorted(error.value.context["attributes"]) == attributes
    assert column is None or error.value.context["column"] == column
    assert all(repr(name) in str(error.value) for name in attributes)
    renamed = {**options.get("column_names", {}), attributes[-1]: "another_name"}
    schema_of(items, **{**options, "column_names": renamed})


def test_what_gets_no_column_is_in_no_ones_way() -> None:
    """Only columns can have equal names."""
    assert types_of([{"User": S, "user": NULL}]) == {"user": "string"}


def test_columns_are_called_what_the_author_says() -> None:
    """By path, for whole columns, fields of structs and flattened leaves."""
    items: list[Item] = [{"a": MAP, "l": {"L": [MAP]}}]
    assert types_of(items, column_names={"a": "first", "a/b": "inner", "l/b": "element"}) == {
        "first": "struct<inner: string>",
        "l": "list<element: struct<element: string>>",
    }
    assert list(types_of(items, nested="flatten", column_names={"a": "first"})) == ["first_b", "l"]
    assert list(types_of(items, nested="flatten", column_names={"a/b": "leaf"})) == ["l", "leaf"]


def test_partition_columns_are_in_the_path_only() -> None:
    """They are apart from the columns of the parts, in the order asked for, of a type that a path can hold."""
    items: list[Item] = [
        {"Year": N, "City": S, "ok": {"BOOL": True}, "x": S},
        {"Year": {"M": {"a": S}}, "City": {"NULL": True}},
        {"Year": {"M": {"a": S}}},
    ]
    schema = schema_of(items, partition_by=("Year", "ok", "City"))
    assert schema.partition_by == ("year", "ok", "city")
    assert [(field.name, str(field.type)) for field in partition_columns(schema)] == [
        ("year", "int64"),
        ("ok", "bool"),
        ("city", "string"),
    ]
    assert part_schema(schema).names == table_columns(schema).names == ["x", "_rescued"]


def test_an_attribute_that_cannot_partition_is_refused() -> None:
    """A misspelled attribute would put everything into the default partition; a map fits no path."""
    with pytest.raises(BadCallError, match="no item has an attribute 'yaer'"):
        schema_of([{"year": N}], partition_by="yaer")
    with pytest.raises(BadCallError, match="'m' is neither text"):
        schema_of([{"m": MAP}, {"m": {"B": ""}}], partition_by="m")


def test_an_attribute_that_is_only_null_or_in_no_item_of_an_empty_table_partitions_as_text() -> None:
    """The catalog's table needs its partition columns from the first snapshot on."""
    for items in ([], [{"year": NULL}], [{"year": NULL}, {"x": S}]):
        assert [field.type for field in partition_columns(schema_of(items, partition_by="year"))] == [pa.string()]


def test_an_empty_table_has_only_the_column_of_rescued_values() -> None:
    """A snapshot without items is a snapshot, too."""
    assert types_of([]) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"nested": "list"},
        {"numbers": "float"},
        {"numbers": "decimal(39,0)"},
        {"numbers": "decimal(10,11)"},
        {"numbers": "decimal(0,0)"},
        {"numbers": "decimal(10)"},
        {"numbers": {"a": "int"}},
        {"numbers": {"a": 1}},
        {"partition_by": ("a", "a")},
        {"column_names": {"a": "Upper"}},
        {"column_names": {"a": ""}},
        {"column_names": {"a": "x" * 256}},
        {"column_names": {"a": None}},
    ],
)
def test_wrong_options_are_refused_with_what_is_expected(options: Any) -> None:
    """When they are made, before anything is read."""
    with pytest.raises(BadCallError):
        ColumnOptions(**options)


def test_options_survive_json() -> None:
    """What the commit record says of them is all there is to them."""
    options = ColumnOptions(
        numbers={"a/b": "decimal( 10, 2)", "*": "double"},
        nested="flatten",
        partition_by="year",
        column_names={"a": "b"},
    )
    assert ColumnOptions.from_json(options.to_json()) == options
    assert ColumnOptions.from_json(ColumnOptions().to_json()) == ColumnOptions()
    assert options.number_type("a/b") == pa.decimal128(10, 2)
    assert options.number_type("c") == pa.float64()
