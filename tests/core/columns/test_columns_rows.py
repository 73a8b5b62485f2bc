"""What a row looks like: values in their columns, the rest rescued under its path."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from generated_items import normal_item, there_and_back

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    Schema,
    part_schema,
    partition_of,
    resolve,
    restore,
)
from airflow_provider_ddbexport.core.columns import build as build_module
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.errors import SnapshotDamagedError

S, N, NULL = {"S": "x"}, {"N": "1"}, {"NULL": True}
EMPTY: dict[str, Any] = {"M": {}}


def schema_of(items: list[Item], **options: Any) -> Schema:
    observation = Observation()
    for item in items:
        observation.add(item)
    return resolve(observation, ColumnOptions(**options))


def rows_of(items: list[Item], usual: list[Item], **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the rows of *items* in the columns of *usual*, rescued values as a dict, and the counts of these."""
    schema = schema_of(usual, **options)
    builder = RowBuilder(schema)
    for item in items:
        builder.add(item)
    rows = builder.finish().to_pylist()
    for row in rows:
        row["_rescued"] = {path: json.loads(text) for path, text in row["_rescued"] or ()}
    assert [normal_item(item) for item in there_and_back(items, schema)] == [normal_item(item) for item in items]
    return rows, dict(builder.rescued)


def row_of(item: Item, usual: Item, **options: Any) -> dict[str, Any]:
    rows, counts = rows_of([item], [usual], **options)
    assert sum(counts.values()) == len(rows[0]["_rescued"])
    return rows[0]


def test_values_are_in_their_columns() -> None:
    """Every type as a reader of Parquet expects it; nothing is rescued that fits."""
    item: Item = {
        "s": {"S": "text"},
        "i": {"N": "42"},
        "d": {"N": "1.50"},
        "b": {"B": "QUI="},
        "t": {"BOOL": False},
        "m": {"M": {"x": {"S": ""}, "l": {"L": [N, N]}}},
        "l": {"L": [{"L": [N]}, {"L": []}]},
        "e": {"L": []},
        "ss": {"SS": ["b", "a"]},
        "ns": {"NS": ["2", "1"]},
        "bs": {"BS": ["QQ=="]},
    }
    row = row_of(item, {**item, "e": {"L": [S]}})
    assert str(row.pop("d")) == "1.500000000"
    assert row == {
        "s": "text",
        "i": 42,
        "b": b"AB",
        "t": False,
        "m": {"x": "", "l": [1, 1]},
        "l": [[1], []],
        "e": [],
        "ss": ["b", "a"],
        "ns": [2, 1],
        "bs": [b"A"],
        "_rescued": {},
    }


@pytest.mark.parametrize(
    ("value", "usual", "column", "rescued"),
    [
        (NULL, S, None, {"a": NULL}),
        (N, S, None, {"a": N}),
        (EMPTY, {"M": {"b": S}}, None, {"a": EMPTY}),
        ({"N": "0.5"}, N, None, {"a": {"N": "0.5"}}),
        ({"SS": ["x"]}, {"L": [S]}, None, {"a": {"SS": ["x"]}}),
        # Only the leaf that does not fit, at any depth.
        ({"M": {"b": N, "c": N}}, {"M": {"b": S, "c": N}}, {"b": None, "c": 1}, {"a/b": N}),
        ({"M": {"b": NULL}}, {"M": {"b": S, "c": N}}, {"b": None, "c": None}, {"a/b": NULL}),
        ({"M": {"b": EMPTY}}, {"M": {"b": {"M": {"c": S}}}}, {"b": None}, {"a/b": EMPTY}),
        ({"M": {"b": {"M": {"c": N}}}}, {"M": {"b": {"M": {"c": S}}}}, {"b": {"c": None}}, {"a/b/c": N}),
        ({"L": [S, N, NULL, EMPTY]}, {"L": [S]}, ["x", None, None, None], {"a/1": N, "a/2": NULL, "a/3": EMPTY}),
        ({"L": [{"L": [N, S]}, S]}, {"L": [{"L": [N]}]}, [[1, None], None], {"a/0/1": S, "a/1": S}),
        (
            {"L": [{"M": {"b": EMPTY}}, EMPTY]},
            {"L": [{"M": {"b": {"M": {"c": S}}, "d": S}}]},
            [{"b": None, "d": None}, None],
            {"a/0/b": EMPTY, "a/1": EMPTY},
        ),
        ({"NS": ["1", "0.5", "1E-130"]}, {"NS": ["1"]}, [1, None, None], {"a/1": {"N": "0.5"}, "a/2": {"N": "1E-130"}}),
        # Keys without a field, and names that need escapes.
        ({"M": {"b": S, "new": S}}, {"M": {"b": S}}, {"b": "x"}, {"a/new": S}),
        ({"M": {"x/y": N, "~1": N}}, {"M": {"x/y": S, "~1": S}}, {"_1": None, "x_y": None}, {"a/x~1y": N, "a/~01": N}),
    ],
)
def test_a_misfit_leaves_its_leaf_null_and_is_rescued_under_its_path(
    value: Any, usual: Any, column: Any, rescued: Any
) -> None:
    """What stands around it stays in the columns."""
    assert row_of({"a": value}, {"a": usual}) == {"a": column, "_rescued": rescued}


