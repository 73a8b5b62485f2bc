"""Rows of many partitions are built in one go, and both decoders route and build them the same."""

from __future__ import annotations

import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from decoder_fuzz import random_options, schema_for, spelled
from fresh_process import in_a_fresh_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions, RowBuilder, Schema, partition_of, resolve
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE, block_router, line_observer
from airflow_provider_ddbexport.core.line_blocks import BlockBuilder, BlockRouter, Partition, RefusedLineError, line_of

sys.path.insert(0, str(Path(__file__).with_name("columns")))
from generated_items import random_items

ENDLESS = 1 << 40

needs_compiled = pytest.mark.skipif(decoder._kernel() is None, reason="there is no compiled decoder")

TEXTS = ["a", "b", "", "a/b", "__HIVE_DEFAULT_PARTITION__", "\n", "\u00e9" * 200, '"', "x" * 5000, "\U0001f600"]
NUMBERS = ["1", "1.0", "1E0", "-0", "0", "2.50", "9" * 38, "1E-130"]
WAYS = [(), ("Kind",), ("Flag", "Number"), ("Number", "Kind")]


def routed_items(random: Random, rows: int) -> list[Item]:
    """Return items whose attributes hold anything, some of which can be in a path."""
    return [
        {
            **item,
            **({"Kind": {"S": random.choice(TEXTS)}} if random.random() < 0.8 else {}),
            **({"Kind": {"M": {"S": {"S": "a"}}}} if random.random() < 0.05 else {}),
            **({"Number": {"N": random.choice(NUMBERS)}} if random.random() < 0.9 else {"Number": {"NULL": True}}),
            **({"Flag": {"BOOL": random.random() < 0.5}} if random.random() < 0.7 else {}),
            # Base64 that Python takes and nobody writes, so that some lines go the way of the reference.
            **({"odd": {"B": "AAAA="}} if random.random() < 0.1 else {}),
        }
        for item in random_items(random, rows=rows)
    ]


def routed_schema(items: list[Item], random: Random) -> Schema | None:
    """Return columns for *items* of which some are in the path; None where they cannot be."""
    return schema_for(items, replace(random_options(random), partition_by=random.choice(WAYS)))


def opened(router: BlockRouter, builders: dict[Partition, BlockBuilder], most_rows: int) -> None:
    """Open what the router misses."""
    assert router.missing is not None
    builders[router.missing] = router.open(router.missing, most_rows)


