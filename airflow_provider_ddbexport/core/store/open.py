"""From an address to a store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_ddbexport.core.store.keys import S3_SCHEME, split_s3
from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.store.retry import RetryPolicy
from airflow_provider_ddbexport.errors import BadCallError


def open_store(
    uri: str | os.PathLike[str],
    *,
    s3: Any | None = None,
    deadline_s: float = 300.0,
    expected_bucket_owner: str | None = None,
    write_options: Mapping[str, Any] | None = None,
) -> ObjectStore:
    """Return the store at *uri*, a local folder's path or ``s3://bucket/folder``. Reads and writes nothing yet.

    *s3* is a boto3 S3 client, needed for ``s3://``; *deadline_s* bounds the retries of each operation;
    *expected_bucket_owner* is an account ID that S3 checks each request against; *write_options* are further arguments
    of S3's writes, such as ``ServerSideEncryption``. Raises BadCallError.
    """
    text = os.fspath(uri)
    if text.startswith(S3_SCHEME):
        if s3 is None:
            raise BadCallError(f"{text}: an S3 client is needed to open it; pass s3=boto3.client('s3')", uri=text)
        from airflow_provider_ddbexport.core.store.s3 import S3Store

        bucket, prefix = split_s3(text)
        return S3Store(
            s3,
            bucket,
            prefix,
            retries=RetryPolicy(deadline_s=deadline_s),
            expected_bucket_owner=expected_bucket_owner,
            write_options=write_options,
        )
    # A folder named "s3:" is more likely an address with a slash forgotten.
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://|[sS]3:", text) or not text:
        raise BadCallError(f"{text!r}: expected a local path or s3://<bucket>/<folder>", uri=text)
    return LocalStore(Path(text).expanduser().absolute())
