"""Parts dealt to the rows that stay and the rows that are gone."""

from __future__ import annotations

import hashlib
import io
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from built_rows import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    partition_of,
    resolve,
)
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.keys import key_bytes, key_hashes
from airflow_provider_ddbexport.core.merge import split_part as splitting
from airflow_provider_ddbexport.core.merge.changed_keys import PLACES, ChangedKeys, Found, Sieve, as_stored
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, compiled
from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.snapshot.parquet_encoding import Encoder, frame_of
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Assembly, RowGroup, row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import read_struct_at

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import item_lists, random_items

some = settings(max_examples=15, database=None)

WRITERS: list[dict[str, Any]] = [
    {},
    {"data_page_size": 40, "write_batch_size": 3, "dictionary_pagesize_limit": 30},
    {"data_page_size": 100, "write_batch_size": 2, "use_dictionary": False, "compression": "snappy"},
    {"compression": "none", "write_statistics": False, "max_rows_per_page": 2},
    {"compression": "gzip"},
    {"data_page_version": "2.0"},
]


class Rows:
    """Finds the rows with the numbers *gone* in the column ``row``; *more* may be taken for them at first sight."""

    columns: ClassVar[list[str]] = ["row"]

    def __init__(self, gone: set[int], more: set[int] | None = None) -> None:
        self._gone = gone
        kernel = compiled()
        self.sieves: list[Sieve] = []
        self.seen = 0
        if kernel is not None and more is not None:
            numbers = as_stored(kernel, pa.array([*gone, *more], pa.int64()))
            values = kernel.Sieve(100, 1 << 20)
            numbers.sift(values, bytearray(b"\1") * (len(gone) + len(more)), add=True)
            self.sieves = [Sieve("row", numbers.type, numbers.width, values)]

    def find(self, batch: pa.RecordBatch) -> Found | None:
        numbers = batch.column("row").to_pylist()
        self.seen += len(numbers)
        if not self._gone & set(numbers):
            return None
        found = [number for number in numbers if number in self._gone]
        places = pa.RecordBatch.from_arrays([pa.array([0] * len(found)), pa.array(found)], ["table", "place"])
        return Found(bytes(number in self._gone for number in numbers), places.cast(PLACES))


def check(folder: Path, table: pa.Table, gone: set[int], rows_per_group: int, writer: dict[str, Any]) -> None:
    source, kept, dropped = folder / "source", folder / "kept", folder / "dropped"
    pq.write_table(table, source, row_group_size=rows_per_group, **{"compression": "zstd", **writer})
    more = set(range(0, table.num_rows, 7)) if len(gone) % 2 else None
    split = split_part(io.BytesIO(source.read_bytes()), Rows(gone, more), kept, dropped)
    if not gone:
        assert split is None
        assert not kept.exists()
        return
    assert split is not None
    assert split.places.column("place").to_pylist() == sorted(gone)
    assert split.rows == table.num_rows - len(gone)
    assert split.sha256 == hashlib.sha256(kept.read_bytes()).hexdigest()
    mask = pa.array([number in gone for number in range(table.num_rows)])
    whole = pq.read_table(source)
    for path, expected in ((kept, whole.filter(pc.invert(mask))), (dropped, whole.filter(mask))):
        found = pq.read_table(path)
        assert found.equals(expected, check_metadata=True)
        metadata = pq.read_metadata(path)
        assert metadata.num_rows == expected.num_rows
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            assert row_group.num_rows > 0
            for leaf in range(row_group.num_columns):
                statistics = row_group.column(leaf).statistics
                assert statistics is None or statistics.num_values + statistics.null_count == (
                    row_group.column(leaf).num_values
                )
    with duckdb.connect() as connection:
        told = connection.execute(f"SELECT count(*), sum(row) FROM read_parquet('{kept}')").fetchone()
    assert told == (split.rows, sum(set(range(table.num_rows)) - gone) if split.rows else None)


