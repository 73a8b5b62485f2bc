"""Generated exports on disk, in DynamoDB's layout."""

from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.export import DataFile, ExportSummary, ExportType, OutputFormat, ScanDetails
from airflow_provider_ddbexport.core.export.writer import write_manifests
from airflow_provider_ddbexport.core.store import LocalStore
from convert.items import kind_of

FILES = 8
EXPORT_ID = "01768385930622-00000000"
_NOW = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)


@dataclass(frozen=True)
class Corpus:
    """An export on disk.

    Attributes:
        root: the folder AWSDynamoDB.
        json_bytes: of all lines, unzipped.
    """

    name: str
    root: Path
    json_bytes: int
    items: int

    @property
    def data_files(self) -> list[Path]:
        """Its data files, in the order of the items."""
        return sorted((self.root / EXPORT_ID / "data").glob("*.json.gz"))


def make_corpus(name: str, folder: Path, scale: float) -> Corpus:
    """Write the corpus into *folder*, once; FILES data files, their lines in the order of the items."""
    home = folder / f"{name}-{scale:g}"
    if not (home / "corpus.json").exists():
        kind = kind_of(name)
        rows = max(200, round(kind.rows * scale))
        items = kind.items(rows, Random(name))
        share = -(-rows // FILES)
        files = (_lines(itertools.islice(items, share)) for _ in range(FILES))
        _write(home, ((count, size, gzip.compress(lines, 6, mtime=0)) for count, size, lines in files))
    return open_corpus(name, home)


def open_corpus(name: str, home: Path) -> Corpus:
    """Return the corpus *name* that was written into *home*."""
    items, sizes = zip(*_facts(home), strict=True)
    return Corpus(name, home / "AWSDynamoDB", json_bytes=sum(sizes), items=sum(items))


def repeated(corpus: Corpus, copies: int, home: Path) -> Corpus:
    """Write an export into *home* that has the items of *corpus* so many times, in as many times the data files."""
    facts = _facts(corpus.root.parent)
    _write(
        home,
        (
            # No two files are alike: each copy ends with an empty member of another date.
            (count, size, path.read_bytes() + gzip.compress(b"", mtime=1 + copy))
            for copy in range(copies)
            for path, (count, size) in zip(corpus.data_files, facts, strict=True)
        ),
    )
    return open_corpus(corpus.name, home)


def _lines(items: Iterable[Any]) -> tuple[int, int, bytes]:
    lines = [msgspec.json.encode({"Item": item}) + b"\n" for item in items]
    body = b"".join(lines)
    return len(lines), len(body), body


def _facts(home: Path) -> list[tuple[int, int]]:
    """Return the items and the bytes of lines of each data file."""
    return [(items, size) for items, size in json.loads((home / "corpus.json").read_text())["files"]]


def _write(home: Path, files: Iterator[tuple[int, int, bytes]]) -> None:
    """Write an export of *files*, each with its items, the bytes of its lines, and its gzip."""
    shutil.rmtree(home, ignore_errors=True)
    (home / "AWSDynamoDB" / EXPORT_ID / "data").mkdir(parents=True)
    entries, facts = [], []
    for number, (count, size, body) in enumerate(files):
        key = f"{EXPORT_ID}/data/{number:026d}.json.gz"
        (home / "AWSDynamoDB" / key).write_bytes(body)
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        entries.append(DataFile(key, count, md5))
        facts.append([count, size])
    write_manifests(LocalStore(home / "AWSDynamoDB"), _summary(sum(count for count, _ in facts)), tuple(entries))
    (home / "corpus.json").write_text(json.dumps({"files": facts}))


def _summary(items: int) -> ExportSummary:
    table_arn = "arn:aws:dynamodb:us-east-1:123456789012:table/Benchmark"
    return ExportSummary(
        version="2020-06-30",
        export_arn=f"{table_arn}/scan/{EXPORT_ID}",
        export_id=EXPORT_ID,
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
        manifest_files_key=f"AWSDynamoDB/{EXPORT_ID}/manifest-files.json",
        billed_bytes=0,
        item_count=items,
        output_format=OutputFormat.DYNAMODB_JSON,
        scan=ScanDetails(started_at=_NOW, ended_at=_NOW, segments=1, is_consistent=False, consumed_units=0.0),
    )


if __name__ == "__main__":
    print(make_corpus(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])).root.parent)
