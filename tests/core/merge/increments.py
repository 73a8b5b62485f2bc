"""Increments on the local disk, in DynamoDB's layout."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export import Export, read_export
from airflow_provider_ddbexport.core.store import LocalStore

START = datetime(2026, 1, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Reviews"
TABLE_ID = "cf263806-6bf1-4e51-a242-7067dcdecc72"


def change(micros: int, keys: Item, old: Item | None, new: Item | None) -> dict[str, Any]:
    """Return a line of an increment as JSON values; images that are None are left out."""
    line: dict[str, Any] = {"Metadata": {"WriteTimestampMicros": {"N": str(micros)}}, "Keys": keys}
    return line | {name: image for name, image in (("OldImage", old), ("NewImage", new)) if image is not None}


def write_increment(
    folder: Path,
    lines: Sequence[dict[str, Any] | bytes],
    *,
    window: int = 0,
    files: int = 2,
    view: str = "NEW_AND_OLD_IMAGES",
    **members: Any,
) -> Export:
    """Write the increment of hour *window* after START, its *lines* dealt to *files* files."""
    export_id = f"01768389530622-{window:08x}"
    root = folder / "AWSDynamoDB"
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / export_id).mkdir()
    entries = []
    for number in range(files):
        here = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines[number::files]]
        body = gzip.compress(b"".join(line + b"\n" for line in here), mtime=0)
        (root / "data" / f"{window:013d}{number:013d}.json.gz").write_bytes(body)
        entries.append(
            {
                "itemCount": len(here),
                "md5Checksum": _md5(body),
                "dataFileS3Key": f"AWSDynamoDB/data/{window:013d}{number:013d}.json.gz",
            }
        )
    moments = [(START + (window + step) * HOUR).strftime("%Y-%m-%dT%H:%M:%S.000Z") for step in (0, 1)]
    summary = {
        "version": "2023-08-01",
        "exportArn": f"{TABLE_ARN}/export/{export_id}",
        "startTime": moments[1],
        "endTime": moments[1],
        "tableArn": TABLE_ARN,
        "tableId": TABLE_ID,
        "exportFromTime": moments[0],
        "exportToTime": moments[1],
        "s3Bucket": "a-bucket",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{export_id}/manifest-files.json",
        "billedSizeBytes": 10_000_000,
        "itemCount": len(lines),
        "outputFormat": "DYNAMODB_JSON",
        "outputView": view,
        "exportType": "INCREMENTAL_EXPORT",
        **members,
    }
    for name, text in (
        ("manifest-summary", json.dumps(summary)),
        ("manifest-files", "".join(json.dumps(entry) + "\n" for entry in entries)),
    ):
        (root / export_id / f"{name}.json").write_text(text)
        (root / export_id / f"{name}.md5").write_text(_md5(text.encode()))
    return read_export(LocalStore(root), export_id)


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()
