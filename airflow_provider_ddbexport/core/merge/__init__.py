"""Increments applied to the snapshot published before them."""

from airflow_provider_ddbexport.core.merge.compact import Increment, read_increment
from airflow_provider_ddbexport.core.merge.merge import merge_increments
from airflow_provider_ddbexport.core.merge.way_on import TableNow, WayOn, find_way_on

__all__ = ["Increment", "TableNow", "WayOn", "find_way_on", "merge_increments", "read_increment"]
