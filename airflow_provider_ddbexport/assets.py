"""The assets a pipeline reads and makes, under one name wherever they are mentioned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord


def table_asset(table_name: str, region_name: str) -> Asset:
    """Return the asset of a DynamoDB table, ``dynamodb://<region>/<table>``: the inlet of what exports it."""
    if "/" in table_name or ":" in table_name:
        raise BadCallError(f"table_name: expected a table's name and not its ARN, found {table_name!r}")
    return Asset(name=f"dynamodb {region_name} {table_name}", uri=f"dynamodb://{region_name}/{table_name}")


def snapshot_asset(lake: str, table: str) -> Asset:
    """Return the asset of a table's snapshots: the outlet of the last task that a snapshot has to pass.

    Its URI is the table's folder in *lake*. Each snapshot is an event, whose ``extra`` has the figures of
    :func:`snapshot_figures`; a DAG scheduled on it finds the commit record there. Conversion, crawler and check tell
    it alike, so that it can be the outlet of whichever comes last.
    """
    uri = f"{lake.rstrip('/')}/{check_table(table)}"
    if "://" not in uri:
        uri = f"file://{uri}"
    return Asset(name=f"snapshots of {table} in {lake.rstrip('/')}", uri=uri)


def snapshot_figures(record: CommitRecord, record_uri: str) -> dict[str, Any]:
    """Return what tasks and asset events tell about a snapshot: names and numbers, JSON values, nothing it holds."""
    return {
        "record": record_uri,
        "table": record.table,
        "as_of": iso(record.as_of),
        "published_at": iso(record.published_at),
        "rows": record.rows,
        "parts": len(record.parts),
        "bytes": sum(part.size for part in record.parts),
        "columns": len(record.schema.columns),
        "rescued": sum(record.rescued.values()),
        "export_arn": record.source.export_arn,
        "export_type": record.source.export_type,
        "table_arn": record.source.table_arn,
    }


def tell_outlets(context: Context, outlets: Sequence[Any], figures: Mapping[str, Any]) -> None:
    """Put *figures* in the event of each Asset among a task's *outlets*."""
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(figures)
