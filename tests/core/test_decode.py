"""The rules for a line of an export."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.decode import check_item, decode_line
from airflow_provider_ddbexport.errors import ItemError


def line_of(item: Any) -> bytes:
    return json.dumps({"Item": item}).encode()


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "x"}
    for level in range(levels):
        value = {"L": [value]} if level % 2 else {"M": {"M": value}}
    return {"a": value}


GOOD: dict[str, Any] = {
    "no attributes": {},
    "every type": {
        "s": {"S": ""},
        "n": {"N": "-1.5E-7"},
        "b": {"B": ""},
        "t": {"BOOL": True},
        "f": {"BOOL": False},
        "0": {"NULL": True},
        "m": {"M": {}},
        "l": {"L": []},
        "ss": {"SS": ["", "a"]},
        "ns": {"NS": ["1", "2"]},
        "bs": {"BS": ["", "QQ=="]},
    },
    "attributes named as types are": {
        "M": {"M": {"M": {"M": {"S": {"S": "M"}}}}},
        "S": {"N": "1"},
        "Item": {"M": {"Item": {"S": "Item"}}},
        "NULL": {"L": [{"M": {"NULL": {"NULL": True}, "N": {"S": "N"}}}]},
    },
    "lists of lists": {"a": {"L": [{"L": [{"L": []}, {"N": "1"}]}, {"L": []}]}},
    "32 levels": nested(32),
    "names and text of other scripts": {"größe": {"S": "日本 😀\u0000"}},
    "strings that look like names": {"a": {"S": '":'}, "b": {"S": ':"'}, 'c":': {"S": '":":"'}, "d\\": {"S": "\\"}},
}

NUMBERS_WITHIN = [
    "0",
    "-0",
    "1E-130",
    "9.9999999999999999999999999999999999999E+125",
    "-1E-130",
    "1.",
    ".5",
    "+1",
    "007",
]
NUMBERS_WITHIN += ["1" * 38, "1" * 38 + "0" * 20, "0." + "0" * 100 + "1" * 20, "0E999999999", "1" + "0" * 125]

BAD_ITEMS: dict[str, tuple[Any, str]] = {
    "value without a type": ({"a": {}}, "one member"),
    "value with two types": ({"a": {"S": "x", "N": "1"}}, "one member"),
    "value with a type and something else": ({"a": {"S": "x", "X": "y"}}, "one member"),
    "value with two types beside one without": ({"a": {"S": "x", "N": "1"}, "b": {}}, "one member"),
    "value with a type and a string that looks like a name": ({"a": {"S": ":", "X": '":'}}, "one member"),
    "value that is text": ({"a": "x"}, "one member"),
    "value that is a list": ({"a": ["x"]}, "one member"),
    "unknown type": ({"a": {"X": "x"}}, "a type that DynamoDB does not have"),
    "type in lower case": ({"a": {"s": "x"}}, "a type that DynamoDB does not have"),
    "unknown type inside": ({"a": {"M": {"b": {"L": [{"Q": 1}]}}}}, "a type that DynamoDB does not have"),
    "S that is a number": ({"a": {"S": 1}}, "(S)"),
    "S that is null": ({"a": {"S": None}}, "(S)"),
    "N that is a number": ({"a": {"N": 1}}, "not written as text"),
    "N that is a word": ({"a": {"N": "NaN"}}, "decimal digits"),
    "N that is empty": ({"a": {"N": ""}}, "decimal digits"),
    "N with a space": ({"a": {"N": " 1"}}, "decimal digits"),
    "N with an underscore": ({"a": {"N": "1_0"}}, "decimal digits"),
    "N with a line break": ({"a": {"N": "1\n"}}, "decimal digits"),
    "N in digits of another script": ({"a": {"N": "\u0661"}}, "decimal digits"),
    "N of 39 digits": ({"a": {"N": "1" * 39}}, "38 significant digits"),
    "N of 39 digits around its point": ({"a": {"N": "1." + "0" * 37 + "1"}}, "38 significant digits"),
    "N of 39 digits in a set": ({"a": {"NS": ["1", "1" * 39]}}, "38 significant digits"),
    "N too large": ({"a": {"N": "1E126"}}, "outside"),
    "N too large in plain digits": ({"a": {"N": "1" + "0" * 126}}, "outside"),
    "N too small": ({"a": {"N": "9E-131"}}, "outside"),
    "N with an endless exponent": ({"a": {"N": "1E" + "9" * 50}}, "decimal digits"),
    "B without padding": ({"a": {"B": "QQ"}}, "base64"),
    "B with a line break": ({"a": {"B": "QUJD\n"}}, "base64"),
    "B that is not ASCII": ({"a": {"B": "é==="}}, "base64"),
    "B that is a list": ({"a": {"B": []}}, "base64"),
    "BOOL that is text": ({"a": {"BOOL": "true"}}, "BOOL"),
    "BOOL that is 1": ({"a": {"BOOL": 1}}, "BOOL"),
    "NULL that is false": ({"a": {"NULL": False}}, "NULL"),
    "M that is a list": ({"a": {"M": []}}, "(M)"),
    "L that is an object": ({"a": {"L": {}}}, "(L)"),
    "L of plain values": ({"a": {"L": ["x"]}}, "one member"),
    "empty SS": ({"a": {"SS": []}}, "empty"),
    "empty NS": ({"a": {"NS": []}}, "empty"),
    "empty BS": ({"a": {"BS": []}}, "empty"),
    "SS that is text": ({"a": {"SS": "x"}}, "set"),
    "SS of numbers": ({"a": {"SS": [1]}}, "(S)"),
    "NS with a word": ({"a": {"NS": ["1", "x"]}}, "decimal digits"),
    "BS with text": ({"a": {"BS": ["QQ=="[:3]]}}, "base64"),
    "33 levels": (nested(33), "32 levels"),
    "half a surrogate pair in a name": ({"\ud800": {"S": "x"}}, ""),
    "half a surrogate pair in text": ({"a": {"SS": ["x", "\udc00"]}}, ""),
}

BAD_LINES = {
    "an empty line": (b"", "JSON"),
    "no JSON": (b"Item", "JSON"),
    "a cut line": (b'{"Item":{"a":{"S":"x"}', "JSON"),
    "two lines in one": (b'{"Item":{}}{"Item":{}}', "JSON"),
    "Latin-1": ('{"Item":{"a":{"S":"é"}}}'.encode("latin-1"), "JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"Item":{}}', "JSON"),
    "a surrogate in UTF-8": (b'{"Item":{"a":{"S":"\xed\xa0\x80"}}}', "JSON"),
    "brackets without end": (b"[" * 100_000, "JSON"),
    "a list": (b"[]", '{"Item":{…}}'),
    "a number": (b"1", '{"Item":{…}}'),
    "the item alone": (b'{"a":{"S":"x"}}', '{"Item":{…}}'),
    "an item that is a list": (b'{"Item":[]}', '{"Item":{…}}'),
    "more than the item": (b'{"Item":{},"Keys":{}}', '{"Item":{…}}'),
    "a line of an incremental export": (b'{"Keys":{},"NewImage":{}}', '{"Item":{…}}'),
    "an attribute twice": (b'{"Item":{"a":{"S":"x"},"a":{"S":"x"}}}', "twice"),
    "an attribute twice with a space": (b'{"Item":{"a":{"S":"x"},"a" :{"S":"x"}}}', "twice"),
    "an attribute twice, once escaped": (b'{"Item":{"a":{"S":"x"},"\\u0061":{"S":"x"}}}', "twice"),
    "an attribute twice, once with spaces": (b'{"Item":{"a" :{"S" :"x"},"a":{"S":"x"}}}', "twice"),
    "an attribute twice, once with tabs": (b'{"Item":{"a":{"S":"x"},"a"\t:{"S"\t:"x"}}}', "twice"),
    "a type twice": (b'{"Item":{"a":{"S":"x","S":"y"}}}', "twice"),
    "a key twice deep inside": (b'{"Item":{"a":{"L":[{"M":{"k":{"S":":"},"k":{"N":"1"}}}]}}}', "twice"),
    "an attribute twice beside a misleading string": (b'{"Item":{"a":{"S":":"},"a" :{"S":":"}}}', "twice"),
    "the item twice": (b'{"Item":{"a":{"S":"x"}},"Item":{}}', "twice"),
}


@pytest.mark.parametrize("item", GOOD.values(), ids=GOOD.keys())
def test_items_are_decoded_by_position(item: Any) -> None:
    """Every item that DynamoDB can hold is read as it is, whatever its attributes are called."""
    assert decode_line(line_of(item)) == item
    assert decode_line(json.dumps({"Item": item}, ensure_ascii=False, separators=(",", ":")).encode() + b"\r\n") == item
    assert check_item(item) is item


@pytest.mark.parametrize("number", NUMBERS_WITHIN)
def test_numbers_within_the_limits_are_read_as_they_are_written(number: str) -> None:
    """38 significant digits from 1E-130 to 9.99E+125, in every spelling DynamoDB takes."""
    item = {"n": {"N": number}, "s": {"NS": [number]}}
    assert decode_line(line_of(item)) == item


@pytest.mark.parametrize(("item", "reason"), BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_what_is_no_item_is_refused_from_a_line_and_from_elsewhere(item: Any, reason: str) -> None:
    """The rules are the same for a line of an export and for an item that was parsed already."""
    with pytest.raises(ItemError) as from_line:
        decode_line(line_of(item))
    with pytest.raises(ItemError) as from_elsewhere:
        check_item(item)
    assert reason in from_line.value.context["reason"]
    assert reason in from_elsewhere.value.context["reason"]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_what_is_no_line_is_refused(line: bytes, reason: str) -> None:
    """Anything but one JSON object with one item is an ItemError with a reason, never another exception."""
    with pytest.raises(ItemError) as error:
        decode_line(line)
    assert reason in error.value.context["reason"]


def test_an_item_that_is_no_map_is_refused() -> None:
    """What a caller hands over may be anything."""
    for no_item in (None, [], "x", {1: {"S": "x"}}, {"a": {"B": b"x"}}):
        with pytest.raises(ItemError):
            check_item(no_item)


def test_errors_hold_nothing_of_the_item_and_pickle() -> None:
    """A reason is about the line's form; neither names nor values of the item are in it."""
    with pytest.raises(ItemError) as error:
        decode_line(b'{"Item":{"secretname":{"N":"secretvalue"}}}')
    copy = pickle.loads(pickle.dumps(error.value))
    assert "secret" not in str(error.value) + repr(error.value.context)
    assert (str(copy), copy.context) == (str(error.value), error.value.context)


