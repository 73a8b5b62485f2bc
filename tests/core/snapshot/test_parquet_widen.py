"""A part that is widened is the part that would have been written under the wider schema, byte for byte."""

from __future__ import annotations

import hashlib
import io
import random
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.columns import (
    ColumnOptions,
    Observation,
    RowBuilder,
    Schema,
    part_schema,
    resolve,
)
from airflow_provider_ddbexport.core.columns.widen import can_widen, widened
from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.snapshot.parquet_footer import row_groups
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import item_lists, random_items

some = settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=[256, 2], ids=["maps have few keys", "maps have many keys"])
def most_keys(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run everything again with a limit that generated maps exceed."""
    for module in ("observe", "resolve"):
        monkeypatch.setattr(
            sys.modules[f"airflow_provider_ddbexport.core.columns.{module}"], "MAX_MEMBERS", request.param
        )


def columns_for(items: list[Item], options: ColumnOptions | None = None, previous: Schema | None = None) -> Schema:
    observation = Observation()
    for item in items:
        observation.add(item)
    return resolve(observation, options or ColumnOptions(), previous)


def write_part(path: Path, items: list[Item], schema: Schema, rows_per_group: int = 3) -> Counter[str]:
    """Write *items* as a part and return the counts of what was rescued."""
    builder = RowBuilder(schema)
    part = open_part(path, part_schema(schema))
    for start in range(0, len(items), rows_per_group):
        for item in items[start : start + rows_per_group]:
            builder.add(item)
        part.write(builder.finish())
    part.finish()
    return builder.rescued


def widens(folder: Path, items: list[Item], narrow: Schema, wide: Schema) -> bool:
    """Return whether rows of *items* may be widened; fail unless they then are what is written at once."""
    rescued = write_part(folder / "narrow", items, narrow)
    if not can_widen(narrow, wide, rescued):
        return False
    sha256 = widen_part(io.BytesIO((folder / "narrow").read_bytes()), folder / "widened", part_schema(wide))
    write_part(folder / "wide", items, wide)
    assert sha256 == hashlib.sha256((folder / "widened").read_bytes()).hexdigest()
    assert pq.read_table(folder / "widened").equals(pq.read_table(folder / "wide"), check_metadata=True)
    assert (folder / "widened").read_bytes() == (folder / "wide").read_bytes()
    return True


@given(items=item_lists(max_size=8), cut=st.integers(0, 8), nested=st.sampled_from(["struct", "flatten", "json"]))
@some
def test_a_widened_part_is_the_part_written_under_the_wider_schema(
    items: list[Item], cut: int, nested: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the first items and those after them, the bytes are equal."""
    options = ColumnOptions(nested=nested)
    narrow, wide = columns_for(items[:cut], options), columns_for(items, options)
    widens(tmp_path_factory.mktemp("parts"), items[:cut], narrow, wide)


@pytest.mark.usefixtures("most_keys")
def test_many_random_parts_are_widened_exactly(tmp_path: Path) -> None:
    """A sweep over more items than Hypothesis has time for; some with columns that the table has already."""
    outcomes: Counter[tuple[bool, bool]] = Counter()
    for seed in range(60):
        dice = random.Random(seed)
        items = random_items(dice, rows=dice.choice([2, 4, 12]))
        options = ColumnOptions(nested=dice.choice(["struct", "flatten", "json"]))
        previous = columns_for(items[-1:], options) if seed % 3 == 0 else None
        cut = dice.randint(0, len(items))
        narrow, wide = columns_for(items[:cut], options, previous), columns_for(items, options, previous)
        outcomes[narrow != wide, widens(tmp_path, items[:cut], narrow, wide)] += 1
    assert outcomes[True, True] > 12, outcomes
    assert outcomes[True, False] > 4, outcomes
    assert outcomes[False, False] == 0, outcomes


def item(**attributes: Any) -> Item:
    return attributes


EARLY = [
    item(
        id={"S": f"{number}"},
        n={"N": f"{number}"},
        m={"M": {"b": {"N": f"-{number}"}, "rows": {"L": [{"M": {"x": {"N": f"{number}"}}}] * (number % 3)}}},
        d={"N": f"{number}.5"},
        **({"gone": {"NULL": True}} if number == 1 else {}),
    )
    for number in range(7)
]
LATE = [
    item(
        id={"S": "z"},
        a={"SS": ["first of all columns"]},
        n={"N": "0.0000000001"},
        m={
            "M": {
                "a": {"S": "new"},
                "b": {"N": "0.25"},
                "rows": {"L": [{"M": {"x": {"N": "1E-130"}, "y": {"N": "1"}}}]},
            }
        },
        d={"N": "99999999999999999999999999999999999999"},
        gone={"S": "no"},
        k={"M": {f"key {number}": {"N": "1.5"} for number in range(300)}},
    )
]


def test_every_kind_of_widening_is_read_alike_by_pyarrow_and_duckdb(tmp_path: Path) -> None:
    """New columns before and behind, new fields deep inside, whole numbers to decimals and text: all values stay."""
    narrow, wide = columns_for(EARLY), columns_for(EARLY + LATE)
    assert widens(tmp_path, EARLY, narrow, wide)

    found = pq.read_table(tmp_path / "widened")
    assert found.schema.names == ["a", "d", "gone", "id", "k", "m", "n", "_rescued"]
    assert found.schema.field("n").type == pa.decimal128(38, 10)
    assert found.schema.field("d").type == pa.string()
    assert found.to_pylist()[2] == {
        "a": None,
        "d": "2.5",
        "gone": None,
        "id": "2",
        "k": None,
        "m": {"a": None, "b": Decimal(-2), "rows": [{"x": "2", "y": None}, {"x": "2", "y": None}]},
        "n": Decimal(2),
        "_rescued": None,
    }
    assert found.to_pylist()[1]["_rescued"] == [("gone", '{"NULL":true}')]
    with duckdb.connect() as db:
        rows = db.execute(f"SELECT a, d, id, m, n FROM read_parquet('{tmp_path}/widened') ORDER BY id").fetchall()
        assert rows[2] == (
            None,
            "2.5",
            "2",
            {"a": None, "b": Decimal(-2), "rows": [{"x": "2", "y": None}, {"x": "2", "y": None}]},
            Decimal(2),
        )
        counted = db.execute(
            f"SELECT count(*), count(k) FROM read_parquet('{tmp_path}/widened') WHERE n >= 3"
        ).fetchone()
        assert counted == (4, 0)


def test_columns_that_stay_are_not_written_anew(tmp_path: Path) -> None:
    """Their bytes are copied, whoever wrote them: an encoding that we do not use is still there."""
    schema = pa.schema([("b", pa.int64()), ("n", pa.int64())])
    with pq.ParquetWriter(tmp_path / "old", schema, compression="gzip", use_dictionary=False) as writer:
        writer.write_table(pa.table({"b": [1, 2], "n": [3, 4]}, schema=schema), row_group_size=1)
    widen_part(
        io.BytesIO((tmp_path / "old").read_bytes()),
        tmp_path / "new",
        pa.schema([("a", pa.string()), ("b", pa.int64()), ("n", pa.decimal128(38, 9))]),
    )
    assert pq.read_table(tmp_path / "new").to_pylist() == [
        {"a": None, "b": 1, "n": Decimal(3)},
        {"a": None, "b": 2, "n": Decimal(4)},
    ]
    columns = [pq.read_metadata(tmp_path / "new").row_group(1).column(number) for number in range(3)]
    assert [column.compression for column in columns] == ["ZSTD", "GZIP", "ZSTD"]
    with (tmp_path / "old").open("rb") as old, (tmp_path / "new").open("rb") as new:
        assert [group.rows for group in row_groups(new)] == [group.rows for group in row_groups(old)] == [1, 1]


def test_what_points_elsewhere_in_the_file_is_not_copied(tmp_path: Path) -> None:
    """A file with page indexes and Bloom filters is written anew as a whole, without them: none points astray."""
    table = pa.table({"b": ["x", "y"], "n": [3, 4]})
    pq.write_table(table, tmp_path / "old", write_page_index=True, bloom_filter_options={"b": {"ndv": 10}})
    widen_part(
        io.BytesIO((tmp_path / "old").read_bytes()), tmp_path / "new", pa.schema([("a", pa.string()), *table.schema])
    )
    with (tmp_path / "old").open("rb") as old, (tmp_path / "new").open("rb") as new:
        assert not any(chunk.is_movable for group in row_groups(old) for chunk in group.chunks)
        assert all(chunk.is_movable for group in row_groups(new) for chunk in group.chunks)
    assert pq.read_table(tmp_path / "new").to_pylist() == [{"a": None, **row} for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("wide", "still"), [(pa.decimal128(38, 9), ["n", "b"]), (pa.string(), [])], ids=["decimal", "text"]
)
def test_rows_stay_sorted_unless_numbers_become_text(tmp_path: Path, wide: pa.DataType, still: list[str]) -> None:
    """The order is still declared where it is still true, of columns that have moved."""
    table = pa.table({"b": ["x", "y"], "n": [3, 20]})
    sorting = [pq.SortingColumn(1), pq.SortingColumn(0, descending=True)]
    pq.write_table(table, tmp_path / "old", sorting_columns=sorting)
    widen_part(
        io.BytesIO((tmp_path / "old").read_bytes()),
        tmp_path / "new",
        pa.schema([("a", pa.int64()), ("b", pa.string()), ("n", wide)]),
    )
    with (tmp_path / "new").open("rb") as new:
        assert [by.column for group in row_groups(new) for by in group.sorted_by] == still
    assert pq.read_metadata(tmp_path / "new").row_group(0).sorting_columns == tuple(
        pq.SortingColumn(number, descending=number == 1) for number in ([2, 1] if still else [])
    )


def test_a_part_without_rows_is_widened(tmp_path: Path) -> None:
    """An empty table has a part, too."""
    assert widens(tmp_path, [], columns_for([]), columns_for(EARLY))
    assert pq.read_metadata(tmp_path / "widened").num_row_groups == 0


@pytest.mark.parametrize("scale", [1, 9, 19, 20, 37])
@pytest.mark.parametrize("narrow", [pa.int64(), pa.decimal128(5, 1)], ids=str)
@pytest.mark.parametrize(
    "numbers",
    [[3, None, -7, 3] * 400, [*range(-9, 10), None], [0] * 1_200 + list(range(10)), [None] * 3, []],
    ids=["few", "all different", "different at the end", "none", "no rows"],
)
def test_numbers_become_the_same_decimals_whether_they_repeat_or_not(
    numbers: list[int | None], narrow: pa.DataType, scale: int
) -> None:
    """Those that repeat are looked up, integers without room for any integer go through other decimals."""
    array = pa.array([None if number is None else Decimal(number) for number in numbers], narrow)
    wide = widened(array, pa.decimal128(38, scale))
    wide.validate(full=True)
    assert wide.type == pa.decimal128(38, scale)
    assert wide.to_pylist() == array.to_pylist()


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    """A part without its end is no part."""
    write_part(tmp_path / "old", EARLY, columns_for(EARLY))
    whole = (tmp_path / "old").read_bytes()
    for length in (0, 4, len(whole) // 2, len(whole) - 1):
        (tmp_path / "old").write_bytes(whole[:length])
        with pytest.raises((SnapshotDamagedError, pa.ArrowInvalid)):
            widen_part(
                io.BytesIO((tmp_path / "old").read_bytes()), tmp_path / "new", part_schema(columns_for(EARLY + LATE))
            )


@pytest.mark.parametrize("numbers", [pa.array([10**18, None]), pa.array([Decimal("-1E18")], pa.decimal128(38, 9))])
def test_a_value_without_room_is_refused(tmp_path: Path, numbers: pa.Array) -> None:
    """Nothing is cut off or turned into another number where a schema is not wider."""
    pq.write_table(pa.table({"n": numbers}), tmp_path / "old")
    for wide in (pa.decimal128(38, 30), pa.decimal128(38, 20)):
        with pytest.raises((BadCallError, pa.ArrowInvalid)):
            widen_part(io.BytesIO((tmp_path / "old").read_bytes()), tmp_path / "new", pa.schema([("n", wide)]))
    widen_part(io.BytesIO((tmp_path / "old").read_bytes()), tmp_path / "new", pa.schema([("n", pa.decimal128(38, 19))]))
    assert pq.read_table(tmp_path / "new").column("n").to_pylist() == numbers.to_pylist()
