"""``ddbexport diff``: what changed between two snapshots."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_ddbexport.cli.filters import Filters
from airflow_provider_ddbexport.cli.show import figures, print_json, size_text
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.cli.times import time_given

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.merge.compact import Increment

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Add ``diff`` to ``ddbexport``."""
    diffing = command("diff", diff, "Tell what was added, changed and removed from one snapshot to another.")
    diffing.add_argument("lake", metavar="LAKE", help="folder that holds the tables' snapshots: a path or s3://")
    diffing.add_argument("--table", metavar="NAME", required=True, help="the table's folder in the lake")
    diffing.add_argument(
        "--key",
        metavar="ATTR",
        action="append",
        help="attribute of the table's key; twice for two (default: as snapshots, increments or DynamoDB tell)",
    )
    diffing.add_argument(
        "--from", dest="old", metavar="TIME", help="the earlier snapshot (default: the one before the later)"
    )
    diffing.add_argument("--to", dest="new", metavar="TIME", help="the later snapshot (default: the newest)")
    ways = diffing.add_mutually_exclusive_group()
    ways.add_argument(
        "--increment",
        metavar="SOURCE",
        action="append",
        default=[],
        help="folder of an incremental export from the one to the other (default: those that were merged, if any)",
    )
    ways.add_argument("--compare", action="store_true", help="read both snapshots, whatever increments there are")
    diffing.add_argument(
        "--out", metavar="FOLDER", help="write the changes there as Parquet, and not only count them; may be the lake"
    )
    diffing.add_argument("--replace", action="store_true", help="take the place of a diff of other contents there")
    diffing.add_argument(
        "--accept-edited-summary",
        action="store_true",
        help="take increments whose summary differs from its md5 because somebody edited it; all else is checked",
    )


def diff(args: argparse.Namespace) -> int:
    """``ddbexport diff LAKE --table NAME``."""
    from airflow_provider_ddbexport.cli.progress import progress_bar
    from airflow_provider_ddbexport.core.diff import (
        diff_figures,
        diff_snapshots,
        find_key,
        find_pair,
        known_increments,
        read_increment,
    )
    from airflow_provider_ddbexport.core.exporting.point_in_time import TableIdentity, table_identity
    from airflow_provider_ddbexport.core.table_folder import check_table

    def ask(arn: str) -> TableIdentity:
        region = arn.split(":")[3]
        return table_identity(dataclasses.replace(settings, region=region).dynamodb(is_optional=True), arn)

    old = None if args.old is None else time_given(args.old, "--from")
    new = None if args.new is None else time_given(args.new, "--to")
    settings = StoreSettings.of(args)
    table_store = settings.open(args.lake).child(check_table(args.table))
    output = None if args.out is None else settings.open(args.out)
    pair = find_pair(table_store, args.table, old, new)
    filters = Filters(settings) if args.increment else None
    accept = {"accept_edited_summary": args.accept_edited_summary}
    why_not = None
    if args.increment or args.compare:
        increments: Sequence[Increment] = [read_increment(source, settings.open, **accept) for source in args.increment]
    else:
        known = known_increments(pair.old, pair.new, settings.open, **accept)
        increments, why_not = known.increments, known.why_not
    key = args.key or find_key(table_store, pair, increments, ask)
    with progress_bar() as show:
        record = diff_snapshots(
            table_store,
            pair,
            key=key,
            increments=increments,
            output=output,
            replace=args.replace,
            progress=lambda rows, total: show("diff", rows, total, 0),
            is_filtered=filters,
        )
    # What was written before may have been told by increments that were there then.
    why_not = why_not if record.method == "key join" else None
    result = {
        **diff_figures(record, output),
        "not_by_increments": why_not,
        "filters_not_known": filters.not_known if filters else {},
    }
    if getattr(args, "json", False):
        print_json(result)
        return 0
    size = sum(part.size for part in record.parts)
    facts = {
        "from": f"{result['from']}, {pair.old.rows:,} rows",
        "to": f"{result['to']}, {pair.new.rows:,} rows",
        **{name: f"{result[name]:,}" for name in ("added", "changed", "removed", "unchanged")},
        "key": ", ".join(record.key),
        "by": record.method,
    }
    if why_not is not None:
        facts["because"] = why_not
    if filters is not None:
        facts["filters"] = filters.told
    if output is not None:
        facts |= {"parts": f"{len(record.parts):,}, {size_text(size)}", "record": result["record"]}
    figures(f"{record.table}: what changed", facts)
    return 0
