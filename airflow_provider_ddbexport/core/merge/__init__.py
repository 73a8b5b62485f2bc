"""Increments applied to the snapshot published before them."""

from airflow_provider_ddbexport.core.merge.compact import Increment, read_increment
from airflow_provider_ddbexport.core.merge.merge import merge_increments, plan_merge
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan, find_merge
from airflow_provider_ddbexport.core.merge.publish import publish_merge
from airflow_provider_ddbexport.core.merge.report import merge_facts
from airflow_provider_ddbexport.core.merge.shards import merge_crew, merge_shards
from airflow_provider_ddbexport.core.merge.way_on import TableNow, WayOn, find_way_on

__all__ = [
    "Increment",
    "MergePlan",
    "TableNow",
    "WayOn",
    "find_merge",
    "find_way_on",
    "merge_crew",
    "merge_facts",
    "merge_increments",
    "merge_shards",
    "plan_merge",
    "publish_merge",
    "read_increment",
]
