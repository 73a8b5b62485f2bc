"""Fixtures for the tests of the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from orders_table import BUCKET, DAY_1, Orders

from airflow_provider_ddbexport.local import LocalAws


@pytest.fixture(scope="session")
def clients(local_aws_server: LocalAws) -> dict[str, Any]:
    """Clients that try once. One set for all tests: making a client costs more than most tests here."""
    once = Config(retries={"total_max_attempts": 1})
    return {service: local_aws_server.client(service, config=once) for service in ("dynamodb", "s3")}


@pytest.fixture
def orders(local_aws: LocalAws, clients: dict[str, Any]) -> Orders:
    """An empty AWS on the first of March 2026, its clock standing still, exports done at once, and a bucket."""
    local_aws.clock.set(DAY_1, frozen=True)
    local_aws.configure(export_seconds=0, describe_backups_per_s=1000)
    found = Orders(local_aws, clients["dynamodb"], clients["s3"])
    found.s3.create_bucket(Bucket=BUCKET)
    return found


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a call and returns the error the service sent."""

    def call(operation: Callable[..., Any], **kw: Any) -> dict[str, Any]:
        with pytest.raises(ClientError) as caught:
            operation(**kw)
        error: dict[str, Any] = caught.value.response["Error"]
        return error

    return call
