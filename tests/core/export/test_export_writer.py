"""Backups of our own, in the layout of an export."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from export_folder import TABLE_ARN, md5

from airflow_provider_ddbexport.core.export import (
    ExportType,
    ExportWriter,
    ScanDetails,
    read_export,
    read_items,
    split_source,
    verify_export,
)
from airflow_provider_ddbexport.core.export.writer import etag_of
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import ManifestError, StoreNotWritableError

START = parse_time("2026-01-14T10:18:50.622Z")
SCAN = ScanDetails(
    started_at=START,
    ended_at=START + timedelta(seconds=7),
    segments=4,
    is_consistent=True,
    consumed_units=12.5,
    filter_expression="Rating > :r",
    projection_expression=None,
)


def begin(root: Path, prefix: str | None = "backups/daily") -> ExportWriter:
    return ExportWriter(
        LocalStore(root), bucket="reviews", prefix=prefix, table_arn=TABLE_ARN, table_id="id-1", started_at=START
    )


@pytest.mark.parametrize("prefix", ["backups/daily", "/backups/daily/", None, ""])
def test_a_backup_reads_back_as_what_was_written(tmp_path: Path, prefix: str | None) -> None:
    """finish() gives the same export as reading it, every check passes, and it is marked as a scan."""
    writer = begin(tmp_path, prefix)
    items: list[dict[str, Any]] = [{"User": {"S": f"é{n}"}, "N": {"N": "1E-130"}} for n in range(3)]
    with writer.data_file() as file:
        for item in items:
            file.add(item)
    with writer.data_file():
        pass
    export = writer.finish(ended_at=SCAN.ended_at, scan=SCAN)
    root_uri, export_id = split_source(export.source)
    root = LocalStore(Path(root_uri))

    folder = "backups/daily/AWSDynamoDB" if prefix else "AWSDynamoDB"
    assert export.source == str(tmp_path / folder / writer.export_id) == writer.source
    assert read_export(root, export_id) == export
    assert verify_export(root, export).items == 3
    assert [item for file in export.files for item in read_items(root, export, file)] == items
    assert export.summary.export_type is ExportType.SCAN
    assert export.summary.scan == SCAN
    assert export.summary.as_of == START
    assert export.summary.export_arn == f"{TABLE_ARN}/scan/{export_id}"
    assert export_id.startswith("01768385930622-")


def test_a_backup_has_the_layout_of_a_real_export(tmp_path: Path, real_exports: Path) -> None:
    """The same names, the same members in the manifests (and ours besides), the same form of each value."""
    writer = begin(tmp_path, "demo_prefix")
    for count in (0, 2):
        with writer.data_file() as file:
            for _ in range(count):
                file.add({"pk": {"S": "x"}})
    ours = Path(writer.finish(ended_at=SCAN.ended_at, scan=SCAN).source)
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


def test_a_backup_without_its_manifests_is_none(tmp_path: Path) -> None:
    """Killed before finish(): what is there is refused, as an export that is not complete."""
    writer = begin(tmp_path)
    with writer.data_file() as file:
        file.add({"User": {"S": "ann"}})
    with pytest.raises(ManifestError, match="was started but is not complete"):
        read_export(writer.root, writer.export_id)


def test_a_data_file_that_fails_is_no_part_of_it(tmp_path: Path) -> None:
    """An error inside of the block leaves nothing in the destination, and the backup can go on."""
    writer = begin(tmp_path)

    def fail() -> None:
        with writer.data_file() as file:
            file.add({"User": {"S": "ann"}})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    export = writer.finish(ended_at=SCAN.ended_at, scan=SCAN)

    assert export.files == ()
    assert list(writer.root.list(f"{writer.export_id}/data")) == []


def test_abandoning_removes_everything(tmp_path: Path) -> None:
    """No data file, no marker: nothing stays to be paid for."""
    writer = begin(tmp_path)
    with writer.data_file() as file:
        file.add({"User": {"S": "ann"}})
    assert len(list(writer.root.list(writer.export_id))) == 2
    writer.abandon()

    assert list(writer.root.list()) == []


def test_a_destination_that_cannot_be_written_fails_at_the_start(tmp_path: Path) -> None:
    """Before anything was read or paid for."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreNotWritableError):
        begin(tmp_path / "file")
