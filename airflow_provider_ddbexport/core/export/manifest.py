"""An export's two manifests, read and checked against each other and against where they lie."""

# ruff: noqa: N815 (members are called as in the file)

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

import msgspec

from airflow_provider_ddbexport.core.export.model import DataFile, Export, ExportSummary, ExportType, OutputFormat
from airflow_provider_ddbexport.core.export.source import EXPORTS_FOLDER, is_export_id
from airflow_provider_ddbexport.core.export.summary import SummaryError, parse_summary
from airflow_provider_ddbexport.core.store.keys import S3_SCHEME, split_s3
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, ManifestError, ObjectNotFoundError

SUMMARY_NAME = "manifest-summary.json"
FILES_NAME = "manifest-files.json"
STARTED_NAME = "_started"
EXTENSIONS = {OutputFormat.DYNAMODB_JSON: ".json.gz", OutputFormat.ION: ".ion.gz"}

CHECKED = ("manifest md5", "manifest keys")
CHECKED_BUT_SUMMARY_MD5 = ("manifest-files md5", "manifest keys", "summary md5 DIFFERS, accepted by the caller")

_ANEW = "the export is damaged, copy it again or start a new one"


class _FileEntry(msgspec.Struct, frozen=True):
    itemCount: int
    md5Checksum: str
    dataFileS3Key: str
    etag: str | None = None


def read_export(root: ObjectStore, export_id: str, *, accept_edited_summary: bool = False) -> Export:
    """Return the export *export_id* below *root*, its folder AWSDynamoDB, both manifests checked, no data file read.

    Checked are: both manifests' MD5, version and form, that they agree with each other, with the folder they lie in
    and, under ``s3://``, with its bucket and prefix; that every data file lies inside of the export and is named once;
    that the files' item counts add up to the summary's. Raises ManifestError, or the store's errors.

    With *accept_edited_summary* a summary that differs from its MD5 is taken as it is, because somebody changed it on
    purpose, to give account and bucket other names, say. Nothing else then vouches for the time and the table it
    names; :attr:`.Export.checked` says so.
    """
    if not is_export_id(export_id):
        raise BadCallError(f"{export_id!r}: expected an ExportId such as 01768385930622-efd1a093", export_id=export_id)
    summary_uri = root.uri_of(f"{export_id}/{SUMMARY_NAME}")
    try:
        body, found, expected = _read_with_md5(root, export_id, SUMMARY_NAME)
        if found != expected and not accept_edited_summary:
            raise _md5_differs(
                summary_uri,
                body,
                found,
                expected,
                f"{_ANEW}; if somebody edited the summary on purpose, accept that with accept_edited_summary=True "
                "(--accept-edited-summary)",
                doubt="md5",
            )
        summary = parse_summary(body)
    except SummaryError as error:
        raise ManifestError(f"{summary_uri}: {error}; {_ANEW}", uri=summary_uri) from None
    base = _base_of(summary, export_id, root)
    checked = CHECKED if found == expected else CHECKED_BUT_SUMMARY_MD5
    files_uri = root.uri_of(f"{export_id}/{FILES_NAME}")
    body, found, expected = _read_with_md5(root, export_id, FILES_NAME)
    if found != expected:
        raise _md5_differs(files_uri, body, found, expected, _ANEW, damage="md5")
    files = tuple(_parse_files(body, summary, base, files_uri))
    total = sum(file.item_count for file in files)
    if total != summary.item_count:
        raise ManifestError(
            f"{files_uri}: itemCounts expected to add up to the summary's {summary.item_count}, found {total}; {_ANEW}",
            uri=files_uri,
            damage="counts",
        )
    return Export(source=root.uri_of(export_id), summary=summary, files=files, digest=digest_of(files), checked=checked)


