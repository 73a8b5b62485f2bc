"""The compiled part reads lines to where they stay, and they are those that Python joins."""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import igzip_lib

from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.export import lines

compiled = load("_lines")
if compiled is None:
    pytest.skip("the compiled part is not there", allow_module_level=True)


def lines_of(zipped: bytes, chunk_bytes: int, block_bytes: int, *, in_python: bool = False) -> list[bytes]:
    chunks = (zipped[start : start + chunk_bytes] for start in range(0, len(zipped), chunk_bytes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK_BYTES", block_bytes)
        if in_python:
            patch.setattr(lines, "load", lambda _name: None)
        return list(lines._unzipped_lines(chunks))


@given(
    members=st.lists(st.text("ab\n", max_size=60).map(str.encode), max_size=4),
    chunk_bytes=st.integers(1, 50),
    block_bytes=st.integers(1, 50),
)
def test_lines_are_those_that_python_joins(members: list[bytes], chunk_bytes: int, block_bytes: int) -> None:
    """Of files of several members, however they are cut; every block is whole lines, but for the last one's end."""
    zipped = b"".join(map(gzip.compress, members))
    found = lines_of(zipped, chunk_bytes, block_bytes)
    joined = lines_of(zipped, chunk_bytes, block_bytes, in_python=True)
    assert b"".join(found) == b"".join(joined) == b"".join(members)
    for blocks in (found, joined):
        assert all(blocks)
        assert all(block.endswith(b"\n") for block in blocks[:-1])
    # The compiled decoder looks at the byte behind them.
    assert [len(block) for block in found] == [block.find(b"\0") if b"\0" in block else len(block) for block in found]
    assert all(hash(block) == hash(bytes(bytearray(block))) for block in found)


def test_lines_may_be_longer_than_what_is_read_at_once() -> None:
    """They are read on, and so is what is behind them."""
    text = b"a" * 1000 + b"\n" + b"b" * 10 + b"\n" + b"c" * 500
    assert lines_of(gzip.compress(text), 64, 16)[0] == b"a" * 1000 + b"\n"
    assert b"".join(lines_of(gzip.compress(text), 64, 16)) == text


@pytest.mark.parametrize("in_python", [False, True], ids=["compiled", "in Python"])
def test_a_stream_that_is_cut_gives_what_is_before_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, in_python: bool
) -> None:
    """Whole blocks are given; the one in which the file breaks is not."""
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 20_000)
    if in_python:
        monkeypatch.setattr(lines, "load", lambda _name: None)
    text = b"ann\nbob\n" * 20_000
    cut = lines._unzipped_lines([gzip.compress(text, 0)[:90_000]])
    found = list(itertools.islice(cut, 4))
    assert [len(block) for block in found] == [20_000] * 4
    assert text.startswith(b"".join(found))
    with pytest.raises((EOFError, igzip_lib.IsalError)):
        list(cut)


def test_what_is_read_stays_as_it_is() -> None:
    """Who reads for it can write to the lines only until they are given, and is not believed to have read more."""
    assert compiled is not None
    views: list[memoryview] = []

    def reading(size: int) -> Callable[[memoryview], int]:
        def readinto(view: memoryview) -> int:
            views.append(view)
            return size

        return readinto

    for wrong in (-1, 101, 1 << 40):
        with pytest.raises(ValueError, match="size"):
            compiled.read_lines(reading(wrong), b"", 100)
    assert compiled.read_lines(reading(0), b"rest", 100) == (b"", b"rest", 0)
    for view in views:
        with pytest.raises(ValueError, match="released"):
            view[0] = 0

    with pytest.raises(TypeError):
        compiled.read_lines(io.BytesIO(b"x").readinto, None, 100)
    assert compiled.read_lines(io.BytesIO(b"x\nyz").readinto, b"", 100) == (b"x\n", b"yz", 4)
    assert compiled.read_lines(io.BytesIO(b"x\nyz").readinto, b"w" * 200, 3) == (b"w" * 200 + b"x\n", b"y", 3)
