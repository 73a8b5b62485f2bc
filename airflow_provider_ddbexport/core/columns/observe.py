"""What the items of an export look like, gathered before any column is decided.

An observation is a function of the set of items alone: adding them in another order, or adding parts of them elsewhere
and merging, gives an equal one. It stays small however many items there are.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_ddbexport.core.columns.numbers import NumberSpan
from airflow_provider_ddbexport.core.decode import AttributeValue, Item

MAX_MEMBERS = 256
"""Distinct keys of the maps at one place; more of them are data, not names, and the maps become one MAP column."""

MAX_ATTRIBUTES = 5_000
"""Attributes that can get a column. Of more, those with the shortest names do: generated names are long ones."""

EMPTY_MAP = "M{}"
"""Stands for ``{"M": {}}`` among the kinds, because an empty map says nothing about a column."""

_CONTAINERS = ("M", "L", "NS")


@dataclass(slots=True)
class Shape:
    """All values seen at one place.

    Attributes:
        counts: values by DynamoDB type; empty maps under :data:`EMPTY_MAP`.
        numbers: of the N values.
        set_numbers: of the elements of NS values.
        members: by key of the M values; None when there were none, or too many keys.
        map_values: values of the M values under any key, once there were too many keys.
        elements: of the L values.
    """

    counts: dict[str, int] = field(default_factory=dict)
    numbers: NumberSpan | None = None
    set_numbers: NumberSpan | None = None
    members: dict[str, Shape] | None = None
    map_values: Shape | None = None
    elements: Shape | None = None

    def add(self, value: AttributeValue) -> bool:
        """Take in one value; return whether that is news, as :attr:`Observation.news` counts them."""
        [(kind, content)] = value.items()
        if kind == "M" and not content:
            kind = EMPTY_MAP
        before = self.counts.get(kind, 0)
        self.counts[kind] = before + 1
        is_news = not before
        if kind == "N":
            if self.numbers is None:
                self.numbers = NumberSpan()
            is_news |= self.numbers.add(content)
        elif kind in _CONTAINERS:
            is_news |= self._look_inside(kind, content)
        return is_news

    def _look_inside(self, kind: str, content: Any) -> bool:
        is_news = False
        if kind == "M":
            is_news = self._add_members(content)
        elif kind == "L":
            if self.elements is None:
                self.elements = Shape()
            for element in content:
                is_news |= self.elements.add(element)
        elif kind == "NS":
            if self.set_numbers is None:
                self.set_numbers = NumberSpan()
            for number in content:
                is_news |= self.set_numbers.add(number)
        return is_news

    def _add_members(self, members: dict[str, AttributeValue]) -> bool:
        is_news = False
        if self.map_values is None:
            if self.members is None:
                self.members = {}
            for key, value in members.items():
                shape = self.members.get(key)
                if shape is None:
                    shape = self.members[key] = Shape()
                if "S" in value and "S" in shape.counts:
                    shape.counts["S"] += 1
                else:
                    is_news |= shape.add(value)
            # A key too many is news, for its value is the first of its kind.
            if len(self.members) > MAX_MEMBERS:
                self._forget_keys()
        else:
            for value in members.values():
                is_news |= self.map_values.add(value)
        return is_news

    def _forget_keys(self) -> None:
        self.map_values = self.any_member()
        self.members = None

    def any_member(self) -> Shape:
        """Return what all members of the maps look like taken together, as a shape of its own."""
        merged = Shape()
        if self.map_values is not None:
            merged.merge(self.map_values)
        for shape in (self.members or {}).values():
            merged.merge(shape)
        return merged

    def merge(self, other: Shape) -> None:
        """Take in all values of *other*, which stays as it is."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        self.numbers = _merged_spans(self.numbers, other.numbers)
        self.set_numbers = _merged_spans(self.set_numbers, other.set_numbers)
        if other.elements is not None:
            if self.elements is None:
                self.elements = Shape()
            self.elements.merge(other.elements)
        if other.map_values is not None and self.map_values is None:
            self._forget_keys()
        if self.map_values is not None:
            self.map_values.merge(other.any_member())
        elif other.members is not None:
            if self.members is None:
                self.members = {}
            _merge_shapes(self.members, other.members)
            if len(self.members) > MAX_MEMBERS:
                self._forget_keys()


def _merged_spans(one: NumberSpan | None, other: NumberSpan | None) -> NumberSpan | None:
    if other is None:
        return one
    merged = NumberSpan()
    merged.merge(other)
    if one is not None:
        merged.merge(one)
    return merged


def _merge_shapes(shapes: dict[str, Shape], others: dict[str, Shape]) -> None:
    for name, other in others.items():
        shape = shapes.get(name)
        if shape is None:
            shape = shapes[name] = Shape()
        shape.merge(other)


def shortest_first(name: str) -> tuple[int, str]:
    """Return the sort key by which names get one of too few places."""
    return len(name), name


class Observation:
    """What is known of a set of items. Picklable; one per process, merged at the end."""

    def __init__(self) -> None:
        self.items = 0
        """Items added."""
        self.news = 0
        """Moves when an item is added that has a type at a place where none had it, or a number with more digits before
        or after the point than any there: without news, only which of the types at a place is the commonest can change
        the columns, whatever other items there are."""
        self._attributes: dict[str, Shape] = {}

    def add(self, item: Item) -> None:
        """Take in one item, which :mod:`..decode` has checked."""
        self.items += 1
        attributes = self._attributes
        for name, value in item.items():
            shape = attributes.get(name)
            if shape is None:
                shape = attributes[name] = Shape()
            # Most values are text, of which no more is to be known.
            if "S" in value and "S" in shape.counts:
                shape.counts["S"] += 1
            elif shape.add(value):
                self.news += 1
        if len(attributes) > 2 * MAX_ATTRIBUTES:
            self._drop_longest_names()

    @classmethod
    def of(cls, items: int, attributes: dict[str, Shape]) -> Observation:
        """Return the observation of *items* items that was made elsewhere."""
        observation = cls()
        observation.items = items
        observation._attributes = attributes
        return observation

    def merge(self, other: Observation) -> None:
        """Take in all items of *other*, which stays as it is."""
        self.items += other.items
        _merge_shapes(self._attributes, other._attributes)
        if len(self._attributes) > 2 * MAX_ATTRIBUTES:
            self._drop_longest_names()

    @property
    def attributes(self) -> dict[str, Shape]:
        """By name, at most :data:`MAX_ATTRIBUTES` of them."""
        if len(self._attributes) > MAX_ATTRIBUTES:
            self._drop_longest_names()
        return self._attributes

    def _drop_longest_names(self) -> None:
        # A name that is dropped never counts again: those that pushed it out stay, or are pushed out by shorter ones.
        kept = heapq.nsmallest(MAX_ATTRIBUTES, self._attributes, key=shortest_first)
        self._attributes = {name: self._attributes[name] for name in kept}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Observation):
            return NotImplemented
        return self.items == other.items and self.attributes == other.attributes

    __hash__ = None  # type: ignore[assignment]  # it changes
