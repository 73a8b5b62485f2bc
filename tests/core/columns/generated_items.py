"""Items as unlike as DynamoDB allows, and what it means that two of them are equal."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import RowBuilder, Schema, partition_of, restore
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.decode import AttributeValue, Item

# Names that are types, that need escapes in paths, of other scripts; no two of them become one column.
NAMES = ["M", "S", "Item", "p/q", "t~u", "User", "größe", "日本", "x", "0", ""]

NUMBERS = [
    *("0", "1", "-7", "42", "2026", "1.0", "1E3", "-0", "0.1", "-2.50", "3.14159265358979"),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "9007199254740993"),
    *("0.1234567891", "12345678901234567890123456789.123456789", "123456789012345678901234567890.5"),
    *("99999999999999999999999999999999999999", "0." + "0" * 37 + "1", "1E-130", "9.9E+125", "-1E-130", "1e-10"),
    *("123456789012345678901234567890123456.12", "5E-100", "0.30000000000000004", "1E37", "12E-39"),
]

numbers = st.sampled_from(NUMBERS) | st.builds(
    lambda digits, exponent, sign: f"{sign}{digits}E{exponent}",
    st.integers(0, 10**38 - 1),
    st.integers(-100, 80),
    st.sampled_from(["", "-"]),
)
plain_numbers = st.integers(-1000, 1000).map(str) | st.decimals(-10, 10, places=2).map(str)
texts = st.sampled_from(["", "a", "3.5", "null", '"', "äöü", "__HIVE_DEFAULT_PARTITION__", "x/y", "\n"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=4
)
binaries = st.binary(max_size=4).map(lambda content: b64encode(content).decode())


def _sets(kind: str, elements: st.SearchStrategy[str]) -> st.SearchStrategy[AttributeValue]:
    return st.lists(elements, min_size=1, max_size=3, unique=True).map(lambda found: {kind: found})


scalars: st.SearchStrategy[AttributeValue] = st.one_of(
    texts.map(lambda text: {"S": text}),
    plain_numbers.map(lambda number: {"N": number}),
    numbers.map(lambda number: {"N": number}),
    binaries.map(lambda content: {"B": content}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    _sets("SS", texts),
    _sets("NS", numbers),
    _sets("BS", binaries),
)


def _containers(inner: st.SearchStrategy[AttributeValue]) -> st.SearchStrategy[AttributeValue]:
    return st.one_of(
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=4).map(lambda members: {"M": members}),
        st.lists(inner, max_size=4).map(lambda elements: {"L": elements}),
    )


values: st.SearchStrategy[AttributeValue] = st.recursive(scalars, _containers, max_leaves=6)
maps = st.dictionaries(st.sampled_from(NAMES), values, max_size=4).map(lambda members: {"M": members})


@st.composite
def item_lists(draw: st.DrawFn, *, max_size: int = 5) -> list[Item]:
    """Items of a table: an attribute mostly has one kind of value, but any other now and then."""
    usual = {
        "User": texts.map(lambda text: {"S": text}),
        "x": plain_numbers.map(lambda number: {"N": number}),
        "M": maps,
        "größe": st.lists(maps, max_size=3).map(lambda elements: {"L": elements}),
        "S": _sets("NS", plain_numbers),
        "0": st.lists(st.lists(plain_numbers, max_size=2), max_size=2).map(
            lambda rows: {"L": [{"L": [{"N": number} for number in row]} for row in rows]}
        ),
    }
    one = st.fixed_dictionaries({}, optional={name: usual.get(name, values) | values for name in NAMES})
    return draw(st.lists(one, max_size=max_size))


def random_items(random: Random, *, rows: int) -> list[Item]:
    """Return items of the same kind as :func:`item_lists`, much faster, and not to be shrunk."""
    usual = {name: random.choice(["S", "N", "M", "L", "NS", "SS", "B", "BOOL"]) for name in NAMES}
    return [
        {name: random_value(random, usual[name]) for name in random.sample(NAMES, random.randint(0, len(NAMES)))}
        for _ in range(rows)
    ]


def random_value(random: Random, kind: str | None = None, depth: int = 0) -> AttributeValue:
    """Return a value that mostly is of *kind*."""
    if kind is None or random.random() < 0.15:
        kind = random.choice(["S", "N", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", *(["M", "L"] if depth < 4 else [])])
    number = random.choice(
        [str(random.randint(-999, 999)), f"{random.randint(0, 99)}.{random.randint(1, 99)}", *NUMBERS]
    )
    content = b64encode(random.randbytes(random.randint(0, 5))).decode()
    length = random.randint(0, 3)
    match kind:
        case "M":
            keys = random.sample(NAMES, length)
            return {"M": {key: random_value(random, "MLNSNS"[len(key) % 6], depth + 1) for key in keys}}
        case "L":
            inner = random.choice(["N", "M", "L", None])
            return {"L": [random_value(random, inner if depth < 4 else "N", depth + 1) for _ in range(length)]}
    contents: dict[str, Any] = {
        "S": random.choice(["", "a", "ü", '"', "x/y~"]),
        "N": number,
        "B": content,
        "BOOL": random.random() < 0.5,
        "NULL": True,
        "SS": ["", "a", "b"][length - 1 :],
        "NS": random.sample(["1", "2.5", "1E-130", "-3", "0.12345678901"], length + 1),
        "BS": [content],
    }
    return {kind: contents[kind]}


def normal(value: AttributeValue) -> AttributeValue:
    """Return *value* in the one spelling it has in common with all that are equal to it."""
    ((kind, content),) = value.items()
    normal_content: dict[str, Callable[[Any], Any]] = {
        "N": canonical,
        "NS": lambda numbers: sorted(map(canonical, numbers)),
        "SS": sorted,
        "BS": sorted,
        "M": normal_item,
        "L": lambda elements: [normal(element) for element in elements],
    }
    return {kind: normal_content[kind](content) if kind in normal_content else content}


def normal_item(item: Item) -> Item:
    """Return *item* with :func:`normal` values."""
    return {name: normal(value) for name, value in item.items()}


def through_parquet(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return *batch* as it is read back from a Parquet file."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, batch.schema, compression="zstd") as writer:
        writer.write_batch(batch)
    read = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert read.schema.equals(batch.schema), (read.schema, batch.schema)
    batches = read.combine_chunks().to_batches()
    return batches[0] if batches else batch


def there_and_back(items: list[Item], schema: Schema) -> list[Item]:
    """Return *items* after a way through Parquet files, one for each partition, in the order they were."""
    builders: dict[tuple[str | None, ...], RowBuilder] = {}
    places: dict[tuple[str | None, ...], list[int]] = {}
    for place, item in enumerate(items):
        partition = partition_of(item, schema)
        builders.setdefault(partition, RowBuilder(schema)).add(item)
        places.setdefault(partition, []).append(place)
    found: dict[int, Item] = {}
    for partition, builder in builders.items():
        batch = through_parquet(builder.finish())
        batch.validate(full=True)
        restored: list[Any] = list(restore(batch, schema, partition))
        found.update(zip(places[partition], restored, strict=True))
    return [found[place] for place in range(len(items))]