@pytest.fixture(params=["compiled", "read and written"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways through a row group."""
    if request.param == "compiled":
        assert compiled() is not None
    else:
        monkeypatch.setattr(splitting, "compiled", lambda: None)


@pytest.mark.usefixtures("way")
def test_every_row_is_in_one_of_the_two(tmp_path: Path) -> None:
    """Unharmed and in order: of nested columns, nulls, dictionaries, small pages, whatever the encoding."""
    for seed in range(30):
        dice = random.Random(seed)
        options = ColumnOptions(nested=dice.choice(["struct", "flatten", "json"]))
        _, batch = rows_of(random_items(dice, rows=dice.choice([1, 7, 40])), options)
        count = batch.num_rows
        table = pa.Table.from_batches([batch]).append_column("row", pa.array(range(count), pa.int64()))
        gone = set(dice.sample(range(count), dice.choice([0, 1, count // 2, count])))
        check(tmp_path, table, gone, dice.choice([1, 5, 100]), WRITERS[seed % len(WRITERS)])
        for path in tmp_path.iterdir():
            path.unlink()


@pytest.mark.parametrize("writer", WRITERS)
def test_pages_of_thousands_of_rows(writer: dict[str, Any], tmp_path: Path) -> None:
    """Long runs, wide indexes, lists over the ends of pages, and pages that lose nothing."""
    dice = random.Random(1)
    count = 6_000
    table = pa.table(
        {
            "row": pa.array(range(count), pa.int64()),
            "text": [f"{dice.randrange(10**9)}" * dice.randrange(4) for _ in range(count)],
            "few": [dice.choice(["a", "b", None]) for _ in range(count)],
            "runs": [number // 1500 for number in range(count)],
            "flag": [number % 700 < 350 for number in range(count)],
            "lists": [[dice.randrange(9)] * dice.choice([0, 1, 50]) if number % 3 else None for number in range(count)],
            "nested": [{"x": {"y": dice.choice([None, 1.5])}} if number % 2 else None for number in range(count)],
        }
    )
    check(tmp_path, table, set(dice.sample(range(count), 300)) - set(range(2000, 4500)), 1 << 17, writer)


def in_runs(dice: random.Random, count: int, different: int) -> list[int]:
    """Return numbers below *different*, of which some come many times in a row."""
    numbers: list[int] = []
    while len(numbers) < count:
        if dice.random() < 0.5:
            numbers += [dice.randrange(different)] * dice.choice([1, 3, 8, 9, 15, 300])
        else:
            numbers += [dice.randrange(different) for _ in range(dice.choice([1, 7, 8, 9, 64, 500]))]
    return numbers[:count]


def test_runs_and_packed_numbers_survive_split_after_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes, levels and booleans of any width: what one split leaves, the next takes apart, and others read."""
    monkeypatch.setattr(splitting, "_written", None)
    source, kept, dropped = tmp_path / "source", tmp_path / "kept", tmp_path / "dropped"
    for seed in range(6):
        dice = random.Random(seed)
        count = dice.choice([20, 300, 5000])
        columns: dict[str, Any] = {"row": pa.array(range(count), pa.int64())}
        for different in (1, 2, 5, 200, 3000):
            numbers = [
                None if seed % 2 and dice.random() < 0.1 else number for number in in_runs(dice, count, different)
            ]
            columns[f"text {different}"] = [None if number is None else f"v{number}" for number in numbers]
            columns[f"flag {different}"] = [None if number is None else number % 2 == 0 for number in numbers]
            columns[f"list {different}"] = [None if number is None else [number] * (number % 3) for number in numbers]
        table = pa.table(columns)
        pq.write_table(
            table, source, compression="zstd", row_group_size=count // 2, data_page_size=dice.choice([99, 1 << 20])
        )
        while table.num_rows > 1:
            left = table.column("row").to_pylist()
            gone = set(dice.sample(left, max(1, int(len(left) * dice.choice([0.01, 0.3, 0.9])))))
            assert split_part(io.BytesIO(source.read_bytes()), Rows(gone, set()), kept, dropped) is not None
            mask = pa.array([row in gone for row in left])
            assert pq.read_table(dropped).equals(table.filter(mask))
            table = table.filter(pc.invert(mask))
            with duckdb.connect() as connection:
                found = connection.execute(f"SELECT * FROM read_parquet('{kept}')").fetchall()
            assert found == [tuple(row.values()) for row in table.to_pylist()]
            kept.replace(source)


def test_the_compiled_way_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts as conversion writes them are split without reading a value that is no key."""
    monkeypatch.setattr(splitting, "_written", None)
    for seed in range(20):
        _, batch = rows_of(random_items(random.Random(seed), rows=40))
        table = pa.Table.from_batches([batch]).append_column("row", pa.array(range(40), pa.int64()))
        check(tmp_path, table, {1, 5, 20}, 30, {})


def write_part(path: Path, *groups: pa.RecordBatch) -> None:
    """Write *groups* as conversion does."""
    with path.open("wb") as file:
        assembly, encoder = Assembly(file, frame_of(groups[0].schema)), Encoder()
        for rows in groups:
            assembly.add(RowGroup.new(rows.num_rows), encoder.chunks(rows), ())
        assembly.finish()


def test_pages_of_our_own_that_lose_nothing_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say nothing of nulls; that their chunk has none is enough."""
    dice = random.Random(3)
    count = 200
    rows = pa.record_batch({"row": range(count), "text": [dice.randbytes(10_000).hex() for _ in range(count)]})
    write_part(tmp_path / "source", rows)
    unpacked: list[tuple[str, int]] = []
    unpack = OpenChunk._unpacked

    def noting(chunk: OpenChunk, page: Any) -> Any:
        unpacked.append((chunk._chunk.column, page.entries))
        return unpack(chunk, page)

    monkeypatch.setattr(OpenChunk, "_unpacked", noting)
    assert (
        split_part(io.BytesIO((tmp_path / "source").read_bytes()), Rows({60}), tmp_path / "kept", tmp_path / "gone")
        is not None
    )
    assert unpacked == [("row", count), ("text", 52)]
    assert pq.read_table(tmp_path / "kept").equals(pa.table(rows).filter(pc.not_equal(pa.array(range(count)), 60)))
    assert pq.read_metadata(tmp_path / "kept").row_group(0).column(1).statistics.null_count == 0


def test_a_part_without_candidates_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its footer and the pages of its keys are enough to tell that it loses nothing."""
    write_part(
        tmp_path / "source", pa.record_batch({"row": range(100), "list": [[{"a": n}, None] for n in range(100)]})
    )
    wanted = Rows({1000}, {2000})
    monkeypatch.setattr(pq, "ParquetFile", None)
    with (tmp_path / "source").open("rb") as source:
        assert split_part(source, wanted, tmp_path / "kept", tmp_path / "gone") is None


def test_what_points_elsewhere_in_the_file_is_not_copied(tmp_path: Path) -> None:
    """Of row groups that lose nothing, something and everything: where an index or a filter was, other bytes are."""
    table = pa.table({"row": range(6), "text": ["a", "b", "c", "d", "e", "f"]})
    pq.write_table(
        table,
        tmp_path / "source",
        row_group_size=2,
        write_page_index=True,
        bloom_filter_options={"text": {"ndv": 10}},
        sorting_columns=[pq.SortingColumn(0)],
    )
    split = split_part(
        io.BytesIO((tmp_path / "source").read_bytes()), Rows({2, 4, 5}), tmp_path / "kept", tmp_path / "gone"
    )
    assert split is not None
    for name, expected, sorted_by in (("kept", [[0, 1], [3]], ["row"]), ("gone", [[2], [4, 5]], [])):
        with (tmp_path / name).open("rb") as file:
            groups = list(row_groups(file))
            assert all(chunk.is_movable for group in groups for chunk in group.chunks)
            assert [[by.column for by in group.sorted_by] for group in groups] == [sorted_by, sorted_by]
        with pq.ParquetFile(tmp_path / name) as parquet:
            found = [parquet.read_row_group(number) for number in range(2)]
        assert found == [table.take(rows) for rows in expected]


def test_rows_that_are_gone_of_many_row_groups_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order with those of a row group that goes as it is; one at a time where each is large enough."""
    table = pa.table({"row": pa.array(range(600), pa.int64()), "text": [f"{row % 7}" * 50 for row in range(600)]})
    gone = {*range(0, 600, 13), *range(200, 220)}
    for most, groups in ((1 << 20, 3), (1, 30)):
        monkeypatch.setattr(splitting, "_GONE_BYTES", most)
        check(tmp_path, table, gone, 20, {"use_dictionary": ["text"]})
        assert pq.read_metadata(tmp_path / "dropped").num_row_groups == groups


def test_indexes_wider_than_their_page_says_are_read_and_written(tmp_path: Path) -> None:
    """pyarrow reads them, so nothing else is made of them."""
    table = pa.table({"row": pa.array(range(60), pa.int64()), "text": ["x"] * 20 + ["y"] * 20 + ["z"] * 20})
    file = io.BytesIO()
    pq.write_table(table, file, compression="none", use_dictionary=["text"])
    body, runs = file.getvalue(), bytes([40, 0, 40, 1, 40, 2])
    assert body.count(b"\2" + runs) == 1
    body = body.replace(b"\2" + runs, b"\1" + runs)
    assert pq.read_table(io.BytesIO(body)).equals(table)
    gone = {0, *range(42, 58)}
    assert split_part(io.BytesIO(body), Rows(gone, set()), tmp_path / "kept", tmp_path / "gone") is not None
    mask = pa.array([row in gone for row in range(60)])
    assert pq.read_table(tmp_path / "kept").equals(table.filter(pc.invert(mask)))
    assert pq.read_table(tmp_path / "gone").equals(table.filter(mask))


def test_a_dictionary_of_nothing_is_not_uncompressed(tmp_path: Path) -> None:
    """pyarrow does not do so, and reads a part where such a page is damaged."""
    table = pa.table({"row": pa.array(range(10), pa.int64()), "none": pa.nulls(10, pa.list_(pa.string()))})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    body = bytearray(file.getvalue())
    chunk = pq.read_metadata(file).row_group(0).column(1)
    header, start = read_struct_at(bytes(body), chunk.dictionary_page_offset)
    assert header[2][1] == 0, "the dictionary has something"
    body[start + header[3][1] - 2] = 248
    with pytest.raises(OSError, match="ZSTD"):
        pa.Codec("zstd").decompress(bytes(body[start : start + header[3][1]]), 0)
    assert pq.read_table(io.BytesIO(body)).equals(table)
    assert split_part(io.BytesIO(body), Rows({3, 4}), tmp_path / "kept", tmp_path / "gone") is not None
    assert pq.read_table(tmp_path / "gone").equals(table.slice(3, 2))


def test_a_damaged_page_is_no_crash(tmp_path: Path) -> None:
    """Bytes that are not what the footer says end in an error or in rows, never beyond the page."""
    table = pa.table({"row": pa.array(range(500), pa.int64()), "s": [["a", str(n)] * (n % 3) for n in range(500)]})
    source = tmp_path / "source"
    pq.write_table(table, source, compression="none", use_dictionary=["s"])
    body = source.read_bytes()
    refused = 0
    for seed in range(120):
        dice = random.Random(seed)
        damaged = bytearray(body)
        for _ in range(3):
            # Behind the column of keys.
            damaged[dice.randrange(4100, len(body) - 1500)] = dice.randrange(256)
        source.write_bytes(damaged)
        try:
            split_part(io.BytesIO(source.read_bytes()), Rows({3, 400}, {7}), tmp_path / "kept", tmp_path / "gone")
        except Exception:  # noqa: BLE001 - any error will do
            refused += 1
    assert refused > 20


@some
@given(
    items=item_lists(),
    changed=item_lists(),
    options=st.builds(
        ColumnOptions,
        numbers=st.sampled_from(["auto", "double", "string", "decimal(10,2)", "decimal(38,0)"]),
        partition_by=st.sampled_from([(), ("x",), ("User",)]),
    ),
    attributes=st.sampled_from([("User",), ("x",), ("User", "x"), ("x", "p/q")]),
)
def test_changed_keys_are_found_in_whatever_column(
    items: list[Item], changed: list[Item], options: ColumnOptions, attributes: tuple[str, ...]
) -> None:
    """Rescued ones and those in the path too, in one table or two; and no other rows."""
    items = [*items, {"x": {"N": "1"}, "User": {"S": "a"}}, {"x": {"N": "3.5"}, "User": {"S": "3.5"}}]
    observation = Observation()
    for item in items:
        observation.add(item)
    schema = resolve(observation, options)
    wanted = {key for item in [*changed, *items[:1]] if (key := key_bytes(item, attributes)) is not None}
    tables = dealt(wanted, 2)
    keys = ChangedKeys(attributes, tables)
    for item in items:
        builder = RowBuilder(schema)
        builder.add(item)
        found = keys.search(schema, partition_of(item, schema)).find(builder.finish())
        key = key_bytes(item, attributes)
        assert (found is not None) == (key in wanted)
        assert found is None or (found.marks, keys_at(found.places, tables)) == (b"\1", [key])


def dealt(keys: Iterable[bytes], tables: int) -> list[pa.BinaryArray]:
    ordered = pa.array(sorted(keys), pa.binary())
    numbers = [number % tables for number in key_hashes(ordered)]
    return [ordered.filter(pa.array([number == table for number in numbers], pa.bool_())) for table in range(tables)]


def keys_at(places: pa.RecordBatch, tables: list[pa.BinaryArray]) -> list[bytes]:
    return [tables[place["table"]][place["place"]].as_py() for place in places.to_pylist()]


@pytest.mark.usefixtures("way")
@some
@given(
    items=item_lists(),
    changed=item_lists(),
    options=st.builds(
        ColumnOptions, numbers=st.sampled_from(["auto", "double", "string", "decimal(10,2)", "decimal(38,0)"])
    ),
    attributes=st.sampled_from([("User",), ("x",), ("User", "x"), ("x", "p/q")]),
)
def test_parts_lose_the_rows_of_changed_keys(
    items: list[Item],
    changed: list[Item],
    options: ColumnOptions,
    attributes: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """And no others, whatever the key is made of and however it is stored."""
    folder = tmp_path_factory.mktemp("part")
    items = [*items, {"x": {"N": "1"}, "User": {"S": "a"}}, {"x": {"N": "3.5"}, "User": {"S": "3.5"}}, *changed[:2]]
    schema, batch = rows_of(items, options)
    pq.write_table(pa.table(batch), folder / "source", row_group_size=3, compression="zstd")
    wanted = {key for item in [*changed, *items[:1]] if (key := key_bytes(item, attributes)) is not None}
    tables = dealt(wanted, 2)
    search = ChangedKeys(attributes, tables).search(schema)
    split = split_part(io.BytesIO((folder / "source").read_bytes()), search, folder / "kept", folder / "gone")
    hits = [key for item in items if (key := key_bytes(item, attributes)) in wanted]
    assert (split is None) == (not hits)
    if split is not None:
        assert keys_at(split.places, tables) == hits
        mask = pa.array([key_bytes(item, attributes) in wanted for item in items])
        assert pq.read_table(folder / "kept").equals(pa.table(batch.filter(pc.invert(mask))))
        assert pq.read_table(folder / "gone").equals(pa.table(batch.filter(mask)))
