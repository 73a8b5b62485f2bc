"""Full exports on the local disk, in DynamoDB's layout, for tests of snapshots."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from airflow_provider_ddbexport.core.export import Export, read_export
from airflow_provider_ddbexport.core.snapshot import snapshot_items
from airflow_provider_ddbexport.core.store import LocalStore

AS_OF = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)


def write_export(
    folder: Path,
    items: Sequence[dict[str, Any]],
    *,
    files: int = 3,
    as_of: datetime = AS_OF,
    table: str = "Reviews",
    number: int = 0,
    kind: str = "full",
    in_order: bool = False,
) -> tuple[LocalStore, Export]:
    """Write an export of *items*, dealt to *files* files, and return its root and what its manifests say.

    With *in_order* the first items go to the first file, and so on.
    """
    export_id = f"01768385930622-{number:08x}"
    home = folder / "AWSDynamoDB" / export_id
    data = folder / "AWSDynamoDB" if kind == "incremental" else home
    (data / "data").mkdir(parents=True)
    home.mkdir(exist_ok=True)
    table_arn = f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}"
    entries = []
    for index in range(files):
        share = -(-len(items) // files)
        dealt = items[index * share : (index + 1) * share] if in_order else items[index::files]
        lines = [json.dumps({"Item": item}, ensure_ascii=False) + "\n" for item in dealt]
        body = gzip.compress("".join(lines).encode(), mtime=0)
        path = data / "data" / f"{number:013d}{index:013d}.json.gz"
        path.write_bytes(body)
        digest = hashlib.md5(body).digest()
        entries.append(
            {
                "itemCount": len(lines),
                "md5Checksum": base64.b64encode(digest).decode(),
                "etag": hashlib.md5(digest).hexdigest() + "-1",
                "dataFileS3Key": path.relative_to(folder).as_posix(),
            }
        )
    moment = as_of.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    summary = {
        "version": "2020-06-30",
        "exportArn": f"{table_arn}/export/{export_id}",
        "startTime": moment,
        "endTime": moment,
        "tableArn": table_arn,
        "tableId": "cf263806-6bf1-4e51-a242-7067dcdecc72",
        "exportTime": moment,
        "s3Bucket": "a-bucket",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{export_id}/manifest-files.json",
        "billedSizeBytes": 1000,
        "itemCount": len(items),
        "outputFormat": "DYNAMODB_JSON",
    }
    if kind == "incremental":
        del summary["exportTime"]
        summary |= {
            "version": "2023-08-01",
            "exportFromTime": "2026-01-14T10:00:00.000Z",
            "exportToTime": moment,
            "outputView": "NEW_IMAGE",
            "exportType": "INCREMENTAL_EXPORT",
        }
    (home / "_started").touch()
    for name, text in (
        ("manifest-summary", json.dumps(summary)),
        ("manifest-files", "".join(json.dumps(entry) + "\n" for entry in entries)),
    ):
        (home / f"{name}.json").write_text(text)
        (home / f"{name}.md5").write_bytes(base64.b64encode(hashlib.md5(text.encode()).digest()))
    root = LocalStore(folder / "AWSDynamoDB")
    return root, read_export(root, export_id)


def reviews(count: int, **more: Any) -> list[dict[str, Any]]:
    """Return *count* items of many types; ``more`` attributes go into each."""
    found = []
    for number in range(count):
        item: dict[str, Any] = {
            "User": {"S": f"user {number % 7}"},
            "Book": {"S": f"book {number}"},
            "Rating": {"N": str(number % 5 + 1)},
            "Details": {"M": {"Pages": {"N": str(100 + number)}, "Tags": {"SS": ["a", f"t{number}"]}}},
            **more,
        }
        if number % 3 == 0:
            item["Late"] = {"S": "é" * (number % 4)}
        if number % 11 == 5:
            item["Rating"] = {"S": "five"}
        if number % 13 == 7:
            item["Nothing"] = {"NULL": True}
        found.append(item)
    return found


def meaning(value: Any) -> Any:
    """Return a value of an item (or an item) such that equal values are equal: numbers as decimals, sets as sets."""
    if isinstance(value, list):
        return [meaning(element) for element in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (kind, content), *_ = value.items()
        if kind == "N" and isinstance(content, str):
            return ("N", Decimal(content))
        if kind == "NS" and isinstance(content, list):
            return ("NS", frozenset(map(Decimal, content)))
        if kind in ("SS", "BS") and isinstance(content, list):
            return (kind, frozenset(content))
    return {name: meaning(content) for name, content in value.items()}


def in_order(items: Iterable[dict[str, Any]]) -> list[Any]:
    """Return what *items* mean, in an order that does not depend on theirs."""
    return sorted((meaning(item) for item in items), key=repr_of)


def repr_of(value: Any) -> str:
    """Return text that is equal for equal meanings."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name!r}:{repr_of(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, tuple):
        kind, content = value
        return f"{kind}:{sorted(map(str, content)) if isinstance(content, frozenset) else content.normalize()}"
    return repr([repr_of(element) for element in value] if isinstance(value, list) else value)


def items_of(lake: LocalStore, table: str = "reviews", at: datetime | None = None) -> list[dict[str, Any]]:
    """Return the items of a published snapshot."""
    return [json.loads(line)["Item"] for line in snapshot_items(lake, table, at)]


def parts_below(lake: LocalStore, table: str = "reviews") -> set[str]:
    """Return the keys of all Parquet files of a table, published or not."""
    return {info.key for info in lake.child(table).list() if info.key.endswith(".parquet")}


def resealed(exports: Path, folder: Path) -> list[Path]:
    """Copy *exports* to *folder*, give each summary the checksum it should have, and return the full exports' folders.

    One of the exports made by AWS had its summary edited by whoever published it: it is refused as it lies there.
    """
    shutil.copytree(exports, folder, copy_function=shutil.copyfile)
    found = []
    for summary in sorted(folder.rglob("manifest-summary.json")):
        body = summary.read_bytes()
        summary.with_suffix(".md5").write_bytes(base64.b64encode(hashlib.md5(body).digest()))
        if "exportFromTime" not in json.loads(body):
            found.append(summary.parent)
    return found
