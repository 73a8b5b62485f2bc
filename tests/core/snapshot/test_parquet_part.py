"""Parts as they are written: the encoding of their columns, and their order."""

from __future__ import annotations

import hashlib
import itertools
import random
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, part_schema, resolve
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parquet_sort import SortedRows

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import random_items


def built(items: Sequence[Item], rows: int) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Return the rows of *items* in batches of *rows*."""
    observation = Observation()
    for item in items:
        observation.add(item)
    schema = resolve(observation, ColumnOptions())
    builder = RowBuilder(schema)
    batches = []
    for start in range(0, len(items), rows):
        for item in items[start : start + rows]:
            builder.add(item)
        batches.append(builder.finish())
    return part_schema(schema), batches


def write_part(path: Path, schema: pa.Schema, batches: Sequence[pa.RecordBatch], sort_by: Sequence[str] = ()) -> int:
    """Write *batches* as a part, which knows its digest, and return what it was thought to take before it was whole."""
    part = open_part(path, schema, sort_by)
    for batch in batches:
        part.write(batch)
    size = part.bytes
    part.finish()
    assert part.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert part.crc32 == zlib.crc32(path.read_bytes())
    return size


def test_values_that_repeat_get_a_dictionary(tmp_path: Path) -> None:
    """Text, numbers and keys that come again and again do, those that hardly ever do not; at any depth."""
    dice = random.Random(5)
    items: list[Item] = [
        {
            "id": {"S": f"{dice.randrange(10**9)}"},
            "kind": {"S": f"kind {row % 50}"},
            "n": {"N": str(dice.randrange(10**9))},
            "m": {"M": {"s": {"S": f"{row}"}, "l": {"L": [{"N": f"{row % 3}.5"}]}}},
            **({"rare": {"N": str(row)}} if row > 950 else {}),
        }
        for row in range(1000)
    ]
    write_part(tmp_path / "part", *built(items, 500))
    group = pq.read_metadata(tmp_path / "part").row_group(1)
    with_dictionary = {
        group.column(number).path_in_schema: group.column(number).has_dictionary_page
        for number in range(group.num_columns)
    }
    assert with_dictionary == {
        "id": False,
        "kind": True,
        "m.l.list.element": True,
        "m.s": False,
        "n": False,
        "rare": False,  # mostly null
        "_rescued.key_value.key": False,  # nothing but nulls
        "_rescued.key_value.value": False,
    }


def test_rows_of_a_part_are_sorted_whatever_their_columns_hold(tmp_path: Path) -> None:
    """By several keys, nulls last, equal ones as they came; every other column goes along, nested ones too."""
    for seed in range(8):
        dice = random.Random(seed)
        items: list[Item] = [
            {
                **item,
                "place": {"N": str(place)},
                "key": dice.choice([{"S": "b"}, {"S": "a"}, {"S": "ä"}, {"NULL": True}]),
            }
            for place, item in enumerate(random_items(dice, rows=dice.choice([0, 1, 7, 40])))
        ]
        schema, batches = built(items, rows=dice.choice([1, 9, 100]))
        write_part(tmp_path / "part", schema, batches, ["key", "no such column", "place"])
        write_part(tmp_path / "once", schema, batches, ["key"])
        written = pa.Table.from_batches(batches, schema)
        found = pq.read_table(tmp_path / "part")
        order = (
            sorted(written.to_pylist(), key=lambda row: (row.get("key") is None, row.get("key") or "", row["place"]))
            if items
            else []
        )
        assert repr(found.to_pylist()) == repr(order), seed
        assert pq.read_table(tmp_path / "once").equals(found), seed
        assert found.schema.equals(schema)


def test_the_order_is_declared_and_prunes_row_groups(tmp_path: Path) -> None:
    """Sorted row groups do not overlap, so a reader who wants one key reads one; the footer says by what."""
    dice = random.Random(1)
    batches = [
        pa.record_batch({"l": [[number] for number in range(100)], "k": [dice.randrange(10**6) for _ in range(100)]})
        for _ in range(10)
    ]
    write_part(tmp_path / "part", batches[0].schema, batches, ["k"])
    metadata = pq.read_metadata(tmp_path / "part")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert all(group.sorting_columns == (pq.SortingColumn(1),) for group in groups)
    spans = [(group.column(1).statistics.min, group.column(1).statistics.max) for group in groups]
    assert len(spans) >= 10
    assert all(low[1] <= high[0] for low, high in itertools.pairwise(spans))
    with duckdb.connect() as db:
        keys = [key for (key,) in db.execute(f"SELECT k FROM read_parquet('{tmp_path}/part')").fetchall()]
    assert keys == sorted(keys)


def test_batches_stay_small_where_large_rows_come_together(tmp_path: Path) -> None:
    """Rows of 10 KB, a few in each batch among short ones, are neighbours once sorted: still no batch outgrows those
    that came."""

    def batch(seed: int) -> pa.RecordBatch:
        large = range(seed % 5, 400, 40)
        keys = [-1 if row in large else row * 7 % 400 for row in range(400)]
        return pa.record_batch({"k": keys, "t": ["x" * 10_000 if key < 0 else "y" for key in keys]})

    came = [batch(seed) for seed in range(30)]
    rows = SortedRows(tmp_path / "rows", came[0].schema, ["k"])
    for one in came:
        rows.add(one)
    found = list(rows.batches())
    rows.remove()
    assert sum(one.num_rows for one in found) == 30 * 400
    largest = max(one.nbytes for one in came)
    assert max(one.nbytes for one in found) < 1.7 * largest
    assert max(one.num_rows for one in found) == 400
    assert not (tmp_path / "rows").exists()


def test_what_a_sorted_part_takes_is_known_before_it_is_written(tmp_path: Path) -> None:
    """Parts end at a size, so a part that still waits to be sorted says about what it will be."""
    dice = random.Random(2)
    batches = [
        pa.record_batch({"k": [dice.randrange(10**9) for _ in range(2000)], "t": ["some text"] * 2000})
        for _ in range(8)
    ]
    expected = write_part(tmp_path / "part", batches[0].schema, batches, ["k"])
    assert 0.6 < expected / (tmp_path / "part").stat().st_size < 1.6


def test_nothing_waits_where_a_part_is_abandoned(tmp_path: Path) -> None:
    """Or finished: rows that wait to be sorted are as large as they are in memory, and go at once."""
    rows = pa.record_batch({"k": [2, 1]})
    for end in ("abandon", "finish"):
        part = open_part(tmp_path / "part", rows.schema, ["k"])
        part.write(rows)
        assert (tmp_path / "part.rows").exists()
        getattr(part, end)()
        assert not (tmp_path / "part.rows").exists()
        assert (tmp_path / "part").exists() == (end == "finish")


def test_a_part_without_rows_has_its_columns(tmp_path: Path) -> None:
    """Sorted or not."""
    schema = pa.schema([("k", pa.int64()), ("t", pa.string())])
    for sort_by in ([], ["k"]):
        write_part(tmp_path / "part", schema, [], sort_by)
        assert pq.read_table(tmp_path / "part").equals(schema.empty_table())
