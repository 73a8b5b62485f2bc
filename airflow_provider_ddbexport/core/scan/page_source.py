"""Pages of a Scan, as bytes.

botocore turns a response into Python objects, which costs more than everything else a scan does taken together. Here
only the component that parses responses is another one, and only for what a Scan returns: the items stay the bytes
they came as. Credentials, signing, endpoints, timeouts and retries are the client's own.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import msgspec
from botocore.exceptions import ConnectionClosedError, HTTPClientError, ReadTimeoutError
from isal import isal_zlib
from urllib3.exceptions import HTTPError as UrlLibError
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as UrlLibTimeoutError

from airflow_provider_ddbexport.core.boto_values import item_from_boto, value_from_boto, value_to_boto
from airflow_provider_ddbexport.core.decode import Item, check_item
from airflow_provider_ddbexport.core.scan.page import Page, page_of
from airflow_provider_ddbexport.core.service import THROTTLING_CODES, service_errors
from airflow_provider_ddbexport.errors import ServiceError

log = logging.getLogger(__name__)

DAMAGED_PAGE = "DamagedPage"
"""``code`` of the ServiceError for a response whose bytes are not what DynamoDB sent; asking again may help."""

_PAGE_KEY = "DdbExportPage"
_PROTOCOL = ("json", "1.0")
_CHECKSUM = "x-amz-crc32"


class PageSource(Protocol):
    """Asks for one page at a time. Safe to share between threads, as clients are."""

    def page(self, request: dict[str, Any], start: Item | None) -> Page:
        """Return the page after *start* (DynamoDB JSON, None for the first). Raises ServiceError and its children."""


def page_source(dynamodb: Any) -> PageSource:
    """Return what reads pages with the boto3 client *dynamodb*, which stays as it is and can be used for anything else.

    Where this botocore, or the wire protocol it speaks with DynamoDB, is not the one known here, pages come through
    the stock parser, some forty times slower, and a warning says so.
    """
    try:
        model = dynamodb.meta.service_model
        # Older ones know only one protocol of each service.
        spoken = getattr(model, "resolved_protocol", None) or model.metadata.get("protocol")
        protocol = (spoken, model.metadata.get("jsonVersion"))
        if protocol == _PROTOCOL:
            return _RawPages(_twin(dynamodb))
        reason = f"this botocore speaks {' '.join(filter(None, protocol))} with DynamoDB, not JSON 1.0"
    except (AttributeError, TypeError) as error:
        reason = f"this client is not built as botocore's are ({error})"
    log.warning("%s: pages are read with the stock response parser, which is many times slower", reason)
    return _StockPages(dynamodb)


def usable_workers(dynamodb: Any, workers: int) -> int:
    """Return how many of *workers* the client has connections for; one without would make one for each page."""
    config = getattr(getattr(dynamodb, "meta", None), "config", None)
    connections = getattr(config, "max_pool_connections", workers)
    if connections < workers:
        log.info(
            "%d of %d workers are used: the client has no more connections (Config(max_pool_connections=%d))",
            connections,
            workers,
            workers,
        )
    return max(1, min(workers, connections))


def _twin(dynamodb: Any) -> Any:
    """Return a client that shares everything with *dynamodb* but its response parser and its retries of throttling."""
    endpoint = copy.copy(dynamodb._endpoint)
    endpoint._response_parser_factory = _ParserFactory(endpoint._response_parser_factory)
    # Throttled pages are tried again by the read budget, which knows the deadline; botocore would hide them for 25 s.
    endpoint._event_emitter = copy.copy(endpoint._event_emitter)
    endpoint._event_emitter.register_first("needs-retry.dynamodb.Scan", _leave_throttling_alone)
    endpoint._needs_retry = _except_throttling(endpoint._needs_retry)
    endpoint.http_session = _WholeBodies(endpoint.http_session)
    # copy.copy asks the client for attributes, which it looks for in attributes it does not have yet.
    twin = object.__new__(type(dynamodb))
    twin.__dict__.update(dynamodb.__dict__, _endpoint=endpoint)
    return twin


def _leave_throttling_alone(response: Any = None, **_: Any) -> bool | None:
    return False if _is_throttled(response) else None


def _except_throttling(needs_retry: Callable[..., bool]) -> Callable[..., bool]:
    """Return *needs_retry* of an endpoint without throttling: older botocores take False for a sleep of 0 seconds."""

    def decided(
        attempts: int, operation: Any, request: Any, response: Any = None, caught_exception: Any = None
    ) -> bool:
        again = needs_retry(attempts, operation, request, response, caught_exception)
        return again and not _is_throttled(response)

    return decided


def _is_throttled(response: Any) -> bool:
    return response is not None and response[1].get("Error", {}).get("Code") in THROTTLING_CODES


class _WholeBodies:
    """botocore's HTTP session, but bodies are read at once and not in pieces of 64 KB, which is a fifth faster.

    A body's CRC32 is compared here and, where it is right, not passed on: botocore would compute it again, in a tenth
    of all the time a page takes. A wrong one is passed on, and botocore asks again.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        """Return the response to *request*, its body read. Raises what botocore's own session raises."""
        is_streamed, request.stream_output = request.stream_output, True
        response = self._session.send(request)
        if is_streamed or not hasattr(response, "_content"):
            return response
        try:
            response._content = response.raw.read()
        except UrlLibTimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except ProtocolError as error:
            raise ConnectionClosedError(error=error, request=request, endpoint_url=request.url) from error
        except UrlLibError as error:
            raise HTTPClientError(error=error) from error
        if response.headers.get(_CHECKSUM, "").strip() == str(isal_zlib.crc32(response._content)):
            del response.headers[_CHECKSUM]
        return response

    def close(self) -> None:
        """Close the session."""
        self._session.close()


