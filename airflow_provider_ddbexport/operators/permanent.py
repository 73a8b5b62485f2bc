"""Errors that another try would meet again end a task at once; all others leave it to the task's retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.arguments import check_arguments
from airflow_provider_ddbexport.core.exporting.point_in_time import PERMANENT_FAILURE_CODES
from airflow_provider_ddbexport.core.service import REFUSALS
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    BadDataError,
    CheckFailedError,
    DdbExportError,
    DecoderError,
    ExportConflictError,
    ExportFailedError,
    ExportLedgerError,
    ObjectNotFoundError,
    PointInTimeRecoveryError,
    RestorableWindowError,
    SchemaConflictError,
    ServiceError,
    SnapshotExistsError,
    StoreNotWritableError,
    TableNotFoundError,
)

_PERMANENT = (
    BadCallError,
    BadDataError,
    CheckFailedError,
    DecoderError,
    ExportConflictError,
    ExportLedgerError,
    ObjectNotFoundError,
    PointInTimeRecoveryError,
    SchemaConflictError,
    SnapshotExistsError,
    StoreNotWritableError,
    TableNotFoundError,
)

_PERMANENT_CODES = REFUSALS | {"ExportNotFoundException", "InvalidRequestException"}

_CREDENTIALS_TO_COME = frozenset({"CredentialRetrievalError", "ExpiredToken", "ExpiredTokenException"})
"""Codes of credentials that were good or will be: a worker that starts anew gets others."""


def is_permanent(error: DdbExportError) -> bool:
    """Whether another try would meet *error* again, until somebody changes something.

    A time that the restorable window has not reached yet, throttling, deadlines, unknown outcomes and failures of the
    services' own are not.
    """
    match error:
        case ExportFailedError():
            return error.context.get("code") in PERMANENT_FAILURE_CODES
        case RestorableWindowError():
            return bool(error.context.get("is_past"))
        case AccessError():
            return error.context.get("code") not in _CREDENTIALS_TO_COME
        case _ if isinstance(error, _PERMANENT):
            return True
        case ServiceError():
            return error.context.get("code") in _PERMANENT_CODES
        case _:
            return False


@contextmanager
def permanent_errors_fail(operator: object) -> Iterator[None]:
    """Raise AirflowFailException, with the same message, for a permanent error of the block; let the others pass.

    The block is not entered where an argument of *operator* is of a wrong kind, which is one of them.
    """
    try:
        check_arguments(operator)
        yield
    except DdbExportError as error:
        if is_permanent(error):
            raise AirflowFailException(str(error)) from error
        raise
