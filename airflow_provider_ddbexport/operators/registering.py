"""Registering a snapshot in the Glue Catalog, and what XCom tells of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord

_log = logging.getLogger(__name__)


def registered(
    glue: Any, record: CommitRecord, ledger: Ledger, *, database: str, lake: str, catalog_id: str | None
) -> dict[str, Any]:
    """Register the snapshot of *record* and return ``database``, ``partitions`` and ``new_columns`` for XCom.

    Repeating it is safe.
    """
    from airflow_provider_ddbexport.core.catalog.register import register_snapshot

    done = register_snapshot(
        glue,
        record,
        ledger.table_schema() or record.schema,
        database=database,
        lake_uri=lake,
        catalog_id=catalog_id or None,
    )
    _log.info("Registered in %s.%s: %s", done.database, done.table, done)
    return {
        "database": done.database,
        "partitions": done.created + done.updated + done.unchanged,
        "new_columns": list(done.new_columns),
    }
