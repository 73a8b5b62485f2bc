"""Items to columns and back.

:class:`Observation` gathers what items look like, :func:`resolve` decides the columns from it, :class:`RowBuilder`
makes rows of items, :func:`restore` makes items of rows again: exactly those that went in.
"""

from airflow_provider_ddbexport.core.columns.arrow_types import (
    ATTRIBUTE_KEY,
    part_schema,
    partition_columns,
    table_columns,
)
from airflow_provider_ddbexport.core.columns.build import RowBuilder
from airflow_provider_ddbexport.core.columns.grow import grow
from airflow_provider_ddbexport.core.columns.names import column_name, shown_attribute
from airflow_provider_ddbexport.core.columns.observation_json import observation_from_json, observation_to_json
from airflow_provider_ddbexport.core.columns.observe import Observation
from airflow_provider_ddbexport.core.columns.options import ColumnOptions
from airflow_provider_ddbexport.core.columns.partition import partition_keys, partition_of, partition_under
from airflow_provider_ddbexport.core.columns.resolve import resolve
from airflow_provider_ddbexport.core.columns.restore import restore
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind, Schema
from airflow_provider_ddbexport.core.columns.schema_json import schema_from_json, schema_to_json

__all__ = [
    # what there is
    "Column",
    "Kind",
    "Schema",
    "RESCUED_COLUMN",
    "ATTRIBUTE_KEY",
    "schema_to_json",
    "schema_from_json",
    "part_schema",
    "table_columns",
    "partition_columns",
    "column_name",
    "shown_attribute",
    # deciding columns
    "ColumnOptions",
    "Observation",
    "observation_to_json",
    "observation_from_json",
    "resolve",
    "grow",
    # rows
    "RowBuilder",
    "partition_of",
    "partition_keys",
    "partition_under",
    "restore",
]