texts = st.text(st.sampled_from(['"', ":", "\\", " ", "a", "é", "{", ","]), max_size=6)
trees = st.recursive(
    texts.map(lambda text: {"S": text}),
    lambda inner: (
        st.dictionaries(texts, inner, max_size=3).map(lambda members: {"M": members})
        | st.lists(inner, max_size=3).map(lambda elements: {"L": elements})
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, database=None)
@given(
    item=st.dictionaries(texts, trees, max_size=4),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",", "\t:")]),
    is_ascii=st.booleans(),
)
def test_no_item_is_taken_for_one_with_double_names(item: Any, separators: tuple[str, str], is_ascii: bool) -> None:
    """The count that finds double names is never misled by quotes and colons in names and strings."""
    line = json.dumps({"Item": item}, separators=separators, ensure_ascii=is_ascii).encode()
    assert decode_line(line) == item


@settings(max_examples=100, deadline=None, database=None)
@given(item=st.dictionaries(texts, trees, min_size=1, max_size=4), colon=st.sampled_from([":", " :", "\n:"]))
def test_double_names_are_found_wherever_they_are(item: Any, colon: str) -> None:
    """A member written twice is found whatever quotes, colons and spaces surround it."""
    name, value = next(iter(item.items()))
    double = f"{json.dumps(name)}{colon}{json.dumps(value)}"
    line = json.dumps({"Item": item}).replace('{"Item": {', '{"Item": {' + double + ", ", 1)
    with pytest.raises(ItemError, match="twice"):
        decode_line(line.encode())
