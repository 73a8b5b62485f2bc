"""What a merge did, for the commit record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_ddbexport.core.columns.arrow_types import leaves
from airflow_provider_ddbexport.core.merge.merge_plan import MergePlan
from airflow_provider_ddbexport.core.merge.records import MergedLot
from airflow_provider_ddbexport.core.snapshot.conversion import ShardFigures
from airflow_provider_ddbexport.core.snapshot.publish import Agreed
from airflow_provider_ddbexport.core.snapshot.record import OLD_IMAGES, CommitRecord, Part
from airflow_provider_ddbexport.core.snapshot.report import conversion_report


def merge_report(
    plan: MergePlan,
    agreed: Agreed,
    merged: Iterable[MergedLot],
    parts: Sequence[Part],
    previous: CommitRecord | None,
) -> dict[str, Any]:
    """Return the report as :func:`.conversion_report` does; an empty one where the base has none.

    Items, what was read, and seconds are those of the items that the increments left; columns, rescued values and drift
    those of the whole snapshot, whose *parts* are *merged* of the base's lots and *agreed* for the others. ``gathered``
    is how many parts of the base were written together with others.
    """
    if not plan.base.report:
        return {}
    values = _values(plan.base)
    for one in merged:
        values.update(one.values)
    figures = [*agreed.figures, ShardFigures(values=dict(values))]
    gathered = sum(len(lot) for lot in plan.lots if len(lot) > 1)
    options = plan.survivors.target.options
    report = conversion_report(agreed.seen, agreed.schema, parts, figures, previous, options=options)
    return {**report, "gathered": gathered}


def merge_facts(record: CommitRecord) -> dict[str, Any]:
    """Return what a reader should know of how *record*, a merged snapshot, came about, as JSON values.

    ``gaps`` are start and end of the times that nothing tells of, which an author allowed, in this merge or before it.
    ``old_images_compared`` is whether all that this merge's increments say was there before was compared.
    """
    return {
        "gaps": [list(gap) for gap in record.source.gaps],
        "old_images_compared": OLD_IMAGES in record.source.verified,
        "gathered": record.report.get("gathered", 0),
    }


def _values(base: CommitRecord) -> Counter[str]:
    """Return how many values that are not null the parts of *base* have, by column."""
    nulls = {column["column"]: column["nulls"] for column in base.report["columns"]}
    names = [column.name for _, column in leaves(base.schema.columns)]
    return Counter({name: base.rows - nulls[name] for name in names if name not in base.schema.partition_by})
