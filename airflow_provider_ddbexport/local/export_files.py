"""An export's files: data files, manifests and their checksums, laid out as DynamoDB lays them out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_ddbexport.local.attribute_values import HASH_BITS, Image, Item, Key, KeySchema
from airflow_provider_ddbexport.local.export_request import ExportRequest
from airflow_provider_ddbexport.local.history import Change
from airflow_provider_ddbexport.local.ion_text import ion_line
from airflow_provider_ddbexport.local.scan import item_filter, item_projection

Put = Callable[[str, bytes, str | None], None]
"""Stores an object: key, content, ETag (None for that of a single put)."""

Lines = list[tuple[Key, bytes]]


@dataclass(frozen=True, slots=True)
class ExportIdentity:
    """What an export is called.

    Attributes:
        export_id: ``0<start in ms>-<8 hex>``.
        started_at: StartTime.
    """

    export_id: str
    export_arn: str
    table_arn: str
    table_id: str
    started_at: datetime


def folder(request: ExportRequest) -> str:
    """Return the key of the folder all exports with this prefix lie in; the prefix is kept as it is."""
    return f"{request.prefix}/AWSDynamoDB" if request.prefix else "AWSDynamoDB"


def full_lines(request: ExportRequest, items: Iterable[tuple[Key, Image]]) -> Lines:
    """Return one line for each item that passes the request's filter."""
    if request.narrowing is not None:
        keep, cut = _narrowed(request.narrowing)
        items = [(key, Image.of(cut(image.item()))) for key, image in items if keep(image.item())]
    if request.output_format == "ION":
        return [(key, ion_line({"Item": image.item()})) for key, image in items]
    return [(key, b'{"Item":' + image.encoded + b"}\n") for key, image in items]


def incremental_lines(request: ExportRequest, schema: KeySchema, changes: Iterable[Change]) -> Lines:
    """Return one line for each item that changed and passes the request's filter: as it is now, or was if it is gone.

    So the developer guide has it ("Filtering a table export"). That a projection leaves the keys is not said there.
    """
    lines: Lines = []
    keep, cut = _narrowed(request.narrowing or {})
    for change in changes:
        known = change.new or change.old
        if known is None or not keep(item := known.item()):
            continue
        fields: dict[str, Item] = {
            "Metadata": {"WriteTimestampMicros": {"N": str(change.written_micros)}},
            "Keys": schema.of(item),
        }
        if change.old is not None and request.view == "NEW_AND_OLD_IMAGES":
            fields["OldImage"] = cut(change.old.item())
        if change.new is not None:
            fields["NewImage"] = cut(change.new.item())
        line = ion_line(fields) if request.output_format == "ION" else msgspec.json.encode(fields) + b"\n"
        lines.append((change.key, line))
    return lines


def _narrowed(narrowing: dict[str, Any]) -> tuple[Callable[[Item], bool], Callable[[Item], Item]]:
    """Return whether an item passes a FilterSpecification, and what that leaves of it."""
    return item_filter(narrowing) or (lambda _: True), item_projection(narrowing) or (lambda item: item)


def write_started(put: Put, request: ExportRequest, export_id: str) -> None:
    """Store the empty object that shows the destination can be written."""
    put(f"{folder(request)}/{export_id}/_started", b"", None)


def write_export(
    put: Put,
    request: ExportRequest,
    identity: ExportIdentity,
    lines: Lines,
    *,
    files: int,
    as_of: datetime,
    ended_at: datetime,
    billed_bytes: int,
) -> str:
    """Store the data files, then the manifests, and return the key of manifest-summary.json.

    *files* data files, of which the last is always empty; the others hold equal ranges of the hash space, so that they
    may be empty too. *as_of* is the export time, or the end of the window.
    """
    base = folder(request)
    own = f"{base}/{identity.export_id}"
    # Increments share one folder: only a manifest knows which files are whose.
    place = base if request.is_incremental else own
    shards: list[list[bytes]] = [[] for _ in range(max(2, files))]
    for key, line in lines:
        shards[key.token * (len(shards) - 1) >> HASH_BITS].append(line)
    extension = "ion" if request.output_format == "ION" else "json"
    entries: list[dict[str, Any]] = []
    for shard in shards:
        content = gzip.compress(b"".join(shard), mtime=0)
        md5 = _md5(content)
        etag = f"{_md5(md5).hex()}-1"
        key_name = f"{place}/data/{_file_name()}.{extension}.gz"
        put(key_name, content, etag)
        entries.append(
            {
                "itemCount": len(shard),
                "md5Checksum": base64.b64encode(md5).decode(),
                "etag": etag,
                "dataFileS3Key": key_name,
            }
        )
    # The order means nothing, and nobody should come to rely on one.
    entries.sort(key=lambda entry: str(entry["dataFileS3Key"]))
    _put_with_md5(put, own, "manifest-files", b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
    summary = _summary(request, identity, as_of, ended_at)
    summary["manifestFilesS3Key"] = f"{own}/manifest-files.json"
    summary["billedSizeBytes"] = billed_bytes
    summary["itemCount"] = len(lines)
    summary["outputFormat"] = request.output_format
    if request.is_incremental:
        summary["outputView"] = request.view
        summary["exportType"] = request.export_type
    _put_with_md5(put, own, "manifest-summary", msgspec.json.encode(summary))
    return f"{own}/manifest-summary.json"


def _summary(request: ExportRequest, identity: ExportIdentity, as_of: datetime, ended_at: datetime) -> dict[str, Any]:
    times: dict[str, Any] = {"exportTime": _stamp(as_of)}
    if request.from_time is not None:
        times = {"exportFromTime": _stamp(request.from_time), "exportToTime": _stamp(as_of)}
    return {
        "version": "2023-08-01" if request.is_incremental else "2020-06-30",
        "exportArn": identity.export_arn,
        "startTime": _stamp(identity.started_at),
        "endTime": _stamp(ended_at),
        "tableArn": identity.table_arn,
        "tableId": identity.table_id,
        **times,
        "s3Bucket": request.bucket,
        "s3Prefix": request.prefix,
        "s3SseAlgorithm": request.sse,
        "s3SseKmsKeyId": request.kms_key,
    }


def _put_with_md5(put: Put, own: str, name: str, content: bytes) -> None:
    put(f"{own}/{name}.json", content, None)
    put(f"{own}/{name}.md5", base64.b64encode(_md5(content)), None)


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _file_name() -> str:
    """Return 26 characters, as 128 random bits make in base 32."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
