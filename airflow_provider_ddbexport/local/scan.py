"""Scan, on our own: a page costs what a page costs, however large the table is.

Items are read in hash order, so that a segment is a range and a page starts where the last one ended without counting
up to there. Scans of a secondary index, and those with a legacy ScanFilter, are moto's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from airflow_provider_ddbexport.local.attribute_values import Image, Item, Key, canonical_item, item_size
from airflow_provider_ddbexport.local.capacity import consumed, read_units
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.history import segment_bounds
from airflow_provider_ddbexport.local.metering import Meter
from airflow_provider_ddbexport.local.projection import Path, parse_projection, project
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

PAGE_BYTES = 1024 * 1024
MAX_SEGMENTS = 1_000_000

_PLACEHOLDERS = (
    ("name used in the document path", "#", "ExpressionAttributeNames"),
    ("value used in expression", ":", "ExpressionAttributeValues"),
)
"""What an expression may stand in for a name or a value: how errors call it, how it begins, where it is given."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What one Scan call read.

    Attributes:
        images: in hash order.
        size: bytes of all of them.
        last: where the page was cut, or None at the end of the segment. A page that is cut at the last item still
            says so, as the service does: the next page is then empty.
    """

    images: list[Image]
    size: int
    last: Image | None


class Scan:
    """Handler of Scan."""

    def __init__(self, emulator: Emulator, tables: Tables, meter: Meter) -> None:
        self._emulator = emulator
        self._tables = tables
        self._meter = meter

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {("DynamoDB", "Scan"): self._scan}

    def _scan(self, call: Call) -> dict[str, Any] | bytes:
        body = call.body
        requested = body.get("ReturnConsumedCapacity")
        consumed(requested, "", 0)
        segment, total = _segment(body)
        state = self._tables.find(call, body["TableName"])
        if state is None:
            return self._emulator.forward(call)
        self._meter.admit(call, state, "Read")
        if "IndexName" in body or "ScanFilter" in body:
            return self._by_moto(call, state, requested)
        after = _start(state, body.get("ExclusiveStartKey"), segment, total)
        refuse_unused_names(body)
        keep, cut = item_filter(body), item_projection(body)
        page = _read(state, segment, total, after, body.get("Limit"))
        units = read_units(page.size, consistent=bool(body.get("ConsistentRead")))
        self._meter.spend(call, state, "Read", units)
        answer: dict[str, Any] = {"ScannedCount": len(page.images)}
        if page.last is not None:
            answer["LastEvaluatedKey"] = state.schema.of(page.last.item())
        if found := consumed(requested, state.name, units):
            answer["ConsumedCapacity"] = found
        counts_only = body.get("Select") == "COUNT"
        if keep is None and cut is None:
            answer["Count"] = len(page.images)
            # The images are kept encoded: a whole page is put together without looking into it.
            return _with_items(answer, None if counts_only else [image.encoded for image in page.images])
        items = [image.item() for image in page.images]
        if keep is not None:
            items = [item for item in items if keep(item)]
        answer["Count"] = len(items)
        if not counts_only:
            answer["Items"] = [cut(item) for item in items] if cut else items
        return answer

    def _by_moto(self, call: Call, state: TableState, requested: str | None) -> dict[str, Any]:
        call.body.pop("ReturnConsumedCapacity", None)
        answer = self._emulator.forward(call)
        units = read_units(sum(map(item_size, answer.get("Items", []))), consistent=False)
        self._meter.spend(call, state, "Read", units)
        if found := consumed(requested, state.name, units, index=call.body.get("IndexName")):
            answer["ConsumedCapacity"] = found
        return answer


def _read(state: TableState, segment: int, total: int, after: Key | None, limit: int | None) -> _Page:
    images: list[Image] = []
    size = 0
    for _, image in state.history.slice(segment, total, after):
        if images and size + image.size > PAGE_BYTES:
            return _Page(images, size, images[-1])
        images.append(image)
        size += image.size
        if len(images) == limit:
            return _Page(images, size, image)
    return _Page(images, size, None)


def _segment(body: dict[str, Any]) -> tuple[int, int]:
    segment, total = body.get("Segment"), body.get("TotalSegments")
    if segment is None and total is None:
        return 0, 1
    if total is None:
        raise AwsError(
            "ValidationException",
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is "
            "present",
        )
    if segment is None:
        raise AwsError(
            "ValidationException",
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present",
        )
    if not 1 <= total <= MAX_SEGMENTS:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{total}' at 'totalSegments' failed to satisfy constraint: "
            f"Member must have value between 1 and {MAX_SEGMENTS}",
        )
    if not 0 <= segment < total:
        raise AwsError(
            "ValidationException",
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}",
        )
    return segment, total


def _start(state: TableState, start: Item | None, segment: int, total: int) -> Key | None:
    if not start:
        return None
    if set(start) != set(state.schema.names):
        raise AwsError("ValidationException", "The provided starting key is invalid")
    key = state.schema.key(start)
    first, last = segment_bounds(segment, total)
    if not first <= key.token < last:
        raise AwsError(
            "ValidationException", "The provided starting key is outside the range of the segment that is scanned"
        )
    return key


def refuse_unused_names(body: dict[str, Any]) -> None:
    """Raise AwsError for a name or value that no expression of *body* uses."""
    expressions = f"{body.get('FilterExpression', '')} {body.get('ProjectionExpression', '')}"
    for member in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        for name in body.get(member) or {}:
            if name not in expressions:
                raise AwsError(
                    "ValidationException", f"Value provided in {member} unused in expressions: keys: {{{name}}}"
                )


def item_filter(body: dict[str, Any]) -> Callable[[Item], bool] | None:
    """Return whether an item passes *body*'s FilterExpression; None where there is none. Raises AwsError."""
    expression = body.get("FilterExpression")
    if expression is None:
        return None
    from moto.dynamodb.comparisons import get_filter_expression
    from moto.dynamodb.models.dynamo_type import Item as MotoItem

    if not expression:
        raise AwsError("ValidationException", "Invalid FilterExpression: The expression can not be empty;")
    for what, sign, member in _PLACEHOLDERS:
        for name in re.findall(rf"{sign}\w+", expression):
            if name not in (body.get(member) or {}):
                raise AwsError(
                    "ValidationException",
                    f"Invalid FilterExpression: An expression attribute {what} is not defined; attribute "
                    f"{what.partition(' ')[0]}: {name}",
                )
    values = canonical_item(body.get("ExpressionAttributeValues") or {})
    try:
        condition: Any = get_filter_expression(expression, body.get("ExpressionAttributeNames"), values)
    except Exception as error:
        # Whatever moto's parser stumbles over, asserts and all, is no expression.
        raise AwsError("ValidationException", f"Invalid FilterExpression: Syntax error; {error}") from error

    def keep(item: Item) -> bool:
        try:
            return bool(condition.expr(MotoItem(None, None, item)))  # type: ignore[arg-type]
        except (AttributeError, TypeError, ValueError):
            # What cannot be compared, or has no size, does not pass.
            return False

    return keep


def item_projection(body: dict[str, Any]) -> Callable[[Item], Item] | None:
    """Return what *body* leaves of an item; None where it leaves all. Raises AwsError."""
    if names := body.get("AttributesToGet"):
        paths: list[Path] = [(name,) for name in names]
    elif expression := body.get("ProjectionExpression"):
        paths, _ = parse_projection(expression, body.get("ExpressionAttributeNames"))
    else:
        return None
    return lambda item: project(item, paths)


def _with_items(answer: dict[str, Any], encoded: list[bytes] | None) -> bytes:
    head = msgspec.json.encode(answer)
    if encoded is None:
        return head
    return head[:-1] + b',"Items":[' + b",".join(encoded) + b"]}"
