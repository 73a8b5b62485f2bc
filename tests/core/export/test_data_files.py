"""Data files that are missing, damaged or false."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from export_folder import EXPORT_ID, ExportFolder, line
from fake_time import FakeTime
from faulty_road import Fault, FaultyRoad
from fresh_process import in_a_fresh_process

from airflow_provider_ddbexport.core.export import DataFile, read_export, read_items, verify_export
from airflow_provider_ddbexport.core.store import LocalStore, S3Store
from airflow_provider_ddbexport.errors import BadDataError, DataFileError, ItemError, ManifestError

ANN, BOB, CY = (line(User={"S": name}, Book={"S": "Emma"}) for name in ("ann", "bob", "cy"))


def verify(folder: ExportFolder) -> Any:
    root = LocalStore(folder.root)
    return verify_export(root, read_export(root, EXPORT_ID))


def refused(folder: ExportFolder, pattern: str, kind: type[BadDataError] = DataFileError) -> BadDataError:
    with pytest.raises(kind, match=pattern) as caught:
        verify(folder)
    assert type(caught.value) is kind
    assert "start a new" in str(caught.value)
    assert "ann" not in str(caught.value).replace(str(folder.root), "")
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> ExportFolder:
    """An export that begins with an empty shard."""
    folder = ExportFolder(tmp_path)
    folder.add()
    return folder


def test_items_come_in_the_order_of_their_file(folder: ExportFolder) -> None:
    """Each line is one item; progress is told for each file with its compressed size."""
    path = folder.add(ANN, BOB, CY)
    folder.seal()
    root = LocalStore(folder.root)
    export = read_export(root, EXPORT_ID)
    reader = read_items(root, export, export.files[1])
    told: list[tuple[DataFile, int]] = []
    verification = verify_export(root, export, on_file=lambda file, size: told.append((file, size)))

    assert next(reader)["User"] == {"S": "ann"}
    assert [item["User"]["S"] for item in reader] == ["bob", "cy"]
    assert (reader.count, reader.compressed_bytes) == (3, path.stat().st_size)
    assert [(file.item_count, size) for file, size in told] == [(0, 20), (3, path.stat().st_size)]
    assert (verification.files, verification.items) == (2, 3)
    assert "data file md5" in verification.checked


def test_several_gzip_members_are_one_file(folder: ExportFolder) -> None:
    """Members are read to the last one, also where a line goes over their border."""
    folder.add(ANN, BOB, CY, body=gzip.compress(ANN + BOB[:9]) + gzip.compress(b"") + gzip.compress(BOB[9:] + CY))
    folder.seal()

    assert verify(folder).items == 3


def test_the_last_line_may_lack_its_end(folder: ExportFolder) -> None:
    """A file that ends without a line feed has one item more than line feeds."""
    folder.add(ANN, BOB.rstrip(b"\n"))
    folder.seal()

    assert verify(folder).items == 2


def test_a_missing_file(folder: ExportFolder) -> None:
    """Which of how many, where, and what to do."""
    path = folder.add(ANN)
    folder.seal()
    path.unlink()
    error = refused(folder, rf"data file 2 of 2 {path}: the manifest names it, but it is missing")
    assert error.context["uri"] == str(path)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "extra bytes": lambda body: body + b"\0",
    "an extra member": lambda body: body + gzip.compress(CY),
    "a flipped bit": lambda body: body[:30] + bytes([body[30] ^ 4]) + body[31:],
    "a flipped bit in the trailer": lambda body: body[:-6] + bytes([body[-6] ^ 1]) + body[-5:],
    "cut in the middle": lambda body: body[: len(body) // 2],
    "cut in the header": lambda body: body[:5],
    "cut at a member's end": lambda body: body[: len(gzip.compress(ANN))],
    "emptied": lambda body: b"",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_shows_in_the_md5(folder: ExportFolder, how: str) -> None:
    """Whatever the damage makes of gzip and lines, it is reported as what it is: other bytes than the manifest's."""
    path = folder.add(ANN, BOB, body=gzip.compress(ANN) + gzip.compress(BOB))
    folder.seal()
    assert verify(folder).items == 2
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    expected = folder.entries[1]["md5Checksum"].replace("+", r"\+")
    error = refused(folder, rf"data file 2 of 2 .*: md5 expected {expected}, found .* over {path.stat().st_size} bytes")
    assert error.context["expected"] == folder.entries[1]["md5Checksum"]


