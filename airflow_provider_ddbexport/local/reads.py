"""GetItem, BatchGetItem, TransactGetItems and Query: moto reads, we count what it costs. Scan is in scan.py."""

from __future__ import annotations

from typing import Any

from airflow_provider_ddbexport.local.attribute_values import Item, item_size
from airflow_provider_ddbexport.local.capacity import consumed, read_units
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.metering import Meter, exceeded
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import Call, Handler


class Reads:
    """Handlers of the calls that read items by key."""

    def __init__(self, emulator: Emulator, tables: Tables, meter: Meter) -> None:
        self._emulator = emulator
        self._tables = tables
        self._meter = meter

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {
            ("DynamoDB", "GetItem"): self._get,
            ("DynamoDB", "BatchGetItem"): self._batch_get,
            ("DynamoDB", "TransactGetItems"): self._transact_get,
            ("DynamoDB", "Query"): self._query,
        }

    def _get(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        state = self._tables.find(call, call.body["TableName"])
        if state is None:
            return self._emulator.forward(call)
        self._meter.admit(call, state, "Read")
        answer = self._emulator.forward(call)
        units = read_units(_size(state, call.body["Key"]), consistent=bool(call.body.get("ConsistentRead")))
        self._meter.spend(call, state, "Read", units)
        if found := consumed(requested, state.name, units):
            answer["ConsumedCapacity"] = found
        return answer

    def _batch_get(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        accepted: dict[str, Any] = {}
        unprocessed: dict[str, Any] = {}
        spent: dict[str, float] = {}
        for name, request in call.body["RequestItems"].items():
            state = self._tables.find(call, name)
            if state is None:
                accepted[name] = request
                continue
            left = self._meter.left(call, state, "Read")
            taken: list[Item] = []
            for key in request["Keys"]:
                if left is not None and left - spent.get(name, 0.0) <= 0:
                    break
                taken.append(key)
                units = read_units(_size(state, key), consistent=bool(request.get("ConsistentRead")))
                spent[name] = spent.get(name, 0.0) + units
            if taken:
                accepted[name] = {**request, "Keys": taken}
            if rest := request["Keys"][len(taken) :]:
                unprocessed[name] = {**request, "Keys": rest}
        if not accepted:
            raise exceeded()
        answer = self._emulator.forward(
            Call(call.operation, {**call.body, "RequestItems": accepted}, call.region, call.account)
        )
        for name, units in spent.items():
            if state := self._tables.find(call, name):
                self._meter.spend(call, state, "Read", units)
        answer["UnprocessedKeys"] = {**answer.get("UnprocessedKeys", {}), **unprocessed}
        answer.pop("ConsumedCapacity", None)
        if capacity := [found for name, units in spent.items() if (found := consumed(requested, name, units))]:
            answer["ConsumedCapacity"] = capacity
        return answer

    def _transact_get(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        spent: dict[str, float] = {}
        for entry in call.body["TransactItems"]:
            name, key = entry["Get"]["TableName"], entry["Get"]["Key"]
            if state := self._tables.find(call, name):
                self._meter.admit(call, state, "Read")
                units = 2 * read_units(_size(state, key), consistent=True)
                self._meter.spend(call, state, "Read", units)
                spent[state.name] = spent.get(state.name, 0.0) + units
        answer = self._emulator.forward(call)
        if capacity := [found for name, units in spent.items() if (found := consumed(requested, name, units))]:
            answer["ConsumedCapacity"] = [{**found, "ReadCapacityUnits": found["CapacityUnits"]} for found in capacity]
        return answer

    def _query(self, call: Call) -> dict[str, Any]:
        requested = call.body.pop("ReturnConsumedCapacity", None)
        consumed(requested, "", 0)
        state = self._tables.find(call, call.body["TableName"])
        if state is None:
            return self._emulator.forward(call)
        self._meter.admit(call, state, "Read")
        answer = self._emulator.forward(call)
        if requested in {None, "NONE"} and self._meter.left(call, state, "Read") is None:
            return answer
        units = read_units(self._examined(call, answer), consistent=bool(call.body.get("ConsistentRead")))
        self._meter.spend(call, state, "Read", units)
        if found := consumed(requested, state.name, units, index=call.body.get("IndexName")):
            answer["ConsumedCapacity"] = found
        return answer

    def _examined(self, call: Call, answer: dict[str, Any]) -> int:
        """Return the bytes of the items a Query read, those that were filtered out and cut down included."""
        narrowing = {"FilterExpression", "QueryFilter", "ProjectionExpression", "AttributesToGet", "Select"}
        items = answer.get("Items")
        if items is None or narrowing & call.body.keys():
            # ScannedCount items from the same start are exactly those the filter was applied to.
            body = {name: value for name, value in call.body.items() if name not in narrowing}
            body["Limit"] = max(1, answer["ScannedCount"])
            body.update(_used_placeholders(body))
            items = self._emulator.forward(Call(call.operation, body, call.region, call.account))["Items"]
            items = items[: answer["ScannedCount"]]
        return sum(map(item_size, items))


def _used_placeholders(body: dict[str, Any]) -> dict[str, Any]:
    """Return the expression attributes the key condition still uses: the service refuses unused ones."""
    condition = body.get("KeyConditionExpression", "")
    kept: dict[str, Any] = {}
    for member in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        used = {name: value for name, value in (body.pop(member, None) or {}).items() if name in condition}
        if used:
            kept[member] = used
    return kept


def _size(state: TableState, key: Item) -> int:
    if not all(name in key for name in state.schema.names):
        return 0
    image = state.history.current(state.schema.key(key))
    return 0 if image is None else image.size
