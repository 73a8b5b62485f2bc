"""Exports of what changed in a DynamoDB table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.exporting.point_in_time import ExportDescription
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, ExportView, cut_windows, export_instant
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.exporting import EXPORT_FIELDS, ExportingOperator, export_figures

INTERVAL_START = "{{ data_interval_start | default('', true) }}"
INTERVAL_END = "{{ data_interval_end | default('', true) }}"
"""Templates of a run's data interval; empty where the run has none."""


class DynamoDBIncrementalExportOperator(ExportingOperator):
    """Exports what changed in a table from one time (inclusive) to another (exclusive), to S3, exactly once.

    DynamoDB exports windows of 15 minutes to 24 hours; a longer time is cut into windows of 24 hours, each an export of
    its own, the last one or two shorter. The same times are always cut alike. The task waits until the end of each
    window can be exported, which is about five minutes after it has passed. Exactly once means what it means for
    :class:`.DynamoDBPointInTimeExportOperator`, for each window. Each is billed for what changed, 10 MB at least.

    The times are the run's data interval by default. A run that has none, or an empty one (a cron expression as
    schedule makes those in Airflow 3, unless ``[scheduler] create_cron_data_intervals`` is set), fails and says so.

    XCom: ``exports``, what :class:`.DynamoDBPointInTimeExportOperator` returns for each window in order, with
    ``from_time``; ``from_time``, ``to_time``, ``item_count`` and ``billed_bytes`` of them all.

    It needs the permissions of :class:`.DynamoDBPointInTimeExportOperator` and dynamodb:DescribeContinuousBackups.

    :param from_time: ISO 8601 text with an offset, or an aware datetime; cut to whole seconds. (templated)
    :param to_time: likewise. (templated)
    :param cut_at: times in between at which a window ends as well, unless that would leave less than 15 minutes: those
        up to which windows were exported before, by another task. A list, or text with commas. (templated)
    :param export_view: ``NEW_AND_OLD_IMAGES`` or ``NEW_IMAGE``. (templated)

    The other parameters are those of :class:`.DynamoDBPointInTimeExportOperator`.
    """

    template_fields: Sequence[str] = aws_template_fields(
        *EXPORT_FIELDS, "from_time", "to_time", "cut_at", "export_view"
    )
    waits_until_restorable = True

    def __init__(
        self,
        *,
        from_time: str | datetime = INTERVAL_START,
        to_time: str | datetime = INTERVAL_END,
        cut_at: Sequence[str | datetime] | str = (),
        export_view: str = ExportView.NEW_AND_OLD_IMAGES.value,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_time = from_time
        self.to_time = to_time
        self.cut_at = cut_at
        self.export_view = export_view

    def export_requests(self) -> Sequence[ExportRequest]:
        """Return one request for each window, oldest first."""
        if not self.from_time or not self.to_time or self.from_time == self.to_time:
            raise BadCallError(
                f"window: expected two times, found {str(self.from_time)!r} and {str(self.to_time)!r}; where the run "
                "has no data interval, or an empty one, give from_time and to_time, or schedule the DAG with a "
                "timetable that has intervals, such as CronDataIntervalTimetable"
            )
        given = self.cut_at.split(",") if isinstance(self.cut_at, str) else self.cut_at
        windows = cut_windows(
            export_instant(self.from_time, what="from_time"),
            export_instant(self.to_time, what="to_time"),
            [export_instant(end, what="cut_at") for end in given if end],
        )
        try:
            view = ExportView(self.export_view)
        except ValueError:
            expected = " or ".join(ExportView)
            raise BadCallError(f"export_view: expected {expected}, found {self.export_view!r}") from None
        arguments = self.request_arguments()
        return [ExportRequest(**arguments, from_time=start, export_time=end, view=view) for start, end in windows]

    def figures(self, descriptions: Sequence[ExportDescription]) -> dict[str, Any]:
        """Return the figures of each export and of all."""
        exports = [{**export_figures(d), "from_time": d.from_time and iso(d.from_time)} for d in descriptions]
        return {
            "exports": exports,
            "from_time": exports[0]["from_time"],
            "to_time": exports[-1]["export_time"],
            "item_count": _sum(d.item_count for d in descriptions),
            "billed_bytes": _sum(d.billed_bytes for d in descriptions),
        }


Increments = Sequence[str] | Mapping[str, Any] | str
"""Addresses of incremental exports' folders, or what :class:`DynamoDBIncrementalExportOperator` or
:class:`.DynamoDBBackfillTimeSensor` returned."""


def sources_of(increments: Increments) -> list[str]:
    """Return the addresses of the exports' folders. Raises BadCallError for what is neither of them."""
    match increments:
        case str():
            return [increments]
        case {"exports": exports} if all("source" in export for export in exports):
            return [str(export["source"]) for export in exports]
        case {"increments": addresses} | ([*addresses]):
            return [str(address) for address in addresses]
    raise BadCallError(
        "increments: expected addresses of exports' folders, or what a task that exports increments returned; found "
        f"{f'a dict of {sorted(increments)}' if isinstance(increments, Mapping) else repr(increments)}"
    )


def were_complete(increments: Increments) -> bool:
    """Return whether all were COMPLETED already when it was returned where they are."""
    exports = increments.get("exports", ()) if isinstance(increments, Mapping) else ()
    return bool(exports) and all(export.get("manifest_key") for export in exports)


def _sum(values: Any) -> int | None:
    found = list(values)
    return None if None in found else sum(found)
