"""Commit records for tests that need no parts behind them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, Schema, resolve
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part, Source
from airflow_provider_ddbexport.core.times import snapshot_timestamp

AS_OF = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)


def schema_of(
    items: Iterable[dict[str, object]], *, partition_by: Sequence[str] = (), previous: Schema | None = None
) -> Schema:
    """Return the schema of *items*, DynamoDB JSON."""
    observation = Observation()
    for item in items:
        observation.add(item)  # type: ignore[arg-type]
    return resolve(observation, ColumnOptions(partition_by=tuple(partition_by)), previous)


def commit_record(
    schema: Schema,
    *,
    table: str = "reviews",
    as_of: datetime = AS_OF,
    rows: int = 2,
    partitions: Sequence[tuple[str | None, ...]] = ((),),
    digest: str = "d1",
    table_arn: str = "arn:aws:dynamodb:us-east-1:123456789012:table/Reviews",
) -> CommitRecord:
    """Return the record of a snapshot with *rows* rows in each of *partitions*."""
    folder = f"ddb_export_timestamp={snapshot_timestamp(as_of)}"
    parts = tuple(
        Part(
            f"{folder}/{'/'.join(f'p={value}' for value in values)}{'/' * bool(values)}part-0.parquet",
            rows,
            1,
            "",
            values,
        )
        for values in partitions
    )
    return CommitRecord(
        table=table,
        as_of=as_of,
        published_at=as_of,
        rows=rows * len(parts),
        parts=parts,
        schema=schema,
        source=Source("", "", "FULL_EXPORT", table_arn, "", "DYNAMODB_JSON", "", 1, rows, 0, ()),
        digest=digest,
    )
