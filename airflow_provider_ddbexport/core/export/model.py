"""What an export's two manifests say, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class OutputFormat(StrEnum):
    """How the lines of the data files are written."""

    DYNAMODB_JSON = "DYNAMODB_JSON"
    ION = "ION"


class ExportType(StrEnum):
    """What the data files hold. A scan is ours: the layout of a full export, but no single point in time."""

    FULL = "FULL_EXPORT"
    INCREMENTAL = "INCREMENTAL_EXPORT"
    SCAN = "SCAN"


@dataclass(frozen=True, slots=True)
class ScanDetails:
    """How a backup was scanned; in the summary's ``scan`` member, which exports made by AWS do not have.

    Attributes:
        started_at, ended_at: the backup holds each item as it was at some moment between the two.
        segments: TotalSegments of the scan.
        is_consistent: whether reads were strongly consistent.
        consumed_units: read capacity units the scan was charged.
        filter_expression, projection_expression: as given; None where everything was read.
        index_name: the secondary index that was scanned; None for the table itself.
        names: the attributes that ``#names`` in the expressions stand for; values are not written down.
        keys: attributes of the table's key, by name; none for an index, whose items have the table's.
    """

    started_at: datetime
    ended_at: datetime
    segments: int
    is_consistent: bool
    consumed_units: float
    filter_expression: str | None = None
    projection_expression: str | None = None
    index_name: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """manifest-summary.json.

    Attributes:
        version: of the manifest's format: 2020-06-30 (full) or 2023-08-01 (incremental).
        export_id: the last part of the export ARN, and the name of the export's folder.
        as_of: the instant the export shows: exportTime, exportToTime, or the start of the scan.
        from_time: start of an incremental export's window, inclusive; None for others.
        s3_prefix: None where the export was written to the bucket's root.
        billed_bytes: billedSizeBytes.
        output_view: NEW_IMAGE or NEW_AND_OLD_IMAGES of an incremental export.
    """

    version: str
    export_arn: str
    export_id: str
    export_type: ExportType
    table_arn: str
    table_id: str
    table_name: str
    as_of: datetime
    from_time: datetime | None
    started_at: datetime
    ended_at: datetime
    s3_bucket: str
    s3_prefix: str | None
    manifest_files_key: str
    billed_bytes: int
    item_count: int
    output_format: OutputFormat
    output_view: str | None = None
    scan: ScanDetails | None = None


@dataclass(frozen=True, slots=True)
class DataFile:
    """One line of manifest-files.json.

    Attributes:
        key: relative to the export's ``AWSDynamoDB`` folder: ``<ExportId>/data/x.json.gz`` or ``data/x.json.gz``.
        item_count: lines in the file.
        md5: base64 of the MD5 of the compressed bytes, as the manifest writes it.
    """

    key: str
    item_count: int
    md5: str


@dataclass(frozen=True, slots=True)
class HeldFile(DataFile):
    """A data file that was never written: this process has its lines, and they were verified.

    Attributes:
        md5: none, an empty string.
        blocks: yields the lines, several at once; may be called again.
    """

    blocks: Callable[[], Iterator[bytes]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Export:
    """An export whose manifests were read and checked; its data files are not read yet.

    Attributes:
        source: the address of the export's folder.
        files: in manifest order, which means nothing.
        digest: hex SHA-256 over the sorted (md5, item_count) of all files: the same data files, the same digest.
        checked: what was checked of the manifests, in words, for commit records and people.
    """

    source: str
    summary: ExportSummary
    files: tuple[DataFile, ...]
    digest: str
    checked: tuple[str, ...]
