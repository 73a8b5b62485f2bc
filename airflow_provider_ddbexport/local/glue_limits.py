"""What Glue refuses of a table or a partition, and moto takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

SERVICE = "AWSGlue"
MAX_TYPE_LENGTH = 131_072
"""Characters of a column's type: https://docs.aws.amazon.com/glue/latest/webapi/API_Column.html"""

_OPERATIONS = (
    "CreateTable",
    "UpdateTable",
    "CreatePartition",
    "UpdatePartition",
    "BatchCreatePartition",
    "BatchUpdatePartition",
)


class GlueLimits:
    """Looks at what is written to the catalog before moto does."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return what is looked at here."""
        return {(SERVICE, operation): self.write for operation in _OPERATIONS}

    def write(self, call: Call) -> dict[str, Any]:
        """Let moto answer, unless a column's type is too long."""
        for place, columns in _columns(call.body):
            for number, column in enumerate(columns, start=1):
                if len(column.get("Type") or "") > MAX_TYPE_LENGTH:
                    raise AwsError("ValidationException", too_long(f"{place}.{number}"))
        return self._emulator.forward(call, "glue")


def too_long(column: str) -> str:
    """Return what Glue says of a type of more than MAX_TYPE_LENGTH characters of *column*, a place in the request."""
    return (
        f"1 validation error detected: Value at '{column}.member.type' failed to satisfy constraint: Member must have "
        f"length less than or equal to {MAX_TYPE_LENGTH}"
    )


def _columns(body: Any, place: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each list of columns in *body*, with its place as Glue names it."""
    if isinstance(body, list):
        for number, value in enumerate(body, start=1):
            yield from _columns(value, f"{place}.{number}.member")
    elif isinstance(body, dict):
        for name, value in body.items():
            inner = f"{place}.{name[:1].lower()}{name[1:]}".lstrip(".")
            if name in ("Columns", "PartitionKeys"):
                yield inner, value or []
            else:
                yield from _columns(value, inner)
