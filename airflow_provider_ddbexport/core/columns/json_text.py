"""Maps and lists as plain JSON text, and back: the columns of ``nested="json"``.

Text, numbers, booleans, NULL, maps and lists are in the text as what they are. JSON has nothing for sets and binaries:
they are an array and base64 text there, and the builder keeps what they were by their path.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.columns.names import join
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.decode import AttributeValue

_Steps = tuple[Any, str]

_encode = msgspec.json.Encoder(order="sorted").encode


def json_text(value: AttributeValue) -> str:
    """Return *value* as JSON, numbers with all their digits; the same value gives the same text."""
    return _encode(_plain(value)).decode()


def _plain(value: AttributeValue) -> Any:
    ((kind, content),) = value.items()
    match kind:
        case "M":
            return {key: _plain(member) for key, member in content.items()}
        case "L":
            return [_plain(element) for element in content]
        case "N":
            return msgspec.Raw(canonical(content).encode())
        case "NS":
            return [msgspec.Raw(canonical(number).encode()) for number in content]
        case "NULL":
            return None
    return content


def json_unlike(value: AttributeValue, path: _Steps, label: str) -> Iterator[tuple[_Steps, str, AttributeValue]]:
    """Yield place, path to count under and value of each part of *value* that its JSON text does not give back."""
    ((kind, content),) = value.items()
    if kind == "M":
        for key, member in content.items():
            yield from json_unlike(member, (path, key), join(label, key))
    elif kind == "L":
        for index, element in enumerate(content):
            yield from json_unlike(element, (path, str(index)), label)
    elif kind in ("SS", "NS", "BS", "B"):
        yield path, label, value


class _Number(str):
    """The digits of a number, to tell them from text."""

    __slots__ = ()


def from_json_text(text: str) -> AttributeValue:
    """Return the value that :func:`json_text` wrote, but for its sets and binaries. Raises ValueError if it is none."""
    return _value(json.loads(text, parse_int=_Number, parse_float=_Number))


def _value(plain: Any) -> AttributeValue:
    if plain is None:
        return {"NULL": True}
    if isinstance(plain, _Number):
        return {"N": str(plain)}
    if isinstance(plain, str):
        return {"S": plain}
    if isinstance(plain, bool):
        return {"BOOL": plain}
    if isinstance(plain, dict):
        return {"M": {key: _value(member) for key, member in plain.items()}}
    return {"L": [_value(element) for element in plain]}
