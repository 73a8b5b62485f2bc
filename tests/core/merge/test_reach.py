"""Row groups that are told by their footers to have none of the changed keys."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_rows import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge import reach as reaching
from airflow_provider_ddbexport.core.merge import split_part as splitting
from airflow_provider_ddbexport.core.merge.changed_keys import ChangedKeys
from airflow_provider_ddbexport.core.merge.reach import Reach
from airflow_provider_ddbexport.core.merge.split_pages import OpenChunk, compiled
from airflow_provider_ddbexport.core.snapshot.parquet_footer import Chunk, row_groups

VALUES = {
    "int64": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "string": (pa.string(), st.text(max_size=3)),
    "binary": (pa.binary(), st.binary(max_size=3)),
}


def chunk_of(values: list[Any], arrow: pa.DataType, **writer: Any) -> Chunk:
    """Return *values* as they are in a part."""
    file = io.BytesIO()
    pq.write_table(pa.table({"key": pa.array(values, arrow)}), file, **writer)
    return next(row_groups(file)).chunks[0]


@pytest.mark.parametrize("kind", VALUES)
@settings(max_examples=60, database=None)
@given(told=st.data())
def test_no_chunk_that_has_a_value_is_passed_over(kind: str, told: st.DataObject) -> None:
    """However many values there are; and where they are few, one without any between its bounds is."""
    arrow, values = VALUES[kind]
    changed = told.draw(st.lists(values, min_size=1, max_size=20), "changed")
    present = told.draw(st.lists(values, min_size=1, max_size=5), "present")
    chunk = chunk_of(present, arrow)
    for at_either_end in (3, 256):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reaching, "_AT_EITHER_END", at_either_end)
            reach = Reach()
            for start in range(0, len(changed), 7):
                reach.add(pa.array(changed[start : start + 7], arrow))
            within = any(min(present) <= value <= max(present) for value in changed)
            assert reach.into(chunk) or not within
            if at_either_end == 256:
                assert reach.into(chunk) == within


def test_a_few_values_far_away_are_told_apart() -> None:
    """Thousands of new orders and one old one: what lies between is passed over."""
    reach = Reach()
    reach.add(pa.array([17, *range(900_000, 905_000)], pa.int64()))
    assert [reach.into(chunk_of(bounds, pa.int64())) for bounds in ([10, 20], [18, 890_000], [1, 1_000_000])] == [
        True,
        False,
        True,
    ]
    assert reach.into(chunk_of([902_000, 902_001], pa.int64()))
    assert not reach.into(chunk_of([905_000, 905_001], pa.int64()))


@pytest.mark.parametrize(
    ("arrow", "present", "writer"),
    [
        (pa.int64(), [8, None], {}),
        (pa.int64(), [8, 9], {"write_statistics": False}),
        (pa.string(), ["8", "9"], {}),
        (pa.float64(), [8.0, 9.0], {}),
    ],
    ids=["nulls", "no statistics", "another type", "a type whose order is not told"],
)
def test_where_the_footer_does_not_tell_the_chunk_is_looked_at(
    arrow: pa.DataType, present: list[Any], writer: dict[str, Any]
) -> None:
    """A key that does not fit its column is null there."""
    reach = Reach()
    reach.add(pa.array([1], pa.int64()))
    assert reach.into(chunk_of(present, arrow, **writer))
    assert not reach.into(chunk_of([8, 9], pa.int64()))
    other = Reach()
    other.add(pa.array([1.0], pa.float64()))
    assert other.into(chunk_of([8.0], pa.float64()))


@pytest.mark.skipif(compiled() is None, reason="only the compiled part looks at pages")
def test_no_page_of_a_row_group_beyond_the_keys_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By any of the attributes that keys are made of, though others say nothing."""
    dice = random.Random(5)
    items: list[Item] = [{"User": {"S": f"{dice.random()}"}, "At": {"N": str(number)}} for number in range(90)]
    schema, rows = rows_of(items)
    pq.write_table(pa.table(rows), tmp_path / "source", row_group_size=30, compression="zstd")
    keys = [key for item in items[35:40] if (key := key_bytes(item, ("At", "User"))) is not None]
    table = pa.array(sorted(keys), pa.binary())
    search = ChangedKeys(("At", "User"), [table]).search(schema)
    read: list[Chunk] = []

    def opened(kernel: Any, chunk: Chunk, *more: Any, **options: Any) -> OpenChunk:
        read.append(chunk)
        return OpenChunk(kernel, chunk, *more, **options)

    monkeypatch.setattr(splitting, "OpenChunk", opened)
    with (tmp_path / "source").open("rb") as source:
        split = splitting.split_part(source, search, tmp_path / "kept", tmp_path / "gone")
    assert split is not None
    assert table.take(split.places.column("place")).to_pylist() == keys
    assert len(read) == len({chunk.path for chunk in read}) == len(schema.columns) + 2
