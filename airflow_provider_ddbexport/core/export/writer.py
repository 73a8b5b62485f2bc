"""What makes a backup of our own one in the layout of an export: names, entries and manifests."""

from __future__ import annotations

import base64
import hashlib
import secrets

import msgspec

from airflow_provider_ddbexport.core.export.manifest import CHECKED, FILES_NAME, SUMMARY_NAME, digest_of
from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportSummary
from airflow_provider_ddbexport.core.export.summary import scan_summary_json
from airflow_provider_ddbexport.core.store.port import ObjectStore


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
