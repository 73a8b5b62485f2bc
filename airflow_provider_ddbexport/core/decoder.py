"""Which decoder reads an export's lines: the compiled one where it was built, the reference one everywhere else.

Both take blocks of whole lines and give the same answer. The compiled one hands every line that it does not know how to
read to the reference, which refuses it or takes it: what is an item, and why a line is none, is written only there.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from airflow_provider_ddbexport.core.columns import Observation, Schema, observe, part_schema
from airflow_provider_ddbexport.core.columns.arrow_types import leaves
from airflow_provider_ddbexport.core.columns.build import MAX_REPORTED_PATHS
from airflow_provider_ddbexport.core.columns.names import join, path_of
from airflow_provider_ddbexport.core.columns.numbers import NumberSpan
from airflow_provider_ddbexport.core.columns.observe import EMPTY_MAP, Shape
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, merge_flat
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.errors import ItemError

DECODER_VARIABLE = "DDBEXPORT_DECODER"
"""Environment variable; ``reference`` turns the compiled decoder off."""

Decode = Callable[[bytes], Item]
"""From a line to its item; raises ItemError with a reason."""

Lines = bytes
"""Whole lines; only the last may lack its line break."""

_log = logging.getLogger(__name__)


class RefusedLineError(Exception):
    """A line is no item; caught by the reader of its file, which knows where it is."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        """Bytes of the block before the line."""
        self.reason = reason


class LineObserver(Protocol):
    """Takes in blocks of lines."""

    def take(self, lines: Lines) -> None:
        """Observe whole *lines*; raises RefusedLineError."""

    def observation(self) -> Observation:
        """Return what was observed."""


def line_observer(decode: Decode) -> LineObserver:
    """Return what observes lines that *decode* reads."""
    kernel = _kernel_for(decode)
    return _ReferenceObserver(decode) if kernel is None else _CompiledObserver(kernel)


def check_lines(decode: Decode) -> Callable[[Lines], None]:
    """Return what raises RefusedLineError unless each of a block's lines is an item that *decode* reads."""
    kernel = _kernel_for(decode)
    if kernel is None:
        return lambda lines: [None for _ in decoded(lines, decode)].clear()
    checker = kernel.Checker()

    def check(lines: Lines) -> None:
        start = 0
        while start < len(lines):
            _, start = checker.check(lines, start)
            if checker.is_irregular:
                _, start = _reference(lines, start)

    return check


def decoded(lines: Lines, decode: Decode) -> Iterator[Item]:
    """Yield the items of whole *lines*; raises RefusedLineError."""
    offset = 0
    *whole, rest = lines.split(b"\n")
    for line in [*whole, rest] if rest else whole:
        try:
            yield decode(line)
        except ItemError as error:
            raise RefusedLineError(offset, _reason(error)) from None
        offset += len(line) + 1


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
        _log.warning(
            "The compiled decoder is not there (%s); the reference decoder gives the same answer several times "
            "slower. Install where there is a C compiler to have it built.",
            error,
        )
        return None


def _reference(lines: Lines, start: int) -> tuple[Item, int]:
    """Return the item of the line at *start*, and where the next one is."""
    end = lines.find(b"\n", start)
    end = len(lines) if end < 0 else end
    try:
        return decode_line(lines[start:end]), end + 1
    except ItemError as error:
        raise RefusedLineError(start, _reason(error)) from None


def _reason(error: ItemError) -> str:
    return str(error.context.get("reason") or error)


class _ReferenceObserver:
    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._observation = Observation()

    def take(self, lines: Lines) -> None:
        add = self._observation.add
        for item in decoded(lines, self._decode):
            add(item)

    def observation(self) -> Observation:
        return self._observation


class _CompiledObserver:
    def __init__(self, kernel: ModuleType) -> None:
        self._raw = kernel.Observer(observe.MAX_MEMBERS, 2 * observe.MAX_ATTRIBUTES)
        self._seen = Observation()

    def take(self, lines: Lines) -> None:
        raw = self._raw
        start = 0
        while start < len(lines):
            _, start = raw.add(lines, start)
            if raw.is_irregular:
                item, start = _reference(lines, start)
                self._seen.add(item)
            elif raw.is_full:
                self._drain()

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


