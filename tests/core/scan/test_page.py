"""Bodies of responses into pages, by compiled code and by msgspec."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from decoder_fuzz import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from page_fuzz import body_of

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.scan import page
from airflow_provider_ddbexport.core.scan.page import decoded_page, page_of

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import item_lists, random_items

needs_compiled = pytest.mark.skipif(
    importlib.util.find_spec("airflow_provider_ddbexport.core.compiled._splice") is None,
    reason="there is no C compiler here",
)

ITEMS: list[Item] = [{"Id": {"N": "1"}}, {"Id": {"N": "2"}, 'Name "é"\\': {"S": 'a\n}]{"\U0001f600'}}]


def body(**members: Any) -> bytes:
    """A page as DynamoDB sends it, with other *members*."""
    return json.dumps({"Count": 2, "Items": ITEMS, "ScannedCount": 2, **members}, separators=(",", ":")).encode()


def is_spliced(text: bytes) -> bool:
    """Whether compiled code knows what to do with it."""
    splice = page._splicer()
    return splice is not None and splice(text) is not None


@needs_compiled
@settings(max_examples=60)
@given(items=item_lists(), seed=st.integers(0, 1 << 30))
def test_generated_pages_are_the_same(items: list[Item], seed: int) -> None:
    """Whatever the items and their spelling: lines, counts, the key to go on from and the units."""
    text = body_of(items, Random(seed))
    found = page_of(text)
    assert found == decoded_page(text)
    assert found is not None
    assert [json.loads(line)["Item"] for line in found.lines.split(b"\n")[:-1]] == items


@needs_compiled
def test_damaged_pages_are_the_same() -> None:
    """Refused or taken alike, whatever happened to the bytes."""
    refused = spliced = 0
    for seed in range(3_000):
        random = Random(seed)
        text = damaged(body_of(random_items(random, rows=random.choice([0, 1, 2, 4])), random), random)
        found = page_of(text)
        assert found == decoded_page(text), f"seed {seed}"
        refused += found is None
        spliced += is_spliced(text)
    assert refused > 1_000
    assert spliced > 300


@needs_compiled
@pytest.mark.parametrize(
    "text",
    [
        body(),
        body(Items=[], Count=0),
        body(ConsumedCapacity={"TableName": "Reviews", "CapacityUnits": 0.5}, More=[True, False, None, -1.25, {}, []]),
        json.dumps({"Items": ITEMS, "Count": 2, "ScannedCount": 2}).encode(),
        body(Items=[{"a": {"L": [{"S": "\\ud83d\\ude00"}, {"M": {}}]}}], Count=1, ScannedCount=9),
    ],
)
def test_pages_as_dynamodb_sends_them_are_spliced(text: bytes) -> None:
    """In any order of members, with or without spaces."""
    assert is_spliced(text)
    assert page_of(text) == decoded_page(text) is not None


@needs_compiled
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"":[',
        body()[:-1],
        body() + b"x",
        body(Items=None),
        body(Items={"Id": 1}),
        body(Count=1),
        body(ScannedCount="2"),
        # The last of two members of one name counts, however it is spelled.
        body()[:-1] + b',"Items":[]}',
        body()[:-1] + b',"It\\u0065ms":[{}]}',
        b'{"It\\u0065ms":[{}],' + body()[1:],
        body(LastEvaluatedKey=[1]),
        body().replace(b'{"N":"1"}', b'{"N":"1",}'),
        body().replace(b'{"N":"1"}', b'{"N":01}'),
        body().replace(b'{"N":"1"}', b'{"N":"\\ud800"}'),
        body().replace(b'{"N":"1"}', b'{"N":"\x01"}'),
        body().replace(b'{"N":"1"}', b"[" * 2_000 + b"]" * 2_000),
        body().replace(b'{"N":"1"}', b"[" * 20_000),
        body().replace(b"]", b"\n]"),
        body().replace(b'"ScannedCount"', b'\n"ScannedCount"'),
    ],
)
def test_odd_pages_are_as_msgspec_has_them(text: bytes) -> None:
    """Refused without an error of its own, or taken all the same."""
    assert page_of(text) == decoded_page(text)


@needs_compiled
def test_no_prefix_of_a_page_is_read_beyond() -> None:
    """A page that is cut anywhere is damaged."""
    text = body(LastEvaluatedKey={"Id": {"N": "2"}})
    assert page_of(text) is not None
    assert all(page_of(text[:size]) is None for size in range(len(text)))


def test_without_compiled_code_pages_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only slower."""
    monkeypatch.setattr(page, "_splicer", lambda: None)
    found = page_of(body())
    assert found is not None
    assert [json.loads(line)["Item"] for line in found.lines.split(b"\n")[:-1]] == ITEMS
