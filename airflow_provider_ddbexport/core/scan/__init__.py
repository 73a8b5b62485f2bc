"""Scans of tables: backups in an export's layout, within a read budget, resumable at any point.

Tables as Arrow record batches are in :mod:`.reader`, and SQL on them in :mod:`.sql`, which need pyarrow and DuckDB.
"""

from airflow_provider_ddbexport.core.scan.backup import plan_scan, read_plan, scan_backup, scan_shard
from airflow_provider_ddbexport.core.scan.estimate import ScanEstimate, estimate_scan
from airflow_provider_ddbexport.core.scan.expressions import Aliases
from airflow_provider_ddbexport.core.scan.finish import abandon_scan, finish_scan, scan_figures
from airflow_provider_ddbexport.core.scan.journal import ShardDone
from airflow_provider_ddbexport.core.scan.plan import MAX_SEGMENTS, ScanPlan
from airflow_provider_ddbexport.core.scan.progress import ScanPage, ScanProgress
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.resumption import Resumption
from airflow_provider_ddbexport.core.scan.settings import ReadBudgetOptions, ScanSettings
from airflow_provider_ddbexport.core.scan.shard import GroupLimits

__all__ = [
    # a backup, in one call or in three
    "scan_backup",
    "plan_scan",
    "read_plan",
    "scan_shard",
    "finish_scan",
    "abandon_scan",
    "scan_figures",
    # what they take and give
    "ScanRequest",
    "ScanSettings",
    "ReadBudgetOptions",
    "GroupLimits",
    "Resumption",
    "ScanPlan",
    "ShardDone",
    "ScanPage",
    "ScanProgress",
    "MAX_SEGMENTS",
    # before it
    "estimate_scan",
    "ScanEstimate",
    "Aliases",
]
