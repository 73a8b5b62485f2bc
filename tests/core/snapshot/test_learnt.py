"""What shards of one process learn from each other decides how much is widened, and nothing of what is published."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from snapshot_exports import write_export
from test_generated_exports import generated_value

from airflow_provider_ddbexport.core.columns import ColumnOptions, Schema
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export import lines
from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.snapshot import (
    CommitRecord,
    ConversionPlan,
    convert_export,
    convert_shard,
    plan_conversion,
    publish,
)
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.snapshot.learnt import Learnt, Under
from airflow_provider_ddbexport.core.store import LocalStore

EXPORTS = max(28, int(os.environ.get("DDBEXPORT_EXPORTS", "0")) // 20)
"""`make fuzz` asks for a twentieth of its 10,000: each is converted twice, in many shards."""

LATE = ("late", "later", "a-b", "M", "z")
KINDS = ("S", "N", "B", "BOOL", "SS", "NS", "L", "M")
SAYING_LITTLE: tuple[dict[str, Any], ...] = ({"NULL": True}, {"L": []}, {"M": {}})


def test_parts_are_the_same_whether_or_not_shards_learn_from_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same names and bytes, wherever row groups and parts end; and some begin with what others have learnt."""
    learnt = 0

    def watched(self: Learnt, asked: Schema) -> Under:
        nonlocal learnt
        found = under(self, asked)
        learnt += found.schema != asked
        return found

    under = Learnt.under
    monkeypatch.setattr(Learnt, "under", watched)
    monkeypatch.setattr(sample_module, "FILE_BYTES", 1)
    for seed in range(EXPORTS):
        random = Random(seed)
        decoder = random.choice(["compiled", "compiled", "reference"])
        monkeypatch.setenv(DECODER_VARIABLE, decoder)
        monkeypatch.setattr(lines, "_BLOCK_BYTES", random.choice([200, 2_000]))
        monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", random.choice([300, 600, 1 << 20]))
        monkeypatch.setattr(parts_module, "ROW_GROUP_VALUES", random.choice([20, 1 << 20]))
        monkeypatch.setattr(parts_module, "OPEN_COLUMNS", random.choice([20, 1 << 20]))
        asked = {
            "options": ColumnOptions(
                nested=random.choice(["struct", "flatten", "json"]), partition_by=random.choice([(), (), ("User",)])
            ),
            "sort_by": random.choice([(), (), (), (), ("text",)]),
            "rows_per_part": random.choice([10, 30, 30]),
            "part_bytes": random.choice([1, 600, 1_000, 1_500, 1 << 20]),
        }
        folder = tmp_path / str(seed)
        root, export = write_export(folder, generated_items(random), files=8, in_order=True)
        workers = random.choice([1, 2]) if decoder == "compiled" else 1
        together = convert_export(root, export, LocalStore(folder / "together"), workers=workers, **asked)
        apart = one_by_one(root, export, LocalStore(folder / "apart"), asked)
        assert together.parts == apart.parts, f"seed {seed}: {asked}"
        shutil.rmtree(folder)
    assert learnt > EXPORTS


def generated_items(random: Random) -> list[dict[str, Any]]:
    """Return items with attributes that are there for a while: of one type, mostly."""
    items: list[dict[str, Any]] = [
        {"id": {"N": str(number)}, "User": {"S": random.choice("ab")}, "text": {"S": "text " * random.randrange(20)}}
        for number in range(240)
    ]
    for name in random.sample(LATE, random.randint(1, len(LATE))):
        kind, strange = random.choice(KINDS), random.choice([0, 0, 0.03])
        first = random.randrange(len(items))
        for item in items[first : first + random.choice([10, 40, 160])]:
            item[name] = value_of(random, kind)
        for item in items:
            if random.random() < strange:
                item[name] = random.choice([*SAYING_LITTLE, value_of(random, random.choice(KINDS))])
    return items


def value_of(random: Random, kind: str) -> dict[str, Any]:
    """Return a value of *kind*."""
    if kind == "M":
        return {"M": {key: {"N": str(random.randrange(9))} for key in "kl" if random.random() < 0.8}}
    return {"L": [{"S": "x"}]} if kind == "L" else generated_value(random, kind)


def one_by_one(root: LocalStore, export: Export, lake: LocalStore, asked: dict[str, Any]) -> CommitRecord:
    """Return the record of the snapshot whose shards were converted as by tasks that know nothing of each other."""
    plan = plan_conversion(root, export, lake, **asked)
    assert isinstance(plan, ConversionPlan)
    for shard in plan.shards:
        convert_shard(plan, shard, root=root, lake=lake)
    return publish(plan, root=root, lake=lake)
