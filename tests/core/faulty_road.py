"""A proxy on loopback that forwards faithfully except where a test has asked for a fault."""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

Kind = Literal["cut", "status", "lost answer", "lost request", "whole body", "before"]


@dataclass
class Fault:
    """What goes wrong with requests of *method* whose path and query contain *part*, *times* times.

    With *target*, only with calls of that operation of a JSON service (``DynamoDB_20120810.Scan``).

    ``cut``: the answer announces all and ends after *at* bytes of its body. ``status``: answered by the proxy with
    *status* and *code*. ``lost answer``: done, but the connection is closed without an answer. ``lost request``: closed
    without doing it. ``whole body``: a Range is taken out of the request. ``before``: *action* is called first.
    """

    kind: Kind
    method: str = "GET"
    part: str = ""
    times: int = 1
    at: int = 0
    status: int = 500
    code: str = "InternalError"
    target: str = ""
    action: Callable[[], Any] = lambda: None
    happened: int = field(default=0, init=False)

    def matches(self, request: Request) -> bool:
        target = request.headers.get("x-amz-target", "")
        return self.method == request.method and self.part in request.path and self.target in ("", target)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]


class FaultyRoad:
    """The running proxy.

    Attributes:
        faults: the first that matches and has times left happens.
        requests: all that came, in order.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        road = self

        class Handler(_Handler):
            def road(self) -> FaultyRoad:
                return road

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def take(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.happened < fault.times and fault.matches(request):
                    fault.happened += 1
                    return fault
        return None

    def __enter__(self) -> FaultyRoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    # Dozens of threads connect at once; who is turned away comes again a second later.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: tests make them."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A small answer leaves at once instead of waiting for the client's acknowledgement of the headers.
    disable_nagle_algorithm = True

    def road(self) -> FaultyRoad:
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        fault = self.road().take(Request(self.command, self.path, {k.lower(): v for k, v in headers.items()}))
        kind = fault.kind if fault else None
        if fault and kind == "status":
            self._refuse(fault)
            return
        if kind == "lost request":
            self._hang_up()
            return
        if fault and kind == "before":
            fault.action()
        if kind == "whole body":
            headers = {name: value for name, value in headers.items() if name.lower() != "range"}
        connection = http.client.HTTPConnection(*self.road().target, timeout=600)
        try:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if kind == "lost answer":
            self._hang_up()
            return
        self._answer(response.status, response.getheaders(), answer, cut=fault.at if fault and kind == "cut" else None)

    def _refuse(self, fault: Fault) -> None:
        if self.headers.get("X-Amz-Target"):
            kind, text = "application/x-amz-json-1.0", f'{{"__type":"com.amazonaws#{fault.code}","message":"no"}}'
        else:
            kind, text = "application/xml", f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>"
        self._answer(fault.status, [("Content-Type", kind)], b"" if self.command == "HEAD" else text.encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None = None) -> None:
        self.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one  # noqa: N815 (http.server looks for these names)
