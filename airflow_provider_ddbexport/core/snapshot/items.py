"""Giving a published snapshot's items back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO

import msgspec
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import restore
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.snapshot.fetch import fetched_part
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import SnapshotNotFoundError

_BATCH_ROWS = 128
"""An item has at most 400 KB, so at most about 50 MB of values are in memory at once."""


def snapshot_items(lake: ObjectStore, table: str, at: datetime | None = None) -> Iterator[bytes]:
    """Return the items of the snapshot as of exactly *at*, or of the newest one, as ``{"Item":…}`` lines.

    Lines come without a line break. Each is what the export had, value for value: numbers equal as decimals, sets as
    sets; only the order of attributes and of elements of sets may differ. Every part is checked against the commit
    record before its first item is returned; one at a time is in a temporary file, unless the lake is a local folder.

    Raises SnapshotNotFoundError at once; SnapshotDamagedError while iterating.
    """
    store = lake.child(check_table(table))
    return record_items(store, find_snapshot(store, table, at))


def find_snapshot(table_store: ObjectStore, table: str, at: datetime | None = None) -> CommitRecord:
    """Return the record as of exactly *at*, or the newest one. Raises SnapshotNotFoundError."""
    ledger = Ledger(table_store)
    record = ledger.latest() if at is None else ledger.get(at)
    if record is not None:
        return record
    times = ledger.times()
    if at is None or not times:
        raise SnapshotNotFoundError(
            f"{table_store.uri}: no snapshot of {table!r} is published here; look with `ddbexport snapshots`, or "
            "convert an export first",
            table=table,
        )
    nearest = sorted(sorted(times, key=lambda moment: abs(moment - at))[:3])
    others = f" and {len(times) - len(nearest)} others" if len(times) > len(nearest) else ""
    raise SnapshotNotFoundError(
        f"{table_store.uri}: no snapshot of {table!r} as of {iso(at)}; published are "
        f"{', '.join(map(iso, nearest))}{others}",
        table=table,
        at=iso(at),
    )


def record_items(table_store: ObjectStore, record: CommitRecord) -> Iterator[bytes]:
    """Yield the items of *record* as :func:`snapshot_items` does."""
    for number, part in enumerate(record.parts):
        with fetched_part(table_store, record, number) as file:
            yield from part_items(file, record.schema, part.partition)


def part_items(file: BinaryIO, schema: Schema, partition: Sequence[str | None]) -> Iterator[bytes]:
    """Yield the items of the part in *file*, of *schema* and *partition*, as :func:`snapshot_items` does."""
    encoder = msgspec.json.Encoder()
    with pq.ParquetFile(file, pre_buffer=False) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
            for item in restore(batch, schema, partition):
                yield encoder.encode({"Item": item})
