"""Small parts written as one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_rows import rows_of

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, resolve
from airflow_provider_ddbexport.core.merge import gather as gathering
from airflow_provider_ddbexport.core.merge.row_batches import row_batches
from airflow_provider_ddbexport.core.snapshot.plan import Target
from airflow_provider_ddbexport.errors import SnapshotDamagedError


def test_parts_that_are_larger_than_a_row_group_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of very many columns: their row groups have fewer rows than are read at once elsewhere."""
    schema, batch = rows_of([{"Id": {"S": str(number)}} for number in range(25)])
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "small")
    monkeypatch.setattr(gathering, "row_group_rows", lambda _: 10)
    target = Target("reviews", ColumnOptions(), 1_000, 1 << 20)
    sources = [(tmp_path / "small", "small")] * 2
    sha256 = gathering.gather(sources, tmp_path / "gathered", schema, target, way_out="again")
    assert sha256 == hashlib.sha256((tmp_path / "gathered").read_bytes()).hexdigest()
    metadata = pq.read_metadata(tmp_path / "gathered")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [10, 10, 5] * 2
    assert pq.read_table(tmp_path / "gathered")["id"].to_pylist() == [str(number) for number in range(25)] * 2


def test_few_large_rows_are_in_memory_at_once(tmp_path: Path) -> None:
    """Of items of 400 KB a thousand would be 400 MB."""
    rows = pa.table({"row": range(60), "large": [str(number).zfill(400_000) for number in range(60)]})
    pq.write_table(rows, tmp_path / "part", row_group_size=30, use_dictionary=False)
    batches = list(row_batches(tmp_path / "part"))
    assert max(batch.nbytes for batch in batches) < 10 << 20
    assert pa.Table.from_batches(batches).equals(rows)


def test_a_part_that_is_damaged_is_named(tmp_path: Path) -> None:
    """The one that is, and with the way out."""
    schema = resolve(Observation(), ColumnOptions())
    builder = RowBuilder(schema)
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    builder.add({})
    pq.write_table(pa.Table.from_batches([builder.finish()]), whole)
    damaged.write_bytes(whole.read_bytes()[:-20])
    target = Target("reviews", ColumnOptions(), 1_000, 1 << 20)
    sources = [(whole, "part-1"), (damaged, "part-2")]
    with pytest.raises(SnapshotDamagedError, match=r"^part-2: it is no whole Parquet file .*; again$") as told:
        gathering.gather(sources, tmp_path / "gathered", schema, target, way_out="again", as_of="then")
    assert told.value.context == {"as_of": "then"}
