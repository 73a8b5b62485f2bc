"""What a service says of a request that is not as its model has it, by botocore's copy of the model."""

from __future__ import annotations

import functools
from typing import Any

from airflow_provider_ddbexport.local.wire import AwsError, Call

_SERVICES = {"DynamoDB": "dynamodb", "AWSGlue": "glue", "AmazonAthena": "athena"}

_PYTHON: dict[str, type | tuple[type, ...]] = {
    "blob": str,
    "boolean": bool,
    "double": (int, float),
    "float": (int, float),
    "integer": int,
    "list": list,
    "long": int,
    "map": dict,
    "string": str,
    "structure": dict,
    "timestamp": (int, float),
}

_CHOICES = {"AttributeValue", "WriteRequest"}
"""Structures of which exactly one member is given, as the model does not say."""


def refusal_of(call: Call, service: str) -> AwsError | None:
    """Return what *service*, named as in the request's target, says of the call; None where it is well formed.

    A member of the wrong type is a SerializationException, one that is missing a ValidationException. Neither holds a
    value.
    """
    shape = _model(_SERVICES[service]).operation_model(call.operation).input_shape
    return _refusal(call.body, shape, "")


def _refusal(value: Any, shape: Any, path: str) -> AwsError | None:
    if not _is_of(value, _PYTHON[shape.type_name]):
        return AwsError("SerializationException", f"Expected a {shape.type_name} at '{path}'")
    for name in getattr(shape, "required_members", []):
        if value.get(name) is None:
            return AwsError(
                "ValidationException",
                f"1 validation error detected: Value null at '{_below(path, name)}' failed to satisfy constraint: "
                "Member must not be null",
            )
    if shape.name in _CHOICES and len(_members(value, shape, path)) != 1:
        return AwsError("ValidationException", f"Supplied {shape.name} at '{path}' must contain exactly one member")
    return next(filter(None, (_refusal(*member) for member in _members(value, shape, path))), None)


def _is_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _members(value: Any, shape: Any, path: str) -> list[tuple[Any, Any, str]]:
    if shape.type_name == "list":
        return [(element, shape.member, f"{path}.{number}.member") for number, element in enumerate(value, start=1)]
    if shape.type_name == "map":
        return [(element, shape.value, f"{path}.member") for element in value.values()]
    if shape.type_name == "structure":
        known = shape.members
        return [
            (member, known[name], _below(path, name))
            for name, member in value.items()
            if name in known and member is not None
        ]
    return []


def _below(path: str, name: str) -> str:
    shown = name[0].lower() + name[1:]
    return f"{path}.{shown}" if path else shown


@functools.cache
def _model(service: str) -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model(service)
