"""One export for one request, whatever happens to those who ask for it.

Three things say whether an export was asked for already, each where the others are blind:

- the **ledger** beside the exports, for ever, once somebody has written the ARN down;
- the **ClientToken**, for 8 hours from its first use: asking with it again attaches, at any instant;
- **ListExports** and DescribeExport, for 90 days, by token: not at the very instant, but for all of the time after.

Where the ledger has nothing, what the caller itself remembers of an earlier try counts too, once DescribeExport has
said that it is an export of exactly this request.

A claim in the ledger precedes the first call with its token, so while the claim is young the token cannot have been
forgotten, and asking with it is safe. When the claim is old, the exports are asked for the token first; asking with it
after that is safe again, because its 8 hours then begin anew, with that call at the latest. What was looked up counts
for :data:`FRESH_S` only, and a signed request is refused by AWS after minutes: a worker that slept in between looks
again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.core.exporting.ledger import Attempt, ExportLedger
from airflow_provider_ddbexport.core.exporting.listed_exports import (
    Listing,
    export_with_token,
    exports_alike,
    is_export_of,
)
from airflow_provider_ddbexport.core.exporting.point_in_time import ExportStatus, describe
from airflow_provider_ddbexport.core.exporting.remembered import Remembered
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, client_token
from airflow_provider_ddbexport.core.exporting.restorable_window import outside_window, restorable_window, table_name_of
from airflow_provider_ddbexport.core.service import is_transient, service_error
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    RestorableWindowError,
    ServiceError,
    ThrottledError,
)

TOKEN_TRUST = timedelta(hours=7)
"""A token claimed less than this ago is asked with at once. DynamoDB remembers it for 8 hours from its first use; the
hour between is for clocks that differ and for workers that sleep."""

FRESH_S = 300.0
"""Seconds for which what was looked up may be acted upon."""

MAX_FAILED = 8
"""How many exports of one request may have been claimed, and FAILED, within a day before no more are started."""

_DAY = timedelta(days=1)

_log = logging.getLogger(__name__)


def start_once(
    dynamodb: Any,
    ledger: ExportLedger,
    request: ExportRequest,
    *,
    deadline_s: float = 300.0,
    turn_s: float | None = None,
    before_call: Callable[[], None] = lambda: None,
    remembered: Remembered | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Return the ARN of the one export of *request*, started now or by whoever asked before.

    Repeating it, at any time and by any number of workers at once, bills nothing more. Only where the request's
    export FAILED is another one started, once for all who repeat this. The service's own failures are borne for
    *deadline_s* seconds in a row, and an answer that was lost is looked for; throttling and a full house (300 exports,
    100 TB) are waited out for *turn_s* seconds, *deadline_s* by default. *before_call* runs before each call that may
    start an export, and only then. *remembered* is told the ARN, and asked for it where the ledger has none.

    Raises TableNotFoundError, PointInTimeRecoveryError, RestorableWindowError (context has ``export_time``,
    ``earliest``, ``latest``), ExportConflictError, AccessError, ThrottledError, ServiceError, ExportLedgerError and
    the store's errors. None of them leaves an export behind that the next asking would not find.
    """
    _check_sdk(dynamodb, request)
    asking = _Asking(dynamodb, ledger, request, before_call, remembered, now, monotonic)
    turn_ends_at = monotonic() + (deadline_s if turn_s is None else turn_s)
    failing_ends_at: float | None = None
    pause_s = 1.0
    while True:
        try:
            if export_arn := asking.step():
                if remembered is not None:
                    remembered.remember(request, export_arn)
                return export_arn
        except ServiceError as error:
            if not is_transient(error):
                raise
            if isinstance(error, ThrottledError):
                failing_ends_at, ends_at = None, turn_ends_at
            else:
                ends_at = failing_ends_at = failing_ends_at or monotonic() + deadline_s
            if monotonic() + pause_s > ends_at:
                raise asking.unfinished(error) from error
            _log.info("%s; asking again", error)
        else:
            continue
        # Jitter, because a backfill's tasks are throttled together.
        sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
        pause_s = min(pause_s * 2, 30.0)


