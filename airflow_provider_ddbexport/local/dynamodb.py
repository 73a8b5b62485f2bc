"""DynamoDB, put together: moto's, with history, exports, capacity and a scan of our own."""

from __future__ import annotations

from typing import Any

from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.exports import Exports
from airflow_provider_ddbexport.local.metering import Meter
from airflow_provider_ddbexport.local.reads import Reads
from airflow_provider_ddbexport.local.scan import Scan
from airflow_provider_ddbexport.local.table_calls import TableCalls
from airflow_provider_ddbexport.local.tables import Tables
from airflow_provider_ddbexport.local.wire import Handler
from airflow_provider_ddbexport.local.writes import Writes


class DynamoDB:
    """The emulated DynamoDB."""

    def __init__(self, emulator: Emulator) -> None:
        tables = Tables(emulator)
        meter = Meter(emulator, tables)
        self._exports = Exports(emulator, tables)
        self._parts = (
            TableCalls(emulator, tables),
            Writes(emulator, tables, meter),
            Reads(emulator, tables, meter),
            Scan(emulator, tables, meter),
            self._exports,
        )

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {name: handler for part in self._parts for name, handler in part.handlers().items()}

    def exports_billed(self) -> list[dict[str, Any]]:
        """Return the exports AWS would have billed; see :meth:`Exports.billed`."""
        return self._exports.billed()
