"""Generated exports: what is in them depends on the name and the scale alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export import (
    DataFile,
    Export,
    ExportSummary,
    ExportType,
    OutputFormat,
    ScanDetails,
)
from airflow_provider_ddbexport.core.export.writer import write_manifests
from airflow_provider_ddbexport.core.store import LocalStore

FILES = 8
WIDE_ATTRIBUTES = 500
MANY_KEYS = 20_000

_WORDS = [
    *(
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "lazy",
        "dog",
        "and",
        "then",
        "reads",
        "book",
        "about",
    ),
    *(
        "rivers",
        "mountains",
        "love",
        "death",
        "science",
        "history",
        "magic",
        "dragons",
        "winter",
        "summer",
        "people",
        "cities",
    ),
]
_EXPORT_ID = "01768385930622-00000000"
_NOW = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)


@dataclass(frozen=True)
class Corpus:
    """An export on disk.

    Attributes:
        json_bytes: of all lines, unzipped.
    """

    name: str
    root: Path
    export_id: str
    json_bytes: int
    items: int


def _shuffled(item: Item, random: Random) -> Item:
    names = list(item)
    random.shuffle(names)
    return {name: item[name] for name in names}


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


def _reviews(rows: int, random: Random) -> Iterator[Item]:
    for row in range(rows):
        yield _shuffled(_review(row, random), random)


def _late(rows: int, random: Random) -> Iterator[Item]:
    """Reviews, of which the last hundredth has attributes that none had before, and one that changes its type."""
    for row in range(rows):
        item = _review(row, random)
        if row >= rows - rows // 100:
            item |= {"Late": {"S": f"late-{row}"}, "LateNumber": {"N": f"{row}.5"}, "Rating": {"N": "4.5"}}
        yield _shuffled(item, random)


def _wide(rows: int, random: Random) -> Iterator[Item]:
    """Single-table design: 25 of 500 attributes in each item."""
    for row in range(rows):
        item: Item = {"pk": {"S": f"entity#{row:08d}"}}
        for number in random.sample(range(WIDE_ATTRIBUTES), 25):
            name = f"attribute_{number:03d}"
            item[name] = (
                {"N": str(random.randrange(10**6))} if number % 2 else {"S": f"value {random.randrange(10**6)}"}
            )
        yield _shuffled(item, random)


def _many_keys(rows: int, random: Random) -> Iterator[Item]:
    """A map with 20 of 20,000 keys in each item."""
    for row in range(rows):
        members = {f"sku-{random.randrange(MANY_KEYS):05d}": {"N": str(random.randrange(1, 100))} for _ in range(20)}
        yield {"pk": {"S": f"cart#{row:08d}"}, "quantities": {"M": members}}


CORPORA: dict[str, tuple[Callable[[int, Random], Iterator[Item]], int]] = {
    "reviews": (_reviews, 1_000_000),
    "wide": (_wide, 400_000),
    "many-keys": (_many_keys, 700_000),
    "late": (_late, 1_000_000),
}
"""Items, and how many of them at scale 1: about 500 MB of JSON each."""


def make_corpus(name: str, folder: Path, scale: float) -> Corpus:
    """Write the corpus into *folder*, once; FILES data files, as DynamoDB would deal the items."""
    home = folder / f"{name}-{scale:g}"
    described = home / "corpus.json"
    if not described.exists():
        items, rows = CORPORA[name]
        rows = max(1000, round(rows * scale))
        export, json_bytes = _write(home, items(rows, Random(name)))
        described.write_text(
            json.dumps({"export_id": export.summary.export_id, "json_bytes": json_bytes, "items": rows})
        )
    facts: dict[str, Any] = json.loads(described.read_text())
    return Corpus(name, home / "AWSDynamoDB", **facts)


def _write(home: Path, items: Iterator[Item]) -> tuple[Export, int]:
    (home / "AWSDynamoDB" / _EXPORT_ID / "data").mkdir(parents=True)
    lines = [msgspec.json.encode({"Item": item}) + b"\n" for item in items]
    # In the order of the rows, so that what is late is in the last file only.
    share = -(-len(lines) // FILES)
    files = []
    for number, start in enumerate(range(0, len(lines), share)):
        key = f"{_EXPORT_ID}/data/{number:026d}.json.gz"
        body = gzip.compress(b"".join(lines[start : start + share]), 6, mtime=0)
        (home / "AWSDynamoDB" / key).write_bytes(body)
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        files.append(DataFile(key, len(lines[start : start + share]), md5))
    table_arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Benchmark"
    summary = ExportSummary(
        version="2020-06-30",
        export_arn=f"{table_arn}/scan/{_EXPORT_ID}",
        export_id=_EXPORT_ID,
        export_type=ExportType.SCAN,
        table_arn=table_arn,
        table_id="00000000-0000-0000-0000-000000000000",
        table_name="Benchmark",
        as_of=_NOW,
        from_time=None,
        started_at=_NOW,
        ended_at=_NOW,
        s3_bucket="benchmark",
        s3_prefix=None,
        manifest_files_key=f"AWSDynamoDB/{_EXPORT_ID}/manifest-files.json",
        billed_bytes=0,
        item_count=len(lines),
        output_format=OutputFormat.DYNAMODB_JSON,
        scan=ScanDetails(started_at=_NOW, ended_at=_NOW, segments=1, is_consistent=False, consumed_units=0.0),
    )
    return write_manifests(LocalStore(home / "AWSDynamoDB"), summary, tuple(files)), sum(map(len, lines))
