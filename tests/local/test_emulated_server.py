"""The embedded AWS as a server: where it listens, what it forgets, what it fails on request."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from orders_table import BUCKET, DAY_1, Orders

from airflow_provider_ddbexport.cli import BAD_DATA, main
from airflow_provider_ddbexport.errors import BadCallError, ServiceError
from airflow_provider_ddbexport.local import LocalAws, connect
from airflow_provider_ddbexport.local import local_aws as serving
from airflow_provider_ddbexport.local.clock import Clock
from airflow_provider_ddbexport.local.server import exposure_warning

EXPORT = {"TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/Orders", "S3Bucket": BUCKET}
ONCE = Config(retries={"total_max_attempts": 1})


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], LocalAws]]:
    """Run a server in a process of its own, and end it."""
    code = f"import sys; from airflow_provider_ddbexport.local import serve; sys.exit(serve({', '.join(arguments)}))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "http://" in line:
                yield process, connect(next(word for word in line.split() if word.startswith("http://")))
                return
        pytest.fail(f"the server ended with {process.wait()} and said no address")
    finally:
        process.kill()
        process.communicate()


def test_a_server_of_its_own_runs_until_it_is_told_to_end() -> None:
    """It says where it is, answers over HTTP only, and SIGTERM ends it with exit status 0."""
    with started() as (process, aws):
        aws.client("s3").create_bucket(Bucket="some-bucket")
        aws.clock.set(DAY_1, frozen=True)
        assert connect(aws.endpoint_url).clock.now() == DAY_1
        assert aws.client("s3").list_buckets()["Buckets"][0]["Name"] == "some-bucket"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 0


def test_an_address_that_is_taken_is_said_and_ends_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 1 and told as every error of the shell is, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["local", "--port", str(port)]) == BAD_DATA
        said = capsys.readouterr().err
        assert main(["local", "--port", str(port), "--json"]) == BAD_DATA
    assert f"ddbexport: this machine refused: cannot listen on 127.0.0.1:{port}" in said
    assert "Traceback" not in said
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["error"]["message"] in said


def test_it_listens_on_loopback_unless_told_otherwise(local_aws: LocalAws) -> None:
    """The address is one of loopback; no other address of this machine has the port open."""
    assert local_aws.endpoint_url.startswith("http://127.0.0.1:")
    port = int(local_aws.endpoint_url.rpartition(":")[2])
    with socket.socket() as other:
        # Loopback is 127.0.0.0/8: a server on every address would answer on this one, too.
        assert other.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.parametrize(
    ("host", "warns"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("10.1.2.3", True),
        ("", True),
        ("build-host", True),
    ],
)
def test_listening_beyond_loopback_is_warned_of(host: str, *, warns: bool) -> None:
    """Every address another machine could reach is warned of."""
    assert (exposure_warning(host) is not None) == warns


def test_its_environment_leads_any_sdk_to_it(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """With these variables and nothing else a plain boto3 client talks to the embedded AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="by-environment")
    assert [found["Name"] for found in local_aws.client("s3").list_buckets()["Buckets"]] == ["by-environment"]


