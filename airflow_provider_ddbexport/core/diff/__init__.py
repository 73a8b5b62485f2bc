"""What changed between two published snapshots of a table: counts, and the changes themselves as Parquet."""

from airflow_provider_ddbexport.core.diff.by_increments import KnownIncrements, known_increments
from airflow_provider_ddbexport.core.diff.changes import Change, ChangeKind, Counts
from airflow_provider_ddbexport.core.diff.diff import Pair, diff_snapshots, find_pair
from airflow_provider_ddbexport.core.diff.record import DiffRecord, diff_figures
from airflow_provider_ddbexport.core.diff.table_key import find_key
from airflow_provider_ddbexport.core.merge.compact import read_increment

__all__ = [
    "Change",
    "ChangeKind",
    "Counts",
    "DiffRecord",
    "KnownIncrements",
    "Pair",
    "diff_figures",
    "diff_snapshots",
    "find_key",
    "find_pair",
    "known_increments",
    "read_increment",
]
