"""Thin Airflow faces of the core: validate, call, defer."""
