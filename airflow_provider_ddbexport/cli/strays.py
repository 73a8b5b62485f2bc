"""``ddbexport strays``: files beside the parts of published snapshots, which query engines would read as well."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from airflow_provider_ddbexport.cli.show import nothing_published, print_json, size_text
from airflow_provider_ddbexport.cli.stores import StoreSettings

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Add ``strays`` to ``ddbexport``."""
    sub = command("strays", strays, "List the parts that lie among those of published snapshots and are not of them.")
    sub.add_argument("lake", metavar="LAKE", help="folder that holds the tables' snapshots: a path or s3://")
    sub.add_argument("--table", metavar="NAME", help="of this table only; much faster in a large lake")
    sub.add_argument("--delete", action="store_true", help="delete them")


def strays(args: argparse.Namespace) -> int:
    """``ddbexport strays LAKE``: 1 where there are any, unless they were deleted."""
    from airflow_provider_ddbexport.core.snapshot.browse import lake_records
    from airflow_provider_ddbexport.core.snapshot.strays import find_strays, remove_strays
    from airflow_provider_ddbexport.core.store.keys import shown_key
    from airflow_provider_ddbexport.core.times import iso

    lake = StoreSettings.of(args).open(args.lake)
    look = remove_strays if args.delete else find_strays
    records = lake_records(lake, args.table)
    found = [(record, info) for record in records for info in look(lake.child(record.table), record)]
    if getattr(args, "json", False):
        rows = [
            {"table": record.table, "as_of": iso(record.as_of), "key": shown_key(info.key), "bytes": info.size}
            for record, info in found
        ]
        print_json({"deleted": args.delete, "strays": rows})
    elif not records:
        nothing_published(lake, args.table)
    else:
        for record, info in found:
            sys.stdout.write(f"{lake.uri}/{record.table}/{shown_key(info.key)}  {size_text(info.size)}\n")
        count = f"{len(found)} stray{'' if len(found) == 1 else 's'}" if found else "no strays"
        done = " deleted" if args.delete else "; --delete deletes them"
        sys.stdout.write(f"{count}{done if found else ''}\n")
    return 1 if found and not args.delete else 0
