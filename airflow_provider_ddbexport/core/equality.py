"""When two items are the same item: numbers as decimals, sets as sets, however they are written."""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable
from typing import Any

from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.decode import AttributeValue, Item


def is_same_item(one: Item, other: Item) -> bool:
    """Return whether both have the same attributes with the same values; both are checked items.

    The order of attributes and of the elements of sets does not count, nor how a number is spelled; types do, and NULL
    is not absent.
    """
    return one.keys() == other.keys() and all(_is_same_value(value, other[name]) for name, value in one.items())


def _is_same_value(one: AttributeValue, other: AttributeValue) -> bool:
    ((kind, content),) = one.items()
    ((other_kind, other_content),) = other.items()
    if kind != other_kind:
        return False
    if kind == "M":
        return is_same_item(content, other_content)
    if kind == "L":
        return len(content) == len(other_content) and all(map(_is_same_value, content, other_content))
    if content == other_content:
        return True
    normal = _NORMAL.get(kind)
    return normal is not None and normal(content) == normal(other_content)


_NORMAL: dict[str, Callable[[Any], object]] = {
    "N": canonical,
    "B": a2b_base64,
    "SS": frozenset,
    "NS": lambda numbers: frozenset(map(canonical, numbers)),
    "BS": lambda binaries: frozenset(map(a2b_base64, binaries)),
}
"""What is equal for equal contents, where the contents themselves need not be."""
