"""``ddbexport plan``: what a table's past takes, before any money is spent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.cli.plan_text import GB, cost_of, plan_text
from airflow_provider_ddbexport.cli.progress import live_line
from airflow_provider_ddbexport.cli.show import counted, print_json
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.cli.times import time_given
from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:  # boto3 costs most of a second, `ddbexport --help` does not need it
    from airflow_provider_ddbexport.core.history import BackfillPlan, PlannedExport, Way
    from airflow_provider_ddbexport.core.snapshot import Ledger

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_command(command: Command) -> None:
    """Add ``plan`` to ``ddbexport``."""
    planning = command("plan", plan, "Say which past times of a table can be had, by which exports, for how much.")
    planning.add_argument("source_table", metavar="TABLE", help="the DynamoDB table: name or ARN")
    planning.add_argument(
        "--from", dest="first", metavar="TIME", required=True, help="the first; a day is its midnight"
    )
    planning.add_argument("--to", dest="last", metavar="TIME", required=True, help="the last, which is one of them")
    planning.add_argument(
        "--every", metavar="STEP", default="day", help="hour, day (default), week, or such as 30m, 6h, 2d"
    )
    planning.add_argument("--lake", metavar="LAKE", help="where snapshots may be published already: a path or s3://")
    planning.add_argument(
        "--table", metavar="NAME", help="folder in the lake (default: from the DynamoDB table's name)"
    )
    planning.add_argument(
        "--exports-in",
        metavar="FOLDER",
        help="count only exports that lie in this s3:// folder (default: all there are)",
    )
    planning.add_argument("--price-per-gb", metavar="PRICE", type=_number, help="of exports, for 10^9 bytes")
    planning.add_argument(
        "--changed-gb-per-day", metavar="GB", type=_number, help="default: what the table's increments were billed"
    )


def plan(args: argparse.Namespace) -> int:
    """``ddbexport plan TABLE --from TIME --to TIME``."""
    from airflow_provider_ddbexport.core.history import look_up_history, parse_step, plan_backfill, wanted_times

    first, last = time_given(args.first, "--from"), time_given(args.last, "--to")
    wanted = wanted_times(first, last, parse_step(args.every))
    if args.exports_in is not None and not args.exports_in.startswith("s3://"):
        raise BadCallError(f"--exports-in: expected s3://bucket or s3://bucket/prefix, found {args.exports_in!r}")
    settings = StoreSettings.of(args)
    with live_line() as draw:
        draw(f"asking DynamoDB for the exports of {args.source_table}")
        history = look_up_history(
            settings.dynamodb(),
            args.source_table,
            ledger=_ledger(args, settings),
            exports_in=args.exports_in,
            on_look=lambda looked, total: draw(f"looked at {looked:,} of {counted(total, 'export')}"),
        )
    rate = None if args.changed_gb_per_day is None else args.changed_gb_per_day * GB
    planned = plan_backfill(history, wanted, changed_bytes_per_day=rate)
    if getattr(args, "json", False):
        print_json(_json(planned, args.price_per_gb))
    else:
        sys.stdout.write(plan_text(planned, args.price_per_gb))
    return 0


def _ledger(args: argparse.Namespace, settings: StoreSettings) -> Ledger | None:
    from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
    from airflow_provider_ddbexport.core.snapshot import Ledger, table_folder
    from airflow_provider_ddbexport.core.table_folder import check_table

    if args.lake is None:
        if args.table is not None:
            raise BadCallError("--table: in which lake? give --lake as well")
        return None
    folder = table_folder(table_name_of(args.source_table)) if args.table is None else check_table(args.table)
    return Ledger(settings.open(args.lake).child(folder))


def _json(planned: BackfillPlan, price: float | None) -> dict[str, Any]:
    from airflow_provider_ddbexport.core.times import iso

    def time(moment: datetime | None) -> str | None:
        return None if moment is None else iso(moment)

    def export(step: PlannedExport) -> dict[str, Any]:
        return {
            "from_time": time(step.from_time),
            "export_time": iso(step.export_time),
            "bytes": step.bytes,
            "source": step.known and step.known.source,
        }

    def way(way: Way) -> dict[str, Any]:
        return {
            "exports": len(way.exports),
            "bytes": way.bytes,
            "is_at_least": way.is_at_least,
            "cost": cost_of(way, price),
            "unreached": [iso(moment) for moment in way.unreached],
        }

    history, cheapest = planned.history, planned.cheapest
    return {
        "table": history.table,
        "table_bytes": history.table_bytes,
        "changed_bytes_per_day": planned.changed_bytes_per_day,
        "window": {
            "earliest": time(history.window.earliest),
            "latest": time(history.window.latest),
            "period_days": history.window.period_days,
        },
        "states": planned.states,
        "first_restorable": time(planned.first_restorable),
        "ways": {way_.kind: way(way_) for way_ in (planned.full_exports, planned.with_increments)},
        "cheapest": cheapest and cheapest.kind,
        "break_even_bytes_per_day": planned.break_even_bytes_per_day,
        "full_exports_at_once": planned.full_exports_at_once,
        "times": [
            {
                "time": iso(one.time),
                "state": one.state,
                "restorable_until": time(one.restorable_until),
                "full": None if one.full is None else [export(step) for step in one.full],
                "least": None if one.least is None else [export(step) for step in one.least],
            }
            for one in planned.times
        ],
    }


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, found {text!r}")
    return number
