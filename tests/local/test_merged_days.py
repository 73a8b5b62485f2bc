"""35 days of a table, by full exports, by a chain, and day after day: the same items."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from orders_table import BUCKET, Orders

from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.merge import merge_increments, read_increment
from airflow_provider_ddbexport.core.snapshot import convert_export, snapshot_items
from airflow_provider_ddbexport.core.store import LocalStore

DAYS = 35
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


@dataclass
class Writer:
    """Writes items at given times, at random."""

    orders: Orders
    dice: random.Random

    def write(self, at: datetime) -> None:
        self.orders.aws.clock.set(at, frozen=True)
        pk = f"k{self.dice.randrange(45)}"
        if self.dice.random() < 0.35:
            self.orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": pk}})
            return
        late = {f"on{self.dice.randrange(3)}": {"BOOL": True}} if self.dice.random() < 0.3 else {}
        kind = self.dice.choice([{"N": str(self.dice.randrange(90))}, {"S": "text"}, {"L": [{"N": "1.5"}, {"S": "é"}]}])
        self.orders.put(pk, v=kind, **late)


def fetch(orders: Orders, folder: Path) -> None:
    """Copy every export to *folder*, where reading it costs nothing."""
    for page in orders.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page["Contents"]:
            path = folder / found["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orders.read(found["Key"]))


def held(lake: LocalStore, at: datetime) -> list[Any]:
    return sorted(json.dumps(json.loads(line)["Item"], sort_keys=True) for line in snapshot_items(lake, "orders", at))


def test_thirty_five_days_are_the_same_by_full_export_by_chain_and_by_previous_and_increment(
    orders: Orders, tmp_path: Path
) -> None:
    """On 20 random days; writes and deletes at random and at the windows' very edges, increments with old images and
    without."""
    dice = random.Random(35)
    orders.create()
    orders.later(hours=1)
    for number in range(30):
        orders.put(f"k{number}", v={"N": "0"})
    start = orders.later(minutes=20).replace(microsecond=0)
    writer = Writer(orders, dice)
    looked_at = sorted(dice.sample(range(DAYS), 20))
    made: dict[int, str] = {}
    windows: list[str] = []
    for day in range(DAYS):
        begin, end = start + day * DAY, start + (day + 1) * DAY
        # A full export holds what was written in its very microsecond, which the window up to it does not.
        edges = [begin] if day - 1 not in looked_at else []
        middle = sorted(begin + dice.random() * DAY for _ in range(6))
        for at in (*edges, begin + MICROSECOND, *middle, end - MICROSECOND):
            writer.write(at)
        orders.aws.clock.set(end + timedelta(minutes=10), frozen=True)
        if not day:
            made[-1] = orders.export(ExportTime=start)["ExportArn"]
        view = dice.choice(["NEW_AND_OLD_IMAGES", "NEW_AND_OLD_IMAGES", "NEW_IMAGE"])
        windows.append(orders.increment(begin, end, view)["ExportArn"])
        if day in looked_at:
            made[day] = orders.export(ExportTime=end)["ExportArn"]
    fetch(orders, tmp_path)
    root = LocalStore(tmp_path / "AWSDynamoDB")

    def merge(lake: LocalStore, days: range, **arguments: Any) -> None:
        chosen = dice.sample(days, len(days))
        sources = [f"{root.uri}/{windows[day].rpartition('/')[2]}" for day in chosen]
        merge_increments(
            [read_increment(source, lambda uri: LocalStore(Path(uri))) for source in sources],
            lake,
            table="orders",
            **arguments,
        )

    by_full, by_chain, by_steps = (LocalStore(tmp_path / name) for name in ("full", "chain", "steps"))
    before = -1
    for day in (-1, *looked_at):
        full = read_export(root, made[day].rpartition("/")[2])
        for lake in (by_full, by_chain, by_steps) if day < 0 else (by_full,):
            convert_export(root, full, lake)
        if day < 0:
            continue
        merge(by_steps, range(before + 1, day + 1))
        merge(by_chain, range(day + 1), base=start)
        before, end = day, start + (day + 1) * DAY
        assert held(by_steps, end) == held(by_full, end), day
        assert held(by_chain, end) == held(by_full, end), day
    assert before > 30
