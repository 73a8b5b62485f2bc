"""What fuzz_decoder.py does in a round, of each kind: damage, its outcome, and how often that was a refusal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
from change_fuzz import damaged_windows, outcome_of, random_windows  # type: ignore[import-not-found] # beside the tests
from decoder_fuzz import (  # type: ignore[import-not-found]
    Outcome,
    compiled_outcome,
    damaged,
    random_options,
    reference_outcome,
    schema_for,
    spelled,
)
from generated_items import random_items  # type: ignore[import-not-found]
from page_fuzz import body_of  # type: ignore[import-not-found]
from part_fuzz import (  # type: ignore[import-not-found]
    PartChecks,
    damaged_bytes,
    damaged_part,
    footer_of,
    part_difference,
    random_part,
    thrift_difference,
)
from test_block_router import routed_items, routed_schema  # type: ignore[import-not-found]

from airflow_provider_ddbexport.core.columns import Schema
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import AttributeValue, Item, decode_line
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE, block_router, line_observer, memory_kept
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.line_blocks import Partition, RefusedLineError
from airflow_provider_ddbexport.core.scan.page import decoded_page, page_of

Fuzz = Callable[[Random, Path], tuple[str | None, int]]
"""Takes a folder for files. Returns a difference, None for none, and the number of refusals."""

_DAMAGES = 8

SMALLEST_BLOCK = 1 << 17
"""Bytes, as in blocks.h."""


def pages(choice: Random, _folder: Path) -> tuple[str | None, int]:
    """Read damaged pages of scans."""
    body = body_of(_items(choice), choice)
    refused = 0
    for _ in range(_DAMAGES):
        changed = damaged(body, choice)
        outcome = page_of(changed)
        refused += outcome is None
        if outcome != decoded_page(changed):
            return repr(changed), refused
    return None, refused


def lines(choice: Random, _folder: Path) -> tuple[str | None, int]:
    """Build damaged lines; some of the batches are gone before others are built, which take their memory."""
    items = _large_items(choice, _items(choice))
    whole = b"\n".join(spelled(item, choice) for item in items)
    schema = schema_for(items, random_options(choice))
    refused = 0
    held: list[tuple[bytes, Outcome, Outcome]] = []
    with memory_kept():
        for _ in range(_DAMAGES if schema is not None else 0):
            changed = damaged(whole, choice)
            outcome = compiled_outcome(changed, schema)
            refused += outcome.refused is not None
            held.append((changed, outcome, reference_outcome(changed, schema)))
            for of, found, expected in held:
                difference = found.differs_from(expected)
                if difference is not None:
                    return f"{difference}\n{of!r}", refused
            if choice.random() < 0.5:
                del held[choice.randrange(len(held))]
    return None, refused


def routes(choice: Random, _folder: Path) -> tuple[str | None, int]:
    """Build damaged lines in the partitions that they belong to; here too memory is used again."""
    items = _large_items(choice, routed_items(choice, choice.choice([1, 4, 30])))
    whole = b"\n".join(spelled(item, choice) for item in items)
    schema = routed_schema(items, choice)
    refused = 0
    held: list[tuple[bytes, list[Any], list[Any]]] = []
    with memory_kept():
        for _ in range(_DAMAGES if schema is not None else 0):
            changed = damaged(whole, choice)
            limits = choice.choice([1, 3, 1 << 40]), choice.choice([1, 300, 1 << 40]), choice.choice([1, 500, 1 << 40])
            compiled, reference = (_routed(changed, schema, limits, decoder) for decoder in ("compiled", "reference"))
            refused += isinstance(compiled[-1], str)
            held.append((changed, compiled, reference))
            for of, found, expected in held:
                if found != expected:
                    return f"{found} and {expected}\n{of!r}", refused
            if choice.random() < 0.5:
                del held[choice.randrange(len(held))]
    return None, refused


def _routed(block: bytes, schema: Schema, limits: tuple[int, int, int], decoder: str) -> list[Any]:
    """Return all that a router tells on the way; a refusal, in words, is the last.

    The *limits* are the rows and the bytes of one partition, and the bytes of all of them.
    """
    most_rows, most_bytes_each, most_bytes = limits
    with mock.patch.dict(os.environ, {DECODER_VARIABLE: decoder}):
        router, observer = block_router(decode_line, schema, most_bytes_each), line_observer(decode_line)
    told: list[Any] = []
    opened: list[Partition] = []
    start = 0
    try:
        while start < len(block):
            start = router.add_lines(block, start, most_bytes=most_bytes, observer=observer)
            told.append((start, router.missing, router.full, router.bytes))
            if router.missing is not None:
                router.open(router.missing, most_rows)
                opened.append(router.missing)
                continue
            full = opened if router.full is None else [router.full]
            told += [router.finish_sparse(partition, most_rows).dense() for partition in full]
    except RefusedLineError as error:
        return [*told, f"{error.reason} at {error.offset}"]
    told += [router.finish_sparse(partition, most_rows).dense() for partition in opened]
    for batch in told:
        if isinstance(batch, pa.RecordBatch):
            batch.validate(full=True)
    return [*told, observer.observation()]


def increments(choice: Random, _folder: Path) -> tuple[str | None, int]:
    """Boil increments down to what they come to, whole and damaged."""
    windows = random_windows(choice)
    terms = choice.randrange(1 << 32)
    refused = 0
    for tried in (windows, *(damaged_windows(windows, choice) for _ in range(3))):
        outcome = outcome_of(tried, load("_changes"), terms)
        refused += outcome.refused is not None
        if outcome != outcome_of(tried, None, terms):
            return repr(tried), refused
    return None, refused


def parts(choice: Random, folder: Path) -> tuple[str | None, int]:
    """Split and widen a part, whole and damaged, and read its footer."""
    path, rows = random_part(_items(choice), choice, folder)
    checks = PartChecks()
    difference = part_difference(path, pa.table(rows)) or checks.difference(path, rows.schema, choice)
    whole = path.read_bytes()
    for _ in range(_DAMAGES):
        if difference is not None:
            break
        part, damage = damaged_part(whole, choice)
        path.write_bytes(part)
        difference = checks.difference(path, rows.schema, choice, damage=damage)
        difference = difference or thrift_difference(footer_of(part))
    return difference, checks.refused


def keys(choice: Random, _folder: Path) -> tuple[str | None, int]:
    """Look keys up, and take damaged ones apart."""
    kernel: Any = load("_pages")
    names = ("x", "User")
    found = {key for item in random_items(choice, rows=30) if (key := key_bytes(item, names)) is not None}
    found |= {damaged_bytes(key, choice) for key in found}
    table = pa.array(sorted(found), pa.binary())
    wanted = pa.array([choice.choice([*found, b"", b"S1:"]) for _ in range(20)], pa.binary())[choice.randrange(20) :]
    which, places = (memoryview(found).cast("i").tolist() for found in kernel.places(table, wanted))
    expected = pc.index_in(wanted, table).to_pylist()
    if dict(zip(which, places, strict=True)) != {n: place for n, place in enumerate(expected) if place is not None}:
        return f"{which}, {places} of {wanted} in {table}", 0
    refused = 0
    page = kernel.plain_page(table)
    try:
        kernel.texts([damaged_bytes(page, choice), page], choice.random() < 0.5, choice.randrange(3 * len(found)))
    except ValueError:
        refused += 1
    for key in table:
        try:
            kernel.values(pa.array([key.as_py()], pa.binary()), choice.randrange(3), choice.choice(b"SNB"))
        except ValueError:
            refused += 1
    return None, refused


def _large_items(choice: Random, items: list[Item]) -> list[Item]:
    """Return *items*, mostly as they are; now and then they fill columns whose memory is large enough to be kept."""
    if choice.random() < 0.9:
        return items
    size = SMALLEST_BLOCK // len(items) * choice.choice([1, 2, 3])
    columns: list[AttributeValue] = [
        {"S": choice.choice("xyz") * size},
        {"B": "QUJD" * (size // 3)},
        {"NS": [str(number) for number in range(size // 8)]},
        {"L": [{"N": str(number)} for number in range(size // 8)]},
    ]
    return [{**item, "large": choice.choice(columns[:2]), "many": choice.choice(columns[2:])} for item in items]


def _items(choice: Random) -> list[dict[str, dict[str, object]]]:
    items: list[dict[str, dict[str, object]]] = random_items(choice, rows=choice.choice([1, 2, 4, 30]))
    return items


ROUNDS: dict[str, Fuzz] = {
    "pages": pages,
    "lines": lines,
    "routes": routes,
    "increments": increments,
    "parts": parts,
    "keys": keys,
}
