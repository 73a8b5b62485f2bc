"""Keys of items as bytes, from items and from the columns of parts."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter

import pyarrow as pa
import pytest
from generated_items import NUMBERS, item_lists, numbers, texts, through_parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core import keys as keys_module
from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    Schema,
    partition_of,
    resolve,
)
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.keys import batch_keys, key_bytes, key_hashes

some = settings(max_examples=30, database=None)


def schema_of(items: list[Item], options: ColumnOptions | None = None) -> Schema:
    observation = Observation()
    for item in items:
        observation.add(item)
    return resolve(observation, options or ColumnOptions())


def keys_in_parts(items: list[Item], schema: Schema, attributes: list[str]) -> Counter[bytes | None]:
    """Return the keys read from the parts of *items*, one part for each partition."""
    builders: dict[tuple[str | None, ...], RowBuilder] = {}
    for item in items:
        builders.setdefault(partition_of(item, schema), RowBuilder(schema)).add(item)
    found: Counter[bytes | None] = Counter()
    for partition, builder in builders.items():
        keys = batch_keys(through_parquet(builder.finish()), schema, attributes, partition)
        assert keys.type == pa.binary()
        found.update(keys.to_pylist())
    return found


@some
@given(
    items=item_lists(),
    others=item_lists(),
    attributes=st.lists(
        st.sampled_from(["User", "x", "M", "S", "p/q", "nowhere"]), min_size=1, max_size=2, unique=True
    ),
    options=st.builds(
        ColumnOptions,
        numbers=st.sampled_from(["auto", "double", "string", "decimal(10,2)", "decimal(38,0)"]),
        nested=st.sampled_from(["struct", "flatten", "json"]),
        partition_by=st.sampled_from([(), ("x",), ("User",)]),
    ),
)
def test_a_batch_has_the_keys_of_its_items(
    items: list[Item], others: list[Item], attributes: list[str], options: ColumnOptions
) -> None:
    """In whatever column, path or rescued value the key attributes ended up, and whatever columns were there before."""
    schema = schema_of([*others, {"x": {"N": "1"}, "User": {"S": "a"}}], options)
    assert keys_in_parts(items, schema, attributes) == Counter(key_bytes(item, attributes) for item in items)


@pytest.mark.parametrize("attributes", [["User"], ["Book", "User"], ["Raw", "Book"]])
def test_the_compiled_part_makes_the_same_keys(attributes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of texts, numbers and binaries, of any length, and of some rows of a batch."""
    items: list[Item] = [
        {"User": {"S": "é" * size}, "Book": {"N": f"{size - 9}.5"}, "Raw": {"B": b64encode(b"\0" * size).decode()}}
        for size in (*range(12), 99, 100, 12345)
    ]
    schema = schema_of(items)
    builder = RowBuilder(schema)
    for item in items:
        builder.add(item)
    batch = builder.finish()
    compiled = [batch_keys(rows, schema, attributes) for rows in (batch, batch.slice(3, 7), batch.slice(0, 0))]
    assert load("_pages") is not None
    monkeypatch.setattr(keys_module, "load", lambda _: None)
    assert [batch_keys(rows, schema, attributes) for rows in (batch, batch.slice(3, 7), batch.slice(0, 0))] == compiled
    assert compiled[0].to_pylist() == [key_bytes(item, attributes) for item in items]


def test_columns_of_other_lengths_make_no_keys() -> None:
    """Nothing beyond the shorter one is read."""
    kernel = load("_pages")
    assert kernel is not None
    two, one = pa.array([b"a", b"b"]), pa.array([b"a"])
    for types, columns in ((b"SS", [two, one]), (b"S", [two, two]), (b"", []), (b"SSS", [one, one, one])):
        with pytest.raises(ValueError, match="columns"):
            kernel.join_keys(types, columns)
    falling = pa.BinaryArray.from_buffers(
        pa.binary(), 2, [None, pa.py_buffer(b"\0\0\0\0\3\0\0\0\2\0\0\0"), pa.py_buffer(b"abc")]
    )
    with pytest.raises(ValueError, match="keys"):
        kernel.join_keys(b"S", [falling])


def test_every_spelling_of_a_number_is_the_same_key() -> None:
    """From int64, each decimal, double and text: what is equal as a decimal is equal as a key, and nothing else is."""
    expected = Counter(b"N%d:%b" % (len(canonical(n)), canonical(n).encode()) for n in NUMBERS)
    items: list[Item] = [{"n": {"N": number}} for number in NUMBERS]
    assert Counter(key_bytes(item, ["n"]) for item in items) == expected
    for kind in ("string", "double", "decimal(38,0)", "decimal(38,9)", "decimal(38,37)", "decimal(20,20)"):
        assert keys_in_parts(items, schema_of(items, ColumnOptions(numbers=kind)), ["n"]) == expected


@some
@given(
    first=st.tuples(texts, texts),
    second=st.tuples(texts, texts),
    number=numbers,
)
def test_distinct_keys_have_distinct_bytes(first: tuple[str, str], second: tuple[str, str], number: str) -> None:
    """Where one attribute ends and the next begins is part of the key, and so is its type."""

    def key(pair: tuple[str, str]) -> bytes | None:
        return key_bytes({"a": {"S": pair[0]}, "b": {"S": pair[1]}}, ["a", "b"])

    assert (key(first) == key(second)) == (first == second)
    as_number, as_text, as_binary = (
        key_bytes({"a": value}, ["a"])
        for value in ({"N": number}, {"S": canonical(number)}, {"B": b64encode(canonical(number).encode()).decode()})
    )
    assert len({as_number, as_text, as_binary}) == 3


def test_hashes_are_the_same_everywhere() -> None:
    """Buckets made by one task are read by another: the hash is a constant of the format."""
    key = key_bytes({"User": {"S": "ann"}, "Book": {"N": "7.0"}}, ["User", "Book"])
    assert key == b"S3:annN1:7"
    assert key_hashes(pa.array([key, b""])) == [1213455639, 0]
