"""A handle on an embedded AWS, in this process or another: it speaks HTTP only."""

from __future__ import annotations

import http.client
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.errors import BadCallError, ServiceError

_TIMEOUT_S = 60.0


class RemoteClock:
    """The clock of the emulated services. See :class:`airflow_provider_ddbexport.local.clock.Clock`."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws

    def now(self) -> datetime:
        """Return the current time, aware, UTC."""
        return _moment(self._aws.control("GET", "clock"))

    def set(self, moment: datetime, *, frozen: bool = False) -> None:
        """Make it *moment* now; it ticks on from there, or stands still if *frozen*."""
        self._aws.control("PUT", "clock", {"now": moment.isoformat(), "frozen": frozen})

    def advance(self, step: timedelta) -> None:
        """Step on by *step*; exports, crawls and queries that become due by it end."""
        self._aws.control("POST", "clock/advance", {"seconds": step.total_seconds()})

    def reset(self) -> None:
        """Follow real time again."""
        self._aws.control("DELETE", "clock")


class LocalAws:
    """An embedded AWS at *endpoint_url*.

    Attributes:
        endpoint_url: of every service.
        region, account_id: what clients made by :meth:`client` use.
        clock: time as the services see it.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url.rstrip("/")
        self.clock = RemoteClock(self)
        about = self.control("GET", "")
        self.region: str = about["region"]
        self.account_id: str = about["account_id"]

    def environment(self) -> dict[str, str]:
        """Return the environment variables under which any AWS SDK talks to this AWS and to no other."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **kwargs: Any) -> Any:
        """Return a boto3 client of this AWS; *kwargs* go to ``boto3.client``."""
        import boto3
        from botocore.config import Config

        # A bucket as a host name would resolve for addresses such as http://localhost only by luck.
        config = Config(s3={"addressing_style": "path"})
        if given := kwargs.pop("config", None):
            config = config.merge(given)
        arguments = {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
            **kwargs,
        }
        return boto3.client(service, config=config, **arguments)

    def configure(self, **changes: Any) -> None:
        """Change settings, such as ``export_seconds=60``; see :class:`local.emulator.Settings`."""
        self.control("POST", "settings", changes)

    def fail_next(
        self,
        operation: str,
        code: str,
        message: str = "",
        *,
        status: int = 400,
        times: int = 1,
        after: bool = False,
        path: str = "",
    ) -> None:
        """Make the next *times* calls of *operation* fail; see :class:`local.emulator.Fault`.

        *operation* is one of a JSON service (``ExportTableToPointInTime``, ``StartCrawler``), or ``S3:PUT`` for
        requests to S3 whose path contains *path*. With *after*, the call takes effect and only its answer is lost.
        """
        self.control(
            "POST",
            "faults",
            {
                "operation": operation,
                "code": code,
                "message": message,
                "status": status,
                "times": times,
                "after": after,
                "path": path,
            },
        )

    def exports_billed(self) -> list[dict[str, Any]]:
        """Return the exports AWS would have billed, oldest first: all that were started and did not fail.

        Each has ``export_arn``, ``table_arn``, ``export_type``, ``export_time``, ``status``, ``billed_bytes``.
        """
        billed: list[dict[str, Any]] = self.control("GET", "exports")
        return billed

    def reset(self) -> None:
        """Forget every table, bucket, export, setting and fault; follow real time again."""
        self.control("POST", "reset")

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer of the control API; raises ServiceError when there is none, BadCallError if it refuses."""
        address = urlsplit(self.endpoint_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=_TIMEOUT_S)
        try:
            connection.request(method, f"/_ddbexport/{path}", json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceError(
                f"no embedded AWS answers at {self.endpoint_url} ({error}); start one with: ddbexport local",
                endpoint_url=self.endpoint_url,
            ) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise BadCallError(f"the embedded AWS at {self.endpoint_url} refuses: {content.get('message')}")
        return content


def connect(endpoint_url: str) -> LocalAws:
    """Return a handle on the embedded AWS another process serves; raises ServiceError when there is none."""
    return LocalAws(endpoint_url)


def _moment(content: dict[str, Any]) -> datetime:
    return parse_time(content["now"])
