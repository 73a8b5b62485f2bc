"""Backups of a table by a parallel scan."""

from airflow_provider_ddbexport.core.scan.backup import MAX_SEGMENTS, ScanPage, scan_backup

__all__ = ["MAX_SEGMENTS", "ScanPage", "scan_backup"]
