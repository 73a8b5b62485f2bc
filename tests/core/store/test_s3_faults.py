"""What an S3Store makes of an S3 that fails."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from fake_time import FakeTime
from faulty_road import Fault, FaultyRoad

from airflow_provider_ddbexport.core.store import ObjectInfo, S3Store
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    DdbExportError,
    ObjectExistsError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageDeadlineError,
    StorageError,
    StoreNotWritableError,
)

BODY = bytes(range(256)) * 40


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def store(s3: Any, bucket: str, time: FakeTime) -> S3Store:
    return S3Store(s3, bucket, "lake", retries=time.policy(60))


def ranges(road: FaultyRoad) -> list[tuple[str | None, bool]]:
    return [(r.headers.get("range"), "if-match" in r.headers) for r in road.requests if r.method == "GET"]


def test_a_body_cut_in_mid_stream_is_read_on(store: S3Store, road: FaultyRoad) -> None:
    """Each byte comes once: what is missing is asked for by Range, of the same ETag only."""
    store.write("x", BODY)
    cut = road.add(Fault("cut", at=3000))

    assert b"".join(store.stream("x", chunk_bytes=512)) == BODY
    assert cut.happened == 1
    (first, resumed) = ranges(road)
    assert first == (None, False)
    # What of the body was on its way when the connection broke may be lost with it.
    assert resumed[1]
    assert 0 < int((resumed[0] or "").removeprefix("bytes=").removesuffix("-")) <= 3000


def test_a_body_cut_before_its_first_byte_is_read_on(store: S3Store, road: FaultyRoad) -> None:
    """Headers without a body: asked again, for the same ETag."""
    store.write("x", BODY)
    cut = road.add(Fault("cut", at=0))

    assert store.read("x") == BODY
    assert cut.happened == 1


def test_the_deadline_counts_from_the_last_byte(store: S3Store, road: FaultyRoad, time: FakeTime) -> None:
    """A stream that breaks after every 100 bytes is read to its end, however long its pauses add up to."""
    store.write("x", BODY[:3000])
    cut = road.add(Fault("cut", at=100, times=29))
    store = S3Store(store._s3, store._bucket, "lake", retries=time.policy(1.0))

    assert b"".join(store.stream("x", chunk_bytes=50)) == BODY[:3000]
    assert cut.happened == 29
    assert time.now > 1.0


def test_a_stream_that_never_goes_on_ends_at_the_deadline(store: S3Store, road: FaultyRoad, time: FakeTime) -> None:
    """Cut without progress again and again: a StorageDeadlineError, at the deadline and not after it."""
    store.write("x", BODY)
    cut = road.add(Fault("cut", at=0, times=1000))
    with pytest.raises(StorageDeadlineError, match="deadline of 60 s"):
        store.read("x")
    assert cut.happened > 3
    assert time.now == pytest.approx(60)
    assert time.pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])


def test_an_object_replaced_while_it_is_read_is_an_error(store: S3Store, road: FaultyRoad) -> None:
    """The rest of another object is never put behind the start of the first."""
    store.write("x", BODY)
    cut = road.add(Fault("cut", at=3000))
    chunks = store.stream("x", chunk_bytes=512)
    next(chunks)
    store.write("x", BODY[::-1])
    with pytest.raises(StorageError, match="replaced while it was read"):
        list(chunks)
    assert cut.happened == 1


def test_only_what_was_opened_is_copied(s3: Any, bucket: str, road: FaultyRoad, time: FakeTime) -> None:
    """S3 is told the ETag of what was opened, and the owner of both; that it is another by now is an error."""
    store = S3Store(s3, bucket, "lake", retries=time.policy(60), expected_bucket_owner="123456789012")
    store.write("x", BODY)
    etag = s3.head_object(Bucket=bucket, Key="lake/x")["ETag"]
    failed = road.add(Fault("status", "PUT", times=2, status=503, code="SlowDown"))
    with store.open("x") as opened:
        store.copy("x", "y", opened)
        replaced = road.add(Fault("status", "PUT", status=412, code="PreconditionFailed"))
        with pytest.raises(StorageError, match=r"lake/x: the object was replaced or deleted before it was copied"):
            store.copy("x", "z", opened)
        store.delete("x")
        with pytest.raises(StorageError, match="or deleted"):
            store.copy("x", "z", opened)
    with pytest.raises(BadCallError, match="expected what open"), tempfile.TemporaryFile() as another:
        store.copy("x", "z", another)
    assert (failed.happened, replaced.happened) == (2, 1)
    assert [info.key for info in store.list()] == ["y"]
    copies = [r.headers for r in road.requests if "x-amz-copy-source" in r.headers]
    assert {headers["x-amz-copy-source-if-match"] for headers in copies} == {etag}
    assert {headers["x-amz-source-expected-bucket-owner"] for headers in copies} == {"123456789012"}
    assert not any("content-length" in headers and int(headers["content-length"]) for headers in copies)


def test_a_road_that_ignores_ranges_is_an_error(store: S3Store, road: FaultyRoad) -> None:
    """A resumed read that is answered from the start is refused, not appended."""
    store.write("x", BODY)
    road.add(Fault("cut", at=3000))
    whole = road.add(Fault("whole body"))
    with pytest.raises(StorageError, match="was given others"):
        store.read("x")
    assert whole.happened == 1


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (400, "RequestTimeout")])
def test_failures_of_s3_are_tried_again(store: S3Store, road: FaultyRoad, status: int, code: str) -> None:
    """Reading, writing, listing, looking and deleting outlast three failures each."""
    faults = [
        road.add(Fault("status", method, times=3, status=status, code=code)) for method in ("PUT", "GET", "DELETE")
    ]
    store.write("x", BODY)
    assert store.read("x") == BODY
    faults.append(road.add(Fault("status", "GET", "list-type=2", times=3, status=status, code=code)))
    assert list(store.list()) == [ObjectInfo("x", len(BODY))]
    if status != 400:  # the answer to a HEAD has no body to say which 400 it is
        faults.append(road.add(Fault("status", "HEAD", times=3, status=status, code=code)))
        assert store.exists("x")
    store.delete("x")

    assert not store.exists("x")
    assert [fault.happened for fault in faults] == [3] * len(faults)


def test_failures_end_at_the_deadline(store: S3Store, road: FaultyRoad, time: FakeTime) -> None:
    """An S3 that only fails: StorageDeadlineError with the address and the last answer."""
    fault = road.add(Fault("status", "PUT", times=1000, status=503, code="SlowDown"))
    with pytest.raises(StorageDeadlineError, match=r"writing s3://.*/lake/x.* HTTP 503 SlowDown") as caught:
        store.write("x", b"")
    assert caught.value.context["tries"] == fault.happened > 3
    assert time.now == pytest.approx(60)


def test_a_lost_connection_is_tried_again(store: S3Store, road: FaultyRoad) -> None:
    """A request that is never answered is made again."""
    faults = [Fault("lost answer", "PUT"), Fault("lost request", "PUT"), Fault("lost answer", "GET")]
    lost = [road.add(fault) for fault in faults]
    store.write("x", BODY)

    assert store.read("x") == BODY
    assert [fault.happened for fault in lost] == [1, 1, 1]


@pytest.mark.parametrize(("code", "writing"), [("AccessDenied", StoreNotWritableError), ("ExpiredToken", AccessError)])
def test_a_refusal_is_not_tried_again(
    store: S3Store,
    road: FaultyRoad,
    time: FakeTime,
    code: str,
    writing: type[DdbExportError],
) -> None:
    """Denied reads are AccessErrors, denied writes StoreNotWritableErrors, bad credentials AccessErrors; at once."""
    for method in ("GET", "PUT", "DELETE"):
        road.add(Fault("status", method, times=1000, status=403, code=code))
    with pytest.raises(AccessError, match=f"s3://.*{code}.*; .*"):
        store.read("x")
    with pytest.raises(AccessError):
        list(store.list())
    for write in (store.write, store.create):
        with pytest.raises(writing, match=code):
            write("x", BODY)
    with pytest.raises(writing):
        store.delete("x")
    assert sum(fault.happened for fault in road.faults) == 5
    assert time.pauses == []


def test_a_missing_bucket_is_named(s3: Any, road: FaultyRoad, time: FakeTime) -> None:
    """Everything but exists() says that the bucket is missing; nothing is tried twice."""
    store = S3Store(s3, "no-such-bucket-here", "lake", retries=time.policy())
    for operation in (
        lambda: store.read("x"),
        lambda: list(store.list()),
        lambda: store.write("x", b""),
        lambda: store.create("x", b""),
        lambda: store.delete("x"),
    ):
        with pytest.raises(ObjectNotFoundError, match=r"s3://no-such-bucket-here.*no such bucket"):
            operation()
    assert not store.exists("x")
    # A create that was refused with 404 is known not to have happened: nothing was read to find out.
    assert len(road.requests) == 6
    assert time.pauses == []


def test_no_credentials_are_an_access_error(
    bucket: str, road: FaultyRoad, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A client that finds no credentials gives an AccessError, at once."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.session.Session().client("s3", endpoint_url=road.url, region_name="us-east-1")
    with pytest.raises(AccessError, match="NoCredentialsError"):
        S3Store(client, bucket).read("x")


def test_an_endpoint_that_is_not_there_says_what_to_look_at() -> None:
    """At once: a wrong address does not become right by waiting."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{nobody.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        with pytest.raises(StorageError, match=r"s3://lake/x: S3 was not reached .*check the endpoint"):
            S3Store(client, "lake").read("x")


