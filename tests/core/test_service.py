"""What AWS refuses becomes an error that says what was tried, what was answered and what to do."""

from __future__ import annotations

import pickle

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from airflow_provider_ddbexport.core.service import is_transient, service_error, service_errors
from airflow_provider_ddbexport.errors import (
    AccessError,
    ExportConflictError,
    PointInTimeRecoveryError,
    RestorableWindowError,
    ServiceError,
    TableNotFoundError,
    ThrottledError,
)


def _refusal(code: str, operation: str = "ExportTableToPointInTime", message: str = "no.") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("code", "operation", "kind"),
    [
        ("TableNotFoundException", "ExportTableToPointInTime", TableNotFoundError),
        ("ResourceNotFoundException", "DescribeTable", TableNotFoundError),
        ("ResourceNotFoundException", "GetQueryExecution", ServiceError),
        ("PointInTimeRecoveryUnavailableException", "ExportTableToPointInTime", PointInTimeRecoveryError),
        ("InvalidExportTimeException", "ExportTableToPointInTime", RestorableWindowError),
        ("ExportConflictException", "ExportTableToPointInTime", ExportConflictError),
        ("AccessDeniedException", "ExportTableToPointInTime", AccessError),
        ("UnrecognizedClientException", "DescribeTable", AccessError),
        ("ThrottlingException", "DescribeExport", ThrottledError),
        ("LimitExceededException", "ExportTableToPointInTime", ThrottledError),
        ("InternalServerError", "DescribeExport", ServiceError),
        ("NeverHeardOf", "DescribeExport", ServiceError),
    ],
)
def test_a_service_code_has_its_own_error(code: str, operation: str, kind: type[ServiceError]) -> None:
    """Each code becomes exactly one class, with the code and the call in its context."""
    error = service_error(_refusal(code, operation), what="trying")
    assert type(error) is kind
    assert error.context["code"] == code
    assert error.context["operation"] == operation


def test_an_error_says_what_was_tried_what_was_answered_and_what_to_do() -> None:
    """The message is a sentence with all three parts."""
    error = service_error(
        _refusal("PointInTimeRecoveryUnavailableException", message="PITR is off."), what="exporting R"
    )
    assert str(error).startswith(
        "exporting R: PITR is off (PointInTimeRecoveryUnavailableException); turn point-in-time"
    )


def test_missing_credentials_are_an_access_error() -> None:
    """botocore's own refusal reads like the service's."""
    error = service_error(NoCredentialsError(), what="exporting R")
    assert type(error) is AccessError
    assert error.context["code"] == "NoCredentialsError"


def test_an_unreachable_endpoint_is_transient_and_a_missing_table_is_not() -> None:
    """Only what may pass by itself is worth another call."""
    assert is_transient(service_error(EndpointConnectionError(endpoint_url="http://x"), what="w"))
    assert is_transient(service_error(_refusal("ThrottlingException"), what="w"))
    assert is_transient(service_error(_refusal("InternalServerError"), what="w"))
    assert not is_transient(service_error(_refusal("TableNotFoundException"), what="w"))


def test_an_argument_botocore_refuses_is_not_quoted() -> None:
    """botocore's report holds the argument's value, which may be an item's: neither message nor traceback has it."""
    with pytest.raises(ServiceError) as caught, service_errors("scanning R"):
        raise ParamValidationError(report="Invalid type for parameter Key.User, value: alice")
    assert "alice" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_service_errors_keeps_the_cause() -> None:
    """Whoever debugs finds botocore's error behind ours."""
    refusal = _refusal("AccessDeniedException")
    with pytest.raises(AccessError) as caught, service_errors("exporting R"):
        raise refusal
    assert caught.value.__cause__ is refusal


def test_a_service_error_crosses_processes() -> None:
    """Pickled and read back, it has its class, message and context."""
    error = service_error(_refusal("ExportConflictException"), what="exporting R")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.context) == (ExportConflictError, str(error), error.context)
