"""The memory of batches that are gone is used for those to come, within bounds, and given back in the end."""

from __future__ import annotations

import ctypes
import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from fresh_process import in_a_fresh_process
from snapshot_exports import write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions, resolve
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, line_observer, memory_kept
from airflow_provider_ddbexport.core.line_blocks import BlockBuilder
from airflow_provider_ddbexport.core.snapshot import convert, convert_export, snapshot_items
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.store import LocalStore

kernel = load("_kernel")
if kernel is None:
    pytest.skip("there is no compiled decoder", allow_module_level=True)

MOST_SPARE_BYTES = 64 << 20
"""Of blocks.h."""


def a_builder() -> BlockBuilder:
    observer = line_observer(decode_line)
    observer.take(line("x"))
    return block_builder(decode_line, resolve(observer.observation(), ColumnOptions(), None))


def line(text: str) -> bytes:
    return b'{"Item":{"t":{"S":"%s"}}}\n' % text.encode()


def batch_of(builder: BlockBuilder, letter: str, size: int) -> pa.RecordBatch:
    """Return a batch with *size* bytes of that letter, in texts of about 64 KB.

    They come one by one: a builder has room for the escapes of as much as it is handed at once.
    """
    row = line(letter * (1 << 16))
    for _ in range(size >> 16):
        builder.add_lines(row, 0, most_rows=1 << 40, most_bytes=1 << 40)
    return builder.finish()


def letters_of(batch: pa.RecordBatch) -> set[str]:
    return set("".join(text[:9] + text[-9:] for text in batch.column("t").to_pylist()))


@pytest.fixture(autouse=True)
def _nothing_waits_before_or_after() -> Iterator[None]:
    # What tests before have left in circles would go in the midst of this one.
    gc.collect()
    assert kernel.spare_bytes() == 0
    yield
    assert kernel.spare_bytes() == 0


def test_a_batch_takes_the_memory_of_one_that_is_gone_and_of_none_that_is_there() -> None:
    """Until the last who asked for that is done; then nothing waits."""
    builder = a_builder()
    with memory_kept():
        first = batch_of(builder, "a", 1 << 20)
        place = first.column("t").buffers()[2].address
        second = batch_of(builder, "b", 1 << 20)
        assert second.column("t").buffers()[2].address != place
        del first
        with memory_kept():
            assert kernel.spare_bytes() >= 1 << 20
        waiting = kernel.spare_bytes()
        third = batch_of(builder, "c", 1 << 20)
        assert third.column("t").buffers()[2].address == place
        assert kernel.spare_bytes() <= waiting - (1 << 20)
        assert [letters_of(batch) for batch in (second, third)] == [{"b"}, {"c"}]
        del second
        assert kernel.spare_bytes() > 0
    assert kernel.spare_bytes() == 0
    assert letters_of(third) == {"c"}


def test_nothing_waits_where_nobody_asks_for_it() -> None:
    """A single batch leaves nothing in a process that goes on to do other things."""
    assert batch_of(a_builder(), "a", 1 << 20).num_rows == 16
    assert kernel.spare_bytes() == 0


def test_a_builder_that_begins_grows_into_what_waits() -> None:
    """Its first batch is not larger in memory than the one that is gone."""
    with memory_kept():
        gone = batch_of(a_builder(), "a", 1 << 21)
        place = gone.column("t").buffers()[2].address
        del gone
        batch = batch_of(a_builder(), "b", 1 << 21)
        assert batch.column("t").buffers()[2].address == place
        assert letters_of(batch) == {"b"}


def test_a_small_batch_takes_no_large_memory() -> None:
    """It would keep that for as long as it is there: many small ones at once would be as large as the largest."""
    with memory_kept():
        gone = batch_of(a_builder(), "a", 8 << 20)
        place = gone.column("t").buffers()[2].address
        del gone
        waiting = kernel.spare_bytes()
        assert waiting >= 8 << 20
        small = [batch_of(a_builder(), "b", 1 << 18) for _ in range(3)]
        assert kernel.spare_bytes() == waiting
        large = batch_of(a_builder(), "c", 6 << 20)
        assert large.column("t").buffers()[2].address == place
        assert [letters_of(batch) for batch in (*small, large)] == [{"b"}, {"b"}, {"b"}, {"c"}]


