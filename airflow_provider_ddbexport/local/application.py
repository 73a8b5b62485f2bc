"""The WSGI application: our own handlers for some operations, moto for all others."""

from __future__ import annotations

import binascii
import io
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from airflow_provider_ddbexport.local.control import Control
from airflow_provider_ddbexport.local.emulator import DEFAULT_REGION, Emulator
from airflow_provider_ddbexport.local.malformed import refusal_of
from airflow_provider_ddbexport.local.moto_gateway import Answer
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/")

# moto calls itself over HTTP for some services (SNS to an HTTP subscriber); only those that we share state with
# are answered one call at a time.
_ONE_AT_A_TIME = {"dynamodb", "s3", "glue", "athena"}

StartResponse = Callable[..., Any]


class AwsApplication:
    """Answers every request of every AWS service."""

    def __init__(self, emulator: Emulator, control: Control) -> None:
        self._emulator = emulator
        self._control = control

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = _take_body(environ)
        path: str = environ.get("PATH_INFO", "")
        if path.startswith("/_ddbexport"):
            status, headers, content = self._control.answer(environ["REQUEST_METHOD"], path, body)
        else:
            status, headers, content = self._aws(environ, path, body)
        start_response(status, headers)
        return [content]

    def _aws(self, environ: dict[str, Any], path: str, body: bytes) -> Answer:
        access_key, region, service = _caller(environ)
        target: str = environ.get("HTTP_X_AMZ_TARGET", "")
        prefix, _, operation = target.rpartition(".")
        called = prefix.partition("_")[0]
        handler = self._emulator.handler(called, operation) if target else None
        if target and not self._emulator.moto.is_region(region):
            nowhere = AwsError("InvalidSignatureException", "Credential should be scoped to a valid region.")
            return self._refused(environ, nowhere, json=True)
        if handler is None and service not in _ONE_AT_A_TIME:
            return self._emulator.moto.answer(environ)
        with self._emulator.lock:
            self._emulator.settle()
            fault_name = operation if target else f"{service.upper()}:{environ['REQUEST_METHOD']}"
            fault = self._emulator.take_fault(fault_name, path)
            if fault is not None and not fault.after:
                return self._refused(environ, fault.error(), json=bool(target))
            if handler is None:
                signed_for = region if access_key and service == "s3" else None
                answer = self._other_region(signed_for, path) or self._emulator.moto.answer(environ)
            else:
                try:
                    request = msgspec.json.decode(body) if body else {}
                    call = Call(operation, request, region, self._emulator.moto.account_of(access_key))
                    result = _handled(handler, call, called)
                except AwsError as error:
                    answer = self._refused(environ, error, json=True)
                except msgspec.DecodeError:
                    no_json = AwsError("SerializationException", "The request's body is no JSON")
                    answer = self._refused(environ, no_json, json=True)
                else:
                    answer = _json_answer(environ, "200 OK", result)
            return answer if fault is None else self._refused(environ, fault.error(), json=bool(target))

    def _other_region(self, signed_for: str | None, path: str) -> Answer | None:
        """Return S3's refusal of a request that is signed for another region than its bucket's, which SDKs follow."""
        home = self._emulator.moto.bucket_region(path.strip("/").partition("/")[0]) if signed_for else None
        if home in (None, signed_for):
            return None
        message = f"The authorization header is malformed; the region '{signed_for}' is wrong; expecting '{home}'"
        code = "AuthorizationHeaderMalformed"
        body = f"<Error><Code>{code}</Code><Message>{message}</Message><Region>{home}</Region></Error>".encode()
        headers = [("Content-Type", "application/xml"), ("x-amz-bucket-region", str(home))]
        return "400 Bad Request", [*headers, ("Content-Length", str(len(body)))], body

    def _refused(self, environ: dict[str, Any], error: AwsError, *, json: bool) -> Answer:
        status = f"{error.status} {'Bad Request' if error.status < 500 else 'Internal Server Error'}"
        if not json:
            text = f"<Error><Code>{error.code}</Code><Message>{error.message}</Message></Error>"
            return status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))], text.encode()
        # Glue and Athena have bare names, DynamoDB has prefixed ones; SDKs take what is after the last '#'.
        prefix = "com.amazonaws.dynamodb.v20120810#" if "DynamoDB_" in environ["HTTP_X_AMZ_TARGET"] else ""
        return _json_answer(environ, status, {"__type": prefix + error.code, "message": error.message, **error.fields})


def _handled(handler: Handler, call: Call, service: str) -> dict[str, Any] | bytes:
    """Return the handler's answer. Handlers take a request to be well formed: where one fails, it may not have been."""
    try:
        return handler(call)
    except AwsError:
        raise
    except Exception:
        if (refusal := refusal_of(call, service)) is None:
            raise
        raise refusal from None


def _take_body(environ: dict[str, Any]) -> bytes:
    """Return the request's body, read whole before any lock is taken: a slow client must not stop the others."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body = stream.read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body)


def _caller(environ: dict[str, Any]) -> tuple[str, str, str]:
    """Return access key, region and service of the request's signature, which nobody checks."""
    if match := _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", "")):
        return match[1], match[2], match[3].lower()
    return "", DEFAULT_REGION, "s3"


def _json_answer(environ: dict[str, Any], status: str, content: dict[str, Any] | bytes) -> Answer:
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    headers = [
        ("Content-Type", environ.get("CONTENT_TYPE") or "application/x-amz-json-1.0"),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
        ("x-amz-crc32", str(binascii.crc32(body))),
    ]
    return status, headers, body
