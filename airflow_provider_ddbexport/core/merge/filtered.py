"""Exports with a filter, which cannot be merged: they do not tell of all items, or of all changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord
from airflow_provider_ddbexport.core.store.keys import S3_SCHEME
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

IsFiltered = Callable[[str], bool]
"""Tells whether the export of an ARN is known to have a filter. Its files do not; DynamoDB does, for 90 days."""


def refuse_filtered(base: CommitRecord, increments: Iterable[Export], is_filtered: IsFiltered) -> None:
    """Raise BadCallError where one of *increments*, or the full export that *base* was made of, has a filter.

    What does not lie in S3 is a copy, which is not asked about.
    """
    source = base.source
    if source.export_type != MERGE and source.uri.startswith(S3_SCHEME) and is_filtered(source.export_arn):
        raise BadCallError(
            f"table {base.table}: the snapshot as of {iso(base.as_of)} was made of an export with a filter "
            f"({source.uri}), so that increments tell of other items than it has; convert a full export without one, "
            "and merge the increments after it",
            uri=source.uri,
        )
    for export in increments:
        if export.source.startswith(S3_SCHEME) and is_filtered(export.summary.export_arn):
            raise BadCallError(
                f"{export.source}: the increment was exported with a filter, so that it does not tell of all changes; "
                "export the window without filter_specification",
                uri=export.source,
            )
