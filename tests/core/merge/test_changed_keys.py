"""What looking for changed keys takes."""

from __future__ import annotations

import struct
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_rows import rows_of
from fresh_process import in_a_fresh_process

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys, as_stored
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, compiled
from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.snapshot.parquet_footer import row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_levels import read_leaves

ATTRIBUTES = ("Book", "User")


def look_for_few_of_many(count: int) -> tuple[int, int, int]:
    """Return how many sieves there are for *count* keys, how many are found, and the bytes that the search took."""
    items = [{"Book": {"N": str(number)}, "User": {"S": f"u{number}"}} for number in range(count)]
    observation = Observation()
    observation.add(items[0])
    schema = resolve(observation, ColumnOptions())
    builder = RowBuilder(schema)
    for item in items[::1000]:
        builder.add(item)
    rows = builder.finish()
    table = pa.array(sorted(key for item in items if (key := key_bytes(item, ATTRIBUTES)) is not None), pa.binary())
    keys = ChangedKeys(ATTRIBUTES, [table])
    tracemalloc.start()
    taken = pa.total_allocated_bytes()
    try:
        search = keys.search(schema)
        found = search.find(rows)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is not None
    return len(search.sieves), found.places.num_rows, kept + pa.total_allocated_bytes() - taken


def test_keys_are_not_kept_as_objects() -> None:
    """Looking for keys takes less than 10 bytes for each besides sieves and its table, which may be a mapped file."""
    sieves, found, taken = in_a_fresh_process(look_for_few_of_many, 20_000)
    assert (sieves, found) == (2, 20)
    assert taken < 10 * 20_000


def test_hardly_any_other_value_passes_a_sieve() -> None:
    """Of 300,000 fewer than 10, so that most row groups that lose nothing are told by it alone; all its own do."""
    kernel = compiled()
    assert kernel is not None
    sieve = kernel.Sieve(10_000, 1 << 26)
    own, others = (as_stored(kernel, pa.array(numbers, pa.int64())) for numbers in (range(10_000), range(-300_000, 0)))
    own.sift(sieve, bytearray(b"\1") * 10_000, add=True)
    passed = bytearray(b"\1") * 10_000, bytearray(b"\1") * 300_000
    own.sift(sieve, passed[0])
    others.sift(sieve, passed[1])
    assert passed[0].count(1) == 10_000
    assert passed[1].count(1) < 10


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        (["", "a", "é", "a" * 3000] * 20, pa.string()),
        ([b"", b"\0", b"ab"] * 20, pa.binary()),
        ([0, -1, 1 << 62] * 20, pa.int64()),
        ([None] * 60, pa.map_(pa.string(), pa.string())),
        ([None] * 60, pa.int64()),
    ],
)
@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "data_page_size": 50, "write_batch_size": 2}])
@pytest.mark.parametrize("is_nullable", [True, False])
def test_values_of_rows_are_taken_without_reading_a_file(
    values: list[Any], arrow: pa.DataType, options: dict[str, Any], is_nullable: bool, tmp_path: Path
) -> None:
    """Of the columns that keys are in mostly, and where nothing was rescued, however they are stored."""
    field = pa.field("value", arrow, nullable=is_nullable or None in values)
    pq.write_table(pa.table([values], pa.schema([field])), tmp_path / "part", **options)
    rows = bytes(number % 7 in {1, 4} for number in range(len(values)))
    with (tmp_path / "part").open("rb") as file:
        group, leaf = next(row_groups(file)), read_leaves(file)[0]
        found = OpenChunk(compiled(), group.chunks[0], leaf, compiled().Room()).values(rows, arrow)
    assert found is not None
    found.validate(full=True)
    assert found.equals(pa.array([value for value, row in zip(values, rows, strict=True) if row], arrow))


@pytest.mark.parametrize(
    ("values", "arrow"), [([None, "a"], pa.string()), ([1.5], pa.float64()), ([[1]], pa.list_(pa.int64()))]
)
def test_other_values_are_for_arrow_to_read(values: list[Any], arrow: pa.DataType, tmp_path: Path) -> None:
    """Nulls among others, other types, and several values a row."""
    pq.write_table(pa.table([pa.array(values, arrow)], ["value"]), tmp_path / "part")
    with (tmp_path / "part").open("rb") as file:
        group, leaf = next(row_groups(file)), read_leaves(file)[0]
        opened = OpenChunk(compiled(), group.chunks[0], leaf, compiled().Room())
        assert opened.values(b"\1" * len(values), arrow) is None


