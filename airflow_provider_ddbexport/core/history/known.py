"""What is known of a table's past before anything is asked for: window, size, exports, published snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_ddbexport.core.export.model import ExportType, OutputFormat
from airflow_provider_ddbexport.core.exporting.listed_exports import listed
from airflow_provider_ddbexport.core.exporting.point_in_time import (
    ExportDescription,
    ExportStatus,
    describe,
    export_source_uri,
)
from airflow_provider_ddbexport.core.exporting.restorable_window import (
    RestorableWindow,
    restorable_window,
    table_name_of,
)
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger

OnLook = Callable[[int, int], None]
"""Told how many exports have been looked at, and how many there are."""


@dataclass(frozen=True, slots=True)
class KnownExport:
    """An export of the whole table that was started and did not fail; nothing more is billed for it.

    Attributes:
        source: the address of its folder.
        export_time: the instant of a full export, the window's end of an increment.
        from_time: start of an increment's window; None for a full export.
        billed_bytes: None until it is COMPLETED, and where the service does not say.
    """

    export_arn: str
    source: str
    export_time: datetime
    from_time: datetime | None = None
    billed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """A table's past as far as it can be known without reading an export.

    Attributes:
        table_bytes: about what a full export is billed: the table's size as DynamoDB last counted it, up to six hours
            ago. That of the past may have been another.
        window: what can be exported now.
        published: the times of all published snapshots.
        bases: those of them that increments can be applied to: of this very table, and of a point in time.
        exports: of the last 90 days, which is how far back DynamoDB lists them; none of a table that was deleted and
            made again since, and no increment in ION, which cannot be merged.
    """

    table: str
    table_bytes: int
    window: RestorableWindow
    published: frozenset[datetime] = frozenset()
    bases: frozenset[datetime] = frozenset()
    exports: tuple[KnownExport, ...] = ()

    def changed_bytes_per_day(self) -> float | None:
        """Return about what a day's changes are billed, by the increments there are; None where there are none."""
        told = [
            ((export.export_time - export.from_time).total_seconds() / 86_400, export.billed_bytes)
            for export in self.exports
            if export.from_time is not None and export.billed_bytes is not None
        ]
        return sum(size for _, size in told) / sum(days for days, _ in told) if told else None


def look_up_history(
    dynamodb: Any,
    table: str,
    *,
    ledger: Ledger | None = None,
    exports_in: str | None = None,
    on_look: OnLook = lambda _looked, _total: None,
) -> KnownHistory:
    """Return what is known of *table*, a name or an ARN, now.

    *ledger* is that of the snapshots; without it nothing counts as published. *exports_in* is the ``s3://`` folder
    whose exports count; without it those in any bucket do. Nothing is asked for that is billed. It needs
    dynamodb:DescribeTable, dynamodb:DescribeContinuousBackups, dynamodb:ListExports and dynamodb:DescribeExport, and
    makes a call of the last for each export of the last 90 days, one after the other; *on_look* is called after each.

    Raises TableNotFoundError, PointInTimeRecoveryError, AccessError, ServiceError, SnapshotDamagedError and the
    store's errors.
    """
    with service_errors(f"finding table {table}"):
        found = dynamodb.describe_table(TableName=table)["Table"]
    table_id = str(found.get("TableId") or "")
    window = restorable_window(dynamodb, table)
    exports = tuple(
        export
        for export in _exports(dynamodb, str(found["TableArn"]), on_look)
        if exports_in is None or export.source.startswith(f"{exports_in.rstrip('/')}/")
    )
    return KnownHistory(
        table=table_name_of(table),
        table_bytes=int(found.get("TableSizeBytes") or 0),
        window=window,
        published=frozenset(ledger.times() if ledger else ()),
        bases=frozenset(_bases(ledger, window, exports, table_id) if ledger else ()),
        exports=exports,
    )


def _exports(dynamodb: Any, table_arn: str, on_look: OnLook) -> Iterator[KnownExport]:
    arns = [
        str(summary["ExportArn"])
        for summary in listed(dynamodb, table_arn)
        if summary["ExportStatus"] != ExportStatus.FAILED
    ]
    for looked, export_arn in enumerate(arns, start=1):
        description = describe(dynamodb, export_arn)
        on_look(looked, len(arns))
        if description.export_time is not None and _can_be_used(description):
            yield KnownExport(
                export_arn=export_arn,
                source=export_source_uri(description),
                export_time=description.export_time,
                from_time=description.from_time,
                billed_bytes=description.billed_bytes,
            )


def _can_be_used(description: ExportDescription) -> bool:
    """Return whether the export can become a snapshot: it has all items, and increments are merged in one format."""
    is_full = description.from_time is None
    return not description.is_filtered and (is_full or description.output_format == OutputFormat.DYNAMODB_JSON)


def _bases(
    ledger: Ledger, window: RestorableWindow, exports: Iterable[KnownExport], table_id: str
) -> Iterator[datetime]:
    """Give the published times that increments can follow; reads the records of those only that any could."""
    starts = {export.from_time for export in exports}
    for time in ledger.times():
        if window.holds(time) or time.replace(microsecond=0) in starts:
            record = ledger.get(time)
            if record and record.source.export_type != ExportType.SCAN and record.source.table_id == table_id:
                yield time
