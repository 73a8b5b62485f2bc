"""Manifests that are missing, damaged or false."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from export_folder import EXPORT_ID, TABLE_ARN, ExportFolder, line, md5
from faulty_road import Fault, FaultyRoad

from airflow_provider_ddbexport.core.export import Export, read_export, verify_export
from airflow_provider_ddbexport.core.store import LocalStore, S3Store
from airflow_provider_ddbexport.errors import AccessError, BadCallError, ManifestError, ObjectNotFoundError


@pytest.fixture
def folder(tmp_path: Path) -> ExportFolder:
    """A sound export of two files with three items, not sealed yet."""
    folder = ExportFolder(tmp_path)
    folder.add(line(User={"S": "ann"}), line(User={"S": "bob"}))
    folder.add(line(User={"S": "cy"}))
    return folder


def read(folder: ExportFolder, export_id: str = EXPORT_ID) -> Export:
    return read_export(LocalStore(folder.root), export_id)


def refused(folder: ExportFolder, pattern: str, *, damage: str | None = None, doubt: str | None = None) -> None:
    """Assert that reading names the file, matches *pattern* and says what to do, and whether it is for good."""
    with pytest.raises(ManifestError, match=pattern) as caught:
        read(folder)
    message = str(caught.value)
    assert (caught.value.context.get("damage"), caught.value.context.get("doubt")) == (damage, doubt)
    assert str(folder.folder) in message
    assert any(advice in message for advice in ("copy", "start", "check the address", "newer version"))


def test_a_sound_export_is_read(folder: ExportFolder) -> None:
    """What the other tests break is whole before they do."""
    export = read(folder.seal())

    assert [file.item_count for file in export.files] == [2, 1]
    assert export.source == str(folder.folder)
    assert export.summary.table_name == "Reviews"
    assert verify_export(LocalStore(folder.root), export).items == 3


def test_no_export_at_all(folder: ExportFolder) -> None:
    """Another ExportId: there is nothing, check the address."""
    with pytest.raises(ManifestError, match=r"there is no export at .*, check the address"):
        read(folder.seal(), "01768385930622-ffffffff")
    with pytest.raises(BadCallError, match="expected an ExportId"):
        read(folder, "../elsewhere")


@pytest.mark.parametrize("name", ["manifest-summary.json", "manifest-files.json"])
def test_a_missing_manifest_of_an_export_under_way(folder: ExportFolder, name: str) -> None:
    """With ``_started`` there, the export may not be complete yet."""
    (folder.seal().folder / name).unlink()
    refused(folder, rf"{name}: the manifest is missing; the export was started but is not complete", doubt="missing")


@pytest.mark.parametrize("stem", ["manifest-summary", "manifest-files"])
def test_a_missing_checksum(folder: ExportFolder, stem: str) -> None:
    """A manifest without its checksum is not believed."""
    (folder.seal().folder / f"{stem}.md5").unlink()
    refused(folder, rf"{stem}\.md5: the manifest's checksum is missing", doubt="missing")


@pytest.mark.parametrize("checksum", ["", "not base64!", md5(b"")[:-2], "0" * 32])
def test_a_damaged_checksum(folder: ExportFolder, checksum: str) -> None:
    """A checksum file that holds no MD5 is told apart from one that does not fit."""
    (folder.seal().folder / "manifest-summary.md5").write_text(checksum)
    refused(folder, r"manifest-summary\.md5: expected the base64 of an MD5", damage="md5")


@pytest.mark.parametrize("stem", ["manifest-summary", "manifest-files"])
def test_a_truncated_manifest(folder: ExportFolder, stem: str) -> None:
    """Cut in the middle: the checksum tells, and both sums are named."""
    path = folder.seal().folder / f"{stem}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    # A summary may have been edited on purpose, which a caller can accept.
    known = {"damage" if stem == "manifest-files" else "doubt": "md5"}
    refused(folder, rf"md5 expected .*{re.escape(md5(whole)[:6])}.*, found .* over {len(whole) // 2} bytes", **known)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"version":"2020-06-30"', b"\xff\xfe", b'{"version":"2020-06-30"}', b"7"]
)
def test_a_summary_that_is_none(folder: ExportFolder, body: bytes) -> None:
    """With a checksum that fits: the form is checked as well."""
    folder.seal().write("manifest-summary", body)
    refused(folder, "expected")


@pytest.mark.parametrize("version", ["2031-01-01", "", "2020-06-31"])
def test_an_unknown_version(folder: ExportFolder, version: str) -> None:
    """A version that this package does not know may mean anything."""
    folder.seal(version=version)
    refused(folder, rf"expected version 2020-06-30 or 2023-08-01, found '{version}'; a newer version of this package")


@pytest.mark.parametrize("member", [
    "version", "exportArn", "startTime", "endTime", "tableArn", "tableId", "s3Bucket", "manifestFilesS3Key",
    "billedSizeBytes", "itemCount", "outputFormat", "exportTime",
])  # fmt: skip
def test_a_summary_without_a_member(folder: ExportFolder, member: str) -> None:
    """Each documented member is needed, and named when it is missing."""
    folder.seal(**{member: ...})
    refused(folder, member)


@pytest.mark.parametrize(
    ("changed", "pattern"),
    [
        ({"itemCount": "3"}, "itemCount"),
        ({"itemCount": -1}, "negative"),
        ({"itemCount": 4}, "add up to the summary's 4, found 3"),
        ({"exportTime": "yesterday"}, "exportTime: expected an ISO 8601 time"),
        ({"exportTime": "2026-01-14T10:18:00"}, "names no time zone"),
        ({"endTime": "2026-01-14T10:00:00Z"}, "endTime .* is before startTime"),
        ({"outputFormat": "CSV"}, "expected DYNAMODB_JSON or ION, found 'CSV'"),
        ({"exportType": "PARTIAL"}, "exportType: expected"),
        ({"exportType": "SCAN"}, "is no export of tableArn"),
        ({"scan": {"startedAt": "2026-01-14T10:18:00Z"}}, "expected"),
        ({"exportArn": f"{TABLE_ARN}/export/01768385930622-00000000"}, "expected the summary of .* found that of"),
        ({"exportArn": "arn:aws:s3:::bucket"}, "is no export of tableArn"),
        ({"tableArn": f"{TABLE_ARN}2"}, "is no export of tableArn"),
        ({"manifestFilesS3Key": f"other/AWSDynamoDB/{EXPORT_ID}/manifest-files.json"}, "outside of the export"),
        ({"manifestFilesS3Key": f"AWSDynamoDB/{EXPORT_ID}/../manifest-files.json"}, "outside of the export"),
        ({"s3Prefix": "elsewhere"}, "outside of the export"),
        ({"exportType": "INCREMENTAL_EXPORT"}, "exportFromTime is missing"),
    ],
)
def test_a_summary_that_contradicts_itself(folder: ExportFolder, changed: dict[str, Any], pattern: str) -> None:
    """Members are checked by themselves, against each other, and against the folder."""
    folder.seal(**changed)
    refused(folder, pattern, damage="counts" if "add up" in pattern else None)


@pytest.mark.parametrize(
    ("window", "pattern"),
    [
        ({"exportToTime": ...}, "exportToTime is missing"),
        ({"exportToTime": "2026-01-14T10:00:00Z"}, "is not before exportToTime"),
        ({"outputView": "NEW_IMAGES"}, "outputView: expected NEW_IMAGE or"),
        ({}, "dataFileS3Key expected AWSDynamoDB/data/"),
    ],
)
def test_an_incremental_summary_is_checked_too(folder: ExportFolder, window: dict[str, Any], pattern: str) -> None:
    """Window, view, and that data files lie in the folder which incremental exports share."""
    sound = {
        "version": "2023-08-01",
        "exportTime": ...,
        "exportFromTime": "2026-01-14T10:00:00Z",
        "exportToTime": "2026-01-14T10:15:00Z",
        "exportType": "INCREMENTAL_EXPORT",
        "outputView": "NEW_IMAGE",
    }
    folder.seal(**{**sound, **window})
    refused(folder, pattern)


@pytest.mark.parametrize(
    "key",
    [
        "AWSDynamoDB/01768385930622-00000000/data/x.json.gz",
        f"AWSDynamoDB/{EXPORT_ID}/data/../../other/x.json.gz",
        f"AWSDynamoDB/{EXPORT_ID}/data/deeper/x.json.gz",
        f"AWSDynamoDB/{EXPORT_ID}/manifest-summary.json",
        f"AWSDynamoDB/{EXPORT_ID}/data/.json.gz",
        f"AWSDynamoDB/{EXPORT_ID}/data/x.ion.gz",
        f"other/AWSDynamoDB/{EXPORT_ID}/data/x.json.gz",
        f"/AWSDynamoDB/{EXPORT_ID}/data/x.json.gz",
        f"s3://other/AWSDynamoDB/{EXPORT_ID}/data/x.json.gz",
        "AWSDynamoDB/data/x.json.gz",
        "/etc/passwd",
        "x.json.gz",
        "",
    ],
)
def test_a_data_file_outside_of_the_export(folder: ExportFolder, key: str) -> None:
    """A manifest may name files of its own export only; nothing outside is opened."""
    folder.entries[1]["dataFileS3Key"] = key
    folder.seal()
    refused(folder, r"manifest-files\.json, line 2: dataFileS3Key expected .*outside of the export")


@pytest.mark.parametrize(
    ("changed", "pattern"),
    [
        ({"itemCount": -1}, "itemCount of 0 or more"),
        ({"itemCount": None}, "itemCount"),
        ({"itemCount": 1.5}, "itemCount"),
        ({"md5Checksum": "abc"}, "base64 of an MD5"),
        ({"md5Checksum": 7}, "md5Checksum"),
        ({"dataFileS3Key": None}, "dataFileS3Key"),
    ],
)
def test_an_entry_that_is_none(folder: ExportFolder, changed: dict[str, Any], pattern: str) -> None:
    """The line is named, and what is wrong in it."""
    folder.entries[1].update(changed)
    folder.summary["itemCount"] = 3
    folder.seal()
    refused(folder, rf"manifest-files\.json, line 2: .*{pattern}")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda lines: [*lines, b""], id="empty line"),
        pytest.param(lambda lines: [lines[0], b"not JSON"], id="not JSON"),
        pytest.param(lambda lines: [lines[0], b"[]"], id="not an object"),
        pytest.param(lambda lines: [lines[0], lines[0]], id="named twice"),
    ],
)
def test_a_list_of_files_that_is_none(folder: ExportFolder, edit: Callable[[list[bytes]], list[bytes]]) -> None:
    """Checksum right, lines wrong."""
    folder.summary["itemCount"] = 4
    folder.seal()
    lines = [json.dumps(entry).encode() for entry in folder.entries]
    folder.write("manifest-files", b"\n".join(edit(lines)) + b"\n")
    refused(folder, r"manifest-files\.json, line \d|twice")


def test_counts_that_do_not_add_up(folder: ExportFolder) -> None:
    """A file left out of the list shows in the sum."""
    folder.entries.pop()
    folder.seal()
    refused(folder, "itemCounts expected to add up to the summary's 3, found 2", damage="counts")


def test_an_export_without_files_is_empty(tmp_path: Path) -> None:
    """No data file at all is odd, but it is 0 items in 0 files."""
    folder = ExportFolder(tmp_path).seal()
    export = read(folder)

    assert export.files == ()
    assert verify_export(LocalStore(folder.root), export).items == 0


@pytest.mark.parametrize(("prefix", "key"), [("daily/", "daily//"), ("daily/", "daily/"), ("a/b", "a/b/"), ("", "")])
def test_a_prefix_is_kept_as_it_is(tmp_path: Path, prefix: str, key: str) -> None:
    """A prefix that ends in a slash gives keys with two of them; writers that leave one out are understood."""
    folder = ExportFolder(tmp_path, prefix="x")
    folder.base = f"{key}AWSDynamoDB"
    folder.add(line(User={"S": "ann"}))
    folder.seal(s3Prefix=prefix, manifestFilesS3Key=f"{folder.base}/{EXPORT_ID}/manifest-files.json")

    assert read(folder).summary.s3_prefix == (prefix or None)


class TestInS3:
    """An export read where DynamoDB has put it."""

    @pytest.fixture
    def uploaded(self, tmp_path: Path, s3: Any, bucket: str) -> str:
        """Upload a sound export with prefix ``daily``; return its bucket."""
        folder = ExportFolder(tmp_path, prefix="daily")
        folder.add(line(User={"S": "ann"}))
        folder.seal(s3Bucket=bucket)
        for path in folder.folder.rglob("*"):
            if path.is_file():
                s3.put_object(Bucket=bucket, Key=f"daily/{path.relative_to(tmp_path)}", Body=path.read_bytes())
        return bucket

    def test_it_is_read_and_verified(self, uploaded: str, s3: Any) -> None:
        """Bucket and prefix are those of the summary."""
        root = S3Store(s3, uploaded, "daily/AWSDynamoDB")
        export = read_export(root, EXPORT_ID)

        assert export.source == f"s3://{uploaded}/daily/AWSDynamoDB/{EXPORT_ID}"
        assert verify_export(root, export).items == 1

    @pytest.mark.parametrize("prefix", ["weekly/AWSDynamoDB", "AWSDynamoDB"])
    def test_a_copy_under_another_prefix_is_refused(self, uploaded: str, s3: Any, prefix: str) -> None:
        """The summary names another place: say both, and what to do."""
        for entry in s3.list_objects_v2(Bucket=uploaded)["Contents"]:
            key = entry["Key"].replace("daily/AWSDynamoDB", prefix)
            s3.copy_object(Bucket=uploaded, Key=key, CopySource={"Bucket": uploaded, "Key": entry["Key"]})
        with pytest.raises(
            ManifestError, match=r"written to s3://.*/daily/AWSDynamoDB, but it was read from .*copy it"
        ):
            read_export(S3Store(s3, uploaded, prefix), EXPORT_ID)

    def test_a_copy_in_another_bucket_is_refused(self, uploaded: str, s3: Any) -> None:
        """A manifest whose bucket is another one's may be anybody's."""
        other = f"{uploaded}-2"
        s3.create_bucket(Bucket=other)
        for entry in s3.list_objects_v2(Bucket=uploaded)["Contents"]:
            s3.copy_object(Bucket=other, Key=entry["Key"], CopySource={"Bucket": uploaded, "Key": entry["Key"]})
        with pytest.raises(ManifestError, match=f"written to s3://{uploaded}/daily"):
            read_export(S3Store(s3, other, "daily/AWSDynamoDB"), EXPORT_ID)

    def test_a_missing_bucket_and_denied_access_are_no_manifest_errors(
        self, uploaded: str, s3: Any, road: FaultyRoad
    ) -> None:
        """The data is not bad when it could not be read."""
        denied = road.add(Fault("status", "GET", status=403, code="AccessDenied"))
        with pytest.raises(AccessError):
            read_export(S3Store(s3, uploaded, "daily/AWSDynamoDB"), EXPORT_ID)
        assert denied.happened == 1
        with pytest.raises(ObjectNotFoundError, match="no such bucket"):
            read_export(S3Store(s3, "no-such-bucket-at-all", "daily/AWSDynamoDB"), EXPORT_ID)
