"""Generated items, and what their columns are; both depend on the name and the number of items alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from airflow_provider_ddbexport.core.decode import Item

WIDE_ATTRIBUTES = 500
MANY_KEYS = 20_000

Columns = dict[str, Any]
"""What the peers are told, by attribute: a type of DynamoDB, where N is a whole number and D a decimal; a dict is a map
with these members, a list a map with any keys."""


@dataclass(frozen=True)
class Kind:
    """What a corpus is made of.

    Attributes:
        items: yields so many items, in the order of the export's lines.
        rows: at scale 1. About 570 MB of JSON; less where some engine takes minutes for as much.
        folders: an attribute with few values, to partition by.
    """

    items: Callable[[int, Random], Iterator[Item]]
    rows: int
    columns: Columns
    folders: str


_WORDS = [
    *("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "and", "then", "reads", "book", "about"),
    *("rivers", "mountains", "love", "death", "science", "history", "magic", "dragons", "winter", "summer", "people"),
    "cities",
]

_REVIEW: Columns = {
    "User": "S",
    "Book": "S",
    "Rating": "N",
    "Price": "D",
    "Review": "S",
    "Author": "S",
    "Created": "N",
    "Verified": "BOOL",
    "Details": {"pages": "N", "lang": "S", "format": "S"},
    "Tags": "SS",
}


def _review(row: int, random: Random) -> Item:
    return {
        "User": {"S": f"user-{random.randrange(1_000_000):06d}"},
        "Book": {"S": f"978-{random.randrange(10**9):09d}"},
        "Rating": {"N": str(random.randrange(1, 6))},
        "Price": {"N": f"{random.randrange(100)}.{random.randrange(10)}{random.randrange(1, 10)}"},
        "Review": {"S": " ".join(random.choices(_WORDS, k=random.randrange(20, 60)))},
        "Author": {"S": f"Author {random.randrange(5000)}"},
        "Created": {"N": str(1_600_000_000 + row)},
        "Verified": {"BOOL": random.random() < 0.5},
        "Details": {
            "M": {
                "pages": {"N": str(random.randrange(1000))},
                "lang": {"S": random.choice(["en", "de", "fr"])},
                "format": {"S": "paperback"},
            }
        },
        "Tags": {"SS": sorted(random.sample(_WORDS, 3))},
    }


def _shuffled(item: Item, random: Random) -> Item:
    names = list(item)
    random.shuffle(names)
    return {name: item[name] for name in names}


def _reviews(rows: int, random: Random, late: Callable[[int], Item] = lambda _: {}) -> Iterator[Item]:
    """Reviews, the last hundredth of them changed by what *late* gives for their row."""
    for row in range(rows):
        item = _review(row, random)
        if row >= rows - rows // 100:
            item |= late(row)
        yield _shuffled(item, random)


def _late_attributes(rows: int, random: Random) -> Iterator[Item]:
    return _reviews(rows, random, lambda row: {"Late": {"S": f"late-{row}"}, "LateNumber": {"N": f"{row}.5"}})


def _late_type(rows: int, random: Random) -> Iterator[Item]:
    return _reviews(rows, random, lambda _: {"Rating": {"N": "4.5"}})


def _many_keys(rows: int, random: Random) -> Iterator[Item]:
    """A map with 20 of 20,000 keys in each item."""
    for row in range(rows):
        members = {f"sku-{random.randrange(MANY_KEYS):05d}": {"N": str(random.randrange(1, 100))} for _ in range(20)}
        yield {"pk": {"S": f"cart#{row:08d}"}, "Store": {"N": str(row % 7)}, "quantities": {"M": members}}


def wide(attributes: int, present: int, rows: int) -> Kind:
    """Single-table design: *present* of *attributes* in each item."""
    names = [f"attribute_{number:04d}" for number in range(attributes)]

    def items(rows: int, random: Random) -> Iterator[Item]:
        for row in range(rows):
            item: Item = {"pk": {"S": f"entity#{row:08d}"}, "Type": {"S": f"entity {row % 7}"}}
            for number in random.sample(range(attributes), present):
                value = random.randrange(10**6)
                item[names[number]] = {"N": str(value)} if number % 2 else {"S": f"value {value}"}
            yield _shuffled(item, random)

    columns = {"pk": "S", "Type": "S"} | {name: "N" if number % 2 else "S" for number, name in enumerate(names)}
    return Kind(items, rows, columns, folders="Type")


CORPORA: dict[str, Kind] = {
    "reviews": Kind(_reviews, 1_000_000, _REVIEW, folders="Rating"),
    "wide": wide(WIDE_ATTRIBUTES, 25, 240_000),
    "many-keys": Kind(_many_keys, 200_000, {"pk": "S", "Store": "N", "quantities": ["N"]}, folders="Store"),
    "late-attributes": Kind(_late_attributes, 1_000_000, {**_REVIEW, "Late": "S", "LateNumber": "D"}, folders="Rating"),
    "late-type": Kind(_late_type, 1_000_000, {**_REVIEW, "Rating": "D"}, folders="Rating"),
}

ATTRIBUTES = (10, 30, 100, 300, 1000)
"""How many attributes the exports have that show what an attribute costs; ten are in each item."""


def kind_of(name: str) -> Kind:
    """Return what the corpus *name* is made of: one of CORPORA, or ``attributes-N``."""
    attributes = re.fullmatch(r"attributes-(\d+)", name)
    return wide(int(attributes[1]), 10, 200_000) if attributes else CORPORA[name]