@pytest.mark.parametrize(
    "how", ["extra garbage", "cut in the middle", "cut in the trailer", "not gzip", "a flipped bit"]
)
def test_a_broken_gzip_whose_md5_is_right(folder: ExportFolder, how: str) -> None:
    """An export that was written broken is told apart from one that was damaged afterwards."""
    body = gzip.compress(ANN + BOB)
    broken = {
        "extra garbage": body + b"garbage, and not gzip",
        "cut in the middle": body[: len(body) // 2],
        "cut in the trailer": body[:-3],
        "not gzip": ANN + BOB,
        "a flipped bit": body[:-6] + bytes([body[-6] ^ 1]) + body[-5:],
    }[how]
    folder.add(ANN, BOB, body=broken)
    folder.seal()
    refused(folder, "its gzip stream is cut or broken after [0-2] items")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_count(folder: ExportFolder, count: int) -> None:
    """md5 right, count wrong: cut before it was hashed, or written by somebody else."""
    folder.add(ANN, BOB, count=count)
    folder.seal()
    refused(folder, rf"data file 2 of 2 .*: item count expected {count}, found 2")


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"not JSON\n",
        b'{"Item":{"User":{"S":"bob"}}\n',
        b"\xff\xfe\n",
        b"[]\n",
        b'{"User":{"S":"bob"}}\n',
        b'{"Item":{"User":"bob"}}\n',
        b'{"Item":{"User":{"S":"bob","N":"1"}}}\n',
        b'{"Item":{"User":{"X":"bob"}}}\n',
        b'{"Item":{"User":{"N":"twelve"}}}\n',
        b'{"Item":{"Tags":{"SS":[]}}}\n',
        b'{"Item":{"User":{"S":"bob"}}}{"Item":{}}\n',
        b'{"Item":{"l":' + b'{"L":[' * 1000 + b"]}" * 1000 + b"}}\n",
    ],
)
def test_a_line_that_is_no_item(folder: ExportFolder, bad: bytes) -> None:
    """Line, byte offset and reason, and nothing of what the line holds; pickles with all of it."""
    folder.add(ANN, BOB, bad, CY)
    folder.seal()
    error = refused(
        folder, r"data file 2 of 2 .*, line 3 at byte \d+ of the unzipped file: .*; its md5 is right", ItemError
    )

    assert error.context["line"] == 3
    assert error.context["offset"] == len(ANN) + len(BOB)
    assert error.context["reason"]
    assert "bob" not in str(error).replace(str(folder.root), "")
    assert "twelve" not in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.context) == (str(error), error.context)


def test_a_line_that_is_no_item_in_a_damaged_file_is_damage(folder: ExportFolder) -> None:
    """The md5 is looked at before a line is blamed, to the end of the file, however early the line is."""
    path = folder.add(*[ANN] * 1000)
    folder.seal()
    body = gzip.compress(b"not JSON\n" + ANN * 999)
    path.write_bytes(body)
    refused(folder, f"md5 expected .* found .* over {len(body)} bytes")


def peak_bytes(look: Callable[[ExportFolder], object], folder: ExportFolder) -> int:
    """Return the most memory that Python objects took while *look* looked at *folder*."""
    # It imports what it needs.
    look(folder)
    tracemalloc.start()
    look(folder)
    return tracemalloc.get_traced_memory()[1]


def refuse_a_line_of_4_megabytes(folder: ExportFolder) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_ddbexport.core.export.lines.MAX_LINE_BYTES", 4 << 20)
        refused(folder, "line 1 at byte 0 .*no end of line within 4194304 bytes", ItemError)


def test_an_endless_line_is_not_gathered(folder: ExportFolder) -> None:
    """A small file that unzips to one huge line is refused before it fills the memory."""
    folder.add(ANN, body=gzip.compress(b" " * (32 << 20)))
    folder.seal()
    assert in_a_fresh_process(peak_bytes, refuse_a_line_of_4_megabytes, folder) < 16 << 20


def test_memory_does_not_grow_with_the_file(folder: ExportFolder) -> None:
    """20 MB of items are read in a few MB of memory."""
    text = line(User={"S": "ann"}, Review={"S": "x" * 5000})
    folder.add(*[text] * 4000)
    folder.seal()
    assert verify(folder).items == 4000
    assert in_a_fresh_process(peak_bytes, verify, folder) < 12 << 20


def test_a_sum_that_differs_is_found_when_the_manifest_was_not_asked(folder: ExportFolder) -> None:
    """verify_export compares what it has read with the summary, too."""
    folder.add(ANN)
    folder.seal()
    root = LocalStore(folder.root)
    export = read_export(root, EXPORT_ID)
    shorter = dataclasses.replace(export, files=export.files[:1])
    with pytest.raises(ManifestError, match="summary expects 1 items, the data files hold 0"):
        verify_export(root, shorter)


def test_a_body_cut_by_the_network_is_no_damage(tmp_path: Path, s3: Any, bucket: str, road: FaultyRoad) -> None:
    """A cut body is read on by the store; the reader sees the whole file."""
    folder = ExportFolder(tmp_path)
    path = folder.add(ANN, BOB, CY)
    folder.seal(s3Bucket=bucket)
    for file in folder.folder.rglob("*"):
        if file.is_file():
            s3.put_object(Bucket=bucket, Key=str(file.relative_to(tmp_path)), Body=file.read_bytes())
    cut = road.add(Fault("cut", "GET", path.name, at=20, times=2))
    root = S3Store(s3, bucket, "AWSDynamoDB", retries=FakeTime().policy())

    assert verify_export(root, read_export(root, EXPORT_ID)).items == 3
    assert cut.happened == 2
