"""Calls about tables: what describe answers beyond moto, and point-in-time recovery."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.local.capacity import TokenBucket
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

_PERIOD_DAYS = range(1, 36)


class TableCalls:
    """Handlers of the calls about tables."""

    def __init__(self, emulator: Emulator, tables: Tables) -> None:
        self._emulator = emulator
        self._tables = tables
        self._describes: TokenBucket
        emulator.on_reset(self._forget)
        self._forget()

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {
            ("DynamoDB", "CreateTable"): self._described,
            ("DynamoDB", "DescribeTable"): self._described,
            ("DynamoDB", "UpdateTable"): self._described,
            ("DynamoDB", "DeleteTable"): self._delete,
            ("DynamoDB", "RestoreTableFromBackup"): self._restore,
            ("DynamoDB", "RestoreTableToPointInTime"): self._restore,
            ("DynamoDB", "DescribeContinuousBackups"): self._describe_backups,
            ("DynamoDB", "UpdateContinuousBackups"): self._update_backups,
        }

    def _forget(self) -> None:
        self._describes = TokenBucket(self._emulator.elapsed)

    def _described(self, call: Call) -> dict[str, Any]:
        answer = self._emulator.forward(call)
        state = self._tables.find(call, call.body["TableName"])
        if state is not None:
            _complete(answer.get("Table") or answer["TableDescription"], state)
        return answer

    def _delete(self, call: Call) -> dict[str, Any]:
        state = self._tables.find(call, call.body["TableName"])
        answer = self._emulator.forward(call)
        if state is not None:
            _complete(answer["TableDescription"], state)
            answer["TableDescription"]["TableStatus"] = "DELETING"
        return answer

    def _restore(self, call: Call) -> dict[str, Any]:
        answer = self._emulator.forward(call)
        # Met now, the restored table's items are logged with the time of the restore.
        self._tables.find(call, call.body["TargetTableName"])
        return answer

    def _describe_backups(self, call: Call) -> dict[str, Any]:
        per_s = self._emulator.settings.describe_backups_per_s
        if not self._describes.take(per_s, per_s):
            raise AwsError("ThrottlingException", "Rate exceeded")
        return self._backups(self._existing(call))

    def _update_backups(self, call: Call) -> dict[str, Any]:
        state = self._existing(call)
        wanted = call.body["PointInTimeRecoverySpecification"]
        days = wanted.get("RecoveryPeriodInDays")
        if days is not None and days not in _PERIOD_DAYS:
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{days}' at 'recoveryPeriodInDays' failed to satisfy constraint: "
                "Member must have value between 1 and 35",
            )
        if not wanted["PointInTimeRecoveryEnabled"]:
            state.pitr_enabled_at = None
        else:
            if state.pitr_enabled_at is None:
                state.pitr_enabled_at = self._emulator.clock.now()
                state.recovery_days = 35
            state.recovery_days = days or state.recovery_days
        return self._backups(state)

    def _existing(self, call: Call) -> TableState:
        name = call.body["TableName"]
        state = self._tables.find(call, name)
        if state is None:
            raise AwsError("TableNotFoundException", f"Table not found: {name}")
        return state

    def _backups(self, state: TableState) -> dict[str, Any]:
        description: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
        if state.pitr_enabled_at is not None:
            description = {
                "PointInTimeRecoveryStatus": "ENABLED",
                "RecoveryPeriodInDays": state.recovery_days,
                "EarliestRestorableDateTime": _epoch(self._tables.earliest_restorable(state)),
                "LatestRestorableDateTime": _epoch(self._tables.latest_restorable(state)),
            }
        return {
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": description,
            }
        }


def _complete(description: dict[str, Any], state: TableState) -> None:
    description["TableId"] = state.table_id
    description["TableSizeBytes"] = state.history.size
    description["ItemCount"] = len(state.history)
    description["CreationDateTime"] = _epoch(state.created_at)


def _epoch(moment: datetime) -> float:
    return moment.timestamp()
