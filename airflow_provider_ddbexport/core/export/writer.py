"""Backups of our own in the layout of an export."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
import tempfile
import threading
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType

import msgspec

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export.manifest import (
    CHECKED,
    FILES_NAME,
    STARTED_NAME,
    SUMMARY_NAME,
    digest_of,
    exports_key,
)
from airflow_provider_ddbexport.core.export.model import (
    DataFile,
    Export,
    ExportSummary,
    ExportType,
    OutputFormat,
    ScanDetails,
)
from airflow_provider_ddbexport.core.export.summary import FULL_VERSION, scan_summary_json
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import StorageError

_GZIP = zlib.MAX_WBITS | 16


class ExportWriter:
    """Writes ``<prefix>/AWSDynamoDB/<ExportId>/``: ``_started``, data files, and the manifests last.

    Until :meth:`finish` has written the summary's checksum nobody can take the folder for a backup. Data files may be
    written by several threads at once.

    Attributes:
        export_id, source: of the backup being written, and the address of its folder.
    """

    def __init__(
        self,
        destination: ObjectStore,
        *,
        bucket: str,
        prefix: str | None,
        table_arn: str,
        table_id: str,
        started_at: datetime,
    ) -> None:
        """Begin a backup in *destination*, the bucket's root or the folder that stands for it. Writes ``_started``."""
        self.export_id = f"0{int(started_at.timestamp() * 1000)}-{secrets.token_hex(4)}"
        self._bucket = bucket
        self._prefix = prefix.strip("/") or None if prefix else None
        self._table_arn = table_arn
        self._table_id = table_id
        self._started_at = started_at
        self._base = exports_key(self._prefix)
        self._root = destination.child(self._base)
        self._files: list[DataFile] = []
        self._lock = threading.Lock()
        self.source = self._root.uri_of(self.export_id)
        self._root.write(f"{self.export_id}/{STARTED_NAME}", b"")

    @property
    def root(self) -> ObjectStore:
        """The folder AWSDynamoDB, as read_export takes it."""
        return self._root

    @contextlib.contextmanager
    def data_file(self) -> Iterator[DataFileWriter]:
        """Open a data file, which is gathered on the local disk and is part of the backup when the block ends well."""
        key = f"{self.export_id}/data/{data_file_name()}.json.gz"
        with tempfile.TemporaryDirectory(prefix="ddbexport-") as folder:
            path = Path(folder) / "items.json.gz"
            with DataFileWriter(path) as writer:
                yield writer
            self._root.write_file(key, path)
        with self._lock:
            self._files.append(DataFile(key=key, item_count=writer.item_count, md5=writer.md5))

    def finish(self, *, ended_at: datetime, scan: ScanDetails) -> Export:
        """Make the backup complete: both manifests with their MD5, the summary's last."""
        with self._lock:
            files = tuple(sorted(self._files, key=lambda file: file.key))
        manifest_key = f"{self.export_id}/{FILES_NAME}"
        summary = ExportSummary(
            version=FULL_VERSION,
            export_arn=f"{self._table_arn}/scan/{self.export_id}",
            export_id=self.export_id,
            export_type=ExportType.SCAN,
            table_arn=self._table_arn,
            table_id=self._table_id,
            table_name=self._table_arn.rpartition("/")[2],
            as_of=scan.started_at,
            from_time=None,
            started_at=self._started_at,
            ended_at=ended_at,
            s3_bucket=self._bucket,
            s3_prefix=self._prefix,
            manifest_files_key=f"{self._base}/{manifest_key}",
            billed_bytes=0,
            item_count=sum(file.item_count for file in files),
            output_format=OutputFormat.DYNAMODB_JSON,
            scan=scan,
        )
        return write_manifests(self._root, summary, files)

    def abandon(self) -> None:
        """Remove what was written of a backup that will not be finished, as far as the store lets us."""
        with contextlib.suppress(StorageError):
            for info in list(self._root.list(self.export_id)):
                self._root.delete(info.key)


class DataFileWriter:
    """Gathers one data file: gzip of one ``{"Item":…}`` a line. The same items give the same bytes.

    Attributes:
        item_count: items added.
        size: compressed bytes written so far; lags behind by what the compressor holds.
        md5: base64, once closed.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self._hash = hashlib.md5(usedforsecurity=False)
        self.item_count = 0
        self.size = 0
        self.md5 = ""

    def add(self, item: Item) -> None:
        """Append *item*."""
        self._write(self._gzip.compress(msgspec.json.encode({"Item": item}) + b"\n"))
        self.item_count += 1

    def __enter__(self) -> DataFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._write(self._gzip.flush())
                self.md5 = base64.b64encode(self._hash.digest()).decode()

    def _write(self, compressed: bytes) -> None:
        self._hash.update(compressed)
        self.size += len(compressed)
        self._file.write(compressed)


def write_manifests(root: ObjectStore, summary: ExportSummary, files: tuple[DataFile, ...]) -> Export:
    """Make a backup complete in *root*, the folder AWSDynamoDB: both manifests with their MD5, the summary's last.

    Repeating it with the same arguments changes nothing.
    """
    base = summary.manifest_files_key.removesuffix(f"/{summary.export_id}/{FILES_NAME}")
    bodies = {FILES_NAME: b"".join(_entry(base, file) for file in files), SUMMARY_NAME: scan_summary_json(summary)}
    for name, body in bodies.items():
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        root.write(f"{summary.export_id}/{name}", body)
        root.write(f"{summary.export_id}/{name.removesuffix('.json')}.md5", base64.b64encode(digest))
    return Export(
        source=root.uri_of(summary.export_id), summary=summary, files=files, digest=digest_of(files), checked=CHECKED
    )


def etag_of(md5: str) -> str:
    """Return the ETag that S3 gives to a file uploaded as one part, from the base64 of its MD5."""
    return hashlib.md5(base64.b64decode(md5), usedforsecurity=False).hexdigest() + "-1"


def _entry(base: str, file: DataFile) -> bytes:
    return (
        msgspec.json.encode(
            {
                "itemCount": file.item_count,
                "md5Checksum": file.md5,
                "etag": etag_of(file.md5),
                "dataFileS3Key": f"{base}/{file.key}",
            }
        )
        + b"\n"
    )


def data_file_name() -> str:
    """Return 26 random characters, as AWS names data files."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
