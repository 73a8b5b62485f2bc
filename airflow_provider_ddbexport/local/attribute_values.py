"""Values in DynamoDB JSON as the service keeps them: canonical numbers, sizes in bytes, keys in hash order.

Sizes follow the developer guide's "DynamoDB item sizes and formats"; numbers are documented there as approximate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from airflow_provider_ddbexport.local.wire import AwsError

AttributeValue = dict[str, Any]
Item = dict[str, AttributeValue]

HASH_BITS = 128

_CANONICAL = re.compile(r"(?:0|-?[1-9][0-9]{0,37})\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_SMALLEST, _LARGEST = Decimal("1E-130"), Decimal("9.9999999999999999999999999999999999999E+125")
# Wide enough for every number DynamoDB keeps, written in full.
_WIDE = Context(prec=400)
_ENCODER = msgspec.json.Encoder(order="sorted")


class Key(NamedTuple):
    """Where an item is: by hash of the partition key, then by sort key. Two items of a table never share one.

    ``token`` is in ``range(2**HASH_BITS)``; segments and partitions are ranges of it.
    """

    token: int
    sort: bytes | Decimal


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Names and types of a table's key attributes; the range pair is None where there is none."""

    hash_name: str
    range_name: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the key attributes."""
        return (self.hash_name,) if self.range_name is None else (self.hash_name, self.range_name)

    def key(self, item: Item) -> Key:
        """Return where *item*, or a key given as one, belongs."""
        kind, value = _scalar(item[self.hash_name])
        told_apart = f"{kind}:".encode() + (value if isinstance(value, bytes) else str(value).encode())
        digest = hashlib.md5(told_apart, usedforsecurity=False)
        sort = b"" if self.range_name is None else _scalar(item[self.range_name])[1]
        return Key(int.from_bytes(digest.digest(), "big"), sort)

    def of(self, item: Item) -> Item:
        """Return the key attributes of *item*."""
        return {name: item[name] for name in self.names}


def _scalar(value: AttributeValue) -> tuple[str, bytes | Decimal]:
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, Decimal(canonical_number(content))
    if kind == "B":
        return kind, base64.b64decode(content)
    return kind, str(content).encode()


@dataclass(frozen=True, slots=True)
class Image:
    """An item as it was at one moment.

    Attributes:
        encoded: the item as DynamoDB JSON, attributes in order of their names.
        size: bytes, as capacity and billing count them.
    """

    encoded: bytes
    size: int

    @classmethod
    def of(cls, item: Item) -> Image:
        """Return the image of *item*."""
        return cls(_ENCODER.encode(item), item_size(item))

    def item(self) -> Item:
        """Return the item."""
        decoded: Item = msgspec.json.decode(self.encoded)
        return decoded


def canonical_number(text: str) -> str:
    """Return *text* as DynamoDB gives it back: plain notation, no leading or trailing zeros.

    Raises AwsError(ValidationException) for what is no number, has more than 38 digits, or is out of range.
    """
    if _CANONICAL.match(text):
        return text
    if not _NUMBER.match(text):
        raise AwsError("ValidationException", "The parameter cannot be converted to a numeric value")
    try:
        number = _WIDE.create_decimal(text).normalize(_WIDE)
    except InvalidOperation:
        raise AwsError("ValidationException", "The parameter cannot be converted to a numeric value") from None
    if not number:
        return "0"
    if len(number.as_tuple().digits) > 38:
        raise AwsError("ValidationException", "Attempting to store more than 38 significant digits in a Number")
    if abs(number) > _LARGEST:
        raise AwsError(
            "ValidationException",
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        )
    if abs(number) < _SMALLEST:
        raise AwsError(
            "ValidationException",
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        )
    return f"{number:f}"


def canonical(value: AttributeValue) -> AttributeValue:
    """Return *value* with its numbers canonical; raises AwsError(ValidationException) for a value that is none."""
    if not isinstance(value, dict) or len(value) != 1:
        raise AwsError(
            "ValidationException",
            f"Supplied AttributeValue {'has more than one datatypes set' if value else 'is empty'}, "
            "must contain exactly one of the supported datatypes",
        )
    ((kind, content),) = value.items()
    if kind == "N":
        return {"N": canonical_number(str(content))}
    if kind == "M":
        return {"M": canonical_item(content)}
    if kind == "L":
        return {"L": [canonical(element) for element in content]}
    if kind in {"SS", "NS", "BS"}:
        return {kind: _canonical_set(kind, content)}
    return value


def canonical_item(item: Item) -> Item:
    """Return *item* with its numbers canonical."""
    return {name: canonical(value) for name, value in item.items()}


def _canonical_set(kind: str, elements: list[str]) -> list[str]:
    found = [canonical_number(str(element)) for element in elements] if kind == "NS" else elements
    if not found:
        names = {"SS": "string", "NS": "number", "BS": "binary"}
        raise AwsError(
            "ValidationException",
            f"One or more parameter values were invalid: An {names[kind]} set  may not be empty",
        )
    if len(set(found)) != len(found):
        raise AwsError(
            "ValidationException", "One or more parameter values were invalid: Input collection contains duplicates."
        )
    return found


def item_size(item: Item) -> int:
    """Return the bytes of *item*: names and values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: AttributeValue) -> int:  # noqa: PLR0911 -- one line for each type
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content) if content.isascii() else len(content.encode())
        case "N":
            return _number_size(content)
        case "B":
            return _binary_size(content)
        case "M":
            return 3 + len(content) + item_size(content)
        case "L":
            return 3 + len(content) + sum(map(_value_size, content))
        case "SS":
            return sum(len(element.encode()) for element in content)
        case "NS":
            return sum(map(_number_size, content))
        case "BS":
            return sum(map(_binary_size, content))
        case _:
            return 1


def _number_size(text: str) -> int:
    """One byte for two significant digits, one for the exponent, one more for the sign of a negative."""
    digits = text.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + (1 if text.startswith("-") else 0)


def _binary_size(encoded: str) -> int:
    try:
        return len(binascii.a2b_base64(encoded))
    except binascii.Error:
        return len(encoded)


def from_moto(item: Any) -> Item:
    """Return moto's item as DynamoDB JSON."""
    return {name: _from_moto(value) for name, value in item.attrs.items()}


def _from_moto(value: Any) -> AttributeValue:  # noqa: PLR0911 -- one line for each type
    kind, content = value.type, value.value
    if kind == "M":
        return {"M": {name: _from_moto(inner) for name, inner in content.items()}}
    if kind == "L":
        return {"L": [_from_moto(inner) for inner in content]}
    if kind == "N":
        return {"N": canonical_number(str(content))}
    if kind == "NS":
        return {"NS": [canonical_number(str(element)) for element in content]}
    if kind == "BS":
        return {"BS": [_text(element) for element in content]}
    if kind == "SS":
        return {"SS": list(content)}
    return {kind: _text(content)}


def _text(content: Any) -> Any:
    return base64.b64encode(content).decode() if isinstance(content, bytes) else content
