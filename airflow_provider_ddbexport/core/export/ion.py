"""Lines of ION exports: ``$ion_1_0 {Item:{pk:"a",n:1.,tags:$dynamodb_SS::["x"]}}``. Needs the extra ``ion``."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from airflow_provider_ddbexport.core.decode import AttributeValue, Item, check_item
from airflow_provider_ddbexport.errors import BadCallError, ItemError

_SETS = {"$dynamodb_SS": "SS", "$dynamodb_NS": "NS", "$dynamodb_BS": "BS"}
_ELEMENTS = {"SS": "S", "NS": "N", "BS": "B"}


def require_ion() -> None:
    """Raise BadCallError unless the extra is installed."""
    try:
        import amazon.ion.simpleion  # noqa: F401
    except ImportError:
        raise BadCallError(
            "the export is in ION, which needs an extra: pip install 'airflow-provider-ddbexport[ion]'"
        ) from None


def decode_ion_line(line: bytes) -> Item:
    """Return the item that *line* holds, as DynamoDB JSON. Raises ItemError with a reason."""
    from amazon.ion import simpleion
    from amazon.ion.exceptions import IonException

    try:
        values = simpleion.loads(line, single_value=False)
    except (IonException, ValueError, TypeError, ArithmeticError, RecursionError, EOFError):
        raise _bad("not Ion text") from None
    if len(values) != 1 or not _is_plain(values[0], "STRUCT") or list(values[0].keys()) != ["Item"]:
        raise _bad("expected one struct with the one field Item")
    wrapped = _fields(values[0])["Item"]
    if not _is_plain(wrapped, "STRUCT"):
        raise _bad("expected Item to be a struct")
    try:
        item = {name: _attribute(value) for name, value in _fields(wrapped).items()}
    except RecursionError:
        raise _bad("maps and lists nested far too deeply") from None
    return check_item(item)


def _attribute(value: Any) -> AttributeValue:
    annotations = _annotations(value)
    kind = _kind(value)
    if annotations:
        return _set(value, kind, annotations)
    convert = _PLAIN.get(kind)
    if convert is None:
        raise _bad(f"an Ion value of type {kind.lower()}, which no DynamoDB attribute has")
    return convert(value)


def _set(value: Any, kind: str, annotations: list[str]) -> AttributeValue:
    name = _SETS.get(annotations[0]) if len(annotations) == 1 else None
    if name is None or kind != "LIST":
        raise _bad("an Ion annotation that marks no DynamoDB set")
    elements = []
    for element in value:
        ((found, text),) = _attribute(element).items()
        if found != _ELEMENTS[name]:
            raise _bad(f"a value of type {found} in a {name}")
        elements.append(text)
    return {name: elements}


def _number(value: Any) -> AttributeValue:
    # Through Decimal's own text: Ion's subclass of it would not change the digits, but its repr might.
    return {"N": str(Decimal(value))}


_PLAIN: dict[str, Callable[[Any], AttributeValue]] = {
    "NULL": lambda value: {"NULL": True},  # noqa: ARG005
    "BOOL": lambda value: {"BOOL": bool(value)},
    "INT": _number,
    "DECIMAL": _number,
    "STRING": lambda value: {"S": str(value)},
    "BLOB": lambda value: {"B": base64.b64encode(bytes(value)).decode()},
    "LIST": lambda value: {"L": [_attribute(element) for element in value]},
    "STRUCT": lambda value: {"M": {name: _attribute(member) for name, member in _fields(value).items()}},
}


def _fields(struct: Any) -> dict[str, Any]:
    """Return the members of *struct* by name; Ion allows a name twice, DynamoDB does not."""
    fields: dict[str, Any] = {}
    for name, value in struct.items():
        if not isinstance(name, str):
            raise _bad("a field without a name")
        if name in fields:
            raise _bad("a field that is there twice")
        fields[name] = value
    return fields


def _kind(value: Any) -> str:
    """Return the Ion type's name, also of the plain bool and None that some readers give."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "BOOL"
    kind: str = value.ion_type.name
    return "NULL.TYPED" if kind != "NULL" and _is_typed_null(value) else kind


def _is_typed_null(value: Any) -> bool:
    return type(value).__name__ == "IonPyNull"


def _annotations(value: Any) -> list[str]:
    return [str(getattr(annotation, "text", annotation)) for annotation in getattr(value, "ion_annotations", ())]


def _is_plain(value: Any, kind: str) -> bool:
    return _kind(value) == kind and not _annotations(value)


def _bad(reason: str) -> ItemError:
    return ItemError(reason, reason=reason)
