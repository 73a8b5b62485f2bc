"""``ddbexport plan``: what a table's past takes, before any money is spent."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from airflow_provider_ddbexport.cli.show import figures, print_json, size_text
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.errors import BadCallError

if TYPE_CHECKING:  # boto3 costs most of a second, `ddbexport --help` does not need it
    from airflow_provider_ddbexport.core.history import BackfillPlan, PlannedExport, PlannedTime, Way
    from airflow_provider_ddbexport.core.snapshot import Ledger

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]

_GB = 10**9
_STATES = {
    "PUBLISHED": "published",
    "RESTORABLE": "restorable",
    "REACHABLE": "reachable by exports there are",
    "OUT_OF_WINDOW": "out of the window",
    "NOT_YET": "not yet",
}


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

    wanted = wanted_times(_time(args.first, "--from"), _time(args.last, "--to"), parse_step(args.every))
    if args.exports_in is not None and not args.exports_in.startswith("s3://"):
        raise BadCallError(f"--exports-in: expected s3://bucket or s3://bucket/prefix, found {args.exports_in!r}")
    settings = StoreSettings.of(args)
    history = look_up_history(
        settings.dynamodb(), args.source_table, ledger=_ledger(args, settings), exports_in=args.exports_in
    )
    rate = None if args.changed_gb_per_day is None else args.changed_gb_per_day * _GB
    planned = plan_backfill(history, wanted, changed_bytes_per_day=rate)
    if getattr(args, "json", False):
        print_json(_json(planned, args.price_per_gb))
    else:
        _show(planned, args.price_per_gb)
    return 0


def _ledger(args: argparse.Namespace, settings: StoreSettings) -> Ledger | None:
    from airflow_provider_ddbexport.core.exporting.restorable_window import table_name_of
    from airflow_provider_ddbexport.core.snapshot import Ledger, table_folder
    from airflow_provider_ddbexport.core.snapshot.layout import check_table

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
            "cost": _cost(way, price),
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


def _show(planned: BackfillPlan, price: float | None) -> None:
    from airflow_provider_ddbexport.core.times import iso

    history, cheapest = planned.history, planned.cheapest
    facts = {text: f"{planned.states[state]:,}{note}" for state, text, note in _told_states(planned)}
    facts["full exports"] = _way_text(planned.full_exports, price)
    facts["with increments"] = _way_text(planned.with_increments, price)
    if cheapest is not None:
        facts["least"] = "full exports" if cheapest is planned.full_exports else "with increments"
    else:
        facts["least"] = (
            f"with increments, if less than {size_text(planned.break_even_bytes_per_day or 0)} a day changes "
            "(tell with --changed-gb-per-day)"
        )
    facts["window"] = str(history.window)
    leaving = [one for one in planned.times if one.restorable_until and one.state == "RESTORABLE"]
    if leaving:
        facts["in time"] = f"{iso(leaving[0].time)} leaves it at {iso(leaving[0].restorable_until or leaving[0].time)}"
    facts["at once"] = f"at most {planned.full_exports_at_once:,} full exports, about 20 calls in a burst"
    facts["sizes"] = f"about; a full export is billed the table's size, {size_text(history.table_bytes)} now"
    first, last = planned.times[0].time, planned.times[-1].time
    figures(f"{history.table}: {len(planned.times):,} times from {iso(first)} to {iso(last)}", facts)


def _told_states(planned: BackfillPlan) -> Iterator[tuple[Any, str, str]]:
    """Give each state there is, its name for people, and from when to when."""
    from airflow_provider_ddbexport.core.times import iso

    def is_wanted(one: PlannedTime) -> str:
        return one.state.value

    for state, text in _STATES.items():
        runs = [list(run) for found, run in groupby(planned.times, is_wanted) if found == state]
        if runs:
            ranges = [iso(run[0].time) + (f" to {iso(run[-1].time)}" if len(run) > 1 else "") for run in runs]
            note = f": {', '.join(ranges[:3])}" + (f" and {len(ranges) - 3} more ranges" if len(ranges) > 3 else "")
            if state == "OUT_OF_WINDOW" and planned.first_restorable:
                note += f"; the first that is not is {iso(planned.first_restorable)}"
            yield runs[0][0].state, text, note


def _way_text(way: Way, price: float | None) -> str:
    fulls = sum(export.from_time is None for export in way.exports)
    counted = [f"{fulls:,} full"] if fulls else []
    if increments := len(way.exports) - fulls:
        counted.append(f"{increments:,} increments")
    text = f"{' and '.join(counted) or 'nothing'} to be made"
    if way.exports:
        text += f", {'at least' if way.is_at_least else 'about'} {size_text(way.bytes)}"
        if (cost := _cost(way, price)) is not None:
            text += f", {cost:,.4f} at the given price"
    return text + (f"; {len(way.unreached):,} times are not reached" if way.unreached else "")


def _cost(way: Way, price: float | None) -> float | None:
    return None if price is None else way.bytes / _GB * price


def _time(text: str, option: str) -> datetime:
    """Return the time in *text*; a day is its midnight in UTC, as it is to ``airflow backfill``."""
    from airflow_provider_ddbexport.core.times import parse_time

    try:
        day = date.fromisoformat(text)
    except ValueError:
        return parse_time(text, what=option)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, found {text!r}")
    return number
