"""Objects in S3, with retries that end."""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from botocore.exceptions import FlexibleChecksumError

from airflow_provider_ddbexport.core.store.keys import S3_SCHEME, checked_folder, checked_key, shown_key
from airflow_provider_ddbexport.core.store.multipart import MULTIPART_BYTES, upload_parts
from airflow_provider_ddbexport.core.store.port import ObjectInfo
from airflow_provider_ddbexport.core.store.retry import RetryPolicy, Tries
from airflow_provider_ddbexport.core.store.s3_errors import (
    S3_FAILURES,
    code_of,
    describe,
    is_precondition_failed,
    is_transient,
    may_have_happened,
    permanent_error,
    was_not_reached,
)
from airflow_provider_ddbexport.core.workplace import full_disk_named
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    ObjectExistsError,
    ObjectNotFoundError,
    OutcomeUnknownError,
    StorageDeadlineError,
    StorageError,
)

T = TypeVar("T")


class _Download(io.BufferedRandom):
    """A copy of an object in a file; *etag* is the object's."""

    etag = ""


class S3Store:
    """A folder of a bucket as an :class:`.ObjectStore`.

    Every operation is tried again while S3 or the network fails, until the policy's deadline; botocore's own retries
    happen inside of each try. Where S3 was not reached before, not to reach it is an error at once: most often the
    address is wrong. Safe to share between threads, as the client is; not to be pickled.
    """

    def __init__(
        self,
        s3: Any,
        bucket: str,
        prefix: str = "",
        *,
        retries: RetryPolicy | None = None,
        expected_bucket_owner: str | None = None,
        write_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a boto3 S3 client; *prefix* is without ``/`` at its start, and "" for the whole bucket.

        *write_options* are further arguments of PutObject, CopyObject and CreateMultipartUpload, such as
        ``ServerSideEncryption``.
        """
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._retries = retries or RetryPolicy()
        self._owner = expected_bucket_owner
        self._write_options = dict(write_options or {})
        self._where: dict[str, Any] = {"Bucket": bucket}
        if expected_bucket_owner:
            self._where["ExpectedBucketOwner"] = expected_bucket_owner
        self._was_reached = threading.Event()

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"{S3_SCHEME}{self._bucket}/{self._prefix}" if self._prefix else f"{S3_SCHEME}{self._bucket}"

    def uri_of(self, key: str) -> str:
        """Return ``s3://bucket/prefix/key``."""
        return f"{S3_SCHEME}{self._bucket}/{self._key(key)}"

    def child(self, folder: str) -> S3Store:
        """Return the store whose root is *folder* under this one."""
        trimmed = checked_folder(folder)
        prefix = self._key(trimmed) if trimmed else self._prefix
        child = S3Store(
            self._s3,
            self._bucket,
            prefix,
            retries=self._retries,
            expected_bucket_owner=self._owner,
            write_options=self._write_options,
        )
        child._was_reached = self._was_reached
        return child

    def read(self, key: str) -> bytes:
        """Return all of *key*."""
        return b"".join(self.stream(key))

    def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> Iterator[bytes]:
        """Yield all of *key*, read on by ``Range`` from where a body broke, and only of the same ETag.

        The deadline runs from the last byte that came, so that it bounds a failure and not a long object.
        """
        for _, chunk in self._chunks(key, chunk_bytes):
            yield chunk

    def _chunks(self, key: str, chunk_bytes: int) -> Iterator[tuple[str, bytes]]:
        """Yield the ETag of *key* with each chunk of it."""
        uri = self._shown(key)
        tries = self._retries.tries(f"reading {uri}")
        etag: str | None = None
        size = offset = 0
        while etag is None or offset < size:
            resumed = {} if etag is None or not offset else {"Range": f"bytes={offset}-"}
            condition = {} if etag is None else {"IfMatch": etag}
            try:
                answer = self._s3.get_object(**self._where, Key=self._key(key), **resumed, **condition)
                self._was_reached.set()
                if etag is None:
                    etag, size = str(answer["ETag"]), int(answer["ContentLength"])
                elif resumed and answer.get("ContentRange") != f"bytes {offset}-{size - 1}/{size}":
                    raise StorageError(f"{uri}: asked for bytes {offset} to {size - 1}, was given others", uri=uri)
                # Not "with answer['Body']": that hands out the raw stream, without botocore's checks of length and sum.
                with contextlib.closing(answer["Body"]) as body:
                    while chunk := body.read(chunk_bytes):
                        offset += len(chunk)
                        tries.progressed()
                        yield etag, chunk
            except S3_FAILURES as error:
                if is_precondition_failed(error):
                    raise StorageError(
                        f"{uri}: the object was replaced while it was read; read it again", uri=uri
                    ) from None
                if isinstance(error, FlexibleChecksumError):
                    raise StorageError(f"{uri}: the checksum S3 sent is another; read it again", uri=uri) from error
                self._failed(error, tries, uri, writing=False)
            else:
                if offset < size:
                    tries.failed(f"the body ended after {offset} of {size} bytes")
                elif offset > size:
                    raise StorageError(f"{uri}: expected {size} bytes, found {offset}; read it again", uri=uri)

    def open(self, key: str) -> BinaryIO:
        """Download *key* into a file without a name."""
        # Closing, too, writes what is left of a file, and may find the disk full.
        with full_disk_named(), contextlib.ExitStack() as unread:
            made = tempfile.TemporaryFile(prefix="ddbexport-", buffering=0)  # noqa: SIM115 - the caller closes it
            file = unread.enter_context(_Download(made))
            for etag, chunk in self._chunks(key, 1 << 20):
                file.etag = etag
                file.write(chunk)
            file.seek(0)
            unread.pop_all()
            return file

    def write(self, key: str, body: bytes) -> None:
        """Make *key* hold *body* (at most 5 GB)."""
        self._call(
            lambda: self._s3.put_object(**self._where, Key=self._key(key), Body=body, **self._write_options),
            "writing",
            key,
            writing=True,
        )

    def will_move(self, path: Path) -> None:
        """Leave it in memory: a file that is gone before long may never get to the disk."""

    def move_file(self, key: str, path: Path) -> None:
        """Make *key* hold the bytes of *path*; in parts, which are removed if one fails, where it is large."""
        if path.stat().st_size <= MULTIPART_BYTES:
            self._call(lambda: self._put_file(key, path), "writing", key, writing=True)
        else:
            upload_parts(
                self._s3,
                {**self._where, "Key": self._key(key)},
                path,
                lambda request, what: self._call(request, what, key, writing=True),
                options=self._write_options,
            )
        path.unlink()

    def _put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as body:
            self._s3.put_object(**self._where, Key=self._key(key), Body=body, **self._write_options)

    def copy(self, source: str, key: str, opened: BinaryIO) -> None:
        """Make *key* a copy of *source*, made by S3, as long as that has the ETag that it had when it was *opened*."""
        uri = self._shown(source)
        if not isinstance(opened, _Download):
            raise BadCallError(f"{uri}: expected what open() returned, found {type(opened).__name__}", uri=uri)
        condition = {"CopySourceIfMatch": opened.etag}
        if self._owner:
            condition["ExpectedSourceBucketOwner"] = self._owner

        def request() -> None:
            try:
                self._s3.copy_object(
                    **self._where,
                    Key=self._key(key),
                    CopySource={"Bucket": self._bucket, "Key": self._key(source)},
                    # Nothing but the bytes: permission to read tags is not asked for.
                    MetadataDirective="REPLACE",
                    TaggingDirective="REPLACE",
                    **condition,
                    **self._write_options,
                )
            except S3_FAILURES as error:
                if not is_precondition_failed(error) and code_of(error) != "NoSuchKey":
                    raise
                raise StorageError(
                    f"{uri}: the object was replaced or deleted before it was copied; run again", uri=uri
                ) from None

        self._call(request, "copying to", key, writing=True)

    def create(self, key: str, body: bytes) -> None:
        """Make *key* hold *body* if there is no such object; an object that holds exactly *body* is as good."""
        uri = self._shown(key)
        tries = self._retries.tries(f"creating {uri}")
        is_unsure = False
        while True:
            try:
                self._s3.put_object(
                    **self._where, Key=self._key(key), Body=body, IfNoneMatch="*", **self._write_options
                )
                return
            except S3_FAILURES as error:
                if is_precondition_failed(error):
                    found = self._contents(key, uri)
                    if found == body:
                        return
                    if found is not None:
                        raise ObjectExistsError(
                            f"{uri}: expected no such object, found one with other contents; it was left as it is",
                            uri=uri,
                        ) from None
                    reason = "it was there and gone again"
                else:
                    may_pass = self._may_pass(error)
                    is_unsure = is_unsure or (may_pass and may_have_happened(error))
                    reason = describe(error)
                    if not may_pass:
                        self._settle(key, uri, body, is_unsure, permanent_error(error, uri, writing=True))
                        return
            try:
                tries.failed(reason)
            except StorageDeadlineError as deadline:
                self._settle(key, uri, body, is_unsure, deadline)
                return

    def delete(self, key: str) -> None:
        """Make sure that there is no *key*."""
        self._call(lambda: self._s3.delete_object(**self._where, Key=self._key(key)), "deleting", key, writing=True)

    def remove_unfinished(self, folder: str) -> None:
        """Do nothing: a request that was cut off leaves nothing; for uploads in parts there are lifecycle rules."""

    def exists(self, key: str) -> bool:
        """Return whether there is such an object. A bucket that is missing is False, too: HEAD does not tell."""
        try:
            self._call(lambda: self._s3.head_object(**self._where, Key=self._key(key)), "looking for", key)
        except ObjectNotFoundError:
            return False
        return True

    def list(self, folder: str = "") -> Iterator[ObjectInfo]:
        """Yield every object below *folder* in key order, without the empty ones that consoles make for folders."""
        trimmed = checked_folder(folder)
        prefix = f"{self._key(trimmed)}/" if trimmed else f"{self._prefix}/" if self._prefix else ""
        skipped = len(self._prefix) + 1 if self._prefix else 0
        request: dict[str, Any] = {**self._where, "Prefix": prefix}
        while True:
            page = self._call(lambda: self._s3.list_objects_v2(**request), "listing", trimmed)
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):
                    yield ObjectInfo(entry["Key"][skipped:], int(entry["Size"]))
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{checked_key(key)}" if self._prefix else checked_key(key)

    def _shown(self, key: str) -> str:
        return f"{self.uri}/{shown_key(key)}"

    def _call(self, request: Callable[[], T], doing: str, key: str, *, writing: bool = False) -> T:
        """Return the answer to *request*, a repeatable one, tried until it comes."""
        uri = self._shown(key) if key else self.uri
        tries = self._retries.tries(f"{doing} {uri}")
        while True:
            try:
                answer = request()
            except S3_FAILURES as error:
                self._failed(error, tries, uri, writing=writing)
            else:
                self._was_reached.set()
                return answer

    def _failed(self, error: Exception, tries: Tries, uri: str, *, writing: bool) -> None:
        if not self._may_pass(error):
            raise permanent_error(error, uri, writing=writing) from error
        tries.failed(describe(error))

    def _may_pass(self, error: Exception) -> bool:
        return is_transient(error) or (was_not_reached(error) and self._was_reached.is_set())

    def _contents(self, key: str, uri: str) -> bytes | None:
        """Return what *key* holds, None where it is absent; for finding out whether a create was ours."""
        try:
            return self.read(key)
        except ObjectNotFoundError:
            return None
        except (StorageError, AccessError) as error:
            raise OutcomeUnknownError(
                f"{uri}: it is there, but it could not be read to tell whose it is ({type(error).__name__}); "
                "nothing was cleaned up, run again",
                uri=uri,
            ) from error

    def _settle(self, key: str, uri: str, body: bytes, is_unsure: bool, error: Exception) -> None:
        """End a create that failed for good: *error* if it cannot have happened, success if it is seen to have."""
        if not is_unsure:
            raise error
        try:
            found = self.read(key)
        except (StorageError, AccessError):
            # Absent now proves nothing: the request may still be under way.
            found = None
        if found == body:
            return
        if found is not None:
            raise ObjectExistsError(
                f"{uri}: expected no such object, found one with other contents; it was left as it is", uri=uri
            ) from error
        raise OutcomeUnknownError(
            f"{uri}: creating it failed ({error}), and an earlier try may have succeeded all the same; "
            "nothing was cleaned up, run again",
            uri=uri,
        ) from error
