"""``ddbexport merge``: increments applied to the snapshot before them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow_provider_ddbexport.cli import replacing
from airflow_provider_ddbexport.cli.columns import column_names, positive
from airflow_provider_ddbexport.cli.filters import Filters
from airflow_provider_ddbexport.cli.show import ALREADY, counted, figures, print_json, size_text
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.cli.times import time_given

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Add ``merge`` to ``ddbexport``."""
    merging = command("merge", merge, "Apply incremental exports to the snapshot before them, publish the next one.")
    merging.add_argument("lake", metavar="LAKE", help="folder that holds the tables' snapshots: a path or s3://")
    merging.add_argument(
        "sources", metavar="SOURCE", nargs="+", help="folder of an incremental export, in any order: a path or s3://"
    )
    merging.add_argument("--table", metavar="NAME", required=True, help="the table's folder in the lake")
    merging.add_argument(
        "--base", metavar="TIME", help="the snapshot to begin with (default: the newest before the increments)"
    )
    merging.add_argument(
        "--max-gap", metavar="SECONDS", type=_seconds, default="0", help="that nothing was written in, as you know"
    )
    merging.add_argument(
        "--rename",
        metavar="PATH=COLUMN",
        action="append",
        default=[],
        help="name the column of an attribute that has none yet",
    )
    merging.add_argument("--workers", metavar="N", type=positive, default=1, help="threads (default %(default)s)")
    replacing.add_options(merging)
    merging.add_argument(
        "--accept-edited-summary",
        action="store_true",
        help="take summaries that differ from their md5 because somebody edited them; everything else is checked",
    )


def merge(args: argparse.Namespace) -> int:
    """``ddbexport merge LAKE SOURCE… --table NAME``."""
    from airflow_provider_ddbexport.cli.progress import on_progress, progress_bar
    from airflow_provider_ddbexport.core.merge import merge_facts, merge_increments, read_increment
    from airflow_provider_ddbexport.core.snapshot import Ledger
    from airflow_provider_ddbexport.core.snapshot.layout import record_key
    from airflow_provider_ddbexport.core.table_folder import check_table
    from airflow_provider_ddbexport.core.times import iso

    settings = StoreSettings.of(args)
    lake = settings.open(args.lake)
    table = check_table(args.table)
    filters = Filters(settings)
    increments = [
        read_increment(source, settings.open, accept_edited_summary=args.accept_edited_summary)
        for source in args.sources
    ]
    before = Ledger(lake.child(table)).get(max(increment.export.summary.as_of for increment in increments))
    with progress_bar() as show:
        record = merge_increments(
            increments,
            lake,
            table=table,
            base=None if args.base is None else time_given(args.base, "--base"),
            max_gap=args.max_gap,
            column_names=column_names(args),
            workers=args.workers,
            replace=args.replace,
            before_replace=replacing.unregistering(args),
            is_filtered=filters,
            progress=on_progress(show),
        )
    size = sum(part.size for part in record.parts)
    result: dict[str, Any] = {
        "outcome": "unchanged" if record == before else "published",
        "table": record.table,
        "as_of": iso(record.as_of),
        "record": lake.uri_of(f"{record.table}/{record_key(record.as_of)}"),
        "rows": record.rows,
        "parts": len(record.parts),
        "bytes": size,
        "rescued": record.rescued,
        "ancestry": [ancestor.export_arn for ancestor in record.source.ancestry],
        **merge_facts(record),
        "filters_not_known": filters.not_known,
    }
    if getattr(args, "json", False):
        print_json(result)
        return 0
    figures(
        f"{record.table}: {'merged and published' if record != before else ALREADY}",
        {
            "as of": result["as_of"],
            "rows": f"{record.rows:,}",
            "parts": f"{len(record.parts):,}, {size_text(size)}; {result['gathered']:,} small ones gathered",
            "made of": f"a full export and {counted(len(record.source.ancestry) - 1, 'increment')}",
            "old images": "compared" if result["old_images_compared"] else "not compared",
            "gaps": ", ".join(" to ".join(gap) for gap in result["gaps"]) or "none",
            "filters": filters.told,
            "record": result["record"],
        },
    )
    return 0


def _seconds(text: str) -> timedelta:
    try:
        seconds = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        seconds = timedelta(-1)
    if seconds < timedelta(0):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or more, found {text!r}")
    return seconds
