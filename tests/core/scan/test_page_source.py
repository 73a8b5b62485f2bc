"""Pages as bytes, through a boto3 client that is otherwise as it was."""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.hooks import first_non_none_response

from airflow_provider_ddbexport.core.scan.page_source import DAMAGED_PAGE, page_source
from airflow_provider_ddbexport.errors import AccessError, ServiceError, TableNotFoundError, ThrottledError
from airflow_provider_ddbexport.local.handle import LocalAws

ITEM: dict[str, Any] = {
    "Id": {"B": b"\x00\xff"},
    "Rating": {"N": "9007199254740993.5"},
    'Quote"d\n': {"S": 'line\nbreak, "quotes", é, \U0001f600, }\n{"Item":'},
    "Tags": {"SS": ["a", "b"]},
    "Nested": {"M": {"Item": {"L": [{"NULL": True}, {"BOOL": False}, {"B": b"\x01"}]}}},
}
REQUEST = {"TableName": "Reviews", "Segment": 0, "TotalSegments": 1, "ReturnConsumedCapacity": "TOTAL"}
PAGE = {
    "Items": [{"Id": {"N": "1"}}, {"Id": {"N": "2"}}],
    "Count": 2,
    "ScannedCount": 3,
    "LastEvaluatedKey": {"Id": {"N": "2"}},
    "ConsumedCapacity": {"CapacityUnits": 1.5},
}


@pytest.fixture
def reviews(local_aws: LocalAws) -> Any:
    """A client of an AWS with one item of every type, under a binary key."""
    dynamodb = local_aws.client("dynamodb")
    dynamodb.create_table(
        TableName="Reviews",
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "B"}],
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="Reviews", Item=ITEM)
    dynamodb.put_item(TableName="Reviews", Item={"Id": {"B": b"\x01"}})
    return dynamodb


def test_raw_pages_hold_what_stock_pages_hold(reviews: Any) -> None:
    """The same lines, value for value, the same key to go on from, the same units; from any key, binary ones too."""
    raw, stock = page_source(reviews), page_source(SimpleNamespace(scan=reviews.scan))
    start = None
    pages = 0
    while True:
        mine, theirs = (source.page({**REQUEST, "Limit": 1}, start) for source in (raw, stock))
        assert [json.loads(line) for line in mine.lines.splitlines()] == [
            json.loads(line) for line in theirs.lines.splitlines()
        ]
        assert (mine.items, mine.scanned_items, mine.last_key) == (theirs.items, theirs.scanned_items, theirs.last_key)
        assert mine.consumed_units == theirs.consumed_units == 0.5
        pages += 1
        if (start := mine.last_key) is None:
            break
    assert pages >= 2


def test_the_client_stays_as_it_was(reviews: Any) -> None:
    """Whoever else uses it gets Python objects from Scan and everything else."""
    source = page_source(reviews)
    assert source.page(REQUEST, None).items == 2
    assert ITEM in reviews.scan(TableName="Reviews")["Items"]
    assert reviews.get_item(TableName="Reviews", Key={"Id": {"B": b"\x00\xff"}})["Item"] == ITEM


def test_errors_are_the_stock_parsers(reviews: Any) -> None:
    """With DynamoDB's code and message."""
    with pytest.raises(TableNotFoundError, match="ResourceNotFoundException"):
        page_source(reviews).page({**REQUEST, "TableName": "Missing"}, None)


def test_another_wire_protocol_falls_back_and_says_so(reviews: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A botocore that speaks CBOR some day gives right pages, slowly."""
    model = SimpleNamespace(resolved_protocol="smithy-rpc-v2-cbor", metadata={})
    client = SimpleNamespace(meta=SimpleNamespace(service_model=model), scan=reviews.scan)
    with caplog.at_level(logging.WARNING):
        page = page_source(client).page(REQUEST, None)
    assert "smithy-rpc-v2-cbor" in caplog.text
    assert page.items == 2
    assert page.response_bytes == 0


Answer = tuple[int, bytes, int | None]


def good(body: Any = PAGE, **dumps: Any) -> Answer:
    encoded = json.dumps(body, **dumps).encode()
    return 200, encoded, zlib.crc32(encoded)


def bad_checksum() -> Answer:
    status, body, crc32 = good()
    return status, body.replace(b'"1"', b'"7"'), crc32


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Serve the answers one after the other, the last one for ever; yields the address and the requests' bodies."""
    requests: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            requests.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, body, crc32 = answers[min(len(requests), len(answers)) - 1]
            self.send_response(status)
            if crc32 is not None:
                self.send_header("x-amz-crc32", str(crc32))
            is_cut = body.endswith(b"CUT")
            self.send_header("Content-Length", str(len(body) + 1_000 * is_cut))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = is_cut

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def client(url: str, mode: str = "standard", attempts: int = 3, **config: Any) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"mode": mode, "total_max_attempts": attempts}, **config),
    )


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_a_page_with_a_wrong_checksum_is_asked_for_again(mode: str) -> None:
    """botocore's own check of the CRC32 still works, in either of its retry modes; the page counts its requests."""
    with answering(bad_checksum(), good()) as (url, requests):
        dynamodb = client(url, mode)
        page = page_source(dynamodb).page(REQUEST, None)
        dynamodb.close()
    assert len(requests) == 2
    assert page.lines == b'{"Item":{"Id": {"N": "1"}}}\n{"Item":{"Id": {"N": "2"}}}\n'
    assert (page.requests, page.consumed_units) == (2, 1.5)


