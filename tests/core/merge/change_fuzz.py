"""Increments of every spelling, increments with damage, and what they come to, with and without the compiled part."""

from __future__ import annotations

import mmap
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.decode import AttributeValue, Item
from airflow_provider_ddbexport.core.line_blocks import RefusedLineError
from airflow_provider_ddbexport.core.merge.change_keys import KeyReader
from airflow_provider_ddbexport.core.merge.settle import open_spilled
from airflow_provider_ddbexport.core.merge.settled import settled
from airflow_provider_ddbexport.core.merge.spill import Spill
from airflow_provider_ddbexport.core.merge.take_changes import ChangeTaker

sys.path.insert(0, str(Path(__file__).parents[1]))
from decoder_fuzz import damaged, spelled_json

_ATTRIBUTES = [("Book",), ("User", "Book"), ('ü "x"\\', "Item"), ("", "é")]
_VALUES: list[list[AttributeValue]] = [
    [{"S": text} for text in ("", "a", "ab", "b c", 'q"\\/', "é\t", "x" * 20, "0", "a\x00", "a\x00\x00")],
    [{"N": text} for text in ("0", "-0", "0.0", "-7", "12", "12.0", "1E2", "100", "+5", "9" * 19, "1e-130", "0.10")],
    [{"B": text} for text in ("", "QQ==", "QR==", "QUI=", "QUJD", "QUJDRA==")],
]
_NO_KEYS: list[Any] = [{"B": "Q"}, {"N": "x"}, {"BOOL": True}, {"S": "a", "N": "1"}, {"M": {}}, "a", {}]
_ODD_MICROS = ["007", "+5", " 5", "1_0", "-3", "", "x", "9" * 18, "9" * 19, "9" * 30, "٣"]
_ODD_IMAGES: list[Any] = [None, {}, [], "x", {"v": {"X": "x"}}, {"v": {"N": "x"}}]


@dataclass
class Outcome:
    """What increments come to: either the place and the reason of a refusal, or what was settled in each bucket."""

    refused: tuple[int, int, str] | None
    attributes: tuple[str, ...]
    buckets: list[tuple[Any, ...]]


def random_windows(random: Random, most_lines: int = 12) -> list[bytes]:
    """Return the lines of some windows of one table, most of which are changes of few keys."""
    attributes = random.choice(_ATTRIBUTES)
    kinds = [random.choice(_VALUES) for _ in attributes]
    oddness = random.choice([0.0, 0.0, 0.0, 0.02])
    windows = []
    for _ in range(random.choice([1, 1, 2, 4])):
        lines = [_line(attributes, kinds, oddness, random) for _ in range(random.randrange(1, most_lines))]
        windows.append(b"\n".join(lines) + random.choice([b"\n", b"\n", b""]))
    return windows


def _line(attributes: tuple[str, ...], kinds: list[list[AttributeValue]], oddness: float, random: Random) -> bytes:
    keys: Item = {name: random.choice(values) for name, values in zip(attributes, kinds, strict=True)}
    micros = {"N": str(random.randrange(1, 5))}
    line: dict[str, Any] = {"Metadata": {"WriteTimestampMicros": micros}, "Keys": keys}
    line |= {name: _image(keys, random) for name in ("OldImage", "NewImage") if random.random() < 0.7}
    if random.random() < oddness:
        match random.randrange(6):
            case 0:
                micros["N"] = random.choice(_ODD_MICROS)
            case 1:
                line[random.choice(["OldImage", "NewImage"])] = random.choice(_ODD_IMAGES)
            case 2:
                line["Keys"] = keys | {random.choice([*attributes, "other"]): random.choice(_NO_KEYS)}
            case 3:
                line[random.choice(["Metadata", "Other"])] = {"WriteTimestampMicros": micros, "Other": 1}
            case 4:
                line.pop(random.choice(list(line)))
            case 5:
                line["NewImage"] = _image(keys, random) | {attributes[0]: random.choice(kinds[0])}
    return spelled_json(line, random)


def _image(keys: Item, random: Random) -> Item:
    value = random.choice([{"S": "v"}, {"N": "1"}, {"N": "1.0"}, {"NS": ["1", "2"]}, {"NS": ["2", "1"]}])
    inner: AttributeValue = {"M": {**keys, "x": {"L": [value]}}}
    return {**keys, "v": value} if random.random() < 0.7 else {"m": inner, **keys}


def damaged_windows(windows: list[bytes], random: Random) -> list[bytes]:
    """Return *windows* with damage in one of them."""
    changed = list(windows)
    at = random.randrange(len(windows))
    changed[at] = damaged(windows[at], random)
    return changed


def outcome_of(windows: list[bytes], compiled: ModuleType | None, seed: int) -> Outcome:
    """Return what *windows* come to, by *compiled* or by the reference; *seed* decides about what they are told."""
    random = Random(seed)
    buckets = random.choice([1, 1, 3])
    untold_micros = random.choice([None, 2])
    stretches = random.choice([[0] * len(windows), list(range(len(windows)))])
    tells_before = random.random() < 0.8
    keys = KeyReader()
    found: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        spill = Spill(Path(folder), buckets, compiled)
        for window, lines in enumerate(windows):
            taker = ChangeTaker(spill, keys, window, tells_before=tells_before, untold_micros=untold_micros)
            try:
                count = taker(lines)
            except RefusedLineError as refused:
                return Outcome((window, refused.offset, refused.reason), keys.attributes, found)
            assert count == lines.count(b"\n") + (not lines.endswith(b"\n") and lines != b"")
        for path in spill.flushed():
            if not path.stat().st_size:
                found.append(())
                continue
            bucket = settled(open_spilled(path), stretches, compiled)
            table, in_place = bucket.table(in_place=False), bucket.table(in_place=True)
            table.validate(full=True)
            assert table.drop_columns("before").equals(in_place.drop_columns("before"))
            begins = in_place.column("before").drop_null().to_pylist()
            lines_of = [list(bucket.lines(old=old)) for old in (True, False)]
            assert b"".join(_line_at(bucket.spilled, begin) for begin in begins) == b"".join(
                lines for lines, _ in lines_of[0]
            )
            assert bucket.left == sum(count for _, count in lines_of[1])
            found.append((bucket.changed, bucket.there, bucket.unlike, _written(table), *lines_of))
    return Outcome(None, keys.attributes, found)


def _line_at(lines: mmap.mmap, begin: int) -> bytes:
    return lines[begin : lines.find(b"\n", begin) + 1]


def _written(table: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    return bytes(sink.getvalue())