@dataclass(slots=True)
class _Asking:
    """One try to find or start the export of a request.

    Attributes:
        is_unsure: a call was made whose answer did not come.
        listing: what was told of the table's exports since *listed_at*.
        listed_at: by stopwatch and clock; None where all has to be looked at anew.
    """

    dynamodb: Any
    ledger: ExportLedger
    request: ExportRequest
    before_call: Callable[[], None]
    remembered: Remembered | None
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    is_unsure: bool = field(default=False)
    listing: Listing = field(default_factory=Listing)
    listed_at: tuple[float, datetime] | None = field(default=None)

    def step(self) -> str | None:
        """Return the ARN, or None when the ledger was written and is to be looked at again."""
        if self.listed_at is None or self._has_aged(*self.listed_at):
            # One that was throttled midway is carried on: begun anew each time, it might never come to its end.
            self.listing, self.listed_at = Listing(), (self.monotonic(), self.now())
        attempts = self.ledger.attempts(self.request)
        newest, number = (attempts[-1], attempts[-1].number) if attempts else (None, 1)
        if newest is not None and newest.export_arn:
            if not self._has_failed(newest.export_arn):
                return newest.export_arn
            self._check_failures(attempts)
            newest, number = None, number + 1
        found = self._remembered()
        if newest is None:
            # A claim says that its token is new: what there is already is looked for before it is made.
            found = found or self._unrecorded(number)
            newest = self.ledger.claim(self.request, number, self.now())
        if found is None and (self.is_unsure or not self._is_token_young(newest)):
            since = newest.claimed_at
            found = export_with_token(
                self.dynamodb, self.request, newest.client_token, since=since, listing=self.listing
            )
        if found is not None:
            _log.info("export %s was started before, and is not in the ledger; it is used", found)
            self.ledger.record(self.request, newest, found)
            self.listed_at = None
            return None
        self.before_call()
        if self._has_aged(*self.listed_at):
            return None
        self.listed_at = None
        return self._call(newest)

    def unfinished(self, error: ServiceError) -> ServiceError:
        """Return *error*, and what it may have left behind."""
        if not self.is_unsure:
            return error
        return type(error)(
            f"{error}; an earlier call may have started the export all the same: run again, which looks for it",
            **error.context,
        )

    def _remembered(self) -> str | None:
        if self.remembered is None or (export_arn := self.remembered.export_of(self.request)) is None:
            return None
        if not is_export_of(self.dynamodb, self.request, export_arn):
            return None
        _log.info("export %s was noted by an earlier try, and DynamoDB says that it is of this request", export_arn)
        return export_arn

    def _unrecorded(self, number: int) -> str | None:
        """Return the export of attempt *number* whose record was lost, or one of the same that never had one."""
        request = self.request
        try:
            if request.generation or number > 1:
                # Another generation, and another attempt, looks like the one before it, but for its token.
                token = client_token(request, attempt=number)
                return export_with_token(self.dynamodb, request, token, since=request.export_time, listing=self.listing)
            return exports_alike(self.dynamodb, request, self.listing)
        except AccessError as error:
            # The ledger says that nobody asked: looking further is a courtesy, and needs a permission of its own.
            _log.warning("exports that are not in the ledger are not looked for: %s", error)
            return None

    def _has_failed(self, export_arn: str) -> bool:
        try:
            return describe(self.dynamodb, export_arn).status is ExportStatus.FAILED
        except ServiceError as error:
            if error.context.get("code") == "ExportNotFoundException":
                raise ServiceError(
                    f"export {export_arn}: {self.ledger.where(self.request)} says that it is the one of this request, "
                    "but DynamoDB knows it no longer; use what it wrote, or ask for another generation",
                    code="ExportNotFoundException",
                    export_arn=export_arn,
                ) from error
            raise

    def _has_aged(self, seconds: float, moment: datetime) -> bool:
        # By both: a stopwatch stands still while its machine sleeps, a clock may be set back.
        return self.monotonic() - seconds > FRESH_S or self.now() - moment > timedelta(seconds=FRESH_S)

    def _is_token_young(self, attempt: Attempt) -> bool:
        # A claim of the future comes from a clock that is wrong: nothing can be told from it.
        return timedelta(minutes=-15) <= self.now() - attempt.claimed_at < TOKEN_TRUST

    def _check_failures(self, attempts: tuple[Attempt, ...]) -> None:
        recent = [attempt for attempt in attempts if self.now() - attempt.claimed_at < _DAY]
        if len(recent) >= MAX_FAILED:
            raise ServiceError(
                f"exporting {self.request}: {len(recent)} exports of exactly this request have failed within a day; "
                f"find out why before asking again (the last one is {recent[-1].export_arn})"
            )

    def _call(self, attempt: Attempt) -> str | None:
        parameters = {**self.request.parameters(), "ClientToken": attempt.client_token}
        try:
            answer = self.dynamodb.export_table_to_point_in_time(**parameters)["ExportDescription"]
        except (ClientError, BotoCoreError) as cause:
            error = service_error(cause, what=f"exporting {self.request}")
            self.is_unsure = self.is_unsure or (is_transient(error) and not isinstance(error, ThrottledError))
            raise _with_window(error, self.dynamodb, self.request) from cause
        export_arn = str(answer["ExportArn"])
        # Before it is written down: should that fail, the log has it.
        _log.info("export %s: %s", export_arn, self.request)
        recorded = self.ledger.record(self.request, attempt, export_arn)
        if recorded != export_arn:
            _log.error("export %s was started although the ledger has %s, which is used", export_arn, recorded)
            return None
        return recorded if answer["ExportStatus"] != ExportStatus.FAILED else None


def _check_sdk(dynamodb: Any, request: ExportRequest) -> None:
    operation = dynamodb.meta.service_model.operation_model("ExportTableToPointInTime")
    if unknown := sorted(set(request.parameters()) - set(operation.input_shape.members)):
        raise BadCallError(f"the installed boto3 does not know {unknown[0]} of exports; upgrade boto3")


def _with_window(error: ServiceError, dynamodb: Any, request: ExportRequest) -> ServiceError:
    """Return *error*, with the restorable window's ends if that is what it is about."""
    if not isinstance(error, RestorableWindowError):
        return error
    try:
        return not_restorable(dynamodb, request) or error
    except ServiceError:
        # Looking is a courtesy, and another permission than exporting: the refusal stands without it.
        return RestorableWindowError(str(error), **error.context, export_time=iso(request.export_time))


def not_restorable(dynamodb: Any, request: ExportRequest) -> RestorableWindowError | None:
    """Return the error that says how *request* lies beside the restorable window, None when it lies inside.

    Raises PointInTimeRecoveryError, TableNotFoundError, AccessError, ThrottledError.
    """
    window = restorable_window(dynamodb, table_name_of(request.table_arn))
    what = f"exporting {request.table_arn}"
    for moment in filter(None, (request.from_time, request.export_time)):
        if window.is_past(moment) or window.is_before(moment):
            return outside_window(moment, window, what=what)
    return None
