"""History: which past times of a table can still be had, by which exports, and for how much."""

from airflow_provider_ddbexport.core.history.known import KnownExport, KnownHistory, look_up_history
from airflow_provider_ddbexport.core.history.one_time import plan_time
from airflow_provider_ddbexport.core.history.plan import BackfillPlan, PlannedTime, TimeState, plan_backfill
from airflow_provider_ddbexport.core.history.times import parse_step, wanted_times
from airflow_provider_ddbexport.core.history.ways import PlannedExport, Way, WayKind

__all__ = [
    "BackfillPlan",
    "KnownExport",
    "KnownHistory",
    "PlannedExport",
    "PlannedTime",
    "TimeState",
    "Way",
    "WayKind",
    "look_up_history",
    "parse_step",
    "plan_backfill",
    "plan_time",
    "wanted_times",
]