def test_a_page_of_texts_is_not_read_beyond_its_end() -> None:
    """Wherever it is cut, whatever size it tells, and however many texts are expected."""
    kernel = compiled()
    assert kernel is not None
    levels = struct.pack("<I", 2) + b"\6\1"
    body = levels + struct.pack("<I", 3) + b"abc" + struct.pack("<I", 0) + struct.pack("<I", 2) + b"de"
    offsets, texts = kernel.texts([body, body], True, 6)
    assert (bytes(texts[:10]), memoryview(offsets).cast("i").tolist()) == (b"abcdeabcde", [0, 3, 3, 5, 8, 8, 10])
    broken = [body[:end] for end in range(len(body))]
    broken += [body[:at] + b"\xff\xff\xff\xff" + body[at + 4 :] for at in (0, 6, 13, 17)]
    for one in broken:
        with pytest.raises(ValueError, match="malformed page"):
            kernel.texts([one], True, 3)
    for count in (2, 4, -1, 1 << 40):
        with pytest.raises(ValueError, match="malformed page"):
            kernel.texts([body], True, count)


def test_what_tells_most_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column in one row group, and then the one whose values let fewest rows pass, wherever it lies."""
    items: list[Item] = [{"a": {"S": "same"}, "b": {"S": f"{n:03}"}} for n in range(60)]
    schema, rows = rows_of(items)
    pq.write_table(pa.table(rows), tmp_path / "part", row_group_size=10)
    asked = []
    sift = OpenChunk.sift

    def noting(chunk: OpenChunk, sieve: Any, found: bytearray, *, add: bool = False) -> None:
        if not add:
            asked.append((chunk.column, found.count(1)))
        sift(chunk, sieve, found, add=add)

    monkeypatch.setattr(OpenChunk, "sift", noting)
    keys = pa.array(sorted(key for item in items[1::10] if (key := key_bytes(item, ("a", "b")))), pa.binary())
    with (tmp_path / "part").open("rb") as part:
        split = split_part(part, ChangedKeys(("a", "b"), [keys]).search(schema), tmp_path / "kept", tmp_path / "gone")
    assert split is not None
    assert split.places.column("place").to_pylist() == list(range(len(keys)))
    assert asked == [("a", 10), ("b", 10), *[("b", 10), ("a", 1)] * 5]


def test_lines_are_looked_up_where_they_begin() -> None:
    """In any order, also twice; nothing beyond the end is read."""
    kernel = compiled()
    assert kernel is not None
    lines = b"a\nbcd\n\nwithout a break"
    assert kernel.lines_at(lines, array("q", [2, 0, 6, 2])) == b"bcd\na\n\nbcd\n"
    assert kernel.lines_at(b"", array("q")) == b""
    for start in (-1, 7, len(lines), 1 << 40):
        with pytest.raises(ValueError, match="lines"):
            kernel.lines_at(lines, array("q", [0, start]))


def test_texts_are_put_into_a_page_of_their_size() -> None:
    """Some of an array, too; where its offsets are not in order nothing is written beyond the page."""
    kernel = compiled()
    assert kernel is not None
    texts = pa.array(["a", "", "bcd", "e"])
    assert kernel.plain_page(texts) == b"\1\0\0\0a\0\0\0\0\3\0\0\0bcd\1\0\0\0e"
    assert kernel.plain_page(texts.slice(1, 2)) == b"\0\0\0\0\3\0\0\0bcd"
    assert kernel.plain_page(texts.slice(4)) == b""
    for ends in ([0, 3, 2], [2, 0, 3], [0, -1, 3]):
        broken = pa.StringArray.from_buffers(2, pa.py_buffer(array("i", ends)), pa.py_buffer(b"abc"))
        with pytest.raises(ValueError, match="texts"):
            kernel.plain_page(broken)
