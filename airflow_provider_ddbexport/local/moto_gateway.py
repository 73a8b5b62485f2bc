"""moto as one WSGI application, and its in-memory objects. The only module that touches moto's insides' addresses."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from airflow_provider_ddbexport.local.wire import AwsError, Call

ACCOUNT_ID: str = DEFAULT_ACCOUNT_ID

_TARGETS = {"dynamodb": "DynamoDB_20120810", "glue": "AWSGlue", "athena": "AmazonAthena"}

Answer = tuple[str, list[tuple[str, str]], bytes]
"""HTTP status line, headers, body."""


class MotoGateway:
    """Calls moto. moto keeps its state per process: two gateways reach the same tables and buckets."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)

    def answer(self, environ: dict[str, Any]) -> Answer:
        """Return moto's answer to one WSGI request, whole."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
            started[:] = [status, headers]
            return lambda _data: None

        body = self._app(environ, start_response)
        try:
            content = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        return started[0], started[1], content

    def forward(self, call: Call, service: str = "dynamodb") -> dict[str, Any]:
        """Return moto's answer to *call*; raise AwsError where moto answers with an error."""
        body = msgspec.json.encode(call.body)
        host = f"{service}.{call.region}.amazonaws.com"
        status, _, content = self.answer(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/",
                "QUERY_STRING": "",
                "SERVER_NAME": host,
                "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1",
                "CONTENT_TYPE": "application/x-amz-json-1.0" if service == "dynamodb" else "application/x-amz-json-1.1",
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_HOST": host,
                "HTTP_X_AMZ_TARGET": f"{_TARGETS[service]}.{call.operation}",
                "HTTP_X_MOTO_ACCOUNT_ID": call.account,
                "HTTP_AUTHORIZATION": (
                    f"AWS4-HMAC-SHA256 Credential=local/20260101/{call.region}/{service}/aws4_request, "
                    "SignedHeaders=host, Signature=0"
                ),
                "wsgi.version": (1, 0),
                "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(body),
                "wsgi.errors": io.StringIO(),
                "wsgi.multithread": True,
                "wsgi.multiprocess": False,
                "wsgi.run_once": False,
            }
        )
        parsed: dict[str, Any] = msgspec.json.decode(content) if content else {}
        code = int(status.split()[0])
        if code >= 400:
            name = str(parsed.pop("__type", "InternalServerError")).rpartition("#")[2]
            message = str(parsed.pop("message", None) or parsed.pop("Message", ""))
            raise AwsError(name, message, status=code, **parsed)
        return parsed

    def account_of(self, access_key: str) -> str:
        """Return the account whose credentials these are; moto's default account for any it has not issued."""
        from moto.iam.models import get_account_id_from

        return str(get_account_id_from(access_key))

    def is_region(self, name: str) -> bool:
        """Return whether there is such a region."""
        from moto.dynamodb.models import dynamodb_backends

        return name in dynamodb_backends[ACCOUNT_ID]

    def dynamodb(self, account: str, region: str) -> Any:
        """Return moto's DynamoDB of one account and region."""
        from moto.dynamodb.models import dynamodb_backends

        return dynamodb_backends[account][region]

    def s3(self, account: str) -> Any:
        """Return moto's S3 of one account."""
        from moto.s3.models import s3_backends

        return s3_backends[account]["aws"]

    def bucket_region(self, bucket: str) -> str | None:
        """Return the region of a bucket of any account; None where there is none."""
        from moto.s3.models import s3_backends

        partition, account = s3_backends.bucket_accounts.get(bucket, ("", ""))
        found = s3_backends[account][partition].buckets.get(bucket) if account else None
        return None if found is None else str(found.region_name)

    def glue(self, account: str, region: str) -> Any:
        """Return moto's Glue of one account and region."""
        from moto.glue.models import glue_backends

        return glue_backends[account][region]

    def athena(self, account: str, region: str) -> Any:
        """Return moto's Athena of one account and region."""
        from moto.athena.models import athena_backends

        return athena_backends[account][region]

    def kms(self, account: str, region: str) -> Any:
        """Return moto's KMS of one account and region."""
        from moto.kms.models import kms_backends

        return kms_backends[account][region]

    def reset(self) -> None:
        """Empty every service of every account."""
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()