def digest_of(files: Iterable[DataFile]) -> str:
    """Return :attr:`.Export.digest`: SHA-256 over the lines ``<md5> <item count>``, sorted."""
    lines = sorted(f"{file.md5} {file.item_count}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def exports_key(prefix: str | None) -> str:
    """Return the folder of exports in the bucket for *prefix*; one that ends in ``/`` is kept as it is."""
    return f"{prefix}/{EXPORTS_FOLDER}" if prefix else EXPORTS_FOLDER


def _md5_differs(uri: str, body: bytes, found: str, expected: str, advice: str, **context: str) -> ManifestError:
    return ManifestError(
        f"{uri}: md5 expected {expected}, found {found} over {len(body)} bytes; {advice}",
        uri=uri,
        expected=expected,
        found=found,
        **context,
    )


def _read_with_md5(root: ObjectStore, export_id: str, name: str) -> tuple[bytes, str, str]:
    """Return a manifest's bytes, their MD5, and the MD5 they should have; both in base64."""
    key = f"{export_id}/{name}"
    uri = root.uri_of(key)
    try:
        body = root.read(key)
    except ObjectNotFoundError as error:
        if error.context.get("code") == "NoSuchBucket":
            raise
        hint = f"there is no export at {root.uri_of(export_id)}, check the address"
        if root.exists(f"{export_id}/{STARTED_NAME}"):
            hint = "the export was started but is not complete: wait for it, or start a new one if it failed"
        raise ManifestError(
            f"{uri}: the manifest is missing; {hint}; if it was deleted, put it back, or make the export again "
            "(another generation)",
            uri=uri,
            doubt="missing",
        ) from None
    expected = _checksum_of(root, key)
    found = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return body, found, expected


def _checksum_of(root: ObjectStore, key: str) -> str:
    stem = key.removesuffix(".json")
    for suffix in (".md5", ".checksum"):
        try:
            text = root.read(stem + suffix).decode("ascii", "replace").strip()
        except ObjectNotFoundError:
            continue
        if not _is_md5(text):
            raise ManifestError(
                f"{root.uri_of(stem + suffix)}: expected the base64 of an MD5, found {len(text)} other characters; "
                f"{_ANEW}",
                uri=root.uri_of(stem + suffix),
                damage="md5",
            )
        return text
    raise ManifestError(
        f"{root.uri_of(stem + '.md5')}: the manifest's checksum is missing (.md5 or .checksum); {_ANEW}",
        uri=root.uri_of(stem + ".md5"),
        doubt="missing",
    )


def _base_of(summary: ExportSummary, export_id: str, root: ObjectStore) -> str:
    """Return the key of the AWSDynamoDB folder in the bucket, once everything that names it agrees."""
    uri = root.uri_of(f"{export_id}/{SUMMARY_NAME}")
    if summary.export_id != export_id:
        raise ManifestError(
            f"{uri}: expected the summary of {export_id}, found that of {summary.export_id}; "
            "give the folder its own name back, or copy the export again",
            uri=uri,
        )
    # A prefix that ends in "/" gives "a//AWSDynamoDB"; writers that tidy it up are understood as well.
    bases = {exports_key(summary.s3_prefix), exports_key((summary.s3_prefix or "").rstrip("/"))}
    ending = f"/{export_id}/{FILES_NAME}"
    base = summary.manifest_files_key.removesuffix(ending)
    if base not in bases or not summary.manifest_files_key.endswith(ending):
        raise ManifestError(
            f"{uri}: manifestFilesS3Key expected {exports_key(summary.s3_prefix)}{ending}, "
            f"found {summary.manifest_files_key}, outside of the export; {_ANEW}",
            uri=uri,
        )
    if root.uri.startswith(S3_SCHEME):
        expected = f"{S3_SCHEME}{summary.s3_bucket}/{base}"
        if split_s3(root.uri) != split_s3(expected):
            raise ManifestError(
                f"{uri}: the summary says that the export was written to {expected}, but it was read from {root.uri}; "
                "read it where it was written, or copy it to a local folder",
                uri=uri,
                expected=expected,
                found=root.uri,
            )
    return base


def _parse_files(body: bytes, summary: ExportSummary, base: str, uri: str) -> Iterable[DataFile]:
    folder = "data/" if summary.export_type is ExportType.INCREMENTAL else f"{summary.export_id}/data/"
    inside, extension = f"{base}/{folder}", EXTENSIONS[summary.output_format]
    seen: set[str] = set()
    for number, line in enumerate(body.removesuffix(b"\n").split(b"\n") if body else (), start=1):
        where = f"{uri}, line {number}"
        try:
            entry = msgspec.json.decode(line, type=_FileEntry)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ManifestError(f"{where}: expected a data file as a JSON object: {error}; {_ANEW}", uri=uri) from None
        name = entry.dataFileS3Key.removeprefix(inside)
        if name == entry.dataFileS3Key or not _is_file_name(name, extension):
            raise ManifestError(
                f"{where}: dataFileS3Key expected {inside}<name>{extension}, found {entry.dataFileS3Key!r}, outside of "
                f"the export; {_ANEW}",
                uri=uri,
                key=entry.dataFileS3Key,
            )
        if name in seen:
            raise ManifestError(f"{where}: {entry.dataFileS3Key} is named twice; {_ANEW}", uri=uri)
        seen.add(name)
        if entry.itemCount < 0 or not _is_md5(entry.md5Checksum):
            raise ManifestError(
                f"{where}: expected an itemCount of 0 or more and the base64 of an MD5, found {entry.itemCount} and "
                f"{entry.md5Checksum!r}; {_ANEW}",
                uri=uri,
            )
        yield DataFile(key=folder + name, item_count=entry.itemCount, md5=entry.md5Checksum)


def _is_file_name(name: str, extension: str) -> bool:
    stem = name.removesuffix(extension)
    return stem != name and bool(stem) and stem.isascii() and stem.replace("-", "").replace("_", "").isalnum()


def _is_md5(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