class _MallocFigures(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def build_large_batches() -> tuple[int, list[set[str]]]:
    """Return how many bytes of malloc's two batches of 8 MB and 1 MB take, and their letters."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _MallocFigures

    def given_out() -> int:
        figures = libc.mallinfo2()
        return int(figures.uordblks + figures.hblkhd)

    before = given_out()
    batches = [batch_of(a_builder(), "a", size) for size in (8 << 20, 1 << 20)]
    return given_out() - before, [letters_of(batch) for batch in batches]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="it is glibc that can be asked")
def test_large_blocks_are_not_of_malloc() -> None:
    """In its heaps they would leave room that nothing fits into, more and more of it as an export goes on."""
    given_out, letters = in_a_fresh_process(build_large_batches)
    assert given_out < 1 << 19
    assert letters == [{"a"}, {"a"}]


def tells_of_huge_pages() -> bool:
    """Return whether Linux has them, and says where they were asked for."""
    smaps = Path("/proc/self/smaps")
    has_them = Path("/sys/kernel/mm/transparent_hugepage").exists() and smaps.exists()
    return has_them and "\nVmFlags:" in smaps.read_text()


@pytest.mark.skipif(not tells_of_huge_pages(), reason="the system has no huge pages, or does not tell of them")
def test_large_blocks_are_in_huge_pages_and_others_are_not() -> None:
    """Those of 4 KB would be made one by one; small blocks would be 2 MB each."""
    batches = [batch_of(a_builder(), "a", size) for size in (8 << 20, 1 << 19)]
    large, small = (in_huge_pages(batch.column("t").buffers()[2].address) for batch in batches)
    assert (large, small) == (True, False)


def in_huge_pages(address: int) -> bool:
    """Return whether huge pages were asked for where *address* is."""
    is_there = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first:
            start, end = (int(bound, 16) for bound in first.split("-"))
            is_there = start <= address < end
        elif is_there and first == "VmFlags:":
            return "hg" in rest
    raise AssertionError


def test_what_waits_is_bounded() -> None:
    """However many batches go at once."""
    builder = a_builder()
    before = kernel.block_bytes()
    with memory_kept():
        batches = [batch_of(builder, "a", 8 << 20) for _ in range(12)]
        assert kernel.spare_bytes() == 0
        assert kernel.block_bytes() - before >= 12 * 8 << 20
        del batches
        assert MOST_SPARE_BYTES / 2 < kernel.spare_bytes() <= MOST_SPARE_BYTES
        assert kernel.block_bytes() - before == kernel.spare_bytes()
    assert kernel.block_bytes() == before


def test_threads_never_get_the_same_memory() -> None:
    """Batches that are built by some threads and go in others keep their values as long as they are there."""
    wrong: list[str] = []
    handed_on: list[pa.RecordBatch] = []

    def build(letter: str) -> None:
        builder = a_builder()
        kept: list[pa.RecordBatch] = []
        for number in range(60):
            kept.append(batch_of(builder, letter, (1 + number % 5) << 17))
            handed_on.append(kept.pop(0)) if len(kept) > 2 else None
            if len(handed_on) > 6:
                handed_on.clear()
            wrong.extend(letter for batch in kept if letters_of(batch) != {letter})

    with memory_kept():
        threads = [threading.Thread(target=build, args=(letter,)) for letter in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kernel.spare_bytes() > 0
        handed_on.clear()
    assert not wrong


def test_a_conversion_gives_all_of_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it fails; and its items are those of the export."""
    items = [{"id": {"N": str(number)}, "t": {"S": f"{number:06d}" * 500}} for number in range(3000)]
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 1_000_000)
    root, export = write_export(tmp_path, items)
    waiting: list[int] = []
    work = convert._Convert.__call__

    def watched(*args: object) -> Callable[[], object]:
        rest = work(*args)  # type: ignore[arg-type]
        waiting.append(kernel.spare_bytes())
        return rest

    monkeypatch.setattr(convert._Convert, "__call__", watched)
    lake = LocalStore(tmp_path / "lake")
    convert_export(root, export, lake, rows_per_part=1000)
    assert max(waiting) > 0
    assert kernel.spare_bytes() == 0
    found = [json.loads(found)["Item"] for found in snapshot_items(lake, "reviews")]
    assert sorted(found, key=lambda item: int(item["id"]["N"])) == items

    def failing(*args: object) -> object:
        # Whose threads nobody else would end.
        watched(*args)()
        raise OSError("no")

    monkeypatch.setattr(convert._Convert, "__call__", failing)
    with pytest.raises(OSError, match="no"):
        convert_export(root, export, LocalStore(tmp_path / "other"), rows_per_part=1000)
    assert waiting[-1] > 0
