"""Which decoder reads an export's lines: the compiled one where it was built, the reference one everywhere else.

Both take blocks of whole lines and give the same answer. The compiled one hands every line that it does not know how to
read to the reference, which refuses it or takes it: what is an item, and why a line is none, is written only there.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from airflow_provider_ddbexport.core.columns import Observation, Schema, observe
from airflow_provider_ddbexport.core.columns.numbers import NumberSpan
from airflow_provider_ddbexport.core.columns.observe import EMPTY_MAP, Shape
from airflow_provider_ddbexport.core.compiled.line_builder import LineBuilder, LineRouter
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.line_blocks import Decode, Lines, decoded, reference_line

DECODER_VARIABLE = "DDBEXPORT_DECODER"
"""Environment variable; ``reference`` turns the compiled decoder off."""

_log = logging.getLogger(__name__)


class LineObserver(Protocol):
    """Takes in blocks of lines."""

    def take(self, lines: Lines) -> int:
        """Observe whole *lines* and return how many they are; raises RefusedLineError."""

    def observation(self) -> Observation:
        """Return what was observed."""


def line_observer(decode: Decode) -> LineObserver:
    """Return what observes lines that *decode* reads."""
    kernel = _kernel_for(decode)
    return _ReferenceObserver(decode) if kernel is None else _CompiledObserver(kernel)


def check_lines(decode: Decode) -> Callable[[Lines], int]:
    """Return what counts a block's lines, and raises RefusedLineError unless each is an item that *decode* reads."""
    kernel = _kernel_for(decode)
    checker = None if kernel is None else kernel.Checker()

    def check(lines: Lines) -> int:
        if checker is None:
            return sum(1 for _ in decoded(lines, decode))
        start = count = 0
        while start < len(lines):
            checked, start = checker.check(lines, start)
            count += checked
            if checker.is_irregular:
                _, start = reference_line(lines, start)
                count += 1
        return count

    return check


def releases_gil(decode: Decode) -> bool:
    """Return whether lines that *decode* reads are observed and built without the GIL, so that threads do them."""
    return _kernel_for(decode) is not None


def describe() -> str:
    """Return which decoder is in use, in words for people."""
    if _kernel() is not None:
        return "compiled decoder"
    if os.environ.get(DECODER_VARIABLE) == "reference":
        return f"reference decoder, as {DECODER_VARIABLE} asks for"
    return "reference decoder, several times slower: this installation has no compiled one"


def _kernel_for(decode: Decode) -> ModuleType | None:
    return _kernel() if decode is decode_line else None


def _kernel() -> ModuleType | None:
    return None if os.environ.get(DECODER_VARIABLE) == "reference" else _load()


@functools.cache
def _load() -> ModuleType | None:
    try:
        return importlib.import_module("airflow_provider_ddbexport.core.compiled._kernel")
    except ImportError as error:
        # Not a warning: the answer is right, and a shell shows warnings where it shows errors, which may be JSON.
        _log.info(
            "The compiled decoder is not there (%s); the reference decoder gives the same answer several times "
            "slower. Install where there is a C compiler to have it built.",
            error,
        )
        return None


class _ReferenceObserver:
    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._observation = Observation()

    def take(self, lines: Lines) -> int:
        before = self._observation.items
        add = self._observation.add
        for item in decoded(lines, self._decode):
            add(item)
        return self._observation.items - before

    def observation(self) -> Observation:
        return self._observation


class _CompiledObserver:
    def __init__(self, kernel: ModuleType) -> None:
        self._raw = kernel.Observer(observe.MAX_MEMBERS, 2 * observe.MAX_ATTRIBUTES)
        self._seen = Observation()

    def take(self, lines: Lines) -> int:
        raw = self._raw
        start = count = 0
        while start < len(lines):
            added, start = raw.add(lines, start)
            count += added
            if raw.is_irregular:
                item, start = reference_line(lines, start)
                self._seen.add(item)
                count += 1
            elif raw.is_full:
                self._drain()
        return count

    def observation(self) -> Observation:
        self._drain()
        return self._seen

    def _drain(self) -> None:
        items, shapes = self._raw.drain()
        self._seen.merge(Observation.of(items, _shapes(shapes)))


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


def line_builder(decode: Decode, schema: Schema) -> LineBuilder | None:
    """Return what builds the rows of *schema* from lines that *decode* reads, if they can be built from lines."""
    kernel = _kernel_for(decode)
    return None if kernel is None else LineBuilder(kernel, schema)


def line_router(decode: Decode, schema: Schema) -> LineRouter | None:
    """Return what finds the partition of lines that *decode* reads, where :func:`line_builder` gives a builder."""
    kernel = _kernel_for(decode)
    return None if kernel is None else LineRouter(kernel, schema)