def test_a_network_that_is_away_for_a_while_is_waited_for(s3: Any, bucket: str, time: FakeTime) -> None:
    """An address that was reached is right, so what cannot be reached now is tried again, up to the deadline."""

    class Away:
        failures = 1

        def __getattr__(self, name: str) -> Any:
            if self.failures:
                self.failures -= 1
                raise EndpointConnectionError(endpoint_url="https://s3.eu-west-1.amazonaws.com")
            return getattr(s3, name)

    away = Away()
    store = S3Store(away, bucket, "lake", retries=time.policy(60)).child("t")
    with pytest.raises(StorageError, match="S3 was not reached"):
        store.read("x")
    assert time.pauses == []
    store.write("x", BODY)
    away.failures = 3
    assert store.child("deeper").exists("x") is False
    away.failures = 3
    assert store.read("x") == BODY
    away.failures = 3
    store.create("y", BODY)
    assert len(time.pauses) == 9
    away.failures = 1000
    with pytest.raises(StorageDeadlineError, match="EndpointConnectionError"):
        store.write("x", BODY)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is not at hand")
@pytest.mark.parametrize("size", [100, len(BODY)])
def test_a_disk_too_full_for_an_object_is_named(store: S3Store, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the store that failed; of a small object that is found out when the file is closed, once more."""
    store.write("x", BODY[:size])
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("w+b", buffering=0))  # noqa: SIM115 - the store closes it
    with pytest.raises(StorageError, match="the disk is full, on which temporary files lie"):
        store.open("x")


def test_an_archived_object_says_so(store: S3Store, road: FaultyRoad) -> None:
    """InvalidObjectState, which S3 sends as 403, is not taken for a lack of permission."""
    fault = road.add(Fault("status", status=403, code="InvalidObjectState"))
    with pytest.raises(StorageError, match="restore it"):
        store.read("x")
    assert fault.happened == 1


def test_a_server_without_conditional_writes_is_refused(store: S3Store, road: FaultyRoad) -> None:
    """501 to If-None-Match says what is missing; such a store cannot publish safely."""
    fault = road.add(Fault("status", "PUT", status=501, code="NotImplemented"))
    with pytest.raises(StorageError, match="If-None-Match"):
        store.create("x", b"")
    assert fault.happened == 1


class TestCreate:
    """The one operation whose outcome matters to others."""

    def test_a_lost_answer_is_settled_by_reading(self, store: S3Store, road: FaultyRoad) -> None:
        """Done but not answered: the second try finds exactly our bytes, and that is success."""
        lost = road.add(Fault("lost answer", "PUT"))
        store.create("commit", b"ours")

        assert lost.happened == 1
        assert store.read("commit") == b"ours"
        assert [r.headers.get("if-none-match") for r in road.requests if r.method == "PUT"] == ["*", "*"]

    def test_a_lost_request_is_made_again(self, store: S3Store, road: FaultyRoad) -> None:
        """Neither done nor answered: the second try does it."""
        lost = road.add(Fault("lost request", "PUT"))
        store.create("commit", b"ours")

        assert lost.happened == 1
        assert store.read("commit") == b"ours"

    def test_anothers_object_after_a_lost_request_is_a_conflict(self, store: S3Store, road: FaultyRoad) -> None:
        """While our request was lost somebody else created it: ObjectExistsError, and theirs stays."""
        lost = road.add(Fault("lost request", "PUT", part="commit"))
        theirs = road.add(Fault("before", "PUT", part="commit", action=lambda: store.write("commit", b"theirs")))
        with pytest.raises(ObjectExistsError):
            store.create("commit", b"ours")

        assert (lost.happened, theirs.happened) == (1, 1)
        assert store.read("commit") == b"theirs"

    def test_a_concurrent_request_is_a_reason_to_try_again(self, store: S3Store, road: FaultyRoad) -> None:
        """409 ConditionalRequestConflict: S3 asks for another try."""
        conflict = road.add(Fault("status", "PUT", status=409, code="ConditionalRequestConflict"))
        store.create("commit", b"ours")

        assert conflict.happened == 1
        assert store.read("commit") == b"ours"

    def test_refusals_up_to_the_deadline_have_a_known_outcome(
        self, store: S3Store, road: FaultyRoad, time: FakeTime
    ) -> None:
        """SlowDown did nothing: StorageDeadlineError, not OutcomeUnknownError."""
        road.add(Fault("status", "PUT", times=1000, status=503, code="SlowDown"))
        with pytest.raises(StorageDeadlineError):
            store.create("commit", b"ours")
        assert time.now == pytest.approx(60)
        assert not store.exists("commit")

    def test_lost_requests_up_to_the_deadline_are_an_unknown_outcome(self, store: S3Store, road: FaultyRoad) -> None:
        """Nothing there now does not mean that a request will not still arrive: OutcomeUnknownError."""
        lost = road.add(Fault("lost request", "PUT", times=1000))
        with pytest.raises(OutcomeUnknownError, match="nothing was cleaned up"):
            store.create("commit", b"ours")
        assert lost.happened > 3

    def test_lost_answers_up_to_the_deadline_are_settled_by_reading(self, store: S3Store, road: FaultyRoad) -> None:
        """Done at first, then only failures: the object is found to be ours, and that is success."""
        lost = road.add(Fault("lost answer", "PUT"))
        failing = road.add(Fault("status", "PUT", times=1000))
        store.create("commit", b"ours")

        assert lost.happened == 1
        assert failing.happened > 3

    def test_a_refusal_after_a_lost_request_is_an_unknown_outcome(self, store: S3Store, road: FaultyRoad) -> None:
        """Credentials that expire between the tries do not make the first one's outcome known."""
        lost = road.add(Fault("lost request", "PUT"))
        denied = road.add(Fault("status", "PUT", status=403, code="ExpiredToken"))
        with pytest.raises(OutcomeUnknownError):
            store.create("commit", b"ours")
        assert (lost.happened, denied.happened) == (1, 1)

    def test_an_object_that_cannot_be_read_is_an_unknown_outcome(self, store: S3Store, road: FaultyRoad) -> None:
        """It is there, but whose it is cannot be told without permission to read."""
        store.write("commit", b"ours")
        denied = road.add(Fault("status", "GET", status=403, code="AccessDenied"))
        with pytest.raises(OutcomeUnknownError, match="could not be read"):
            store.create("commit", b"ours")
        assert denied.happened == 1

    def test_botocores_own_tries_count_as_tries(self, bucket: str, road: FaultyRoad, time: FakeTime) -> None:
        """An answer lost inside of botocore, then a refusal outside: success is found by reading all the same."""
        client = boto3.client(
            "s3",
            endpoint_url=road.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(retries={"total_max_attempts": 2}),
        )
        lost = road.add(Fault("lost answer", "PUT"))
        refused = road.add(Fault("status", "PUT", times=1000, status=503, code="SlowDown"))
        S3Store(client, bucket, retries=time.policy(0)).create("commit", b"ours")

        assert lost.happened == 1
        assert refused.happened >= 1


def test_a_part_of_usual_size_goes_up_in_one_request(store: S3Store, road: FaultyRoad, tmp_path: Path) -> None:
    """A process that is killed on the way leaves no upload behind; the second try sends all of the file again."""
    path = tmp_path / "part.parquet"
    body = os.urandom(1 << 20) * 65
    path.write_bytes(body)
    failed = road.add(Fault("status", "PUT"))
    store.move_file("part", path)

    assert failed.happened == 1
    assert [request.method for request in road.requests] == ["PUT", "PUT"]
    assert store.read("part") == body


class TestMultipart:
    """Files too large for one request."""

    @pytest.fixture
    def large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file of two parts, with the size from which parts are used made small."""
        monkeypatch.setattr("airflow_provider_ddbexport.core.store.s3.MULTIPART_BYTES", 1 << 20)
        path = tmp_path / "part.parquet"
        path.write_bytes(os.urandom(1 << 20) * 17)
        return path

    def test_a_large_file_goes_up_in_parts(self, store: S3Store, road: FaultyRoad, large: Path) -> None:
        """The object holds the file's bytes, although a part failed at first."""
        failed = road.add(Fault("status", "PUT", "partNumber=2", times=2))
        body = large.read_bytes()
        store.move_file("part", large)

        assert failed.happened == 2
        assert store.read("part") == body
        assert sum("partNumber=" in request.path for request in road.requests) == 4

    def test_a_part_that_fails_for_good_leaves_nothing(
        self, store: S3Store, s3: Any, bucket: str, road: FaultyRoad, large: Path
    ) -> None:
        """The upload is aborted: no object, and no parts that are invisible but paid for."""
        denied = road.add(Fault("status", "PUT", "partNumber=2", status=403, code="AccessDenied"))
        with pytest.raises(StoreNotWritableError):
            store.move_file("part", large)

        assert denied.happened == 1
        assert not store.exists("part")
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)

    def test_a_lost_answer_to_the_completion_is_recognised(self, store: S3Store, road: FaultyRoad, large: Path) -> None:
        """The second completion finds no such upload, but an object that bears the upload's mark."""
        lost = road.add(Fault("lost answer", "POST", "uploadId="))
        gone = road.add(Fault("status", "POST", "uploadId=", status=404, code="NoSuchUpload"))
        body = large.read_bytes()
        store.move_file("part", large)

        assert (lost.happened, gone.happened) == (1, 1)
        assert store.read("part") == body

    @pytest.mark.parametrize("older", [b"older", None])
    def test_an_upload_that_vanished_is_not_taken_for_success(
        self, store: S3Store, road: FaultyRoad, large: Path, older: bytes | None
    ) -> None:
        """Aborted by somebody else: an error, whether an older object is there or none."""
        if older:
            store.write("part", older)
        gone = road.add(Fault("status", "POST", "uploadId=", status=404, code="NoSuchUpload"))
        with pytest.raises(StorageError, match="aborted by somebody else"):
            store.move_file("part", large)
        assert gone.happened == 1
        assert (store.read("part") if store.exists("part") else None) == older


