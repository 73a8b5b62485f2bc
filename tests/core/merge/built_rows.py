"""Rows as a conversion makes them of items."""

from __future__ import annotations

import pyarrow as pa

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, Schema, resolve
from airflow_provider_ddbexport.core.decode import Item


def rows_of(items: list[Item], options: ColumnOptions | None = None) -> tuple[Schema, pa.RecordBatch]:
    observation = Observation()
    for item in items:
        observation.add(item)
    schema = resolve(observation, options or ColumnOptions())
    builder = RowBuilder(schema)
    for item in items:
        builder.add(item)
    return schema, builder.finish()
