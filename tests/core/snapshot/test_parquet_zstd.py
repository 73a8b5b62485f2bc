"""Pages compressed with zstd."""

from __future__ import annotations

import random
import struct
import threading

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.snapshot import parquet_zstd
from airflow_provider_ddbexport.core.snapshot.parquet_zstd import COMPRESSION_LEVEL, compress, uncompress

ARROW = pa.Codec("zstd", COMPRESSION_LEVEL)

PAGES = st.tuples(
    st.one_of(
        st.binary(max_size=3_000),
        st.builds(lambda piece, times: piece * times, st.binary(max_size=40), st.integers(0, 30_000)),
        st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(), st.integers(0, 300_000)),
    ),
    st.integers(0, 10_000),
    st.booleans(),
)


@given(PAGES)
def test_pages_come_back_by_us_and_by_arrow(page: tuple[bytes, int, bool]) -> None:
    body, entries, are_numbers = page
    packed = compress(body, entries, are_numbers=are_numbers)
    assert uncompress(packed, len(body)) == body
    assert ARROW.decompress(packed, len(body), asbytes=True) == body
    # Readers make room by it.
    assert zstandard.frame_content_size(packed) == len(body)
    assert uncompress(ARROW.compress(body, asbytes=True), len(body)) == body


@given(st.lists(PAGES, min_size=2, max_size=6))
def test_what_was_compressed_before_makes_no_difference(pages: list[tuple[bytes, int, bool]]) -> None:
    """Parts of the same name have the same bytes, whoever writes them."""
    here = [compress(body, entries, are_numbers=are_numbers) for body, entries, are_numbers in pages]
    alone: list[bytes] = []
    for body, entries, are_numbers in pages:
        # A thread has contexts of its own.
        thread = threading.Thread(
            target=lambda page: alone.append(compress(*page[:2], are_numbers=page[2])),
            args=[(body, entries, are_numbers)],
        )
        thread.start()
        thread.join()
    assert here == alone
    again = [compress(body, entries, are_numbers=are_numbers) for body, entries, are_numbers in reversed(pages)]
    assert again[::-1] == here


def test_times_become_smaller_than_at_the_level_alone() -> None:
    dice = random.Random(3)
    for numbers in (
        [1_760_000_000_000 + number * 977 for number in range(100_000)],
        [1_760_000_000_000 + dice.randrange(64_000_000) * 64 for _ in range(100_000)],
    ):
        page = struct.pack(f"<{len(numbers)}q", *numbers)
        assert len(compress(page, len(numbers), are_numbers=True)) < 0.9 * len(ARROW.compress(page, asbytes=True))


def test_long_texts_become_what_the_level_makes_of_them() -> None:
    dice = random.Random(4)
    words = [dice.randbytes(dice.randrange(3, 9)).hex() for _ in range(3_000)]
    page = " ".join(dice.choices(words, k=100_000)).encode()
    assert compress(page, 1_000, are_numbers=False) == ARROW.compress(page, asbytes=True)


def test_what_other_writers_made_is_uncompressed() -> None:
    body = b"some text, " * 1_000
    frames = ARROW.compress(body[:5_000], asbytes=True) + ARROW.compress(body[5_000:], asbytes=True)
    assert uncompress(frames, len(body)) == body
    untold = zstandard.ZstdCompressor(write_content_size=False).compress(body)
    assert uncompress(untold, len(body)) == body
    assert uncompress(memoryview(frames), len(body)) == body
    assert uncompress(ARROW.compress(b"", asbytes=True), 0) == b""


@given(st.data())
def test_damage_is_found_or_is_none(data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=2_000)) * 3
    packed = bytearray(ARROW.compress(body, asbytes=True))
    place = data.draw(st.integers(0, len(packed) - 1))
    if data.draw(st.booleans()):
        packed[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del packed[place:]
    size = data.draw(st.sampled_from([len(body), len(body) + 1, 0, 1]))
    try:
        found = uncompress(bytes(packed), size)
    except (ValueError, OSError):
        return
    assert len(found) == size


@pytest.mark.parametrize("size", [0, 1, 10_999, 11_001, 1 << 40])
def test_another_size_than_told_is_refused(size: int) -> None:
    packed = ARROW.compress(b"some text, " * 1_000, asbytes=True)
    with pytest.raises((ValueError, OSError, MemoryError)):
        parquet_zstd.uncompress(packed, size)


def test_what_lies_behind_a_page_is_refused() -> None:
    body = b"some text, " * 1_000
    with pytest.raises(ValueError, match="malformed page"):
        uncompress(ARROW.compress(body, asbytes=True) + b"more", len(body))
