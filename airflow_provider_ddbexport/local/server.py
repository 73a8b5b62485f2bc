"""Serves the embedded AWS over HTTP, on loopback unless told otherwise."""

from __future__ import annotations

import ipaddress
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from airflow_provider_ddbexport.local.application import AwsApplication
from airflow_provider_ddbexport.local.control import Control
from airflow_provider_ddbexport.local.dynamodb import DynamoDB
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.handle import LocalAws
from airflow_provider_ddbexport.local.moto_gateway import MotoGateway
from airflow_provider_ddbexport.local.wire import Handler


class _QuietRequestHandler(MotoRequestHandler):
    """Answers without a log line per request; requests hold what users store."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


_application: AwsApplication | None = None
_emulator: Emulator | None = None
_building = threading.Lock()


def process_emulator() -> tuple[Emulator, AwsApplication]:
    """Return this process's AWS, built on first use. There is one per process, because moto has one."""
    global _application, _emulator  # noqa: PLW0603 -- moto's state is the process's, so is ours
    with _building:
        if _emulator is None or _application is None:
            emulator = Emulator(MotoGateway())
            dynamodb = DynamoDB(emulator)
            emulator.register(dynamodb.handlers())
            _register_lake_services(emulator)
            _application = AwsApplication(emulator, Control(emulator, dynamodb.exports_billed))
            _emulator = emulator
        return _emulator, _application


def _register_lake_services(emulator: Emulator) -> None:
    def glue() -> dict[tuple[str, str], Handler]:
        from airflow_provider_ddbexport.local.crawler import Crawlers
        from airflow_provider_ddbexport.local.glue_limits import GlueLimits

        return {**Crawlers(emulator).handlers(), **GlueLimits(emulator).handlers()}

    def athena() -> dict[tuple[str, str], Handler]:
        from airflow_provider_ddbexport.local.athena import Athena

        return Athena(emulator).handlers()

    emulator.register_on_use("AWSGlue", glue)
    emulator.register_on_use("AmazonAthena", athena)


class LocalServer:
    """A running server; :meth:`close` ends it. Threads are daemons: they never keep a process alive."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator, application = process_emulator()
        self._server: BaseWSGIServer = make_server(
            host, port, application, threaded=True, request_handler=_QuietRequestHandler
        )
        shown = f"[{host}]" if ":" in host else host
        self.endpoint_url = f"http://{shown}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-aws", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; what was asked before is still answered."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def local_aws(*, host: str = "127.0.0.1", port: int = 0) -> Iterator[LocalAws]:
    """Serve an empty AWS for the duration of the block.

    There is one AWS per process: entered while another is open, it is emptied and served at one more address.
    """
    server = LocalServer(host, port)
    try:
        server.emulator.reset()
        yield LocalAws(server.endpoint_url)
    finally:
        server.close()
        server.emulator.reset()


def exposure_warning(host: str) -> str | None:
    """Return what to say before listening on *host*; None where only this machine can reach it."""
    if host == "localhost":
        return None
    try:
        if ipaddress.ip_address(host).is_loopback:
            return None
    except ValueError:
        # A name may resolve to anything.
        pass
    return (
        f"WARNING: listening on {host or 'every address'}, which other machines can reach. "
        "Nothing is checked: whoever reaches it reads and writes everything in it."
    )


def serve(host: str = "127.0.0.1", port: int = 0, *, seed: bool = False) -> int:
    """Serve an AWS until SIGINT or SIGTERM, then return 0. Raises OSError where it cannot listen.

    With *seed* it holds the table Reviews with a month of history.
    """
    stop = threading.Event()
    previous: dict[int, Any] = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        try:
            # Before werkzeug exits it says why.
            with redirect_stderr(StringIO()) as said:
                server = LocalServer(host, port)
        except (OSError, SystemExit) as error:
            why = next(iter(said.getvalue().splitlines()), str(error))
            raise OSError(
                f"cannot listen on {host}:{port}: {why}; choose another --host or --port, 0 for a port that is free"
            ) from None
        try:
            if warning := exposure_warning(host):
                _say(warning)
            aws = LocalAws(server.endpoint_url)
            if seed:
                from airflow_provider_ddbexport.local.reviews import seed_reviews

                seed_reviews(aws)
            _say(f"AWS, embedded, at {server.endpoint_url} (Ctrl-C ends it; nothing is kept)")
            for name, value in aws.environment().items():
                _say(f"export {name}={value}")
            stop.wait()
        finally:
            server.close()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 -- a server's only face is its terminal