def test_a_reset_forgets_everything(orders: Orders) -> None:
    """Tables, exports, buckets, settings, faults and the clock are as at the start."""
    orders.create()
    orders.export()
    orders.aws.configure(export_seconds=77)
    orders.aws.fail_next("ListTables", "AccessDeniedException")
    orders.aws.reset()
    assert orders.dynamodb.list_tables()["TableNames"] == []
    assert orders.dynamodb.list_exports()["ExportSummaries"] == []
    assert orders.s3.list_buckets()["Buckets"] == []
    assert orders.aws.exports_billed() == []
    assert orders.aws.control("GET", "settings")["export_seconds"] == 1
    assert abs(orders.aws.clock.now() - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("_", range(2))
def test_each_test_has_an_aws_of_its_own(local_aws: LocalAws, _: int) -> None:
    """What one test makes, the next one does not see."""
    client = local_aws.client("dynamodb", config=ONCE)
    assert client.list_tables()["TableNames"] == []
    client.create_table(
        TableName="Mine",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_inside_of_another_it_is_emptied_and_served_once_more(local_aws: LocalAws) -> None:
    """There is one AWS per process; both addresses reach it."""
    local_aws.client("s3").create_bucket(Bucket="before")
    with serving() as inner:
        assert inner.endpoint_url != local_aws.endpoint_url
        assert inner.client("s3").list_buckets()["Buckets"] == []
        inner.client("s3").create_bucket(Bucket="inside")
        assert local_aws.client("s3").list_buckets()["Buckets"][0]["Name"] == "inside"


def test_a_fault_refuses_the_call_it_was_made_for(orders: Orders) -> None:
    """The next calls of that operation fail with that code, as often as asked for, and have no effect."""
    orders.create()
    orders.aws.fail_next("PutItem", "ThrottlingException", "slow down", times=2)
    for _ in range(2):
        with pytest.raises(ClientError, match=r"\(ThrottlingException\).*slow down"):
            orders.put("a")
    assert orders.dynamodb.scan(TableName="Orders")["Count"] == 0
    orders.put("a")
    assert orders.dynamodb.scan(TableName="Orders")["Count"] == 1


def test_a_fault_may_lose_only_the_answer(orders: Orders) -> None:
    """The caller sees an error, but the export was started: what a cut connection does."""
    orders.create()
    orders.aws.fail_next("ExportTableToPointInTime", "InternalServerError", status=500, after=True)
    with pytest.raises(ClientError, match="InternalServerError"):
        orders.export(ClientToken="token")
    (billed,) = orders.aws.exports_billed()
    assert orders.export(ClientToken="token")["ExportArn"] == billed["export_arn"]
    assert len(orders.aws.exports_billed()) == 1


def test_a_fault_of_s3_applies_to_one_method_and_one_path(orders: Orders) -> None:
    """Only the PUT of the object named fails; others, and reads, do not."""
    orders.aws.fail_next("S3:PUT", "AccessDenied", status=403, path="secret")
    orders.s3.put_object(Bucket=BUCKET, Key="open", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        orders.s3.put_object(Bucket=BUCKET, Key="secret", Body=b"")
    assert orders.objects() == ["open"]


def test_a_setting_that_is_none_is_refused(local_aws: LocalAws) -> None:
    """A misspelt setting is an error that lists the ones there are."""
    with pytest.raises(BadCallError, match=r"export_second\b.*export_seconds"):
        local_aws.configure(export_second=1)


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        ("DescribeTable", {}, "ValidationException"),
        ("DescribeTable", [], "SerializationException"),
        ("DescribeContinuousBackups", {"TableName": 5}, "SerializationException"),
        ("ListExports", {"MaxResults": "many"}, "SerializationException"),
        ("ExportTableToPointInTime", {**EXPORT, "S3Prefix": 5}, "SerializationException"),
        ("ExportTableToPointInTime", {**EXPORT, "ExportTime": 1e300}, "SerializationException"),
        ("Scan", {"TableName": "Orders", "ExclusiveStartKey": {"pk": {}}}, "ValidationException"),
        ("BatchWriteItem", {"RequestItems": {"Orders": [{}]}}, "ValidationException"),
    ],
)
def test_a_request_that_is_not_as_the_service_takes_it_is_refused(
    orders: Orders, operation: str, body: Any, code: str
) -> None:
    """SDKs refuse most of them themselves; a 500 would be tried again and again."""
    orders.create()
    request = urllib.request.Request(
        orders.aws.endpoint_url,
        json.dumps(body).encode(),
        {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    with refused.value as answer:
        assert answer.code == 400
        assert json.load(answer)["__type"].rpartition("#")[2] == code


def test_a_region_that_there_is_not_is_refused(local_aws: LocalAws) -> None:
    """By every service that is called by name, whether it is moto's or our own."""
    for service, operation in (("dynamodb", "list_tables"), ("dynamodb", "list_exports"), ("glue", "get_databases")):
        client = local_aws.client(service, region_name="nowhere-1", config=ONCE)
        with pytest.raises(ClientError, match="Credential should be scoped to a valid region"):
            getattr(client, operation)()


def test_where_nothing_listens_connecting_says_so() -> None:
    """A ServiceError that says how to start one."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ServiceError, match=f"{address}.*ddbexport local"):
            connect(address)


def test_writers_at_the_same_time_lose_nothing(orders: Orders) -> None:
    """Eight threads put, update and delete at once: table, history and export agree on what is left."""
    orders.create()
    orders.put("shared", n={"N": "0"})

    def work(worker: int) -> None:
        client: Any = orders.aws.client("dynamodb")
        for number in range(8):
            client.put_item(TableName="Orders", Item={"pk": {"S": f"{worker}-{number}"}})
            client.update_item(
                TableName="Orders",
                Key={"pk": {"S": "shared"}},
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        client.delete_item(TableName="Orders", Key={"pk": {"S": f"{worker}-0"}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    expected = {f"{worker}-{number}" for worker in range(8) for number in range(1, 8)} | {"shared"}
    items = {line["Item"]["pk"]["S"]: line["Item"] for line in orders.lines(orders.export())}
    assert set(items) == expected
    assert items["shared"]["n"] == {"N": "64"}
    assert orders.dynamodb.scan(TableName="Orders", Select="COUNT")["Count"] == len(expected)


def test_a_conditional_put_is_won_by_one_of_many(orders: Orders) -> None:
    """Of threads that create the same object with If-None-Match, exactly one succeeds."""

    def create(worker: int) -> bool:
        client = orders.aws.client("s3", config=ONCE)
        try:
            client.put_object(Bucket=BUCKET, Key="commit", Body=str(worker).encode(), IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert orders.read("commit") == str(won.index(True)).encode()


def test_the_clock_ticks_stands_still_and_steps() -> None:
    """Set, it ticks on from there; frozen, it stands; both step; a reset follows real time again."""
    real = [DAY_1]
    clock = Clock(lambda: real[0])
    clock.set(DAY_1 - timedelta(days=30))
    real[0] += timedelta(seconds=5)
    assert clock.now() == DAY_1 - timedelta(days=30) + timedelta(seconds=5)
    clock.set(DAY_1, frozen=True)
    real[0] += timedelta(seconds=5)
    assert clock.now() == DAY_1
    clock.advance(timedelta(days=1))
    assert clock.now() == DAY_1 + timedelta(days=1)
    clock.reset()
    assert clock.now() == real[0]
