"""The commit record: what makes a folder of parts a published snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import zstandard

import airflow_provider_ddbexport
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.export.model import ScanDetails
from airflow_provider_ddbexport.core.times import iso, parse_time

WRITER = (
    f"airflow-provider-ddbexport {airflow_provider_ddbexport.__version__}, pyarrow {pa.__version__}, "
    f"zstandard {zstandard.__version__}{'' if load('_pages') else ', not compiled'}"
)
"""What writes parts now. Parts have other bytes where the compiled part is not there: see :func:`.leaf_chunks`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a snapshot.

    Attributes:
        key: relative to the lake's table folder: ``ddb_export_timestamp=<T>/part-00000-<digest>.parquet``.
        rows: rows in it.
        size: bytes.
        sha256: hex.
        partition: values of the ``partition_by`` columns, unescaped; None for the default partition.
        rescued: number of rescued values in it by path of the attribute; empty when every value fits its column.
        crc32: of the same bytes, by which merges, which read it to write another, tell damage in a tenth of the time;
            None where what wrote it has none.
    """

    key: str
    rows: int
    size: int
    sha256: str
    partition: tuple[str | None, ...] = ()
    rescued: dict[str, int] = field(default_factory=dict, hash=False)
    crc32: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An export that a merged snapshot was made of, at first or second hand.

    Attributes:
        uri: address of the export's folder.
        export_type: FULL_EXPORT or INCREMENTAL_EXPORT.
        digest: :attr:`.Export.digest`.
        from_time: start of an increment's window, ISO 8601; None of a full export.
        as_of: the instant it shows, ISO 8601.
    """

    uri: str
    export_arn: str
    export_type: str
    digest: str
    item_count: int
    from_time: str | None
    as_of: str


MERGE = "MERGE"
"""The export_type of a snapshot that increments were merged into."""


OLD_IMAGES = "old images"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the items came from. Of a merged snapshot, the last of its increments, unless told otherwise.

    Attributes:
        uri: address of the export's folder.
        export_type: FULL_EXPORT, SCAN or :data:`MERGE`.
        digest: :attr:`.Export.digest`; of a merged snapshot, made of its ancestors'.
        files: that were read; of a merged snapshot, of all its increments.
        item_count: items in it; of a merged snapshot, what is left and added.
        billed_bytes: of a merged snapshot, for all its increments.
        verified: what was checked, in words (``manifest md5``, ``data file md5``, ``item counts``, ``keys``); with
            :data:`OLD_IMAGES` where all that increments say was there was compared with the snapshot before.
    """

    uri: str
    export_arn: str
    export_type: str
    table_arn: str
    table_id: str
    output_format: str
    digest: str
    files: int
    item_count: int
    billed_bytes: int
    verified: tuple[str, ...]
    ancestry: tuple[Ancestor, ...] = ()
    """The exports that a merged snapshot is made of: the full one, then every increment since."""
    scan: ScanDetails | None = None
    """How a table was scanned, which is no point in time: when, by what it was filtered; None for other exports."""
    keys: tuple[str, ...] = ()
    """Attributes of the table's key, by name; none where nothing told them, as full exports do not."""

    @property
    def gaps(self) -> tuple[tuple[str, str], ...]:
        """Start and end of each time between two of the ancestors that nothing tells of, which an author allowed."""
        return tuple(
            (before.as_of, after.from_time)
            for before, after in pairwise(self.ancestry)
            if after.from_time is not None and parse_time(before.as_of) < parse_time(after.from_time)
        )


@dataclass(frozen=True, slots=True)
class Publication:
    """What is known of a snapshot before its first part is written.

    Attributes:
        digest, options: as in the commit record.
        rows: that its parts must have in all.
        conversion: folder of the records of its making, in the table's folder.
    """

    table: str
    as_of: datetime
    digest: str
    options: dict[str, Any]
    source: Source
    rows: int
    conversion: str


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """``<lake>/<table>/_snapshots/<T>.json``.

    Attributes:
        table: name of the folder and of the catalog's table.
        as_of: the instant the snapshot shows.
        published_at: when this record was made.
        parts: in order; rows are in the order of the data files by their contents, or sorted (``sort_by``), and in
            merged snapshots in that of the base's parts.
        rows: sum over the parts; equals source.item_count.
        digest: of source and options; two conversions with the same digest hold the same items, cut by the same rules.
        options: what convert was given, as JSON values.
        rescued: number of rescued values by path of the attribute.
        schema: the snapshot's own.
        writer: name and version of what wrote the parts.
        report: of :func:`.conversion_report`, as JSON values; empty in records that have none.
    """

    table: str
    as_of: datetime
    published_at: datetime
    rows: int
    parts: tuple[Part, ...]
    schema: Schema
    source: Source
    digest: str
    options: dict[str, Any] = field(default_factory=dict)
    rescued: dict[str, int] = field(default_factory=dict)
    writer: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Text that tells this publication from every other one of the same time."""
        return f"{self.digest}@{iso(self.published_at)}"