class Twin:
    """A router of each decoder, both of which are asked the same and have to say the same."""

    def __init__(self, schema: Schema, most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.routers: list[BlockRouter] = []
        self.observers = []
        self.builders: list[dict[Partition, BlockBuilder]] = [{}, {}]
        for name in ("compiled", "reference"):
            monkeypatch.setenv(DECODER_VARIABLE, name)
            self.routers.append(block_router(decode_line, schema, most_bytes))
            self.observers.append(line_observer(decode_line))
        assert type(self.routers[0]) is not type(self.routers[1])

    def same(self, told: list[Any]) -> Any:
        assert told[0] == told[1]
        return told[0]

    def add(self, lines: bytes, start: int, most_rows: int, most_bytes: int) -> int:
        while start < len(lines):
            start = self.same(
                [
                    router.add_lines(lines, start, most_bytes=most_bytes, observer=observer)
                    for router, observer in zip(self.routers, self.observers, strict=True)
                ]
            )
            self.compare()
            if self.routers[0].missing is None:
                break
            for router, builders in zip(self.routers, self.builders, strict=True):
                opened(router, builders, most_rows)
        return start

    def compare(self) -> None:
        for name in ("missing", "full", "bytes"):
            self.same([getattr(router, name) for router in self.routers])
        self.same(
            [
                {where: (one.rows, one.bytes, dict(one.rescued)) for where, one in builders.items()}
                for builders in self.builders
            ]
        )
        self.same([observer.observation() for observer in self.observers])

    def finish(self, partition: Partition, most_rows: int) -> None:
        compiled, reference = (router.finish_sparse(partition, most_rows).dense() for router in self.routers)
        compiled.validate(full=True)
        assert compiled.equals(reference)
        self.compare()

    def close(self, partition: Partition) -> None:
        for router, builders in zip(self.routers, self.builders, strict=True):
            router.close(partition)
            del builders[partition]


@needs_compiled
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30))
def test_both_decoders_route_and_build_the_same(seed: int) -> None:
    """Whatever is in the path, whatever is taken back, given away, closed and opened again, at whatever limits."""
    random = Random(seed)
    items = routed_items(random, random.choice([1, 20, 60]))
    schema = routed_schema(items[: len(items) // 2 + 1], random)
    if schema is None:
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        twin = Twin(schema, random.choice([1, 300, ENDLESS, ENDLESS]), monkeypatch)
        lines = b"".join(spelled(item, random) + b"\n" for item in items)[: -1 if random.random() < 0.5 else None]
        start = 0
        while start < len(lines):
            for router in twin.routers:
                router.mark()
            most_rows = random.choice([1, 3, ENDLESS])
            after = twin.add(lines, start, most_rows, random.choice([1, 500, ENDLESS]))
            if random.random() < 0.3:
                for router in twin.routers:
                    router.take_back()
                twin.compare()
            else:
                start = after
            for partition in random.sample(list(twin.builders[0]), random.randint(0, len(twin.builders[0]))):
                if random.random() < 0.7 or partition == twin.routers[0].full:
                    twin.finish(partition, random.choice([1, 2, ENDLESS]))
                if random.random() < 0.5:
                    twin.close(partition)


@pytest.mark.parametrize("name", ["compiled", "reference"])
def test_each_row_is_in_its_partition_and_in_order(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As partition_of() gives it, item by item."""
    monkeypatch.setenv(DECODER_VARIABLE, name)
    partitions = 0
    for seed in range(15):
        random = Random(seed)
        items = routed_items(random, 50)
        schema = routed_schema(items, random)
        if schema is None:
            continue
        router = block_router(decode_line, schema, ENDLESS)
        builders: dict[Partition, BlockBuilder] = {}
        lines = b"".join(spelled(item, random) + b"\n" for item in items)
        start = 0
        while start < len(lines):
            start = router.add_lines(lines, start, most_bytes=ENDLESS)
            if router.missing is not None:
                opened(router, builders, ENDLESS)
        expected: dict[Partition, RowBuilder] = {}
        for item in items:
            expected.setdefault(partition_of(item, schema), RowBuilder(schema)).add(item)
        assert builders.keys() == expected.keys()
        assert router.bytes == sum(one.bytes for one in expected.values())
        for partition, one in expected.items():
            assert builders[partition].rescued == one.rescued
            assert router.finish_sparse(partition, ENDLESS).dense().equals(one.finish())
        partitions += len(expected)
    assert partitions > 40


@needs_compiled
def test_more_different_values_than_are_remembered_are_routed_all_the_same() -> None:
    """Also where each of them goes to the one partition of what no path holds, and where they are long."""
    schema = schema_for([{"Kind": {"S": "x"}, "id": {"N": "1"}}], ColumnOptions(partition_by=("Kind",)))
    assert schema is not None
    router = block_router(decode_line, schema, ENDLESS)
    values = [f"\n{number}" for number in range(10_500)] + ["y" * 6000, "kept", "\n0"]
    lines = b"".join(spelled({"Kind": {"S": value}}, Random(1)) + b"\n" for value in values)
    builders: dict[Partition, BlockBuilder] = {}
    start = 0
    while start < len(lines):
        start = router.add_lines(lines, start, most_bytes=ENDLESS)
        if router.missing is not None:
            opened(router, builders, ENDLESS)
    assert {partition: one.rows for partition, one in builders.items()} == {(None,): len(values) - 1, ("kept",): 1}
    assert builders[None,].rescued == {"Kind": len(values) - 1}


@pytest.mark.parametrize("name", ["compiled", "reference"])
def test_a_line_that_is_no_item_is_refused_where_it_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By the offset in the block, after the rows before it; those can be taken back."""
    monkeypatch.setenv(DECODER_VARIABLE, name)
    schema = schema_for([{"Kind": {"S": "x"}}], ColumnOptions(partition_by=("Kind",)))
    assert schema is not None
    router = block_router(decode_line, schema, ENDLESS)
    builder = router.open(("x",), ENDLESS)
    good = b'{"Item":{"Kind":{"S":"x"}}}\n'
    router.mark()
    with pytest.raises(RefusedLineError) as refused:
        router.add_lines(good * 3 + b'{"Item":{"Kind":{"S":1}}}\n' + good, 0, most_bytes=ENDLESS)
    assert refused.value.offset == 3 * len(good)
    assert builder.rows == 3
    router.take_back()
    assert (builder.rows, router.bytes) == (0, 0)


@needs_compiled
def test_a_router_takes_observers_of_its_own_decoder_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else would be observed by one and built by the other."""
    for mine, other in (("compiled", "reference"), ("reference", "compiled")):
        monkeypatch.setenv(DECODER_VARIABLE, mine)
        router = block_router(decode_line, Schema(()), ENDLESS)
        monkeypatch.setenv(DECODER_VARIABLE, other)
        with pytest.raises(TypeError):
            router.add_lines(b"", 0, most_bytes=1, observer=line_observer(decode_line))


def route_each_line_elsewhere(count: int, name: str) -> tuple[int, int, int]:
    """Return the rows of *count* lines of a partition each, their bytes, and the most bytes taken between two stops."""
    os.environ[DECODER_VARIABLE] = name
    lines = b"".join(line_of({"Kind": {"S": f"{number}"}, "t": {"S": "x" * 1000}}) + b"\n" for number in range(count))
    observer = line_observer(decode_line)
    observer.take(lines)
    schema = resolve(observer.observation(), ColumnOptions(partition_by=("Kind",)))
    router = block_router(decode_line, schema, ENDLESS)
    start, most_taken = 0, 0
    tracemalloc.start()
    try:
        while start < len(lines):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            start = router.add_lines(lines, start, most_bytes=ENDLESS)
            most_taken = max(most_taken, tracemalloc.get_traced_memory()[1] - before)
            if router.missing is not None:
                router.open(router.missing, ENDLESS)
    finally:
        tracemalloc.stop()
    return router.rows, len(lines), most_taken


@pytest.mark.parametrize("name", [pytest.param("compiled", marks=needs_compiled), "reference"])
def test_a_router_that_stops_leaves_the_lines_behind_alone(name: str) -> None:
    """However often it stops in a block, it does not take what is left of that apart each time."""
    rows, size, most_taken = in_a_fresh_process(route_each_line_elsewhere, 500, name)
    assert rows == 500
    assert most_taken < size / 10
