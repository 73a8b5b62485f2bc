"""ProjectionExpression: which parts of an item a read gives back."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_ddbexport.local.attribute_values import AttributeValue, Item
from airflow_provider_ddbexport.local.wire import AwsError

Path = tuple[str | int, ...]

_STEP = re.compile(r"([^.\[\]\s]+)((?:\[[0-9]+\])*)\Z")


def parse_projection(expression: str, names: dict[str, str] | None) -> tuple[list[Path], set[str]]:
    """Return the paths of ``a.b[0], #c`` with their placeholders resolved, and the placeholders used.

    Raises AwsError(ValidationException) for an expression that is none, or a placeholder without a name.
    """
    paths: list[Path] = []
    used: set[str] = set()
    for part in expression.split(","):
        path: list[str | int] = []
        for step in part.strip().split("."):
            match = _STEP.match(step)
            if match is None:
                raise AwsError("ValidationException", f"Invalid ProjectionExpression: Syntax error; token: {step!r}")
            name = match[1]
            if name.startswith("#"):
                if name not in (names or {}):
                    raise AwsError(
                        "ValidationException",
                        "Invalid ProjectionExpression: An expression attribute name used in the document path is not "
                        f"defined; attribute name: {name}",
                    )
                used.add(name)
                name = (names or {})[name]
            path.append(name)
            path.extend(int(index) for index in re.findall(r"[0-9]+", match[2]))
        paths.append(tuple(path))
    return paths, used


def project(item: Item, paths: list[Path]) -> Item:
    """Return the parts of *item* that *paths* name; parts that are not there are left out."""
    tree: dict[str | int, Any] = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            node = node.setdefault(step, {})
            if node is None:
                break
        if node is not None:
            node[path[-1]] = None
    found: Item = {}
    for name, below in tree.items():
        if name in item and (value := _cut(item[str(name)], below)) is not None:
            found[str(name)] = value
    return found


def _cut(value: AttributeValue, below: dict[str | int, Any] | None) -> AttributeValue | None:
    if below is None:
        return value
    ((kind, content),) = value.items()
    if kind == "M":
        inner = {
            step: cut
            for step, deeper in below.items()
            if step in content and (cut := _cut(content[step], deeper)) is not None
        }
        return {"M": inner} if inner else None
    if kind == "L":
        elements = [
            cut
            for step, deeper in sorted(below.items(), key=lambda entry: str(entry[0]).zfill(12))
            if isinstance(step, int) and step < len(content) and (cut := _cut(content[step], deeper)) is not None
        ]
        return {"L": elements} if elements else None
    return None
