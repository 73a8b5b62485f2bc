"""Lines of every spelling, lines with damage, and what both decoders make of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, Schema, resolve
from airflow_provider_ddbexport.core.compiled.line_builder import LineBuilder
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import (
    DECODER_VARIABLE,
    block_builder,
    check_lines,
    line_observer,
)
from airflow_provider_ddbexport.core.line_blocks import RefusedLineError, decoded
from airflow_provider_ddbexport.errors import BadCallError

_SHORT_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\", "/": "\\/"}

_PIECES = [
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\n", b"\r", b" ", b"\x00", b"\x1f", b"\x7f", b"\xff", b"\xc3"),
    *(b"\\u", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u0000", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x82"),
    *(b'"S"', b'"N"', b'"B"', b'"BOOL"', b'"NULL"', b'"M"', b'"L"', b'"SS"', b'"NS"', b'"BS"', b'"Item"', b'"":'),
    *(
        b"true",
        b"false",
        b"null",
        b"0",
        b"9",
        b"-",
        b"+",
        b".",
        b"e",
        b"E+125",
        b"E-130",
        b"1" * 39,
        b"=",
        b"==",
        b"QQ==",
    ),
    *(b'{"S":"x"}', b'{"NULL":true}', b'{"N":"1E400"}', b'{"M":{}}', b'{"L":[]}', b'{"SS":[]}', b'{"a":1}', b"[1,]"),
]


def spelled(item: Item, random: Random) -> bytes:
    """Return a line that says *item*, in one of the ways JSON allows."""
    return spelled_json({"Item": item}, random)


def spelled_json(value: Any, random: Random) -> bytes:
    """Return *value* in one of the ways JSON allows: spaces, escapes, members in any order."""
    way = random.randrange(4)
    if way == 0:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    if way == 1:
        return json.dumps(value).encode()
    return _value(value, random, spaces=way == 3).encode()


def _value(value: Any, random: Random, *, spaces: bool) -> str:
    space = random.choice(["", "", " ", "\t ", "\r"]) if spaces else ""
    if isinstance(value, dict):
        members = list(value.items())
        random.shuffle(members)
        inner = [f"{_text(k, random)}{space}:{_value(v, random, spaces=spaces)}" for k, v in members]
        text = f"{{{','.join(inner)}{space}}}"
    elif isinstance(value, list):
        text = f"[{space}{','.join(_value(element, random, spaces=spaces) for element in value)}]"
    elif isinstance(value, str):
        text = _text(value, random)
    else:
        text = json.dumps(value)
    return f"{space}{text}{space}"


def _text(text: str, random: Random) -> str:
    rate = random.choice([0.0, 0.0, 0.2, 1.0])
    return '"' + "".join(_character(c, random.random() < rate) for c in text) + '"'


def _character(character: str, is_escaped: bool) -> str:
    if character in _SHORT_ESCAPES and (is_escaped or character != "/"):
        return _SHORT_ESCAPES[character]
    if is_escaped or character < " ":
        units = character.encode("utf-16-be").hex()
        return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return character


def damaged(lines: bytes, random: Random) -> bytes:
    """Return *lines* with a few bytes changed, put in, left out, or taken from elsewhere."""
    changed = bytearray(lines)
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        at = random.randrange(len(changed) + 1)
        length = random.choice([1, 1, 2, 5, 30])
        match random.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at:at] = random.choice(_PIECES)
            case 2:
                changed[at : at + length] = random.choice(_PIECES)
            case 3:
                del changed[at : at + length]
            case 4:
                source = random.randrange(len(changed) + 1)
                changed[at:at] = changed[source : source + length]
            case 5 if random.random() < 0.1:
                del changed[at:]
    return bytes(changed)


@dataclass
class Outcome:
    """What a decoder made of lines: either the place and the reason of its refusal, or what it saw and built."""

    refused: tuple[int, str] | None
    observation: Observation | None = None
    batch: pa.RecordBatch | None = None
    bytes: int = 0
    rescued: dict[str, int] | None = None

    def differs_from(self, other: Outcome) -> str | None:
        """Return in what, None for in nothing."""
        for name in ("refused", "observation", "bytes", "rescued"):
            if getattr(self, name) != getattr(other, name):
                return f"{name}: {getattr(self, name)!r} and {getattr(other, name)!r}"
        if self.batch is None or other.batch is None:
            return None
        self.batch.validate(full=True)
        for field, mine, others in zip(self.batch.schema, self.batch.columns, other.batch.columns, strict=True):
            if not mine.equals(others):
                return f"column {field}: {mine} and {others}"
        return None if self.batch.equals(other.batch) else "batches"


def compiled_outcome(lines: bytes, schema: Schema) -> Outcome:
    """Return what the compiled decoder makes of *lines*, alone and in one go, taken back and built again.

    It must be there.
    """
    observer, alone, builder = (
        line_observer(decode_line),
        line_observer(decode_line),
        block_builder(decode_line, schema),
    )
    assert isinstance(builder, LineBuilder)
    try:
        alone.take(lines)
        check_lines(decode_line)(lines)
        builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40, observer=observer)
        builder.take_back()
        builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40)
    except RefusedLineError as refused:
        return Outcome((refused.offset, refused.reason))
    assert observer.observation() == alone.observation()
    size, rescued = builder.bytes, dict(builder.rescued)
    batch = builder.finish_sparse().dense()
    builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40)
    assert builder.finish().equals(batch)
    return Outcome(None, observer.observation(), batch, size, rescued)


def reference_outcome(lines: bytes, schema: Schema) -> Outcome:
    """Return what the reference makes of *lines*."""
    observation, builder = Observation(), RowBuilder(schema)
    try:
        for item in decoded(lines, decode_line):
            observation.add(item)
            builder.add(item)
    except RefusedLineError as refused:
        return Outcome((refused.offset, refused.reason))
    size = builder.bytes
    return Outcome(None, observation, builder.finish(), size, dict(builder.rescued))


def random_options(random: Random) -> ColumnOptions:
    """Return options that say how values become columns."""
    return ColumnOptions(
        numbers=random.choice(["auto", "auto", "double", "string", "decimal(10,2)", "decimal(38,0)", "decimal(38,38)"]),
        nested=random.choice(["struct", "struct", "flatten", "json"]),
    )


def schema_for(items: list[Item], options: ColumnOptions) -> Schema | None:
    """Return the columns for *items*; None where two names would become one."""
    observation = Observation()
    for item in items:
        observation.add(item)
    try:
        return resolve(observation, options)
    except BadCallError:
        return None


__all__ = [
    "DECODER_VARIABLE",
    "Outcome",
    "compiled_outcome",
    "damaged",
    "random_options",
    "reference_outcome",
    "schema_for",
    "spelled",
]