def test_attributes_without_a_column_are_rescued() -> None:
    """Their names are paths, too."""
    assert row_of({"b": S, "a/b~c": N}, {"b": S}) == {"b": "x", "_rescued": {"a~1b~0c": N}}


def test_null_absent_and_empty_stay_apart() -> None:
    """In a struct, a flattened map and a MAP column."""
    maps: list[Any] = [{"M": {"b": NULL}}, {"M": {"c": N}}, EMPTY, NULL, None, {"M": {"b": EMPTY}}]
    items: list[Item] = [{"a": value} if value else {} for value in maps]
    usual: list[Item] = [{"a": {"M": {"b": {"M": {"d": N}}, "c": N}}}]
    for nested in ("struct", "flatten", "json"):
        rows_of(items, usual, nested=nested)
    rows_of(items, [{"a": {"M": {f"k{i}": {"M": {"d": N}} for i in range(300)}}}])


def test_map_columns_hold_any_key() -> None:
    """A value that does not fit is null at its key and rescued; the count does not grow with the keys."""
    usual: list[Item] = [{"m": {"M": {f"k{i}": {"M": {"n": N}} for i in range(300)}}}]
    items: list[Item] = [{"m": {"M": {"b/": {"M": {"n": S}}, "a": NULL, "c": EMPTY, "d": {"M": {"n": N}}}}}]
    rows, counts = rows_of(items, usual)
    assert rows == [
        {
            "m": [("a", None), ("b/", {"n": None}), ("c", None), ("d", {"n": 1})],
            "_rescued": {"m/a": NULL, "m/b~1/n": S, "m/c": EMPTY},
        }
    ]
    assert counts == {"m": 2, "m/n": 1}


def test_double_columns_hold_only_what_a_double_holds() -> None:
    """0.1 survives a double, 2^53 + 1 and 38 digits do not."""
    numbers = ["0.1", "9007199254740993", "1E-130", "0.30000000000000004", "12345678901234567890"]
    rows, counts = rows_of([{"n": {"N": number}} for number in numbers], [{"n": N}], numbers="double")
    assert [row["n"] for row in rows] == [0.1, None, 1e-130, 0.30000000000000004, None]
    assert counts == {"n": 2}


def test_flattened_leaves_are_columns_and_scalars_in_their_stead_are_rescued() -> None:
    """One attribute, sometimes a map and sometimes text."""
    usual: list[Item] = [{"a": {"M": {"b": S, "c": {"M": {"d": N}}}}}]
    items: list[Item] = [*usual, {"a": S}, {"a": {"M": {"c": {"M": {"d": S}}}}}, {"a": {"M": {"c": N}}}, {"a": EMPTY}]
    rows, counts = rows_of(items, usual, nested="flatten")
    assert rows == [
        {"a_b": "x", "a_c_d": 1, "_rescued": {}},
        {"a_b": None, "a_c_d": None, "_rescued": {"a": S}},
        {"a_b": None, "a_c_d": None, "_rescued": {"a/c/d": S}},
        {"a_b": None, "a_c_d": None, "_rescued": {"a/c": N}},
        {"a_b": None, "a_c_d": None, "_rescued": {"a": EMPTY}},
    ]
    assert counts == {"a": 2, "a/c/d": 1, "a/c": 1}


