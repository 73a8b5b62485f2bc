"""What was asked for, written down beside the exports, so that whoever comes later asks for nothing twice.

::

    <destination>/_ddbexport/exports/<table>/<times>-<digest of the request>/
        claim-0001.json     written before the call: the token, and since when it is in use
        export-0001.json    written after it: the export's ARN
        claim-0002.json     only after export 0001 FAILED

Every object is created under the condition that it does not exist, and never changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.core.exporting.listed_exports import started_at
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, client_token
from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time, snapshot_timestamp
from airflow_provider_ddbexport.errors import ExportLedgerError, InvalidTimeError, ObjectExistsError

FOLDER = "_ddbexport/exports"
FORMAT = 1

_ENTRY = re.compile(r"(?:claim|export)-(\d{4,})\.json")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One export of a request, asked for or about to be.

    Attributes:
        number: from 1; a higher one means that those before it FAILED.
        client_token: what every try asks with.
        claimed_at: before any call with the token; where the claim was lost, when the export was started.
        export_arn: None until somebody has recorded what the call answered.
    """

    number: int
    client_token: str
    claimed_at: datetime
    export_arn: str | None = None


class ExportLedger:
    """The ledger below *destination*, a store at the export's destination or wherever the author keeps it.

    Holds nothing in memory: every call reads the store anew, so that it sees what other tries did meanwhile.
    """

    def __init__(self, destination: ObjectStore) -> None:
        self._store = destination.child(FOLDER)

    def attempts(self, request: ExportRequest) -> tuple[Attempt, ...]:
        """Return the attempts at *request* in order. Raises ExportLedgerError for one that cannot be read."""
        folder = folder_of(request)
        names = {_name(info.key) for info in self._store.list(folder)}
        numbers = sorted({int(match[1]) for name in names if (match := _ENTRY.fullmatch(name))})
        return tuple(self._read_attempt(request, number, names) for number in numbers)

    def claim(self, request: ExportRequest, number: int, at: datetime) -> Attempt:
        """Return attempt *number*, claimed now *at* or, where somebody was faster, as it was claimed then."""
        folder = folder_of(request)
        key = _claim_key(folder, number)
        token = client_token(request, attempt=number)
        fields = {"format": FORMAT, "client_token": token, "claimed_at": iso(at), "request": request.facts()}
        try:
            self._store.create(key, _body(fields))
        except ObjectExistsError:
            return self._read_claim(key, number)
        return Attempt(number, token, parse_time(iso(at)))

    def record(self, request: ExportRequest, attempt: Attempt, export_arn: str) -> str:
        """Return the ARN the ledger has for *attempt* from here on: *export_arn*, or what was recorded before."""
        key = _export_key(folder_of(request), attempt.number)
        try:
            self._store.create(key, _body({"format": FORMAT, "export_arn": export_arn}))
        except ObjectExistsError:
            return self._text(key, self._fields(key), "export_arn")
        return export_arn

    def where(self, request: ExportRequest) -> str:
        """Return the address of the request's folder."""
        return self._store.uri_of(folder_of(request))

    def _read_attempt(self, request: ExportRequest, number: int, names: Set[str]) -> Attempt:
        claim_key, export_key = _claim_key(folder_of(request), number), _export_key(folder_of(request), number)
        export_arn = None
        if _name(export_key) in names:
            export_arn = self._text(export_key, self._fields(export_key), "export_arn")
            if _name(claim_key) not in names:
                started = started_at(export_arn) or request.export_time
                return Attempt(number, client_token(request, attempt=number), started, export_arn)
        return replace(self._read_claim(claim_key, number), export_arn=export_arn)

    def _read_claim(self, key: str, number: int) -> Attempt:
        fields = self._fields(key)
        try:
            claimed_at = parse_time(self._text(key, fields, "claimed_at"))
        except InvalidTimeError:
            raise self._damaged(key) from None
        return Attempt(number, self._text(key, fields, "client_token"), claimed_at)

    def _fields(self, key: str) -> dict[str, Any]:
        try:
            fields = json.loads(self._store.read(key))
        except ValueError:
            raise self._damaged(key) from None
        if not isinstance(fields, dict):
            raise self._damaged(key)
        if (version := fields.get("format")) != FORMAT:
            raise ExportLedgerError(
                f"{self._store.uri_of(key)}: format {version!r}, this version reads {FORMAT}; "
                "upgrade airflow-provider-ddbexport",
                uri=self._store.uri_of(key),
            )
        return fields

    def _text(self, key: str, fields: dict[str, Any], name: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str) or not value:
            raise self._damaged(key)
        return value

    def _damaged(self, key: str) -> ExportLedgerError:
        uri = self._store.uri_of(key)
        return ExportLedgerError(
            f"{uri}: expected an entry of the export ledger, found something else; without it nobody can tell whether "
            "the export was paid for: restore the object, or ask for another generation",
            uri=uri,
        )


def folder_of(request: ExportRequest) -> str:
    """Return the folder of *request* below the ledger's; its name can be read, and no two requests share it."""
    times = snapshot_timestamp(request.export_time)
    if request.from_time is not None:
        times = f"{snapshot_timestamp(request.from_time)}-{times}"
    return f"{table_name_of(request.table_arn)}/{times}-{request.digest()[:16]}"


def ledger_uri(request: ExportRequest) -> str:
    """Return where the ledger of *request* lies by default: the destination, without slashes at its ends."""
    return f"s3://{request.bucket}/{(request.prefix or '').strip('/')}".rstrip("/")


def _claim_key(folder: str, number: int) -> str:
    return f"{folder}/claim-{number:04d}.json"


def _export_key(folder: str, number: int) -> str:
    return f"{folder}/export-{number:04d}.json"


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _body(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"
