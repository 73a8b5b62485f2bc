"""What botocore's exceptions mean for an object store."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ResponseStreamingError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from urllib3.exceptions import HTTPError as UrlLibError

from airflow_provider_ddbexport.errors import (
    AccessError,
    DdbExportError,
    ObjectNotFoundError,
    StorageError,
    StoreNotWritableError,
)

S3_FAILURES = (ClientError, BotoCoreError, UrlLibError)
"""What a request, or reading its body, may raise: botocore lets some of urllib3's errors through."""

_CREDENTIAL_ERRORS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_NOT_REACHED = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
_CREDENTIAL_CODES = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_TRANSIENT_CODES = frozenset(
    {
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "OperationAborted",
        "ConditionalRequestConflict",
        "InternalError",
        "ServiceUnavailable",
    }
)
# Answers that say the request was turned away before it did anything.
_REFUSALS = frozenset({408, 409, 429, 503})


def code_of(error: Exception) -> str:
    """Return S3's error code; a HEAD has no body and gives the HTTP status as text; "" for anything else."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: Exception) -> int:
    """Return the HTTP status, 0 when there was no answer."""
    return int(_metadata(error).get("HTTPStatusCode", 0))


def is_transient(error: Exception) -> bool:
    """Return whether trying again may help."""
    if isinstance(error, ClientError):
        status = status_of(error)
        return code_of(error) in _TRANSIENT_CODES or status in {408, 429} or (status >= 500 and status != 501)
    if isinstance(error, SSLError):
        return False
    return isinstance(error, HTTPClientError | IncompleteReadError | ResponseStreamingError | UrlLibError)


def was_not_reached(error: Exception) -> bool:
    """Return whether nobody answered: the address is wrong, or the network is away."""
    return isinstance(error, _NOT_REACHED)


def may_have_happened(error: Exception) -> bool:
    """Return whether the failed request may have done its work all the same."""
    if isinstance(error, ClientError):
        # botocore's own earlier tries of the same request are not seen here.
        return status_of(error) not in _REFUSALS or int(_metadata(error).get("RetryAttempts", 0)) > 0
    return not (was_not_reached(error) or isinstance(error, SSLError))


def is_precondition_failed(error: Exception) -> bool:
    """Return whether ``If-Match`` or ``If-None-Match`` did not hold."""
    return code_of(error) == "PreconditionFailed" or status_of(error) == 412


def permanent_error(error: Exception, uri: str, *, writing: bool) -> DdbExportError:  # noqa: PLR0911 (one per meaning)
    """Return the error of our tree for one that trying again cannot mend."""
    code, status = code_of(error), status_of(error)
    context: dict[str, Any] = {"uri": uri, "code": code or type(error).__name__}
    if isinstance(error, _CREDENTIAL_ERRORS) or code in _CREDENTIAL_CODES:
        return AccessError(f"{uri}: no usable AWS credentials ({context['code']}); set or renew them", **context)
    if code == "NoSuchBucket":
        return ObjectNotFoundError(f"{uri}: there is no such bucket; check its name, or make it", **context)
    if code == "InvalidObjectState":
        return StorageError(f"{uri}: the object is archived; restore it from its storage class first", **context)
    if status == 403:
        if writing:
            return StoreNotWritableError(
                f"{uri}: writing was denied ({code}); allow s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload "
                "there, the key of its encryption, and check the expected bucket owner",
                **context,
            )
        return AccessError(
            f"{uri}: reading was denied ({code}); allow s3:GetObject and s3:ListBucket there and check the expected "
            "bucket owner (without s3:ListBucket, S3 says the same of an object that is missing)",
            **context,
        )
    if status == 404:
        return ObjectNotFoundError(f"{uri}: no such object", **context)
    if status in {301, 307} or code in {
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraint",
    }:
        return StorageError(f"{uri}: the bucket is in another region ({code}); name its region in the call", **context)
    if status == 501:
        return StorageError(
            f"{uri}: the endpoint does not know this operation (conditional writes, If-None-Match, are needed)",
            **context,
        )
    return StorageError(f"{uri}: {describe(error)}", **context)


def describe(error: Exception) -> str:
    """Return *error* in a few words: never more of S3's answer than its code and status."""
    if isinstance(error, ClientError):
        return f"HTTP {status_of(error)} {code_of(error)}".rstrip()
    if was_not_reached(error):
        return f"S3 was not reached ({type(error).__name__}); check the endpoint, the region and the network"
    return type(error).__name__


def _metadata(error: Exception) -> dict[str, Any]:
    return error.response.get("ResponseMetadata", {}) if isinstance(error, ClientError) else {}
