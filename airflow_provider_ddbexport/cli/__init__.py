"""``ddbexport``: the core from a shell."""

from airflow_provider_ddbexport.cli.shell import BAD_CALL, BAD_DATA, FINE, INTERRUPTED, build_parser, main

__all__ = ["main", "build_parser", "FINE", "BAD_DATA", "BAD_CALL", "INTERRUPTED"]
