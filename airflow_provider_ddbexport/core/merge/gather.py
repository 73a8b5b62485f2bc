"""Small parts written as one, in row groups as large as a conversion's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import part_schema
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.merge.row_batches import row_batches
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parts import ROW_GROUP_BYTES, row_group_rows
from airflow_provider_ddbexport.core.snapshot.plan import Target


def gather(
    sources: Iterable[tuple[Path, str]], path: Path, schema: Schema, target: Target, *, way_out: str, **context: str
) -> str:
    """Make *path* a part with the rows of *sources*, parts of *schema*, in their order or sorted as *target* says;
    return its sha256, in hex.

    Each comes with its name for messages. One row group is in memory. Its values are copied and not looked at. Raises
    SnapshotDamagedError with *context* for a source that is no whole part; the message ends with *way_out*.
    """
    arrow = part_schema(schema)
    most_rows = row_group_rows(arrow)
    part = open_part(path, arrow, target.sort_columns(schema))
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    try:
        for source, name in sources:
            with damage_named(source, name, way_out, **context):
                for batch in row_batches(source, most_rows):
                    if rows and (rows + batch.num_rows > most_rows or size >= ROW_GROUP_BYTES):
                        part.write(_together(waiting))
                        waiting, rows, size = [], 0, 0
                    waiting.append(batch)
                    rows += batch.num_rows
                    size += batch.nbytes
        if rows:
            part.write(_together(waiting))
        part.finish()
    except BaseException:
        part.abandon()
        raise
    return part.sha256


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    (batch,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return batch
