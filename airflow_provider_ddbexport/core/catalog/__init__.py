"""The Glue Data Catalog: databases, tables and partitions that point at published snapshots."""

from airflow_provider_ddbexport.core.catalog.hive_types import hive_type
from airflow_provider_ddbexport.core.catalog.register import Registration, register_snapshot, unregister_snapshot

__all__ = ["Registration", "register_snapshot", "unregister_snapshot", "hive_type"]
