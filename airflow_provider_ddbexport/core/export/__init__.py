"""Exports: what their manifests say, what their data files hold, and whether they are whole."""

from airflow_provider_ddbexport.core.export.changes import Change, read_changes
from airflow_provider_ddbexport.core.export.lines import DataFileReader
from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.export.model import (
    DataFile,
    Export,
    ExportSummary,
    ExportType,
    OutputFormat,
    ScanDetails,
)
from airflow_provider_ddbexport.core.export.reader import read_items
from airflow_provider_ddbexport.core.export.source import split_source
from airflow_provider_ddbexport.core.export.verify import Verification, verify_export

__all__ = [
    "Change",
    "DataFile",
    "DataFileReader",
    "Export",
    "ExportSummary",
    "ExportType",
    "OutputFormat",
    "ScanDetails",
    "Verification",
    "read_changes",
    "read_export",
    "read_items",
    "split_source",
    "verify_export",
]
