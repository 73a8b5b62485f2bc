"""Airflow's reader of DAG files, from where the installed Airflow has it."""

from __future__ import annotations

try:
    from airflow.dag_processing.dagbag import DagBag
except ModuleNotFoundError:
    # Airflow before 3.2.
    from airflow.models.dagbag import DagBag

__all__ = ["DagBag"]
