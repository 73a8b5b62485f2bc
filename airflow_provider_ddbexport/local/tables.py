"""What the emulator knows of each table beside moto: its identity, its history, its backups, its capacity."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_ddbexport.local.attribute_values import Image, Item, Key, KeySchema, from_moto
from airflow_provider_ddbexport.local.capacity import TokenBucket
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.history import TableHistory, micros
from airflow_provider_ddbexport.local.wire import AwsError, Call

# Set on moto's table objects: the copies moto makes to roll a transaction back keep it, a table created again has none.
_MARK = "_ddbexport_table_id"


@dataclass(slots=True)
class TableState:
    """One table, from its creation to its deletion.

    Attributes:
        table_id: TableId; a table that was deleted and created again has another.
        pitr_enabled_at: since when point-in-time recovery is on, or None.
        recovery_days: RecoveryPeriodInDays.
        reads, writes: of a provisioned table.
    """

    table_id: str
    name: str
    arn: str
    account: str
    region: str
    schema: KeySchema
    created_at: datetime
    reads: TokenBucket
    writes: TokenBucket
    history: TableHistory = field(default_factory=TableHistory)
    pitr_enabled_at: datetime | None = None
    recovery_days: int = 35


class Tables:
    """The tables of every account and region."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._states: dict[str, TableState] = {}
        emulator.on_reset(self._states.clear)

    def find(self, call: Call, name: str) -> TableState | None:
        """Return the table with that name or ARN, or None."""
        table = self.moto_table(call, name)
        return None if table is None else self._state_of(table, call)

    def of_arn(self, call: Call, arn: str) -> TableState | None:
        """Return the table with that ARN in the caller's region, or None."""
        for table in self._emulator.moto.dynamodb(call.account, call.region).tables.values():
            if table.table_arn == arn:
                return self._state_of(table, call)
        return None

    def all(self, call: Call) -> Iterator[TableState]:
        """Return the tables of the caller's account and region."""
        for table in list(self._emulator.moto.dynamodb(call.account, call.region).tables.values()):
            yield self._state_of(table, call)

    def moto_table(self, call: Call, name: str) -> Any | None:
        """Return moto's table with that name or ARN, or None."""
        tables = self._emulator.moto.dynamodb(call.account, call.region).tables
        return tables.get(name.rpartition("/")[2] if name.startswith("arn:") else name)

    def log(self, call: Call, state: TableState, key_attributes: Item, at_micros: int, *, even_if_same: bool) -> None:
        """Log what the table now holds under a key; a write that changed nothing only if *even_if_same*."""
        table = self.moto_table(call, state.name)
        if table is None:
            return
        found = _item_at(table, state.schema, key_attributes)
        image = None if found is None else Image.of(from_moto(found))
        key = state.schema.key(key_attributes)
        if even_if_same or image != state.history.current(key):
            state.history.write(key, image, at_micros)

    def sync(self, call: Call) -> None:
        """Log whatever differs between moto and what was logged, in every table of the account and region."""
        for state in self.all(call):
            self._sync(self.moto_table(call, state.name), state)

    def latest_restorable(self, state: TableState) -> datetime:
        """Return the latest time PITR can export; never before the earliest one."""
        latest = self._emulator.clock.now() - timedelta(seconds=self._emulator.settings.restorable_lag_seconds)
        return max(latest, self.earliest_restorable(state))

    def earliest_restorable(self, state: TableState) -> datetime:
        """Return the earliest time PITR can export. PITR has to be on."""
        if state.pitr_enabled_at is None:
            raise AwsError("PointInTimeRecoveryUnavailableException", "Point in time recovery is not enabled")
        return max(state.pitr_enabled_at, self._emulator.clock.now() - timedelta(days=state.recovery_days))

    def now_micros(self) -> int:
        """Return the time that one call's writes share: a transaction is never half visible."""
        return micros(self._emulator.clock.now())

    def _state_of(self, table: Any, call: Call) -> TableState:
        table_id = table.__dict__.get(_MARK)
        if table_id is None:
            table_id = table.__dict__[_MARK] = str(uuid.uuid4())
        state = self._states.get(table_id)
        if state is None:
            elapsed = self._emulator.elapsed
            state = self._states[table_id] = TableState(
                table_id=table_id,
                name=table.name,
                arn=table.table_arn,
                account=call.account,
                region=call.region,
                schema=KeySchema(table.hash_key_attr, table.range_key_attr),
                created_at=self._emulator.clock.now(),
                reads=TokenBucket(elapsed),
                writes=TokenBucket(elapsed),
            )
            # A table that was restored, imported or made by CloudFormation is met with its items already in it.
            self._sync(table, state)
        return state

    def _sync(self, table: Any, state: TableState) -> None:
        at = self.now_micros()
        present: set[Key] = set()
        for found in list(_items(table)):
            item = from_moto(found)
            key, image = state.schema.key(item), Image.of(item)
            present.add(key)
            if image != state.history.current(key):
                state.history.write(key, image, at)
        for key in state.history.keys() - present:
            state.history.write(key, None, at)


def _item_at(table: Any, schema: KeySchema, key_attributes: Item) -> Any | None:
    from moto.dynamodb.models.dynamo_type import DynamoType

    # moto keeps binaries it parsed from a request as bytes.
    parts = [
        DynamoType({kind: base64.b64decode(value) if kind == "B" else value})
        for name in schema.names
        for kind, value in key_attributes[name].items()
    ]
    return table.get_item(parts[0], parts[1] if len(parts) > 1 else None)


def _items(table: Any) -> Iterator[Any]:
    for found in table.items.values():
        if table.range_key_attr is None:
            yield found
        else:
            yield from found.values()
