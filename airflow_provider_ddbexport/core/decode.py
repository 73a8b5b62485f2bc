"""What a line of an export is: the reference decoder, and the one place where the rules for items are written.

A line is ``{"Item": {name: value, …}}``. A value is an object with one member, whose name is its type and whose
content is what that type allows. Values are told from types by position only: an attribute may itself be called ``M``,
``S`` or ``Item``. Items that come parsed already (from ION, from a Scan) meet the same rules in :func:`check_item`.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import msgspec

from airflow_provider_ddbexport.errors import ItemError

AttributeValue = dict[str, Any]
"""DynamoDB JSON of one value: ``{"S": str}``, ``{"N": str}``, ``{"B": base64}``, ``{"BOOL": bool}``,
``{"NULL": True}``, ``{"M": {name: value}}``, ``{"L": [value]}``, ``{"SS": [str]}``, ``{"NS": [str]}``,
``{"BS": [base64]}``."""

Item = dict[str, AttributeValue]
"""One item: attribute name -> value."""

MAX_NESTING = 32
"""Maps and lists inside of each other, counted from an attribute's value; DynamoDB's limit."""

MAX_DIGITS = 38
"""Significant digits of a number."""

_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
# DynamoDB accepts what Java's BigDecimal accepts; nine digits of exponent keep Decimal() from overflowing.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")

_Texts = Annotated[list[str], msgspec.Meta(min_length=1)]


class _UsualValue(TypedDict, total=False):
    """What a parser knows of a value: which content a type has, but not that there is one type only."""

    S: str
    N: str
    B: str
    BOOL: bool
    NULL: bool
    M: dict[str, _UsualValue]
    L: list[_UsualValue]
    SS: _Texts
    NS: _Texts
    BS: _Texts


class _UsualLine(TypedDict):
    Item: dict[str, _UsualValue]


_parse_usual: Callable[[bytes], Any] = msgspec.json.Decoder(_UsualLine).decode
_parse_json = msgspec.json.Decoder().decode


class _NoItemError(Exception):
    """Carries the reason out of the recursion."""


def decode_line(line: bytes) -> Item:
    """Return the item of one line of an export, checked; a line break at its end is allowed.

    Raises :class:`.ItemError` whose context has the ``reason``: a clause about the line, without anything of its
    contents. Where the line is (file, line, offset) is for the caller to add.
    """
    item = _usual_item(line)
    return _unusual_item(line) if item is None else item


def _usual_item(line: bytes) -> Item | None:
    """Return the item of *line* where that is seen in one quick look, None where it is none or takes a second look.

    The parser checks types on its way. It drops members that it does not expect, and all but one of those with the same
    name: none were if all the names that the text has are left.
    """
    try:
        item: Item = _parse_usual(line)["Item"]
        names = 1 + _count_members(item, 0)
    except (msgspec.MsgspecError, ValueError, RecursionError, _NoItemError):
        return None
    return item if _has_all_names(line, names) else None


def _unusual_item(line: bytes) -> Item:
    """Return the item of *line*; raises ItemError with what is wrong with it."""
    try:
        wrapper = _parse_json(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _error("it is not JSON in UTF-8") from None
    if type(wrapper) is not dict or len(wrapper) != 1 or type(wrapper.get("Item")) is not dict:
        raise _error('it is not of the form {"Item":{…}}')
    item: Item = wrapper["Item"]
    try:
        _check_members(item, 0)
        # The parser keeps one of two members of the same name, which would lose a value.
        json.loads(line, object_pairs_hook=_refuse_double_names)
    except _NoItemError as reason:
        raise _error(str(reason)) from None
    return item


def check_item(item: object) -> Item:
    """Return *item* if it is one, in DynamoDB JSON with binaries as base64 text; for items parsed elsewhere.

    Raises :class:`.ItemError` as :func:`decode_line` does.
    """
    if not isinstance(item, dict):
        raise _error("it is not a map of attributes")
    try:
        _check_members(item, 0)
        _check_texts(item)
    except _NoItemError as reason:
        raise _error(str(reason)) from None
    return item


def _error(reason: str) -> ItemError:
    return ItemError(f"no DynamoDB item: {reason}", reason=reason)


def _has_all_names(line: bytes, names: int) -> bool:
    """Return whether *line* can be seen to have no more names than that, of members and of types.

    Behind every name in the text is a `:`. Strings hold some of these too, but hardly ever `":`, which is behind every
    name where there are no spaces between.
    """
    if line.count(b":") == names:
        return True
    if b" :" in line or b"\t" in line or b"\r" in line or b"\n" in line:
        return False
    return line.count(b'":') == names


def _refuse_double_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NoItemError("a name occurs twice in one map")
    return members


def _check_texts(content: object) -> None:
    """Refuse names that are no text, and halves of surrogate pairs, which parsers of JSON refuse themselves."""
    if isinstance(content, dict):
        for name, inner in content.items():
            _check_string(name, 0)
            _check_texts(name)
            _check_texts(inner)
    elif isinstance(content, list):
        for inner in content:
            _check_texts(inner)
    elif isinstance(content, str):
        try:
            content.encode()
        except UnicodeEncodeError:
            raise _NoItemError("a string holds half of a surrogate pair, which is no character") from None


def _check_members(members: dict[str, AttributeValue], depth: int) -> None:
    _check_values(members.values(), depth)


def _check_values(values: Collection[AttributeValue], depth: int) -> None:
    for value in values:
        if type(value) is not dict or len(value) != 1:
            raise _NoItemError("a value is not an object with one member, its type")
        for kind, content in value.items():
            check = _CHECKS.get(kind)
            if check is None:
                raise _NoItemError("a value is of a type that DynamoDB does not have")
            check(content, depth)


def _check_string(content: object, _depth: int) -> None:
    if not isinstance(content, str):
        raise _NoItemError("a string (S) is not text")


def _check_number(content: object, _depth: int) -> None:
    if not isinstance(content, str):
        raise _NoItemError("a number (N) is not written as text")
    if len(content) <= MAX_DIGITS and ((content.isdecimal() and content.isascii()) or _PLAIN_NUMBER.fullmatch(content)):
        return
    if not _NUMBER.fullmatch(content):
        raise _NoItemError("a number (N) is not decimal digits")
    number = Decimal(content)
    if len("".join(map(str, number.as_tuple().digits)).strip("0")) > MAX_DIGITS:
        raise _NoItemError(f"a number (N) has more than {MAX_DIGITS} significant digits")
    if number and not -130 <= number.adjusted() <= 125:
        raise _NoItemError("a number (N) is outside of 1E-130 to 9.99E+125")


def _check_binary(content: object, _depth: int) -> None:
    try:
        if isinstance(content, str):
            binascii.a2b_base64(content, strict_mode=True)
            return
    except ValueError:
        pass
    raise _NoItemError("a binary (B) is not base64")


def _check_boolean(content: object, _depth: int) -> None:
    if content is not True and content is not False:
        raise _NoItemError("a BOOL is neither true nor false")


def _check_null(content: object, _depth: int) -> None:
    if content is not True:
        raise _NoItemError("a NULL is not true")


def _check_map(content: object, depth: int) -> None:
    if type(content) is not dict:
        raise _NoItemError("a map (M) is not an object")
    _check_members(content, _deeper(depth))


def _check_list(content: object, depth: int) -> None:
    if type(content) is not list:
        raise _NoItemError("a list (L) is not an array")
    _check_values(content, _deeper(depth))


def _deeper(depth: int) -> int:
    if depth == MAX_NESTING:
        raise _NoItemError(f"maps and lists are nested deeper than {MAX_NESTING} levels")
    return depth + 1


def _set_of(check: Callable[[object, int], None]) -> Callable[[object, int], None]:
    def check_set(content: object, depth: int) -> None:
        if type(content) is not list or not content:
            raise _NoItemError("a set (SS, NS, BS) is not an array, or is empty")
        for element in content:
            check(element, depth)

    return check_set


_CHECKS: dict[str, Callable[[object, int], None]] = {
    "S": _check_string,
    "N": _check_number,
    "B": _check_binary,
    "BOOL": _check_boolean,
    "NULL": _check_null,
    "M": _check_map,
    "L": _check_list,
    "SS": _set_of(_check_string),
    "NS": _set_of(_check_number),
    "BS": _set_of(_check_binary),
}


_UNCHECKED = {kind: _CHECKS[kind] for kind in ("N", "B", "NULL", "NS", "BS")}
"""Checks of contents of which _UsualValue does not say all."""

# The same for values that the parser has checked; they return how many names there are in the text of these.


def _count_members(members: dict[str, AttributeValue], depth: int) -> int:
    return len(members) + _count_values(members.values(), depth)


def _count_values(values: Collection[AttributeValue], depth: int) -> int:
    names = len(values)
    for value in values:
        (kind,) = value
        if kind == "M":
            names += _count_members(value["M"], _deeper(depth))
        elif kind == "L":
            names += _count_values(value["L"], _deeper(depth))
        elif kind in _UNCHECKED:
            _UNCHECKED[kind](value[kind], depth)
    return names
