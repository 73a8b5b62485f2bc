"""What one who asks for exports remembers from one try to the next, where the ledger may be lost in between."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_ddbexport.core.exporting.request import ExportRequest


class Remembered(Protocol):
    """A memory beside the ledger, of one caller's own requests. DynamoDB is asked about what it says before it is used.

    It may forget, and it never raises: a memory that cannot be read has nothing to say.
    """

    def export_of(self, request: ExportRequest) -> str | None:
        """Return the ARN that was remembered for a request equal to *request*; None if there is none."""

    def remember(self, request: ExportRequest, export_arn: str) -> None:
        """Remember *export_arn* as the export of *request*, in place of any other."""