@pytest.mark.parametrize("answer", [bad_checksum(), (200, b'{"Items":[{"Id"', None), good({**PAGE, "Count": 7})])
def test_a_page_that_is_damaged_each_time_is_never_taken(answer: Answer) -> None:
    """A wrong CRC32 to the last try, which botocore would hand out; half a body; a count that does not agree."""
    with answering(answer) as (url, requests):
        dynamodb = client(url)
        with pytest.raises(ServiceError, match="damaged") as caught:
            page_source(dynamodb).page(REQUEST, None)
        dynamodb.close()
    assert caught.value.context["code"] == DAMAGED_PAGE
    assert requests


def test_line_breaks_between_tokens_do_not_break_lines() -> None:
    """DynamoDB sends none; an emulator that prints JSON for people gives whole lines all the same."""
    with answering(good(indent=2)) as (url, _):
        dynamodb = client(url)
        page = page_source(dynamodb).page(REQUEST, None)
        dynamodb.close()
    assert page.lines == b'{"Item":{"Id":{"N":"1"}}}\n{"Item":{"Id":{"N":"2"}}}\n'


def test_a_page_where_a_filter_left_nothing_has_no_lines() -> None:
    """But a key to go on from, and units."""
    with answering(good({**PAGE, "Items": [], "Count": 0})) as (url, _):
        dynamodb = client(url)
        page = page_source(dynamodb).page(REQUEST, None)
        dynamodb.close()
    assert (page.lines, page.items, page.scanned_items) == (b"", 0, 3)
    assert page.last_key == {"Id": {"N": "2"}}


@pytest.fixture(params=[True, False], ids=["this botocore", "an older botocore"])
def is_false_no_retry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Older botocores take a handler's False for a retry after 0 seconds."""

    def needs_retry(self: Any, *asked: Any) -> bool:
        names = ("attempts", "operation", "request_dict", "response", "caught_exception")
        answers = self._event_emitter.emit(
            "needs-retry.dynamodb.Scan", endpoint=self, **dict(zip(names, asked, strict=True))
        )
        return first_non_none_response(answers) is not None

    if not request.param:
        monkeypatch.setattr(Endpoint, "_needs_retry", needs_retry)


@pytest.mark.usefixtures("is_false_no_retry")
@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_botocore_does_not_hide_throttling(mode: str) -> None:
    """One request and a ThrottledError, so that the budget and the deadline know; other refusals come through too."""
    body = b'{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}'
    denied = b'{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}'
    with answering((400, body, None), (400, denied, None)) as (url, requests):
        dynamodb = client(url, mode)
        source = page_source(dynamodb)
        with pytest.raises(ThrottledError):
            source.page(REQUEST, None)
        assert len(requests) == 1
        with pytest.raises(AccessError):
            source.page(REQUEST, None)
        dynamodb.close()


def test_handlers_of_the_client_are_called_for_each_page() -> None:
    """Those that sign, trace and name the caller, as they are when the scan begins."""
    called: list[str] = []
    agents: list[bytes] = []
    steps = ["provide-client-params", "before-call", "request-created", "before-sign", "before-send", "after-call"]

    def note(event_name: str, **_: Any) -> None:
        called.append(event_name.partition(".")[0])

    def note_agent(request: Any, **_: Any) -> None:
        agents.append(request.headers["User-Agent"])

    with answering(good()) as (url, requests):
        dynamodb = client(url, user_agent_extra="nightly/1")
        for step in steps:
            dynamodb.meta.events.register(f"{step}.dynamodb.Scan", note)
        dynamodb.meta.events.register("before-send.dynamodb.Scan", note_agent)
        source = page_source(dynamodb)
        for _ in range(2):
            source.page(REQUEST, None)
        dynamodb.close()
    assert len(requests) == 2
    assert sorted(called) == sorted(2 * steps)
    assert all(b"nightly/1" in agent for agent in agents)


def test_a_body_that_is_cut_is_asked_for_again() -> None:
    """A connection that closes in the middle of a page is botocore's to retry, as ever."""
    status, body, crc32 = good()
    cut = (status, body[:40] + b"CUT", crc32)
    with answering(cut, good()) as (url, requests):
        dynamodb = client(url)
        page = page_source(dynamodb).page(REQUEST, None)
        dynamodb.close()
    assert len(requests) == 2
    assert page.items == 2