def test_json_text_has_every_digit_and_what_json_cannot_say_is_rescued_besides() -> None:
    """Numbers are literals; sets and binaries are arrays and base64 in the text, and known as what they are."""
    digits = "1234567890123456789012345678.0123456789"
    item: Item = {
        "j": {
            "M": {
                "n": {"N": digits},
                "small": {"N": "1E-130"},
                "odd": {"N": "+1.50"},
                "text": {"S": '3.5 "ü" \u2028'},
                "none": NULL,
                "yes": {"BOOL": True},
                "empty": EMPTY,
                "set": {"NS": ["2", "0.10"]},
                "deep": {"L": [{"M": {"b/": {"B": "QQ=="}}}, {"SS": ["x"]}, {"L": []}]},
            }
        }
    }
    row = row_of(item, item, nested="json")
    assert row["j"] == (
        '{"deep":[{"b/":"QQ=="},["x"],[]],"empty":{},"n":' + digits + ',"none":null,"odd":1.5,"set":[2,0.1],'
        '"small":1E-130,"text":"3.5 \\"ü\\" \u2028","yes":true}'
    )
    assert row["_rescued"] == {
        "j/deep/0/b~1": {"B": "QQ=="},
        "j/deep/1": {"SS": ["x"]},
        "j/set": {"NS": ["2", "0.10"]},
    }


def test_json_columns_hold_maps_and_lists_alike() -> None:
    """An empty list is text; an empty map at the top is rescued as everywhere."""
    items: list[Item] = [{"j": {"L": [N, {"L": []}]}}, {"j": {"M": {"k": S}}}, {"j": {"L": []}}, {"j": EMPTY}, {"j": S}]
    rows, _ = rows_of(items, items[:2], nested="json")
    assert [row["j"] for row in rows] == ["[1,[]]", '{"k":"x"}', "[]", None, None]


def test_the_same_items_are_the_same_batch_in_whatever_order_their_attributes_are() -> None:
    """Parts made again from the same data are the same bytes."""
    item: Item = {"m": {"M": {f"k{i}": {"M": {"n": N, "s": S}} for i in range(300)}}, "r": {"M": {"x": NULL, "y": S}}}
    turned = {key: {"M": dict(reversed(value["M"].items()))} for key, value in reversed(item.items())}
    builder = RowBuilder(schema_of([item, {"r": S}, {"r": S}]))
    builder.add(item)
    one = builder.finish()
    builder.add(turned)
    assert builder.finish().equals(one)
    assert one.column("_rescued").to_pylist() != [None]


