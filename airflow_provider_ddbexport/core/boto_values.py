"""Items as boto3 clients give and take them: DynamoDB JSON, except that binaries are bytes and not base64."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from airflow_provider_ddbexport.core.decode import AttributeValue, Item


def item_from_boto(item: Mapping[str, Any]) -> Item:
    """Return *item*, from a response, as DynamoDB JSON."""
    return {name: value_from_boto(value) for name, value in item.items()}


def value_from_boto(value: Mapping[str, Any]) -> AttributeValue:
    """Return one value, from a response, as DynamoDB JSON."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {"B": _text(content)}
    if kind == "BS":
        return {"BS": [_text(element) for element in content]}
    if kind == "M":
        return {"M": item_from_boto(content)}
    if kind == "L":
        return {"L": [value_from_boto(element) for element in content]}
    return {kind: content}


def value_to_boto(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return one value of DynamoDB JSON as a request takes it; binaries that are bytes already stay so."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {"B": _bytes(content)}
    if kind == "BS":
        return {"BS": [_bytes(element) for element in content]}
    if kind == "M":
        return {"M": {name: value_to_boto(member) for name, member in content.items()}}
    if kind == "L":
        return {"L": [value_to_boto(element) for element in content]}
    return {kind: content}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(content: bytes | str) -> bytes:
    return base64.b64decode(content, validate=True) if isinstance(content, str) else content