def test_the_expected_bucket_owner_goes_with_every_request(
    s3: Any, bucket: str, road: FaultyRoad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation, of children too, lets S3 check that the bucket is still whose it was."""
    monkeypatch.setattr("airflow_provider_ddbexport.core.store.s3.MULTIPART_BYTES", 10)
    (tmp_path / "file").write_bytes(b"x" * 20)
    store = S3Store(s3, bucket, expected_bucket_owner="123456789012").child("lake")
    store.write("a", b"x")
    store.create("b", b"x")
    store.move_file("c", tmp_path / "file")
    assert store.read("a") == b"x"
    assert store.exists("a")
    assert len(list(store.list())) == 3
    store.delete("a")

    assert len(road.requests) == 9
    assert {r.headers.get("x-amz-expected-bucket-owner") for r in road.requests} == {"123456789012"}


def test_a_listing_goes_on_over_pages_and_skips_folder_markers(
    store: S3Store, s3: Any, bucket: str, road: FaultyRoad, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages are read, a failing one again; the empty objects that consoles make for folders are none."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    s3.put_object(Bucket=bucket, Key="lake/", Body=b"")
    s3.put_object(Bucket=bucket, Key="lake/f/", Body=b"")
    s3.put_object(Bucket=bucket, Key="lake-other/x", Body=b"")
    keys = [f"f/{number}" for number in range(8)]
    for key in keys:
        store.write(key, b"x")
    failing = road.add(Fault("status", "GET", "continuation-token", times=2))

    assert [info.key for info in store.list()] == keys
    assert [info.key for info in store.list("f")] == keys
    assert failing.happened == 2
    assert sum("list-type=2" in r.path for r in road.requests) == 4 + 3 + 2
