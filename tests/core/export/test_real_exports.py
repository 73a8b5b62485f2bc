"""Exports made by AWS, as the reader sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_folder import resealed_copy

from airflow_provider_ddbexport.core.export import (
    Export,
    ExportType,
    OutputFormat,
    read_changes,
    read_export,
    read_items,
    split_source,
    verify_export,
)
from airflow_provider_ddbexport.core.store import ObjectStore, open_store
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import BadCallError, ManifestError


def opened(folder: Path) -> tuple[ObjectStore, Export]:
    root_uri, export_id = split_source(folder)
    root = open_store(root_uri)
    return root, read_export(root, export_id)


def test_the_full_export_of_2020_is_whole(real_exports: Path) -> None:
    """Every checksum, count and key of it is right, and its manifests say what its files hold."""
    (folder,) = (real_exports / "full-2020/demo_prefix/AWSDynamoDB").iterdir()
    root, export = opened(folder)
    summary = export.summary

    assert summary.export_type is ExportType.FULL
    assert summary.output_format is OutputFormat.DYNAMODB_JSON
    assert (summary.s3_prefix, summary.item_count, summary.billed_bytes) == ("demo_prefix", 3, 0)
    assert summary.table_arn.endswith(f":table/{summary.table_name}")
    assert summary.as_of == parse_time("2020-11-11T21:33:51Z")
    assert summary.scan is None
    assert sorted(file.item_count for file in export.files) == [0, 0, 1, 2]
    verification = verify_export(root, export)
    assert (verification.files, verification.items) == (4, 3)
    assert verification.bytes == sum(path.stat().st_size for path in (folder / "data").iterdir())
    items = [item for file in export.files for item in read_items(root, export, file)]
    assert [sorted(item) for item in items] == [["pk", "sk"]] * 3


def test_the_summaries_of_2026_are_not_as_aws_wrote_them(real_exports: Path) -> None:
    """Their checksums do not fit: whoever published them has changed them. They are refused as any other."""
    folders = sorted((real_exports / "full-and-incremental-2026/AWSDynamoDB").glob("0*"))
    for folder in folders:
        with pytest.raises(ManifestError, match=r"manifest-summary\.json: md5 expected .*, found"):
            opened(folder)
    assert len(folders) == 3


def test_the_exports_of_2026_are_whole_but_for_that(real_exports: Path, tmp_path: Path) -> None:
    """With fitting checksums of the summaries, the full and both incremental exports pass every check."""
    copy = resealed_copy(real_exports / "full-and-incremental-2026", tmp_path)
    full, first, second = (opened(folder) for folder in sorted((copy / "AWSDynamoDB").glob("0*")))

    assert verify_export(*full).items == 3
    assert full[1].summary.s3_prefix is None
    assert full[1].summary.export_type is ExportType.FULL
    windows = []
    for root, export in (first, second):
        assert verify_export(root, export).items == export.summary.item_count
        assert export.summary.export_type is ExportType.INCREMENTAL
        assert export.summary.output_view == "NEW_AND_OLD_IMAGES"
        assert all(file.key.startswith("data/") for file in export.files)
        windows.append((export.summary.from_time, export.summary.as_of))
    times = [parse_time(f"2026-01-14T{time}:00Z") for time in ("10:20", "10:35", "10:50")]
    assert windows == [(times[0], times[1]), (times[1], times[2])]


def test_changes_are_inserts_updates_and_deletes(real_exports: Path, tmp_path: Path) -> None:
    """An insert has no old image, a delete no new one; each lies in the export's window."""
    copy = resealed_copy(real_exports / "full-and-incremental-2026", tmp_path)
    kinds = []
    for folder in sorted((copy / "AWSDynamoDB").glob("0*"))[1:]:
        root, export = opened(folder)
        changes = [change for file in export.files for change in read_changes(root, export, file)]
        assert export.summary.from_time is not None
        start, end = (moment.timestamp() * 1e6 for moment in (export.summary.from_time, export.summary.as_of))
        assert all(start <= change.write_micros < end for change in changes)
        assert all(sorted(change.keys) == ["pk", "sk"] for change in changes)
        kinds.append(sorted((change.old_image is not None, change.new_image is not None) for change in changes))
    assert kinds[0] == [(False, True)] * 6
    assert {(True, True), (True, False)} <= set(kinds[1])


def test_items_and_changes_are_not_confused(real_exports: Path, tmp_path: Path) -> None:
    """read_items of an incremental export, and read_changes of a full one, say what they need."""
    copy = resealed_copy(real_exports / "full-and-incremental-2026", tmp_path)
    full, increment, _ = (opened(folder) for folder in sorted((copy / "AWSDynamoDB").glob("0*")))
    with pytest.raises(BadCallError, match="incremental export holds changes"):
        read_items(*increment, increment[1].files[0])
    with pytest.raises(BadCallError, match="full export holds items"):
        read_changes(*full, full[1].files[0])


def test_checksum_files_by_their_documented_name_do_as_well(real_exports: Path, tmp_path: Path) -> None:
    """``.checksum``, as AWS documents it, is read where there is no ``.md5``."""
    copy = resealed_copy(real_exports / "full-2020", tmp_path)
    for path in list(copy.rglob("manifest-*.md5")):
        path.rename(path.with_suffix(".checksum"))
    (folder,) = (copy / "demo_prefix/AWSDynamoDB").iterdir()

    assert verify_export(*opened(folder)).items == 3


def test_the_digest_is_of_the_contents(real_exports: Path, tmp_path: Path) -> None:
    """A copy elsewhere has the same digest; another export has another."""
    copy = resealed_copy(real_exports, tmp_path)
    exports = {folder.parent: opened(folder.parent)[1] for folder in copy.rglob("manifest-summary.json")}
    original = opened(next((real_exports / "full-2020/demo_prefix/AWSDynamoDB").iterdir()))[1]

    digests = [export.digest for export in exports.values()]
    assert len(set(digests)) == 4
    assert original.digest in digests


def test_the_exports_of_2026_are_taken_as_they_lie_with_consent(real_exports: Path) -> None:
    """accept_edited_summary takes them, checks all the rest, and says what was accepted."""
    folders = sorted((real_exports / "full-and-incremental-2026/AWSDynamoDB").glob("0*"))
    counts = []
    for folder in folders:
        root_uri, export_id = split_source(folder)
        root = open_store(root_uri)
        export = read_export(root, export_id, accept_edited_summary=True)
        verification = verify_export(root, export)
        assert any("summary md5 DIFFERS" in check for check in verification.checked)
        assert not any(check == "manifest md5" for check in verification.checked)
        counts.append(verification.items)
    assert counts == [3, 6, 5]
