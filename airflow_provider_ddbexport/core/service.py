"""What an AWS service's refusal means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from airflow_provider_ddbexport.errors import (
    AccessError,
    ExportConflictError,
    PointInTimeRecoveryError,
    RestorableWindowError,
    ServiceError,
    TableNotFoundError,
    ThrottledError,
)

THROTTLING_CODES = frozenset(
    {
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""Asked too often or for too much at once: the same call later may succeed."""

TRANSIENT_CODES = THROTTLING_CODES | {
    "BadGateway",
    "GatewayTimeout",
    "InternalFailure",
    "InternalServerError",
    "InternalServerException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
}
"""Throttling, and the service's own failures: the same call may succeed when it is made again."""

_ACCESS_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "KMSAccessDeniedException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)

_TABLE_OPERATIONS = frozenset(
    {
        "BatchWriteItem",
        "DescribeContinuousBackups",
        "DescribeTable",
        "ExportTableToPointInTime",
        "Scan",
        "UpdateContinuousBackups",
    }
)
"""DynamoDB's calls that mean a missing table by ResourceNotFoundException; elsewhere it means other things."""

ADVICE: dict[type[ServiceError], str] = {
    TableNotFoundError: "check the table's name, the region and the account",
    PointInTimeRecoveryError: (
        "turn point-in-time recovery on (aws dynamodb update-continuous-backups --table-name <table> "
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true); "
        "only times after that can be exported"
    ),
    RestorableWindowError: "choose a time inside the table's restorable window",
    AccessError: "check the credentials, and give whom they belong to the permission this call needs",
    ExportConflictError: (
        "the ClientToken was used for an export with other parameters during the last 8 hours; wait that long, "
        "or ask for the export with the parameters it had"
    ),
    ThrottledError: "run it again later, or fewer at once",
}
"""What to do about each kind of refusal, as the end of a sentence."""


def service_error(error: ClientError | BotoCoreError, *, what: str) -> ServiceError:
    """Return *error* as an error of this package that says what was tried, what AWS answered and what to do.

    *what* is the sentence's beginning, with names but no values: ``exporting table arn:…:table/Reviews``. Context has
    ``code``, the service's own (the exception's name where the call did not reach the service), and ``operation``.
    """
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code = str(answer.get("Code") or "Unknown")
        kind = _kind(code, error.operation_name)
        text = str(answer.get("Message") or "").strip().rstrip(".") or "no message"
        operation = error.operation_name
    else:
        code = type(error).__name__
        kind = AccessError if isinstance(error, _NO_CREDENTIALS) else ServiceError
        # botocore quotes the offending argument in full, which may be an item's value.
        text = "botocore refused an argument" if isinstance(error, ParamValidationError) else str(error).rstrip(".")
        operation = ""
    message = f"{what}: {text} ({code})"
    advice = ADVICE.get(kind)
    return kind(f"{message}; {advice}" if advice else message, code=code, operation=operation)


@contextmanager
def service_errors(what: str) -> Iterator[None]:
    """Turn what botocore raises inside the block into :func:`service_error`'s errors."""
    try:
        yield
    except ParamValidationError as error:
        # Not chained: it would bring the argument's value into the traceback.
        raise service_error(error, what=what) from None
    except (ClientError, BotoCoreError) as error:
        raise service_error(error, what=what) from error


def is_transient(error: ServiceError) -> bool:
    """Whether the same call may succeed when made again: throttled, the service's own failure, or not reached."""
    code = error.context.get("code")
    return code in TRANSIENT_CODES or code in _CONNECTION_ERRORS


REFUSALS = frozenset({"ParamValidationError", "ValidationException"})
"""Codes of a request that is wrong, by botocore or by the service."""


def is_refusal(error: ServiceError) -> bool:
    """Whether the request is wrong, so that the same is refused again."""
    return error.context.get("code") in REFUSALS


_CONNECTION_ERRORS = frozenset(
    {
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "HTTPClientError",
        "ProxyConnectionError",
        "ReadTimeoutError",
    }
)

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    NoAuthTokenError,
    TokenRetrievalError,
)


def _kind(code: str, operation: str) -> type[ServiceError]:
    if code in _ACCESS_CODES:
        return AccessError
    if code in THROTTLING_CODES:
        return ThrottledError
    if code == "TableNotFoundException" or (code == "ResourceNotFoundException" and operation in _TABLE_OPERATIONS):
        return TableNotFoundError
    return {
        "PointInTimeRecoveryUnavailableException": PointInTimeRecoveryError,
        "InvalidExportTimeException": RestorableWindowError,
        "ExportConflictException": ExportConflictError,
    }.get(code, ServiceError)
