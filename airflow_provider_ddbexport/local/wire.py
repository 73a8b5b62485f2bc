"""How the emulator answers one call of a JSON service (DynamoDB, Glue, Athena)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class AwsError(Exception):
    """An error as the service would send it.

    ``code`` is the exception's name in the service model (``TableNotFoundException``), ``fields`` are its members
    besides the message.
    """

    def __init__(self, code: str, message: str, *, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed.

    Attributes:
        operation: name in the service model (``ExportTableToPointInTime``).
        body: the request's JSON object.
        region, account: of the caller, as moto's backends are keyed.
    """

    operation: str
    body: dict[str, Any]
    region: str
    account: str


Handler = Callable[[Call], dict[str, Any] | bytes]
"""Answers a call with the response's JSON object (or its encoded bytes), or raises AwsError."""
