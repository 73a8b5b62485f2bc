"""Files that are hashed as they are written."""

from __future__ import annotations

import hashlib
import os
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.snapshot.hashed_file import Crc32, HashedFile

if TYPE_CHECKING:
    from typing_extensions import Buffer


def test_what_is_hashed_is_what_is_written(tmp_path: Path) -> None:
    choice = random.Random(7)
    expected = bytearray()
    sha256, crc32 = hashlib.sha256(), Crc32()
    reused = bytearray(70_000)
    for mode in ("wb", "ab"):
        with HashedFile(tmp_path / "file", mode, sha256, crc32) as file:
            for size in (0, 1, 20, 600_000, 3_000_000, *choice.choices(range(40_000), k=200)):
                piece = choice.randbytes(size)
                if size <= len(reused):
                    # As those do who read into the same memory again and again.
                    reused[:size] = piece
                    assert file.write(memoryview(reused)[:size]) == size
                    expected += piece
                assert file.write(piece) == size
                expected += piece
                assert file.tell() == len(expected)
            file.writelines([b"page", b"", b"header"])
            expected += b"pageheader"
    assert (tmp_path / "file").read_bytes() == expected
    assert sha256.digest() == hashlib.sha256(expected).digest()
    assert crc32.value == zlib.crc32(expected)


def test_thousands_of_small_pieces_are_written(tmp_path: Path) -> None:
    pieces = [b"%d," % number for number in range(5_000)]
    with HashedFile(tmp_path / "file", "wb") as file:
        file.writelines(pieces)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_what_the_system_leaves_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(file: int, pieces: Sequence[Buffer]) -> int:
        return os.write(file, b"".join(pieces)[:7])

    monkeypatch.setattr(os, "writev", some)
    with HashedFile(tmp_path / "file", "wb") as file:
        file.writelines([b"one", b"and", b"another", b"that is longer"])
        file.write(bytearray(b" than seven"))
    assert (tmp_path / "file").read_bytes() == b"oneandanotherthat is longer than seven"


@pytest.mark.skipif(load("_disk") is None, reason="the compiled part is not there")
def test_room_that_is_not_used_is_given_back(tmp_path: Path) -> None:
    plain, roomy = tmp_path / "plain", tmp_path / "roomy"
    with HashedFile(plain, "wb") as file:
        file.write(b"a page")
    with HashedFile(roomy, "wb", size=8 << 20) as file:
        file.write(b"a page")
        file.flush()
        os.fsync(file.fileno())
        meanwhile = roomy.stat()
    for path in (plain, roomy):
        with path.open("rb") as written:
            os.fsync(written.fileno())
    assert roomy.read_bytes() == b"a page"
    assert meanwhile.st_size == len(b"a page")
    with (tmp_path / "probe").open("wb") as probe:
        if load("_disk").reserve(probe.fileno(), 8 << 20):
            assert 512 * meanwhile.st_blocks >= 8 << 20
    assert roomy.stat().st_blocks == plain.stat().st_blocks


def test_a_disk_where_no_room_can_be_made_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_ddbexport.core.snapshot.hashed_file.load", lambda _name: None)
    with HashedFile(tmp_path / "file", "wb", size=100) as file:
        file.write(b"a page")
    assert (tmp_path / "file").read_bytes() == b"a page"
