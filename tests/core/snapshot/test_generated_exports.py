"""Generated exports of items as unlike as DynamoDB allows, converted and read back: nothing is lost or changed."""

from __future__ import annotations

import decimal
import json
import os
import shutil
import sys
from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import pytest
from snapshot_exports import items_of, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export import lines
from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import NAMES, random_value

EXPORTS = int(os.environ.get("DDBEXPORT_EXPORTS", "40"))
"""`make fuzz` asks for 10,000."""

KINDS = ("S", "N", "N", "M", "L", "NS", "SS", "B", "BOOL")
# What folders are made of and what is sorted by.
SCALARS = {"User": "S", "x": "N", "0": "BOOL"}
KEYS = ("new\nline", 'quo"te', "日😀", "back\\slash")

LARGEST_ITEM = 400 * 1024
# Exactly: the usual context rounds to 28 digits.
EXACT = decimal.Context(prec=80, Emax=999, Emin=-999)


def test_the_items_of_generated_exports_come_back_whatever_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any files, blocks, samples, shards, parts, workers, decoder and options, several of them at once."""
    converted = 0
    for seed in range(EXPORTS):
        random = Random(seed)
        monkeypatch.setenv(DECODER_VARIABLE, random.choice(["compiled", "compiled", "compiled", "reference"]))
        monkeypatch.setattr(lines, "_BLOCK_BYTES", random.choice([200, 2_000, 1 << 18]))
        monkeypatch.setattr(sample_module, "FILE_BYTES", random.choice([1, 500, 1 << 18]))
        items = generated_items(random)
        folder = tmp_path / str(seed)
        root, export = write_export(folder, items, files=random.choice([1, 1, 2, 5]), in_order=random.random() < 0.5)
        lake = LocalStore(folder / "lake")
        asked = arguments(random)
        try:
            convert_export(root, export, lake, **asked)
        except BadCallError:
            # Two names of one column, or an attribute that cannot be in a path or sorted by.
            assert Ledger(lake.child("reviews")).latest() is None
        else:
            converted += 1
            assert spellings(items_of(lake)) == spellings(items), f"seed {seed}: {asked}"
        shutil.rmtree(folder)
    assert converted > EXPORTS * 0.5


def generated_items(random: Random) -> list[dict[str, Any]]:
    """Return items of one table: each attribute mostly of one type, their order shuffled, a few seen late."""
    usual = {name: SCALARS.get(name) or random.choice(KINDS) for name in NAMES}
    common = random.sample(NAMES, random.randint(1, len(NAMES)))
    items = []
    for _ in range(random.choice([1, 5, 20, 60])):
        names = random.sample(common, random.randint(0, len(common)))
        items.append({name: generated_value(random, usual[name]) for name in names})
    for item in items[-random.randint(1, 5) :]:
        name = random.choice(NAMES)
        item[name] = generated_value(random, usual[name])
    if random.random() < 0.01:
        items[-1]["x"] = {"S": "é" * (LARGEST_ITEM // 2 - 100)}
    return items


def generated_value(random: Random, kind: str) -> dict[str, Any]:
    """Return a value that is mostly of *kind*."""
    if random.random() < 0.6:
        return random_value(random, kind)
    value: dict[str, Any] = {
        "N": {"N": generated_number(random)},
        "NS": {"NS": [generated_number(random)]},
        "S": {"S": generated_text(random)},
        "M": {"M": {random.choice(KEYS): {"S": generated_text(random)}, "M": {"M": {}}, "S": {"L": []}}},
        "L": nested(random, random.choice([2, 5, 25])),
        "B": {"B": b64encode(random.randbytes(random.choice([0, 1, 100]))).decode()},
    }
    return value.get(kind) or random.choice(list(value.values()))


def generated_number(random: Random) -> str:
    """Return one of up to 38 digits and of any exponent that DynamoDB takes."""
    digits = str(random.randrange(1, 10 ** random.randint(1, 38)))
    return f"{random.choice(['', '-'])}{digits}E{random.randint(-130, 126 - len(digits))}"


def generated_text(random: Random) -> str:
    """Return text with control characters, quotes, and characters of one to four bytes."""
    return "".join(random.choices('ab"\\/\x00\x01\x1f\x7f\n\u2028é日😀{}[]:,', k=random.randint(0, 6)))


def nested(random: Random, depth: int) -> dict[str, Any]:
    """Return lists and maps in each other."""
    value: dict[str, Any] = random.choice([{"L": []}, {"M": {}}, {"NULL": True}, {"N": "1"}, {"SS": ["x"]}])
    for _ in range(depth):
        value = random.choice([{"L": [value]}, {"L": [{"S": "x"}, value]}, {"M": {"m": value}}])
    return value


def arguments(random: Random) -> dict[str, Any]:
    """Return what a conversion can be asked for, several things together."""
    numbers = random.choice(["auto", "auto", "double", "string", "decimal(10,2)", {"x": "decimal(38,0)", "*": "auto"}])
    nested = random.choice(["struct", "struct", "flatten", "json"])
    return {
        "options": ColumnOptions(
            numbers=numbers,
            nested=nested,
            partition_by=random.choice([(), (), (), ("x",), ("User", "0")]),
            column_names=random.choice([{}, {"x": "renamed"}]),
        ),
        "sort_by": random.choice([(), (), (), ("x",), ("User", "x")]),
        "rows_per_part": random.choice([3, 10, 1000]),
        "part_bytes": random.choice([1, 5_000, 1 << 20]),
        "workers": random.choice([1, 1, 1, 2]) if os.environ[DECODER_VARIABLE] == "compiled" else 1,
    }


def spellings(items: list[dict[str, Any]]) -> list[str]:
    """Return *items* such that the same ones in any order are equal: numbers as decimals, sets as sets."""
    return sorted(json.dumps({name: spelled(value) for name, value in item.items()}, sort_keys=True) for item in items)


def spelled(value: dict[str, Any]) -> dict[str, Any]:
    """Return *value* as all that are equal to it are spelled. Made without anything of ours."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            content = number(content)
        case "NS":
            content = sorted(map(number, content))
        case "SS" | "BS":
            content = sorted(content)
        case "M":
            content = {name: spelled(member) for name, member in content.items()}
        case "L":
            content = [spelled(element) for element in content]
    return {kind: content}


def number(text: str) -> str:
    """Return the number as all that are equal to it are spelled."""
    exact = EXACT.create_decimal(text)
    return str(exact.normalize(EXACT)) if exact else "0"