def test_a_builder_starts_anew_with_each_batch() -> None:
    """Rows and bytes are those of the batch under way, counts those of all; a batch may have no rows."""
    builder = RowBuilder(schema_of([{"a": S, "l": {"L": [{"M": {"b": {"SS": ["x"]}}}]}}]))
    assert (builder.finish().num_rows, builder.rows, builder.bytes) == (0, 0, 0)
    for batch in range(1, 4):
        for _ in range(batch):
            builder.add({"a": {"S": "x" * 1000}, "b": S})
        assert (builder.rows, builder.rescued["b"]) == (batch, batch * (batch + 1) // 2)
        assert builder.bytes >= 1000 * batch
        made = builder.finish()
        assert made.num_rows == batch
        assert made.schema == part_schema(schema_of([{"a": S, "l": {"L": [{"M": {"b": {"SS": ["x"]}}}]}}]))
        assert (builder.rows, builder.bytes) == (0, 0)


def test_the_estimate_of_bytes_is_near_what_arrow_takes() -> None:
    """Parts are cut by it: it must neither miss text and binaries nor invent them."""
    item: Item = {
        "s": {"S": "x" * 500},
        "b": {"B": "QUFB" * 100},
        "m": {"M": {"l": {"L": [{"S": "y" * 50}] * 10}, "s": {"SS": ["z" * 90]}}},
        "j": {"N": "1"},
    }
    builder = RowBuilder(schema_of([item]))
    for _ in range(100):
        builder.add({**item, "lost": {"S": "w" * 300}})
    estimate = builder.bytes
    assert 0.7 < estimate / builder.finish().nbytes < 1.5


def test_counts_of_rescued_values_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys made of data do not fill the commit record; no value is uncounted."""
    monkeypatch.setattr(build_module, "MAX_REPORTED_PATHS", 5)
    builder = RowBuilder(schema_of([]))
    for number in range(100):
        builder.add({f"key {number}": S, "key 0": S})
    assert len(builder.rescued) == 6
    assert builder.rescued["key 0"] == 100
    assert builder.rescued.total() == 199


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_keys_of_parts_fit_into_s3(count: int) -> None:
    """However many values there are and however long, half of what S3 takes is left for the lake; longer is rescued."""
    names = [f"partition {number}" for number in range(count)]
    item: Item = {name: {"S": "x" * min(240, 500 // count - 20)} for name in names}
    longer: Item = {name: {"S": "x" * 256} for name in names}
    schema = schema_of([item], partition_by=tuple(names))
    folder = layout.partition_folder(schema.partition_by, partition_of(item, schema))
    assert len(folder) <= 512
    assert folder.count("x" * 30) >= count
    assert partition_of(longer, schema) == (None,) * count


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"S": "Köln a/b=c%"}, "Köln a/b=c%"),
        ({"S": ""}, None),
        ({"S": "__HIVE_DEFAULT_PARTITION__"}, None),
        ({"S": "two\nlines"}, None),
        ({"S": "x" * 300}, None),
        ({"S": "日" * 80}, None),
        (NULL, None),
        (N, None),
        (None, None),
    ],
)
def test_text_partitions_by_what_a_path_and_the_catalog_can_give_back(value: Any, text: str | None) -> None:
    """Everything else is in the default partition and rescued, so that it comes back all the same."""
    item: Item = {"p": value, "x": S} if value else {"x": S}
    schema = schema_of([{"p": S, "x": S}], partition_by="p")
    assert partition_of(item, schema) == (text,)
    builder = RowBuilder(schema)
    builder.add(item)
    batch = builder.finish()
    assert batch.column("_rescued").is_valid().to_pylist() == [text is None and value is not None]
    assert list(restore(batch, schema, (text,))) == [item]


@pytest.mark.parametrize(
    ("numbers", "value", "text"),
    [
        ("auto", "2026", "2026"),
        ("auto", "2026.0", "2026"),
        ("auto", "2.026E3", "2026"),
        ("auto", "-1", "-1"),
        ("auto", "0.5", None),
        ("double", "0.1", "0.1"),
        ("double", "9007199254740993", None),
        ("decimal(5,2)", "1.50", "1.5"),
        ("decimal(5,2)", "1.505", None),
        ("string", "9.9E+125", "9.9E+125"),
    ],
)
def test_numbers_partition_by_their_canonical_text(numbers: str, value: str, text: str | None) -> None:
    """Equal numbers are in one folder; a number that its type cannot hold is in the default one."""
    schema = schema_of([{"p": N}], partition_by="p", numbers=numbers)
    items: list[Item] = [{"p": {"N": value}}]
    assert partition_of(items[0], schema) == (text,)
    assert [normal_item(item) for item in there_and_back(items, schema)] == [normal_item(items[0])]


def test_booleans_partition() -> None:
    """As Hive writes them."""
    schema = schema_of([{"p": {"BOOL": True}}], partition_by="p")
    items: list[Item] = [{"p": {"BOOL": True}}, {"p": {"BOOL": False}}, {}, {"p": S}]
    assert [partition_of(item, schema) for item in items] == [("true",), ("false",), (None,), (None,)]
    assert there_and_back(items, schema) == items


def test_a_batch_that_is_not_of_its_schema_is_damaged() -> None:
    """Missing columns, lost rescued values, foreign text: an error, never an invented or shortened item."""
    items: list[Item] = [{"l": {"L": [S, N]}, "j": S, "s": {"NS": ["1"]}}]
    schema = schema_of([{"l": {"L": [S, S]}, "j": S, "s": {"NS": ["1"]}}])
    builder = RowBuilder(schema)
    builder.add(items[0])
    batch = builder.finish()
    assert list(restore(batch, schema)) == items

    def with_rescued(entries: list[tuple[str, str]] | None) -> pa.RecordBatch:
        column = pa.array([entries], batch.schema.field("_rescued").type)
        return pa.RecordBatch.from_arrays([*batch.columns[:-1], column], schema=batch.schema)

    damaged = {
        "a missing column": batch.select([name for name in batch.schema.names if name != "j"]),
        "no rescued values": batch.select([name for name in batch.schema.names if name != "_rescued"]),
        "a lost element": with_rescued(None),
        "an index that is none": with_rescued([("l/1", '{"N":"1"}'), ("l/x", '{"N":"1"}')]),
        "an index too high": with_rescued([("l/1", '{"N":"1"}'), ("l/2", '{"N":"1"}')]),
        "a place inside of text": with_rescued([("l/1", '{"N":"1"}'), ("j/x", '{"N":"1"}')]),
        "an element that was not lost": with_rescued([("l/1", '{"N":"1"}'), ("s/0", '{"N":"1"}')]),
        "text that is no JSON": with_rescued([("l/1", "{")]),
        "JSON that is no value": with_rescued([("l/1", "null")]),
    }
    for what, bad in damaged.items():
        with pytest.raises(SnapshotDamagedError):
            list(restore(bad, schema))
        assert what
    with pytest.raises(SnapshotDamagedError):
        list(restore(batch, schema, ("x",)))