class LineBuilder:
    """Builds record batches as :class:`.RowBuilder` does, from lines; only where :func:`line_builder` gives one."""

    def __init__(self, kernel: ModuleType, schema: Schema) -> None:
        places = {path: place for place, (path, _) in enumerate(leaves(schema.columns))}
        root = (-1, "flat", "M", 0, 0, "", _columns(merge_flat(schema.columns), None, places))
        self._arrow = part_schema(schema)
        self._raw = kernel.Builder(root, len(places), MAX_REPORTED_PATHS)

    @property
    def rows(self) -> int:
        """Rows since the last :meth:`finish`."""
        rows: int = self._raw.rows
        return rows

    @property
    def bytes(self) -> int:
        """The estimate that RowBuilder makes."""
        size: int = self._raw.bytes
        return size

    @property
    def rescued(self) -> Counter[str]:
        """Values rescued so far, over all batches, by path."""
        return Counter(self._raw.rescued())

    def add(self, item: Item) -> None:
        """Append one row."""
        self._raw.add(msgspec.json.encode({"Item": item}), 0, 1 << 62, 1 << 62, checked=True)
        if self._raw.is_irregular:
            raise AssertionError("the decoders disagree about an item")

    def add_lines(self, lines: Lines, start: int, *, most_rows: int, most_bytes: int) -> int:
        """Append lines from offset *start* until there are *most_rows* or *most_bytes* or no more lines.

        Returns the offset of the next line, at or beyond the end if there is none. Raises RefusedLineError.
        """
        raw = self._raw
        while start < len(lines):
            start = raw.add(lines, start, most_rows, most_bytes)
            if raw.is_irregular:
                item, start = _reference(lines, start)
                self.add(item)
            if raw.rows >= most_rows or raw.bytes >= most_bytes:
                break
        return start

    def finish(self) -> pa.RecordBatch:
        """Return the rows added since the last time, as one batch, and start the next."""
        batch: pa.RecordBatch = self._raw.finish(self._arrow)
        return batch


_Spec = tuple[int, str, str, int, int, str, list[tuple[str, Any]]]
"""What the kernel makes a column of: place among the arrays or -1, kind, type of its values in DynamoDB, precision and
scale, path to count misfits under, and children by attribute."""

_SIMPLE = {Kind.STRING: "text", Kind.BINARY: "binary", Kind.BOOLEAN: "boolean", Kind.JSON: "json"}
_KEYS: _Spec = (-1, "text", "S", 0, 0, "", [])


def _columns(columns: Iterable[Column], path: str | None, places: Mapping[str, int]) -> list[tuple[str, _Spec]]:
    """Return the columns inside of the FLAT at *path*, or of the whole schema."""
    specs: list[tuple[str, _Spec]] = []
    for column in columns:
        here = path_of(column.attribute) if path is None else join(path, column.attribute)
        if column.kind is Kind.FLAT:
            spec: _Spec = (-1, "flat", "M", 0, 0, here, _columns(column.children, here, places))
        else:
            spec = _column(column, here, places[here])
        specs.append((column.attribute, spec))
    return specs


def _column(column: Column, path: str, place: int = -1) -> _Spec:
    precision = scale = 0
    children: list[tuple[str, Any]] = []
    match column.kind:
        case Kind.NUMBER:
            kind, precision, scale = _number(column.arrow)
        case Kind.LIST | Kind.STRING_SET | Kind.NUMBER_SET | Kind.BINARY_SET:
            kind = "list"
            children = [("", _column(column.children[0], path))]
        case Kind.STRUCT:
            kind = "struct"
            children = [(child.attribute, _column(child, join(path, child.attribute))) for child in column.children]
        case Kind.MAP:
            kind = "map"
            children = [("", _KEYS), ("", _column(column.children[0], path))]
        case _:
            kind = _SIMPLE[column.kind]
    return place, kind, column.kind.value, precision, scale, path, children


def _number(arrow: Any) -> tuple[str, int, int]:
    if pa.types.is_decimal(arrow):
        return "decimal", arrow.precision, arrow.scale
    if pa.types.is_int64(arrow):
        return "int64", 0, 0
    return ("double", 0, 0) if pa.types.is_float64(arrow) else ("digits", 0, 0)


def line_builder(decode: Decode, schema: Schema) -> LineBuilder | None:
    """Return what builds the rows of *schema* from lines that *decode* reads, if they can be built from lines."""
    kernel = _kernel_for(decode)
    return None if kernel is None or schema.partition_by else LineBuilder(kernel, schema)
