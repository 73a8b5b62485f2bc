"""An S3 and a DynamoDB on loopback, and a way to break the road to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from faulty_road import FaultyRoad

ClientMaker = Callable[..., Any]


@pytest.fixture(scope="session")
def moto_address() -> Iterator[tuple[str, int]]:
    """Host and port of moto's server, which is faithful in what these tests use of it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture(scope="session")
def open_road(moto_address: tuple[str, int]) -> Iterator[FaultyRoad]:
    """The proxy behind :func:`road`, which lives as long as the clients do, because making clients is slow."""
    with FaultyRoad(moto_address) as road:
        yield road


@pytest.fixture
def road(open_road: FaultyRoad) -> FaultyRoad:
    """A proxy before moto that does what it is told to do wrong, and notes every request."""
    open_road.faults.clear()
    open_road.requests.clear()
    return open_road


@pytest.fixture(scope="session")
def client(open_road: FaultyRoad) -> ClientMaker:
    """Make a boto3 client that goes through the road, and does not retry by itself, because that takes real time."""

    def make(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=open_road.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=600),
        )

    return make


@pytest.fixture(scope="session")
def s3(client: ClientMaker) -> Any:
    return client("s3")


@pytest.fixture
def bucket(s3: Any, road: FaultyRoad) -> str:
    """An empty bucket of this test's own."""
    name = f"bucket-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    road.requests.clear()
    return name
