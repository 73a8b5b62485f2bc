"""What lines hold: the compiled counterpart of :class:`.Observation`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from airflow_provider_ddbexport.core.columns import Observation, observe
from airflow_provider_ddbexport.core.columns.numbers import NumberSpan
from airflow_provider_ddbexport.core.columns.observe import EMPTY_MAP, Shape
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.line_blocks import (
    DISAGREEMENT,
    Lines,
    UndecodedLineError,
    line_of,
    reference_line,
    refused_at,
)


class CompiledObserver:
    """Observes lines as Observation does items; only where :func:`line_observer` gives one."""

    def __init__(self, kernel: ModuleType) -> None:
        self.raw = kernel.Observer(observe.MAX_MEMBERS, 2 * observe.MAX_ATTRIBUTES)
        """The kernel's, which builders give the lines to that they build from."""
        self._seen = Observation()

    @property
    def news(self) -> int:
        """As Observation's; may move more often where there are more than MAX_ATTRIBUTES attributes."""
        news: int = self.raw.news
        return news

    def take(self, lines: Lines) -> int:
        """Observe whole *lines* and return how many they are; raises RefusedLineError."""
        raw = self.raw
        start = count = 0
        while start < len(lines):
            added, start = raw.add(lines, start)
            count += added
            if raw.is_irregular:
                item, after = reference_line(lines, start)
                with refused_at(start):
                    self.add(item)
                start = after
                count += 1
            self.keep_small()
        return count

    def add(self, item: Item) -> None:
        """Observe one item. Raises RefusedLineError, as if it were a line of its own."""
        self.raw.add(line_of(item), 0, checked=True)
        if self.raw.is_irregular:
            raise UndecodedLineError(0, DISAGREEMENT)

    def keep_small(self) -> None:
        """Keep what was seen elsewhere, as much of it as counts, where the kernel's observer is full."""
        if self.raw.is_full:
            self._seen = self.observation()
            self.raw.forget()

    def observation(self) -> Observation:
        """Return what was observed."""
        items, shapes = self.raw.seen()
        observation = Observation()
        observation.merge(self._seen)
        observation.merge(Observation.of(items, _shapes(shapes)))
        return observation


_Raw = tuple[Any, ...]
"""A shape as the kernel tells it: the counts of :data:`_TYPES`, of empty maps, both spans, members by key, the values
of a map with too many keys, elements."""

_TYPES = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")


def _shapes(raw: Mapping[str, _Raw]) -> dict[str, Shape]:
    return {name: _shape(shape) for name, shape in raw.items()}


def _shape(raw: _Raw) -> Shape:
    counts, empty_maps, numbers, set_numbers, members, map_values, elements = raw
    return Shape(
        counts={kind: count for kind, count in zip((*_TYPES, EMPTY_MAP), (*counts, empty_maps), strict=True) if count},
        numbers=None if numbers is None else NumberSpan(*numbers),
        set_numbers=None if set_numbers is None else NumberSpan(*set_numbers),
        members=None if members is None else _shapes(members),
        map_values=None if map_values is None else _shape(map_values),
        elements=None if elements is None else _shape(elements),
    )
