"""Large files to S3 in parts."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.core.store.s3_errors import code_of, status_of
from airflow_provider_ddbexport.errors import DdbExportError, StorageError

MULTIPART_BYTES = 1 << 30
"""Files larger than this go up in parts. One request leaves nothing behind when its process is killed; parts do."""
_PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_MARK = "ddbexport-upload"


class Caller(Protocol):
    """Sends a repeatable request until it is answered; the second argument says what it does, for errors."""

    def __call__(self, request: Callable[[], Any], what: str, /) -> Any: ...


def upload_parts(
    s3: Any,
    where: dict[str, Any],
    path: Path,
    call: Caller,
    *,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Make the object at *where* (Bucket, Key, ExpectedBucketOwner) hold *path*'s bytes, whole or not at all.

    *options* are further arguments of CreateMultipartUpload.

    Whatever goes wrong, also an interrupt, the upload is aborted, so that no invisible parts stay to be paid for.
    Holds one part in memory.
    """
    size = path.stat().st_size
    step = max(_PART_BYTES, -(-size // _MOST_PARTS))
    mark = uuid.uuid4().hex
    begin = {**where, **(options or {}), "Metadata": {_MARK: mark}}
    upload = call(lambda: s3.create_multipart_upload(**begin), "starting to write")["UploadId"]
    try:
        parts: list[dict[str, Any]] = []
        with path.open("rb") as file:
            while body := file.read(step):
                number = len(parts) + 1
                answer = call(
                    lambda body=body, number=number: s3.upload_part(  # type: ignore[misc]
                        **where, UploadId=upload, PartNumber=number, Body=body
                    ),
                    f"writing part {number} of",
                )
                parts.append({"PartNumber": number, "ETag": answer["ETag"], **_checksums(answer)})
            _require_size(path, size, file.tell())
        call(lambda: _complete(s3, where, upload, parts, mark), "finishing to write")
    except BaseException:
        with contextlib.suppress(DdbExportError, ClientError, BotoCoreError):
            s3.abort_multipart_upload(**where, UploadId=upload)
        raise


def _require_size(path: Path, expected: int, found: int) -> None:
    if found != expected:
        raise StorageError(f"{path}: expected {expected} bytes, found {found}; it was changed meanwhile, send it again")


def _complete(s3: Any, where: dict[str, Any], upload: str, parts: list[dict[str, Any]], mark: str) -> None:
    try:
        s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise
        # The upload is gone when an earlier try completed it and only its answer was lost: the object bears our mark.
        if _mark_at(s3, where) != mark:
            uri = f"s3://{where['Bucket']}/{where['Key']}"
            raise StorageError(
                f"{uri}: the upload was aborted by somebody else before it was complete; write it again", uri=uri
            ) from None


def _mark_at(s3: Any, where: dict[str, Any]) -> str | None:
    """Return the mark of the object at *where*; None when it has none or is absent."""
    try:
        found: str | None = s3.head_object(**where).get("Metadata", {}).get(_MARK)
    except ClientError as error:
        if status_of(error) != 404:
            raise
        return None
    return found


def _checksums(answer: dict[str, Any]) -> dict[str, str]:
    return {name: answer[name] for name in ("ChecksumCRC32", "ChecksumCRC64NVME", "ChecksumSHA256") if name in answer}
