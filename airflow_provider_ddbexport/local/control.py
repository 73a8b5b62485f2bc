"""What a test or a demo asks of the emulator itself, under ``/_ddbexport/``. Not a part of AWS.

==========================  ==================================================================================
``GET /_ddbexport/``        region, account, time
``GET, PUT, DELETE clock``  the time; set it (``now``, ``frozen``); follow real time again
``POST clock/advance``      step by ``seconds``
``GET, POST settings``      see :class:`Settings`
``POST faults``             see :class:`Fault`
``GET exports``             the exports that would have been billed
``POST reset``              forget everything
==========================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import InvalidTimeError
from airflow_provider_ddbexport.local.emulator import DEFAULT_REGION, Emulator, Fault
from airflow_provider_ddbexport.local.moto_gateway import ACCOUNT_ID, Answer
from airflow_provider_ddbexport.local.wire import AwsError

Route = Callable[[dict[str, Any]], Any]


class Control:
    """Routes of the control API; *billed* lists the exports that would have been paid for."""

    def __init__(self, emulator: Emulator, billed: Callable[[], list[dict[str, Any]]]) -> None:
        self._emulator = emulator
        self._billed = billed
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", ""): self._about,
            ("GET", "clock"): self._now,
            ("PUT", "clock"): self._set_clock,
            ("DELETE", "clock"): self._reset_clock,
            ("POST", "clock/advance"): self._advance_clock,
            ("GET", "settings"): lambda _: asdict(self._emulator.settings),
            ("POST", "settings"): self._configure,
            ("POST", "faults"): self._add_fault,
            ("GET", "exports"): lambda _: self._billed(),
            ("POST", "reset"): lambda _: self._emulator.reset(),
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to one request of the control API."""
        route = self._routes.get((method, path.removeprefix("/_ddbexport").strip("/")))
        if route is None:
            return _answer("404 Not Found", {"message": f"no such control: {method} {path}"})
        try:
            with self._emulator.lock:
                self._emulator.settle()
                result = route(msgspec.json.decode(body) if body else {})
        except (AwsError, InvalidTimeError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            return _answer("400 Bad Request", {"message": str(error)})
        return _answer("200 OK", {} if result is None else result)

    def _about(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"region": DEFAULT_REGION, "account_id": ACCOUNT_ID, **self._now({})}

    def _now(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"now": self._emulator.clock.now().isoformat()}

    def _set_clock(self, body: dict[str, Any]) -> dict[str, Any]:
        self._emulator.clock.set(parse_time(body["now"]), frozen=bool(body.get("frozen", False)))
        self._emulator.settle()
        return self._now({})

    def _advance_clock(self, body: dict[str, Any]) -> dict[str, Any]:
        self._emulator.clock.advance(timedelta(seconds=float(body["seconds"])))
        self._emulator.settle()
        return self._now({})

    def _reset_clock(self, _: dict[str, Any]) -> dict[str, Any]:
        self._emulator.clock.reset()
        return self._now({})

    def _configure(self, body: dict[str, Any]) -> dict[str, Any]:
        self._emulator.settings.change(body)
        self._emulator.settle()
        return asdict(self._emulator.settings)

    def _add_fault(self, body: dict[str, Any]) -> None:
        self._emulator.faults.append(Fault(**body))


def _answer(status: str, content: Any) -> Answer:
    body = msgspec.json.encode(content)
    return status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body
