"""What the commands of ``ddbexport`` do: open the stores, call the core, show what it returns."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from airflow_provider_ddbexport.cli.columns import column_options
from airflow_provider_ddbexport.cli.replacing import unregistering
from airflow_provider_ddbexport.cli.show import (
    ALREADY,
    figures,
    nothing_published,
    print_json,
    size_text,
    snapshots_table,
)
from airflow_provider_ddbexport.cli.stores import StoreSettings, stores_opener
from airflow_provider_ddbexport.cli.times import time_given


def verify(args: argparse.Namespace) -> int:
    """``ddbexport verify SOURCE``."""
    from airflow_provider_ddbexport.cli.progress import progress_bar
    from airflow_provider_ddbexport.core.export import DataFile, read_export, split_source, verify_export

    root_uri, export_id = split_source(args.source)
    root = StoreSettings.of(args).open(root_uri)
    export = read_export(root, export_id, accept_edited_summary=args.accept_edited_summary)
    summary = export.summary
    items = size = 0
    with progress_bar() as show:

        def on_file(file: DataFile, compressed: int) -> None:
            nonlocal items, size
            items, size = items + file.item_count, size + compressed
            show("verify", items, summary.item_count, size)

        verification = verify_export(root, export, on_file=on_file)
    result = {
        **_export_figures(export),
        "files": verification.files,
        "items": verification.items,
        "bytes": verification.bytes,
        "checked": list(verification.checked),
    }
    if _as_json(args):
        print_json(result)
        return 0
    figures(
        f"{_kind(export)} of {summary.table_name}: whole and unharmed",
        {
            "as of": result["as_of"],
            "items": f"{verification.items:,}",
            "files": f"{verification.files:,}, {size_text(verification.bytes)}",
            "checked": ", ".join(verification.checked),
        },
    )
    return 0


def convert(args: argparse.Namespace) -> int:
    """``ddbexport convert SOURCE LAKE``."""
    from airflow_provider_ddbexport.cli.progress import on_progress, progress_bar
    from airflow_provider_ddbexport.core.export import read_export, split_source
    from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export, table_folder
    from airflow_provider_ddbexport.core.snapshot.layout import record_key
    from airflow_provider_ddbexport.core.snapshot.report_text import report_lines
    from airflow_provider_ddbexport.core.table_folder import check_table
    from airflow_provider_ddbexport.core.times import iso

    settings = StoreSettings.of(args)
    root_uri, export_id = split_source(args.source)
    root, lake = settings.open(root_uri), settings.open(args.lake)
    export = read_export(root, export_id, accept_edited_summary=args.accept_edited_summary)
    table = table_folder(export.summary.table_name) if args.table is None else check_table(args.table)
    with progress_bar() as show:
        before = Ledger(lake.child(table)).get(export.summary.as_of)
        record = convert_export(
            root,
            export,
            lake,
            table=table,
            options=column_options(args),
            rows_per_part=args.rows_per_part,
            part_bytes=args.part_bytes,
            sort_by=args.sort_by,
            workers=args.workers,
            replace=args.replace,
            before_replace=unregistering(args),
            other_table=args.other_table,
            progress=on_progress(show),
            reopen=stores_opener(settings, root_uri, args.lake),
        )
    outcome = "unchanged" if record == before else "published"
    size = sum(part.size for part in record.parts)
    if _as_json(args):
        result = {
            "outcome": outcome,
            "table": record.table,
            "as_of": iso(record.as_of),
            "record": lake.uri_of(f"{record.table}/{record_key(record.as_of)}"),
            "rows": record.rows,
            "parts": len(record.parts),
            "bytes": size,
            "columns": len(record.schema.columns),
            "rescued": record.rescued,
            "digest": record.digest,
            "report": record.report,
        }
        print_json(result)
        return 0
    facts = {
        "as of": iso(record.as_of),
        "rows": f"{record.rows:,}",
        "parts": f"{len(record.parts):,}, {size_text(size)}",
        "columns": f"{len(record.schema.columns):,}",
        "rescued": _rescued(record.rescued),
        "record": lake.uri_of(f"{record.table}/{record_key(record.as_of)}"),
    }
    figures(f"{record.table}: {ALREADY if outcome == 'unchanged' else 'published'}", facts)
    if outcome == "published":
        sys.stdout.writelines(line + "\n" for line in report_lines(record))
    return 0


def snapshots(args: argparse.Namespace) -> int:
    """``ddbexport snapshots LAKE``."""
    from airflow_provider_ddbexport.core.snapshot.browse import lake_records

    lake = StoreSettings.of(args).open(args.lake)
    records = lake_records(lake, args.table)
    if _as_json(args):
        from airflow_provider_ddbexport.cli.show import record_row

        print_json([record_row(record) for record in records])
    elif records:
        snapshots_table(records)
    else:
        nothing_published(lake, args.table)
    return 0


def items(args: argparse.Namespace) -> int:
    """``ddbexport items LAKE --table NAME``."""
    from airflow_provider_ddbexport.cli.progress import progress_bar
    from airflow_provider_ddbexport.core.snapshot import find_snapshot, record_items
    from airflow_provider_ddbexport.core.table_folder import check_table

    at = None if args.at is None else time_given(args.at, "--at")
    store = StoreSettings.of(args).open(args.lake).child(check_table(args.table))
    record = find_snapshot(store, args.table, at)
    out = sys.stdout.buffer
    # A bar among the items would only be in the way.
    with progress_bar(wanted=not sys.stdout.isatty()) as show:
        for number, line in enumerate(record_items(store, record), 1):
            out.write(line + b"\n")
            if number % 1000 == 0:
                show("items", number, record.rows, 0)
    out.flush()
    return 0


def local(args: argparse.Namespace) -> int:
    """``ddbexport local``."""
    from airflow_provider_ddbexport.local import serve

    status: int = serve(args.host, args.port, seed=args.seed)
    return status


def _as_json(args: argparse.Namespace) -> bool:
    return getattr(args, "json", False)


def _kind(export: Any) -> str:
    kinds = {"FULL_EXPORT": "full export", "INCREMENTAL_EXPORT": "incremental export", "SCAN": "scan backup"}
    return kinds[export.summary.export_type.value]


def _export_figures(export: Any) -> dict[str, Any]:
    from airflow_provider_ddbexport.core.times import iso

    summary = export.summary
    return {
        "source": export.source,
        "export_arn": summary.export_arn,
        "export_type": summary.export_type.value,
        "table": summary.table_name,
        "as_of": iso(summary.as_of),
    }


def _rescued(rescued: Mapping[str, int]) -> str:
    if not rescued:
        return "none, every value fits its column"
    from airflow_provider_ddbexport.core.columns import shown_attribute

    most = sorted(rescued.items(), key=lambda entry: -entry[1])
    shown = ", ".join(f"{shown_attribute(path)} {count:,}" for path, count in most[:5])
    more = f" and {len(most) - 5} more paths" if len(most) > 5 else ""
    return f"{sum(rescued.values()):,} values kept in _rescued: {shown}{more}"