class _ParserFactory:
    """botocore's component ``response_parser_factory``."""

    def __init__(self, stock: Any) -> None:
        self._stock = stock

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser of one response."""
        parser = self._stock.create_parser(protocol_name)
        return _ScanParser(parser) if protocol_name == _PROTOCOL[0] else parser


class _ScanParser:
    """Parses a Scan's output; everything else, errors above all, is the stock parser's."""

    def __init__(self, stock: Any) -> None:
        self._stock = stock

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Return what botocore expects of a parser, with the page under a name of our own.

        A body that cannot be a page is no error here: botocore compares its CRC32 after this and asks again. One whose
        CRC32 was passed on is damaged; botocore's standard retries hand it out after the last try.
        """
        if response["status_code"] >= 300 or shape is None or shape.name != "ScanOutput":
            return self._stock.parse(response, shape)
        headers = {name.lower(): value for name, value in response["headers"].items()}
        return {
            _PAGE_KEY: None if _CHECKSUM in headers else page_of(response["body"]),
            "ResponseMetadata": {
                "RequestId": headers.get("x-amzn-requestid", ""),
                "HTTPStatusCode": response["status_code"],
                "HTTPHeaders": headers,
            },
        }


class _RawPages:
    def __init__(self, twin: Any) -> None:
        self._dynamodb = twin

    def page(self, request: dict[str, Any], start: Item | None) -> Page:
        answer = _scan(self._dynamodb, request, start)
        page: Page | None = answer[_PAGE_KEY]
        if page is None:
            raise ServiceError(
                f"{_what(request)}: the response was damaged on its way each time; try again later, and look at what "
                "is between here and DynamoDB",
                code=DAMAGED_PAGE,
                operation="Scan",
            )
        retries = answer["ResponseMetadata"].get("RetryAttempts", 0)
        return replace(page, requests=1 + retries) if retries else page


class _StockPages:
    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb

    def page(self, request: dict[str, Any], start: Item | None) -> Page:
        answer = _scan(self._dynamodb, request, start)
        lines = b"".join(
            msgspec.json.encode({"Item": check_item(item_from_boto(item))}) + b"\n" for item in answer["Items"]
        )
        key = answer.get("LastEvaluatedKey")
        return Page(
            lines=lines,
            items=len(answer["Items"]),
            scanned_items=answer.get("ScannedCount", len(answer["Items"])),
            response_bytes=0,
            last_key={name: value_from_boto(value) for name, value in key.items()} if key else None,
            consumed_units=float(answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)),
            requests=1 + answer.get("ResponseMetadata", {}).get("RetryAttempts", 0),
        )


def _scan(dynamodb: Any, request: dict[str, Any], start: Item | None) -> Any:
    if start:
        key = {name: value_to_boto(value) for name, value in start.items()}
        request = {**request, "ExclusiveStartKey": key}
    with service_errors(_what(request)):
        return dynamodb.scan(**request)


def _what(request: dict[str, Any]) -> str:
    return f"scanning table {request['TableName']}"
