"""Increments applied to the snapshot published before them."""

from airflow_provider_ddbexport.core.merge.compact import Increment, read_increment
from airflow_provider_ddbexport.core.merge.merge import merge_increments
from airflow_provider_ddbexport.core.merge.plan import chain_base, merged_into

__all__ = ["Increment", "chain_base", "merge_increments", "merged_into", "read_increment"]
