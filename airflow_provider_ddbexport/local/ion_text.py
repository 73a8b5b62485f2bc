"""Items as the Ion text of an export's line: sets annotated, numbers decimals, binaries blobs."""

from __future__ import annotations

import json
import re

from airflow_provider_ddbexport.local.attribute_values import AttributeValue, Item

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")
_KEYWORDS = {"null", "true", "false", "nan"}


def ion_line(fields: dict[str, Item]) -> bytes:
    """Return the line that holds *fields*, such as ``{"Item": item}``."""
    inner = ",".join(f"{name}:{_struct(item)}" for name, item in fields.items())
    return f"$ion_1_0 {{{inner}}}\n".encode()


def _struct(item: Item) -> str:
    return "{" + ",".join(f"{_symbol(name)}:{_value(value)}" for name, value in item.items()) + "}"


def _value(value: AttributeValue) -> str:
    ((kind, content),) = value.items()
    match kind:
        case "S" | "N" | "B":
            return _scalar(kind, content)
        case "BOOL":
            return "true" if content else "false"
        case "NULL":
            return "null"
        case "M":
            return _struct(content)
        case "L":
            return "[" + ",".join(map(_value, content)) + "]"
        case _:
            return f"$dynamodb_{kind}::[" + ",".join(_scalar(kind[0], element) for element in content) + "]"


def _scalar(kind: str, content: str) -> str:
    if kind == "S":
        # JSON's escapes are Ion's, but for characters above U+FFFF, which are written as they are.
        return json.dumps(content, ensure_ascii=False).replace("\x7f", "\\x7f")
    if kind == "B":
        return "{{" + content + "}}"
    return content if "." in content else f"{content}."


def _symbol(name: str) -> str:
    if _IDENTIFIER.match(name) and name not in _KEYWORDS:
        return name
    return "'" + _scalar("S", name)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
