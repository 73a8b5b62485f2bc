"""Backups of our own, in the layout of an export."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from export_folder import EXPORT_ID, TABLE_ARN, md5

from airflow_provider_ddbexport.core.export import (
    DataFile,
    Export,
    ExportSummary,
    ExportType,
    OutputFormat,
    ScanDetails,
    read_export,
    read_items,
    split_source,
    verify_export,
)
from airflow_provider_ddbexport.core.export.writer import data_file_name, etag_of, write_manifests
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.core.times import parse_time

START = parse_time("2026-01-14T10:18:50.622Z")
SCAN = ScanDetails(
    started_at=START,
    ended_at=START + timedelta(seconds=7),
    segments=4,
    is_consistent=True,
    consumed_units=12.5,
    filter_expression="Rating > :r",
    projection_expression=None,
    keys=("Book", "User"),
)


def complete(root: Path, files: list[list[dict[str, Any]]], prefix: str | None = "backups/daily") -> Export:
    """Write *files* of items and the manifests that make them a backup."""
    folder = f"{prefix}/AWSDynamoDB" if prefix else "AWSDynamoDB"
    store = LocalStore(root / folder)
    store.write(f"{EXPORT_ID}/_started", b"")
    entries = []
    for items in files:
        body = gzip.compress(b"".join(json.dumps({"Item": item}).encode() + b"\n" for item in items))
        key = f"{EXPORT_ID}/data/{data_file_name()}.json.gz"
        store.write(key, body)
        entries.append(DataFile(key=key, item_count=len(items), md5=md5(body)))
    summary = ExportSummary(
        version="2020-06-30",
        export_arn=f"{TABLE_ARN}/scan/{EXPORT_ID}",
        export_id=EXPORT_ID,
        export_type=ExportType.SCAN,
        table_arn=TABLE_ARN,
        table_id="id-1",
        table_name="Reviews",
        as_of=START,
        from_time=None,
        started_at=START,
        ended_at=SCAN.ended_at,
        s3_bucket="reviews",
        s3_prefix=prefix,
        manifest_files_key=f"{folder}/{EXPORT_ID}/manifest-files.json",
        billed_bytes=0,
        item_count=sum(len(items) for items in files),
        output_format=OutputFormat.DYNAMODB_JSON,
        scan=SCAN,
    )
    return write_manifests(store, summary, tuple(entries))


@pytest.mark.parametrize("prefix", ["backups/daily", None])
def test_a_backup_reads_back_as_what_was_written(tmp_path: Path, prefix: str | None) -> None:
    """write_manifests gives the same export as reading it, every check passes, and it is marked as a scan."""
    items: list[dict[str, Any]] = [{"User": {"S": f"é{n}"}, "N": {"N": "1E-130"}} for n in range(3)]
    export = complete(tmp_path, [items, []], prefix)
    root_uri, export_id = split_source(export.source)
    root = LocalStore(Path(root_uri))

    assert read_export(root, export_id) == export
    assert verify_export(root, export).items == 3
    assert [item for file in export.files for item in read_items(root, export, file)] == items
    assert export.summary.export_type is ExportType.SCAN
    assert export.summary.scan == SCAN


def test_a_backup_has_the_layout_of_a_real_export(tmp_path: Path, real_exports: Path) -> None:
    """The same names, the same members in the manifests (and ours besides), the same form of each value."""
    ours = Path(complete(tmp_path, [[], [{"pk": {"S": "x"}}] * 2], "demo_prefix").source)
    (real,) = (real_exports / "full-2020/demo_prefix/AWSDynamoDB").iterdir()

    def names(folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir()}

    assert names(ours) == names(real)
    assert {len(name) for name in names(ours / "data")} == {len(name) for name in names(real / "data")}
    assert {name.partition(".")[2] for name in names(ours / "data")} == {"json.gz"}
    summaries = [json.loads((folder / "manifest-summary.json").read_text()) for folder in (ours, real)]
    assert list(summaries[0])[: len(summaries[1])] == list(summaries[1])
    assert set(summaries[0]) - set(summaries[1]) == {"exportType", "scan"}
    entries = [
        [json.loads(line) for line in (folder / "manifest-files.json").read_text().splitlines()]
        for folder in (ours, real)
    ]
    assert list(entries[0][0]) == list(entries[1][0])
    for entry in entries[0] + entries[1]:
        assert entry["etag"] == etag_of(entry["md5Checksum"])
        assert entry["dataFileS3Key"].startswith("demo_prefix/AWSDynamoDB/0")
    empty = [path for path in (ours / "data").iterdir() if path.stat().st_size == 20]
    assert len(empty) == 1
    assert gzip.decompress(empty[0].read_bytes()) == b""
    for stem in ("manifest-summary", "manifest-files"):
        assert (ours / f"{stem}.md5").read_text() == md5((ours / f"{stem}.json").read_bytes())
