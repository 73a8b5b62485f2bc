"""Tables with increments, and what they held at the end of each."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from increments import START, change, write_increment
from snapshot_exports import in_order, write_export

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export import Export
from airflow_provider_ddbexport.core.merge import Increment, merge_increments
from airflow_provider_ddbexport.core.snapshot import CommitRecord, convert_export
from airflow_provider_ddbexport.core.store import LocalStore


def key(number: int) -> Item:
    return {"User": {"S": f"u{number % 7}"}, "Book": {"N": str(number)}}


def an_item(number: int, dice: Random) -> Item:
    item = {**key(number), "v": {"N": str(dice.randrange(1000))}, "Tags": {"SS": ["b", "a"]}, "few": {"BOOL": True}}
    if dice.random() < 0.3:
        item["Late"] = dice.choice([{"S": "x"}, {"NULL": True}, {"L": [{"N": "1.5"}]}, {"M": {"k": {"S": "é"}}}])
    if dice.random() < 0.1:
        item |= {"v": {"S": "not a number"}, "few": {"NULL": True}}
    return item


class History:
    """A table, its increments so far, and what it held at the end of each."""

    def __init__(self, folder: Path, seed: int = 0, rows: int = 45) -> None:
        self.folder = folder
        self.dice = Random(seed)
        self.table = {number: an_item(number, self.dice) for number in range(rows)}
        self.root, self.full = write_export(folder, list(self.table.values()), as_of=START)
        self.increments: list[Export] = []
        self.states = [dict(self.table)]

    def go_on(self, changes: int = 12, **more: Any) -> Export:
        """Write the next window: inserts, updates and deletes; *more* attributes go into each new image."""
        window = len(self.increments)
        lines = []
        for number in self.dice.sample(range(len(self.states[0]) + 20), changes):
            old = self.table.pop(number, None)
            new = None if old is not None and self.dice.random() < 0.3 else {**an_item(number, self.dice), **more}
            if new is not None:
                self.table[number] = new
            lines.append(change(window * 10**6 + self.dice.randrange(10**6), key(number), old, new))
        self.increments.append(write_increment(self.folder, lines, window=window))
        self.states.append(dict(self.table))
        return self.increments[-1]

    def convert(self, lake: LocalStore, **options: Any) -> CommitRecord:
        return convert_export(self.root, self.full, lake, **options)

    def merge(self, lake: LocalStore, *windows: int, **options: Any) -> CommitRecord:
        increments = [Increment(self.root, self.increments[window]) for window in windows]
        return merge_increments(increments, lake, **{"table": "reviews", **options})

    def expected(self, state: int) -> list[Any]:
        return in_order(self.states[state].values())


class Told:
    """A table whose windows are told by hand: by number, the new item, or None for a delete."""

    def __init__(self, folder: Path, table: dict[int, Item], *windows: dict[int, Item | None]) -> None:
        self.folder = folder
        self.root, self.full = write_export(folder, list(table.values()), as_of=START, in_order=True)
        self.increments = []
        for number, window in enumerate(windows):
            lines = [change(number * 10**6 + place, key(place), table.get(place), new) for place, new in window.items()]
            self.increments.append(write_increment(folder, lines, window=number))
            table = {place: item for place, item in {**table, **window}.items() if item is not None}
        self.table = table

    def merge(self, lake: LocalStore, *windows: int, **options: Any) -> CommitRecord:
        increments = [Increment(self.root, self.increments[window]) for window in windows]
        return merge_increments(increments, lake, table="reviews", **options)

    def converted(self, lake: LocalStore, as_of: datetime = START) -> CommitRecord:
        """Return the record of a conversion of the table as it is at the end."""
        root, full = write_export(self.folder / "full", list(self.table.values()), as_of=as_of)
        return convert_export(root, full, lake, table="reviews")
