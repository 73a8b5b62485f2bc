"""Rows built anew from their items, under a schema that they cannot be widened to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from airflow_provider_ddbexport.core.columns import RowBuilder, part_schema, restore
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.merge.row_batches import row_batches
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parts import ROW_GROUP_BYTES, row_group_rows
from airflow_provider_ddbexport.core.snapshot.plan import Target


def build_anew(
    source: BinaryIO, narrow: Schema, path: Path, schema: Schema, *, partition: Sequence[str | None], target: Target
) -> tuple[dict[str, int], str]:
    """Make *path* a part of *schema* with the items in *source*, a part of *narrow*.

    Returns what was rescued, by path, and the sha256 of the part, in hex. *partition* are the values of the
    items' ``partition_by`` columns.
    """
    builder = RowBuilder(schema)
    arrow = part_schema(schema)
    most_rows = row_group_rows(arrow)
    part = open_part(path, arrow, target.sort_columns(schema))
    try:
        for batch in row_batches(source):
            for item in restore(batch, narrow, partition):
                builder.add(item)
                if builder.rows >= most_rows or builder.bytes >= ROW_GROUP_BYTES:
                    part.write(builder.finish())
        if builder.rows:
            part.write(builder.finish())
        part.finish()
    except BaseException:
        part.abandon()
        raise
    return dict(sorted(builder.rescued.items())), part.sha256
