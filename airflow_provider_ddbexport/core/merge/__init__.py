"""Increments applied to the snapshot published before them."""

from airflow_provider_ddbexport.core.merge.compact import Increment
from airflow_provider_ddbexport.core.merge.merge import merge_increments

__all__ = ["Increment", "merge_increments"]
