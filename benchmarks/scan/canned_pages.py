"""An endpoint that answers Scan with pages made beforehand, so that a benchmark measures the client and not the table.

It runs in a process of its own, on loopback. Every page holds the same items; the position in a segment is the ``Id``
of the key that a page ends with. A page's bytes are made once and sent from memory, with the CRC32 DynamoDB sends.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

PAGE_UNITS = 128.0
"""Read capacity units of an eventually consistent page of 1 MB."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_START = re.compile(rb'"ExclusiveStartKey": *\{"Id": *\{"N": *"(\d+)"')


@dataclass(frozen=True, slots=True)
class CannedTable:
    """What the endpoint serves.

    Attributes:
        pages: pages of each segment.
        page_bytes: size of a page's JSON, about.
        item_bytes: size of an item's JSON, about.
        latency_s: seconds between a request and the first byte of its answer.
    """

    pages: int = 100
    page_bytes: int = 1_200_000
    item_bytes: int = 400
    latency_s: float = 0.0


class _Pages:
    """The answers: one body for all pages, and for each page the end that names where the next one starts."""

    def __init__(self, table: CannedTable) -> None:
        self._pages = table.pages
        items = []
        size = 0
        while size < table.page_bytes:
            items.append(_item(len(items), table.item_bytes))
            size += len(items[-1]) + 1
        self.items = len(items)
        self._body = (
            b'{"ConsumedCapacity":{"CapacityUnits":%.1f,"TableName":"Canned"},"Count":%d,"Items":['
            % (PAGE_UNITS, len(items))
            + b",".join(items)
            + b"]"
        )
        self._crc = zlib.crc32(self._body)

    def answer(self, page: int) -> list[bytes]:
        is_last = page + 1 >= self._pages
        key = b"" if is_last else b',"LastEvaluatedKey":{"Id":{"N":"%d"}}' % (page + 1)
        end = key + b',"ScannedCount":%d}' % self.items
        head = (
            b"HTTP/1.1 200 OK\r\nServer: Server\r\nContent-Type: application/x-amz-json-1.0\r\n"
            b"Content-Length: %d\r\nConnection: keep-alive\r\nx-amzn-RequestId: CANNED\r\nx-amz-crc32: %d\r\n\r\n"
            % (len(self._body) + len(end), zlib.crc32(end, self._crc))
        )
        return [head, self._body, end]


def _item(number: int, size: int) -> bytes:
    item = {
        "Id": {"N": str(number)},
        "User": {"S": f"user-{number * 7919 % 100_003:06d}"},
        "Rating": {"N": str(number % 5 + 1)},
        "Author": {"S": f"Author {number * 31 % 977}"},
        "Tags": {"SS": [f"tag-{number % 13}", f"topic-{number % 29}"]},
        "Details": {"M": {"Year": {"N": str(1950 + number % 75)}, "Shelf": {"S": f"{number * 104729 % 1_000_003:x}"}}},
        "Read": {"BOOL": number % 3 == 0},
        "Review": {"S": ""},
    }
    missing = size - len(json.dumps(item, separators=(",", ":")))
    # Words that compress about as text does.
    words = " ".join(f"word{(number + 1) * (i + 7) * 2654435761 % 4999}" for i in range(max(missing, 0) // 5))
    item["Review"] = {"S": words[: max(missing, 0)]}
    return json.dumps(item, separators=(",", ":")).encode()


_DESCRIPTION = {
    "Table": {
        "TableName": "Canned",
        "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Canned",
        "TableId": "11111111-2222-3333-4444-555555555555",
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "Id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "Id", "AttributeType": "N"}],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "ItemCount": 0,
        "TableSizeBytes": 0,
    }
}


def _serve_connection(connection: socket.socket, pages: _Pages, latency_s: float) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    with connection, suppress(ConnectionError):
        while True:
            while (end := buffer.find(_HEAD_END)) < 0:
                received = connection.recv(65536)
                if not received:
                    return
                buffer += received
            length = _LENGTH.search(buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            while len(buffer) < size:
                buffer += connection.recv(65536)
            head, body, buffer = buffer[:end], buffer[end + 4 : size], buffer[size:]
            if latency_s:
                time.sleep(latency_s)
            if b"DescribeTable" in head:
                answer = json.dumps(_DESCRIPTION).encode()
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n"
                    b"x-amz-crc32: %d\r\n\r\n%s" % (len(answer), zlib.crc32(answer), answer)
                )
                continue
            start = _START.search(body)
            for piece in pages.answer(int(start[1]) if start else 0):
                connection.sendall(piece)


def _serve(table: CannedTable, ready: Connection) -> None:
    pages = _Pages(table)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        ready.send((server.getsockname()[1], pages.items))
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve_connection, args=(connection, pages, table.latency_s), daemon=True).start()


@contextmanager
def canned_pages(table: CannedTable) -> Iterator[tuple[str, int]]:
    """Serve *table* while the block runs; yields the endpoint's URL and the number of items on each page."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(table, theirs), daemon=True)
    process.start()
    try:
        port, items = ours.recv()
        yield f"http://127.0.0.1:{port}", items
    finally:
        process.terminate()
        process.join()
