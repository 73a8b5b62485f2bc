"""Parts dealt to the rows that stay and the rows that are gone."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    Schema,
    partition_of,
    resolve,
)
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge import split_part as splitting
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys, Found
from airflow_provider_ddbexport.core.merge.split_part import split_part

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


def rows_of(items: list[Item], options: ColumnOptions | None = None) -> tuple[Schema, pa.RecordBatch]:
    observation = Observation()
    for item in items:
        observation.add(item)
    schema = resolve(observation, options or ColumnOptions())
    builder = RowBuilder(schema)
    for item in items:
        builder.add(item)
    return schema, builder.finish()


def those_at(gone: set[int]) -> Callable[[pa.RecordBatch], Found | None]:
    """Return what finds the rows with these numbers in the column ``row``."""

    def find(batch: pa.RecordBatch) -> Found | None:
        numbers = batch.column("row").to_pylist()
        if not gone & set(numbers):
            return None
        keys = [b"%d" % number for number in numbers if number in gone]
        return Found(pa.array([number in gone for number in numbers]), pa.array(keys, pa.binary()))

    return find


def check(folder: Path, table: pa.Table, gone: set[int], rows_per_group: int, writer: dict[str, Any]) -> None:
    source, kept, dropped = folder / "source", folder / "kept", folder / "dropped"
    pq.write_table(table, source, row_group_size=rows_per_group, **{"compression": "zstd", **writer})
    split = split_part(source, those_at(gone), ["row"], kept, dropped)
    if not gone:
        assert split is None
        assert not kept.exists()
        return
    assert split is not None
    assert split.keys.to_pylist() == [b"%d" % number for number in sorted(gone)]
    assert split.rows == table.num_rows - len(gone)
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
    told = duckdb.execute(f"SELECT count(*), sum(row) FROM read_parquet('{kept}')").fetchone()
    assert told == (split.rows, sum(set(range(table.num_rows)) - gone) if split.rows else None)


@pytest.fixture(params=["compiled", "read and written"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways through a row group."""
    if request.param == "compiled":
        assert splitting._kernel() is not None
    else:
        monkeypatch.setattr(splitting, "_kernel", lambda: None)


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


def test_the_compiled_way_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts as conversion writes them are split without reading a value that is no key."""
    monkeypatch.setattr(splitting, "_written", None)
    for seed in range(20):
        _, batch = rows_of(random_items(random.Random(seed), rows=40))
        table = pa.Table.from_batches([batch]).append_column("row", pa.array(range(40), pa.int64()))
        check(tmp_path, table, {1, 5, 20}, 30, {})


@pytest.mark.parametrize(("most", "calls"), [(1 << 30, 1), (1, 6)])
def test_large_keys_are_looked_up_in_smaller_lots(
    most: int, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in memory at once is bounded by its size, and not by its rows alone."""
    monkeypatch.setattr(splitting, "_BYTES_AT_ONCE", most)
    pq.write_table(pa.table({"row": pa.array(range(60), pa.int64())}), tmp_path / "source", row_group_size=10)
    lots: list[int] = []

    def find(batch: pa.RecordBatch) -> Found | None:
        lots.append(batch.num_rows)
        return those_at({5, 41})(batch)

    split = split_part(tmp_path / "source", find, ["row"], tmp_path / "kept", tmp_path / "gone")
    assert split is not None
    assert split.keys.to_pylist() == [b"5", b"41"]
    assert lots == [60 // calls] * calls


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
            split_part(source, those_at({3, 400}), ["row"], tmp_path / "kept", tmp_path / "gone")
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
    wanted = [key for item in [*changed, *items[:1]] if (key := key_bytes(item, attributes)) is not None]
    tables = [pa.array(sorted(set(wanted[start::2])), pa.binary()) for start in range(2)]
    keys = ChangedKeys(attributes, [table for table in tables if len(table)])
    for item in items:
        builder = RowBuilder(schema)
        builder.add(item)
        found = keys.find(builder.finish(), schema, partition_of(item, schema))
        key = key_bytes(item, attributes)
        assert (found is not None) == (key in wanted)
        assert found is None or (found.mask.to_pylist(), found.keys.to_pylist()) == ([True], [key])
