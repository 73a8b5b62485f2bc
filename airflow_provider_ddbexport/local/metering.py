"""Lets calls in, or throttles them, by the capacity a provisioned table has left. Tables on demand never throttle."""

from __future__ import annotations

from typing import Literal

from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import AwsError, Call

Kind = Literal["Read", "Write"]


class Meter:
    """Keeps each provisioned table within its capacity; secondary indexes are not metered on their own."""

    def __init__(self, emulator: Emulator, tables: Tables) -> None:
        self._emulator = emulator
        self._tables = tables

    def left(self, call: Call, state: TableState, kind: Kind) -> float | None:
        """Return the units the table can still spend now, or None if it is not limited."""
        table = self._tables.moto_table(call, state.name)
        if table is None or table.billing_mode == "PAY_PER_REQUEST":
            return None
        rate = float(table.throughput.get(f"{kind}CapacityUnits") or 0)
        if not rate:
            return None
        bucket = state.reads if kind == "Read" else state.writes
        return bucket.left(rate, rate * self._emulator.settings.capacity_burst_seconds)

    def admit(self, call: Call, state: TableState, kind: Kind) -> None:
        """Raise AwsError(ProvisionedThroughputExceededException) when there is nothing left to spend."""
        left = self.left(call, state, kind)
        if left is not None and left <= 0:
            raise exceeded()

    def spend(self, call: Call, state: TableState, kind: Kind, units: float) -> None:
        """Take what a call cost."""
        if self.left(call, state, kind) is not None:
            (state.reads if kind == "Read" else state.writes).spend(units)


def exceeded() -> AwsError:
    """Return the error of a table that has nothing left to spend."""
    return AwsError(
        "ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API.",
    )
