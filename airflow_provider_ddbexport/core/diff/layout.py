"""Where a table's changes lie.

::

    <output>/<table>_changes/from_snapshot=<A>/to_snapshot=<B>/part-00000-<digest>.parquet
    <output>/<table>_changes/_diffs/<A>-<B>.json      the record, written last: makes the folder above a whole diff

<A> and <B> are written as in a lake. Keys are relative to the folder of the changes.
"""

from __future__ import annotations

from datetime import datetime

from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import snapshot_timestamp

RECORDS_FOLDER = "_diffs"


def changes_folder(table: str) -> str:
    """Return the folder, and the name in a catalog, of the changes of *table*."""
    return check_table(f"{check_table(table)}_changes")


def diff_folder(old: datetime, new: datetime) -> str:
    """Return the folder of the changes from the snapshot as of *old* to the one as of *new*."""
    return f"from_snapshot={snapshot_timestamp(old)}/to_snapshot={snapshot_timestamp(new)}"


def record_key(old: datetime, new: datetime) -> str:
    """Return the key of the record of these changes."""
    return f"{RECORDS_FOLDER}/{snapshot_timestamp(old)}-{snapshot_timestamp(new)}.json"
