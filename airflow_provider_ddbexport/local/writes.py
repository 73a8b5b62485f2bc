"""Every way an item is written: moto carries it out, and what its table then holds is logged.

What is logged is what moto's table holds after the call, not what the call asked for: so a condition that failed or a
transaction that was rolled back leaves no trace.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_ddbexport.local.attribute_values import (
    Image,
    Item,
    Key,
    canonical,
    canonical_item,
)
from airflow_provider_ddbexport.local.capacity import consumed, write_units
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.metering import Meter, exceeded
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

_BATCH_LIMIT = 25
_IMPORT_PATIENCE_S = 120.0


class Writes:
    """Handlers of the calls that write items."""

    def __init__(self, emulator: Emulator, tables: Tables, meter: Meter) -> None:
        self._emulator = emulator
        self._tables = tables
        self._meter = meter

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {
            ("DynamoDB", "PutItem"): lambda call: self._one(call, "Item"),
            ("DynamoDB", "UpdateItem"): lambda call: self._one(call, "Key"),
            ("DynamoDB", "DeleteItem"): lambda call: self._one(call, "Key"),
            ("DynamoDB", "BatchWriteItem"): self._batch,
            ("DynamoDB", "TransactWriteItems"): self._transaction,
            ("DynamoDB", "ExecuteStatement"): self._statements,
            ("DynamoDB", "BatchExecuteStatement"): self._statements,
            ("DynamoDB", "ExecuteTransaction"): self._statements,
            ("DynamoDB", "ImportTable"): self._import,
        }

    def _one(self, call: Call, member: str) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        _canonicalise(call.body)
        state = self._tables.find(call, call.body["TableName"])
        attributes: Item = call.body[member]
        if state is None or not _has_key(state, attributes):
            return self._emulator.forward(call)
        self._meter.admit(call, state, "Write")
        key = state.schema.key(attributes)
        before = _size(state.history.current(key))
        at = self._tables.now_micros()
        try:
            answer = self._emulator.forward(call)
        except AwsError as error:
            self._tables.log(call, state, attributes, at, even_if_same=False)
            if error.code == "ConditionalCheckFailedException":
                self._meter.spend(call, state, "Write", write_units(before, 0))
            raise
        self._tables.log(call, state, attributes, at, even_if_same=True)
        units = write_units(before, _size(state.history.current(key)))
        self._meter.spend(call, state, "Write", units)
        answer.pop("ConsumedCapacity", None)
        if found := consumed(requested, state.name, units):
            answer["ConsumedCapacity"] = found
        return answer

    def _batch(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        asked: dict[str, list[dict[str, Any]]] = call.body["RequestItems"]
        if not 1 <= sum(map(len, asked.values())) <= _BATCH_LIMIT:
            raise AwsError("ValidationException", "Too many items requested for the BatchWriteItem call")
        accepted: dict[str, list[dict[str, Any]]] = {}
        unprocessed: dict[str, list[dict[str, Any]]] = {}
        spent: dict[str, float] = {}
        written: list[tuple[TableState, Item]] = []
        for name, requests in asked.items():
            state = self._tables.find(call, name)
            left = None if state is None else self._meter.left(call, state, "Write")
            keys: set[Key] = set()
            for request in requests:
                attributes = _batched(request)
                if state is None or not _has_key(state, attributes):
                    accepted.setdefault(name, []).append(request)
                    continue
                key = state.schema.key(attributes)
                if key in keys:
                    raise AwsError("ValidationException", "Provided list of item keys contains duplicates")
                keys.add(key)
                if left is not None and left - spent.get(name, 0.0) <= 0:
                    unprocessed.setdefault(name, []).append(request)
                    continue
                after = Image.of(attributes).size if "PutRequest" in request else 0
                spent[name] = spent.get(name, 0.0) + write_units(_size(state.history.current(key)), after)
                accepted.setdefault(name, []).append(request)
                written.append((state, attributes))
        if not accepted:
            raise exceeded()
        self._carry_out(Call(call.operation, {"RequestItems": accepted}, call.region, call.account), written)
        for name, units in spent.items():
            if state := self._tables.find(call, name):
                self._meter.spend(call, state, "Write", units)
        answer: dict[str, Any] = {"UnprocessedItems": unprocessed, "ItemCollectionMetrics": {}}
        if capacity := [found for name, units in spent.items() if (found := consumed(requested, name, units))]:
            answer["ConsumedCapacity"] = capacity
        return answer

    def _transaction(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        touched: list[tuple[TableState, Item]] = []
        before: list[int] = []
        for entry in call.body["TransactItems"]:
            for operation, details in entry.items():
                _canonicalise(details)
                state = self._tables.find(call, details["TableName"])
                attributes = details["Item"] if operation == "Put" else details["Key"]
                if state is None or not _has_key(state, attributes):
                    continue
                self._meter.admit(call, state, "Write")
                if operation != "ConditionCheck":
                    touched.append((state, attributes))
                    before.append(_size(state.history.current(state.schema.key(attributes))))
        answer = self._carry_out(call, touched)
        spent: dict[str, float] = {}
        for (state, attributes), size in zip(touched, before, strict=True):
            after = _size(state.history.current(state.schema.key(attributes)))
            # A transaction writes each item twice: to prepare and to commit.
            units = 2 * write_units(size, after)
            self._meter.spend(call, state, "Write", units)
            spent[state.name] = spent.get(state.name, 0.0) + units
        answer.pop("ConsumedCapacity", None)
        if capacity := [found for name, units in spent.items() if (found := consumed(requested, name, units))]:
            answer["ConsumedCapacity"] = [{**found, "WriteCapacityUnits": found["CapacityUnits"]} for found in capacity]
        return answer

    def _carry_out(self, call: Call, written: list[tuple[TableState, Item]]) -> dict[str, Any]:
        at = self._tables.now_micros()
        try:
            answer = self._emulator.forward(call)
        except AwsError:
            for state, attributes in written:
                self._tables.log(call, state, attributes, at, even_if_same=False)
            raise
        for state, attributes in written:
            self._tables.log(call, state, attributes, at, even_if_same=True)
        return answer

    def _statements(self, call: Call) -> dict[str, Any]:
        try:
            return self._emulator.forward(call)
        finally:
            # Which items a PartiQL statement wrote only moto knows.
            self._tables.sync(call)

    def _import(self, call: Call) -> dict[str, Any]:
        answer = self._emulator.forward(call)
        backend = self._emulator.moto.dynamodb(call.account, call.region)
        imported = backend.table_imports[answer["ImportTableDescription"]["ImportArn"]]
        imported.join(_IMPORT_PATIENCE_S)
        self._tables.sync(call)
        return answer


def _canonicalise(body: dict[str, Any]) -> None:
    """Make the numbers of whatever *body* would store canonical."""
    for member in ("Item", "ExpressionAttributeValues"):
        if body.get(member):
            body[member] = canonical_item(body[member])
    for update in (body.get("AttributeUpdates") or {}).values():
        if "Value" in update:
            update["Value"] = canonical(update["Value"])


def _batched(request: dict[str, Any]) -> Item:
    if put := request.get("PutRequest"):
        put["Item"] = canonical_item(put["Item"])
        item: Item = put["Item"]
        return item
    key: Item = request["DeleteRequest"]["Key"]
    return key


def _has_key(state: TableState, attributes: Item) -> bool:
    return all(name in attributes for name in state.schema.names)


def _size(image: Image | None) -> int:
    return 0 if image is None else image.size
