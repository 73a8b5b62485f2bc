"""Lines that hold what the columns were made for become rows in one go; all others leave that no trace."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from decoder_fuzz import reference_outcome, schema_for

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions, Schema
from airflow_provider_ddbexport.core.compiled.line_builder import LineBuilder
from airflow_provider_ddbexport.core.compiled.line_observer import CompiledObserver
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, line_observer
from airflow_provider_ddbexport.core.line_blocks import LineObserver, RefusedLineError

pytestmark = pytest.mark.skipif(decoder._kernel() is None, reason="there is no compiled decoder")

ALL = {"most_rows": 1 << 40, "most_bytes": 1 << 40}

LONG = "a_name_that_goes_on"
NAMES = ("", "k", "8_bytes_", "16_bytes_exactly", "17_bytes_exactly_", f"{LONG}_1_{LONG}", f"{LONG}_2_{LONG}", "ключ")


def item(random: Random) -> dict[str, Any]:
    """Return an item with an attribute of every kind that is built directly, in any order."""
    members: dict[str, Any] = {name: {"S": random.choice(["", "x" * random.randrange(80), 'Ж "\n'])} for name in NAMES}
    members |= {
        "whole": {"N": str(random.choice([0, -1, 7, 10**8, 10**18, -(10**18), random.randrange(10**12)]))},
        "price": {"N": f"{random.randrange(1000)}.{random.randrange(1, 10)}"},
        "yes": {"BOOL": random.random() < 0.5},
        "tags": {"SS": [f"tag {i}" for i in range(random.randrange(1, 5))]},
        "sizes": {"NS": [str(i) for i in range(random.randrange(1, 5))]},
        "inner": {"M": {"deep": {"M": {"n": {"N": "1"}, "s": {"S": "x"}}}, "b": {"BOOL": True}}},
    }
    order = [name for name in members if random.random() < 0.9]
    random.shuffle(order)
    return {name: members[name] for name in order}


def line(value: dict[str, Any]) -> bytes:
    return json.dumps({"Item": value}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def columns_of(items: list[dict[str, Any]], *, nested: str = "struct") -> Schema:
    schema = schema_for(items, ColumnOptions(nested=nested))
    assert schema is not None
    return schema


def direct_rows(lines: bytes, schema: Schema) -> int:
    """Return how many rows of *lines* were built directly, all of which are as the reference's, and as observed."""
    observer, builder = line_observer(decode_line), block_builder(decode_line, schema)
    assert isinstance(builder, LineBuilder)
    builder.add_lines(lines, 0, **ALL, observer=observer)
    expected = reference_outcome(lines, schema)
    assert expected.batch is not None
    assert (builder.bytes, dict(builder.rescued)) == (expected.bytes, expected.rescued)
    assert observer.observation() == expected.observation
    rows: int = builder.raw.direct_rows
    assert builder.finish().equals(expected.batch)
    return rows


@pytest.mark.parametrize("nested", ["struct", "flatten"])
def test_lines_that_hold_what_is_known_are_built_directly(nested: str) -> None:
    """But for the first ones, which are news to the observer."""
    random = Random(1)
    items = [item(random) for _ in range(150)]
    assert direct_rows(b"".join(map(line, items)), columns_of(items, nested=nested)) > 100


@pytest.mark.parametrize("numbers", ["auto", "double", "string"])
def test_numbers_of_every_length_are_what_they_are(numbers: str) -> None:
    """With the point at every place, whole ones, and those that begin or end with a zero."""
    digits = "9081726354453627180"
    whole = [digits[:size] for size in range(1, 19)]
    points = [f"{text[:at]}.{text[at:]}" for text in whole for at in range(1, len(text))]
    texts = [*whole, *points, *(f"-{text}" for text in points), "0", "00", "01", "0.5", "0.50", "-0.5", "5.", "1E3"]
    lines = b"".join(line({"n": {"N": text}}) for text in texts)
    schema = schema_for([{"n": {"N": text}} for text in texts], ColumnOptions(numbers=numbers))
    assert schema is not None
    assert direct_rows(3 * lines, schema) > 100


UNEXPECTED = {
    "an attribute without a column": '"other":{"S":"x"}',
    "another type": '"k":{"N":"1"}',
    "a NULL": '"k":{"NULL":true}',
    "an empty map": '"inner":{"M":{}}',
    "something else in a map": '"inner":{"M":{"b":{"BOOL":true},"deep":{"M":{"n":{"N":"1"},"z":{"S":"x"}}}}}',
    "a number that does not fit": '"whole":{"N":"1.5"}',
    "a larger number than there was": '"price":{"N":"1234567.1"}',
    "a set of numbers with larger ones": '"sizes":{"NS":["1","123456789"]}',
    "a space": '"k":{"S": "x"}',
    "a space behind": '"k":{"S":"x"} ',
    "a name with an escape": '"\\u006b":{"S":"x"}',
}


@pytest.mark.parametrize("unexpected", UNEXPECTED.values(), ids=UNEXPECTED)
def test_what_is_not_expected_leaves_no_trace_of_the_attempt(unexpected: str) -> None:
    """At the end of a line whose other values were appended and counted already."""
    random = Random(2)
    items = [item(random) for _ in range(40)]
    schema = columns_of(items)
    known = b"".join(map(line, items))
    odd = line({"yes": {"BOOL": True}, "tags": {"SS": ["a", "b"]}, "": {"S": "y"}})
    odd = odd.replace(b"}}\n", b"," + unexpected.encode() + b"}}\n")
    assert direct_rows(known + odd + known, schema) == direct_rows(known + known, schema)


WRONG = {
    "the same name twice": '"yes":{"BOOL":true}',
    "no number": '"whole":{"N":"1-"}',
    "a number out of range": '"whole":{"N":"1E126"}',
    "no truth": '"k":{"BOOL":maybe}',
    "an empty set": '"tags":{"SS":[]}',
    "half a set": '"tags":{"SS":["a",]}',
    "a lone surrogate": '"k":{"S":"\\ud800"}',
    "two types": '"k":{"S":"x","N":"1"}',
    "a line break": '"k":{"S":"x\ny"}',
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_line_that_is_wrong_at_its_end_is_refused_and_nothing_of_it_is_kept(wrong: str) -> None:
    """Neither in the rows nor in what was observed."""
    random = Random(3)
    items = [item(random) for _ in range(40)]
    schema = columns_of(items)
    known = b"".join(map(line, items))
    bad = b'{"Item":{"yes":{"BOOL":true},"":{"S":"y"},' + wrong.encode() + b"}}\n"
    observer: LineObserver = line_observer(decode_line)
    assert isinstance(observer, CompiledObserver)
    builder = block_builder(decode_line, schema)
    with pytest.raises(RefusedLineError) as refused:
        builder.add_lines(known + bad, 0, **ALL, observer=observer)
    assert refused.value.offset == len(known)
    expected = reference_outcome(known, schema)
    assert (builder.rows, builder.bytes) == (len(items), expected.bytes)
    assert observer.observation() == expected.observation
    assert builder.finish().equals(expected.batch)


def test_it_is_given_up_for_a_while_where_most_lines_take_the_tape() -> None:
    """And taken up again where that has changed."""
    random = Random(4)
    items = [item(random) for _ in range(40)]
    odd = [{**value, "k": {"NULL": True}} for value in items]
    schema = columns_of(items)
    known, unknown = b"".join(map(line, items)), b"".join(map(line, odd))
    assert direct_rows(known + 3 * unknown + known, schema) == direct_rows(known, schema)
    assert direct_rows(known + 3 * unknown + 12 * known, schema) > 5 * len(items)
