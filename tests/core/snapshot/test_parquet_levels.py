"""The leaves of a schema, read from a footer."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_ddbexport.core.snapshot.parquet_footer import read_footer
from airflow_provider_ddbexport.core.snapshot.parquet_levels import Leaf, read_leaves
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import I32, read_struct, write_struct
from airflow_provider_ddbexport.errors import SnapshotDamagedError

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
sys.path.insert(0, str(Path(__file__).parent))
from generated_items import random_items
from part_fuzz import random_part


def test_leaves_are_those_that_pyarrow_reads(tmp_path: Path) -> None:
    """In lists, maps and structs, required and optional, with their levels and the widths of fixed lengths."""
    required = pa.struct([pa.field("a", pa.decimal128(20, 2), nullable=False), pa.field("b", pa.list_(pa.binary(3)))])
    schemas = [pa.schema([pa.field("x", required, nullable=False), ("y", pa.map_(pa.string(), pa.list_(required)))])]
    for seed in range(20):
        path, _ = random_part(random_items(Random(seed), rows=5), Random(seed), tmp_path)
        schemas.append(pq.read_schema(path))
    for schema in schemas:
        file = io.BytesIO()
        pq.write_table(schema.empty_table(), file)
        parquet = pq.ParquetFile(file).schema
        columns = [parquet.column(number) for number in range(len(parquet))]
        assert read_leaves(file) == [
            Leaf(column.max_repetition_level, column.max_definition_level, max(0, column.length)) for column in columns
        ]


def test_elements_that_belong_nowhere_are_damage() -> None:
    """More of them than the groups before them hold."""
    file = io.BytesIO()
    pq.write_table(pa.table({"x": [1], "y": [2]}), file)
    footer = read_struct(read_footer(file))
    _, (root, *_) = footer[2][1]
    root[5] = I32, 1
    damaged = write_struct(footer)
    file = io.BytesIO(damaged + len(damaged).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(SnapshotDamagedError, match="more elements than belong"):
        read_leaves(file)
