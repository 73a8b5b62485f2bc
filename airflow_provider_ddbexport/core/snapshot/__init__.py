"""Snapshots: parts, commit records, the ledger, and the three steps that make one."""

from airflow_provider_ddbexport.core.snapshot.commit import withdraw
from airflow_provider_ddbexport.core.snapshot.conversion import ShardRecord
from airflow_provider_ddbexport.core.snapshot.convert import convert_export, plan_conversion
from airflow_provider_ddbexport.core.snapshot.items import find_snapshot, record_items, snapshot_items
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard
from airflow_provider_ddbexport.core.snapshot.progress import Progress
from airflow_provider_ddbexport.core.snapshot.publish import publish
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part, Source
from airflow_provider_ddbexport.core.snapshot.shard import convert_shard
from airflow_provider_ddbexport.core.snapshot.workers import Stores
from airflow_provider_ddbexport.core.table_folder import table_folder

__all__ = [
    "CommitRecord",
    "ConversionPlan",
    "Ledger",
    "Part",
    "Progress",
    "Shard",
    "ShardRecord",
    "Source",
    "Stores",
    "convert_export",
    "convert_shard",
    "find_snapshot",
    "plan_conversion",
    "publish",
    "record_items",
    "snapshot_items",
    "table_folder",
    "withdraw",
]
