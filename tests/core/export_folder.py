"""Exports written by hand, so that a test can break them, and copies of real ones."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

EXPORT_ID = "01768385930622-efd1a093"
TABLE_ARN = "arn:aws:dynamodb:eu-north-1:123456789012:table/Reviews"


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def line(**attributes: Any) -> bytes:
    """Return the line of an item with these attributes, each in DynamoDB JSON."""
    return json.dumps({"Item": attributes}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class ExportFolder:
    """A full export below ``<root>/AWSDynamoDB``.

    Attributes:
        summary: members of manifest-summary.json.
        entries: lines of manifest-files.json.
    """

    def __init__(self, root: Path, *, prefix: str | None = None, extension: str = ".json.gz") -> None:
        self.root = root / "AWSDynamoDB"
        self.base = f"{prefix}/AWSDynamoDB" if prefix else "AWSDynamoDB"
        self.extension = extension
        self.folder = self.root / EXPORT_ID
        self.entries: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {
            "version": "2020-06-30",
            "exportArn": f"{TABLE_ARN}/export/{EXPORT_ID}",
            "startTime": "2026-01-14T10:18:50.622Z",
            "endTime": "2026-01-14T10:24:58.984Z",
            "tableArn": TABLE_ARN,
            "tableId": "cf263806-6bf1-4e51-a242-7067dcdecc72",
            "exportTime": "2026-01-14T10:18:00Z",
            "s3Bucket": "reviews",
            "s3Prefix": prefix,
            "s3SseAlgorithm": "AES256",
            "s3SseKmsKeyId": None,
            "manifestFilesS3Key": f"{self.base}/{EXPORT_ID}/manifest-files.json",
            "billedSizeBytes": 0,
            "itemCount": 0,
            "outputFormat": "DYNAMODB_JSON",
        }
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "_started").touch()

    def add(self, *lines: bytes, body: bytes | None = None, count: int | None = None) -> Path:
        """Write a data file of *lines* (or of the compressed *body*) that the manifest names; return its path."""
        name = f"{len(self.entries):026d}{self.extension}"
        compressed = gzip.compress(b"".join(lines)) if body is None else body
        (self.folder / "data" / name).write_bytes(compressed)
        self.entries.append(
            {
                "itemCount": len(lines) if count is None else count,
                "md5Checksum": md5(compressed),
                "etag": "0" * 32 + "-1",
                "dataFileS3Key": f"{self.base}/{EXPORT_ID}/data/{name}",
            }
        )
        self.summary["itemCount"] = sum(entry["itemCount"] for entry in self.entries)
        return self.folder / "data" / name

    def seal(self, **changed: Any) -> ExportFolder:
        """Write both manifests and their checksums, the summary with members *changed* (… removes one)."""
        members = {**self.summary, **changed}
        self.write("manifest-summary", json.dumps({k: v for k, v in members.items() if v is not ...}).encode())
        self.write("manifest-files", b"".join(json.dumps(entry).encode() + b"\n" for entry in self.entries))
        return self

    def write(self, stem: str, body: bytes) -> None:
        """Write one manifest and its right checksum."""
        (self.folder / f"{stem}.json").write_bytes(body)
        (self.folder / f"{stem}.md5").write_text(md5(body))


def resealed_copy(source: Path, target: Path) -> Path:
    """Return a writable copy of the exports in *source*, with the checksum of each summary made to fit.

    The publisher of the exports of 2026 has changed something in their summaries, which AWS's checksums therefore do
    not fit any more; everything else is as AWS wrote it.
    """
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for summary in target.rglob("manifest-summary.json"):
        summary.with_suffix(".md5").write_text(md5(summary.read_bytes()))
    return target
