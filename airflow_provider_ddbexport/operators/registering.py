"""Registering a published snapshot in the Glue Catalog, for the operators that publish one."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_ddbexport.core.catalog.register import register_snapshot
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError

log = logging.getLogger(__name__)


def check_lake(lake: str, database: str | None) -> None:
    """Raise BadCallError where a catalog's *database* could not point at *lake*."""
    if database and not lake.startswith("s3://"):
        raise BadCallError(
            f"lake: the Glue Catalog can only point at s3://, found {lake}; leave database out or give an s3:// lake"
        )


def registered_figures(
    glue: Any, record: CommitRecord, table_store: ObjectStore, *, lake: str, database: str, catalog_id: str | None
) -> dict[str, Any]:
    """Register the snapshot and return what XCom tells of that. Repeating it is safe."""
    registered = register_snapshot(
        glue,
        record,
        Ledger(table_store).table_schema() or record.schema,
        database=database,
        lake_uri=lake,
        catalog_id=catalog_id or None,
    )
    log.info("Registered in %s.%s: %s", registered.database, registered.table, registered)
    return {
        "database": registered.database,
        "partitions": registered.created + registered.updated + registered.unchanged,
        "new_columns": list(registered.new_columns),
    }


UNREGISTERED: dict[str, Any] = {"database": None, "partitions": 0, "new_columns": []}
"""What XCom tells where nothing was to be registered."""
