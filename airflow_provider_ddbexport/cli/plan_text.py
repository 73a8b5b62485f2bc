"""A plan as people read it: which times can be had, by which exports, and what to mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_provider_ddbexport.cli.show import counted, size_text

if TYPE_CHECKING:  # boto3 costs most of a second, `ddbexport --help` does not need it
    from airflow_provider_ddbexport.core.history import BackfillPlan, PlannedTime, Way

GB = 10**9

_STATES = {
    "PUBLISHED": "published",
    "RESTORABLE": "restorable",
    "REACHABLE": "by exports there are",
    "OUT_OF_WINDOW": "out of the window",
    "NOT_YET": "not yet",
}
_MOST_RANGES = 3

Shown = Callable[[datetime], str]

Row = tuple[str, Sequence[str]]
"""A name and what there is to say, in columns."""


def plan_text(planned: BackfillPlan, price: float | None) -> str:
    """Return *planned* as lines, in three blocks: the times, the ways to them, and the limits."""
    from airflow_provider_ddbexport.core.times import iso

    times = [one.time for one in planned.times]
    are_days = all(moment.time() == time() for moment in times)
    shown: Shown = "{:%Y-%m-%d}".format if are_days else iso
    title = f"{planned.history.table}: {counted(len(times), 'midnight' if are_days else 'time')} (UTC)"
    blocks = [list(_states(planned, shown)), list(_ways(planned, price)), list(_limits(planned, shown))]
    width = max(len(name) for block in blocks for name, _ in block)
    return "\n\n".join([f"{title}, {_range(times, shown)}", *(_aligned(block, width) for block in blocks)]) + "\n"


def cost_of(way: Way, price: float | None) -> float | None:
    """Return what *way* costs at *price* for a GB; None without one."""
    return None if price is None else way.bytes / GB * price


def _states(planned: BackfillPlan, shown: Shown) -> Iterator[Row]:
    """Give each state there is, how many times are in it, and from when to when."""

    def state(one: PlannedTime) -> str:
        return one.state.value

    most = len(f"{len(planned.times):,}")
    for name, text in _STATES.items():
        runs = [[one.time for one in run] for found, run in groupby(planned.times, state) if found == name]
        if not runs:
            continue
        told = ", ".join(_range(run, shown) for run in runs[:_MOST_RANGES])
        if len(runs) > _MOST_RANGES:
            told += f" and {counted(len(runs) - _MOST_RANGES, 'more range')}"
        if name == "OUT_OF_WINDOW":
            first = planned.first_restorable
            told += f"; the first that is not: {shown(first)}" if first else "; their history is gone"
        yield text, (f"{sum(map(len, runs)):>{most},}", told)


def _ways(planned: BackfillPlan, price: float | None) -> Iterator[Row]:
    yield "full exports", _way(planned.full_exports, price)
    yield "with increments", _way(planned.with_increments, price)
    if planned.cheapest is None:
        least = size_text(planned.break_even_bytes_per_day or 0)
        yield "billed least", (f"with increments, if less than {least} a day changes (tell with --changed-gb-per-day)",)
    elif planned.full_exports.exports or planned.with_increments.exports:
        yield "billed least", ("full exports" if planned.cheapest is planned.full_exports else "with increments",)


def _way(way: Way, price: float | None) -> list[str]:
    """Return what *way* takes: exports, bytes, cost where there is a price, and what it does not lead to."""
    fulls = sum(export.from_time is None for export in way.exports)
    exports = [f"{fulls:,} full"] if fulls else []
    if increments := len(way.exports) - fulls:
        exports.append(counted(increments, "increment"))
    told = [f"{' and '.join(exports) or 'nothing'} to be made", ""]
    if way.exports:
        told[1] = f"{'at least' if way.is_at_least else 'about'} {size_text(way.bytes)}"
    if (cost := cost_of(way, price)) is not None:
        told.append(f"{cost:,.4f} at the given price" if way.exports else "")
    return [*told, f"{counted(len(way.unreached), 'time')} not reached" if way.unreached else ""]


def _limits(planned: BackfillPlan, shown: Shown) -> Iterator[Row]:
    from airflow_provider_ddbexport.core.times import iso

    window = planned.history.window
    days = f"; {counted(window.period_days, 'day')} are kept" if window.period_days else ""
    yield "window", (f"{window}{days}",)
    leaving = [one for one in planned.times if one.restorable_until and one.state == "RESTORABLE"]
    if leaving:
        until = iso(leaving[0].restorable_until or leaving[0].time)
        yield "oldest first", (f"{shown(leaving[0].time)} leaves the window at {until}",)
    yield "at once", (f"at most {counted(planned.full_exports_at_once, 'full export')}, about 20 calls in a burst",)
    size = size_text(planned.history.table_bytes)
    yield "billed", (f"about: a full export the table's size, {size} now; an increment what changed, 10 MB at least",)


def _aligned(rows: Sequence[Row], width: int) -> str:
    """Return *rows*, names and columns aligned but for a cell that stands alone; empty columns are left out."""
    columns = zip(*(cells for _, cells in rows if len(cells) > 1), strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for name, cells in rows:
        in_columns = [f"{cell:<{wide}}" for cell, wide in zip(cells, widths, strict=False) if wide]
        lines.append(f"  {name:<{width}}  {'  '.join(in_columns if len(cells) > 1 else cells)}".rstrip())
    return "\n".join(lines)


def _range(times: Sequence[datetime], shown: Shown) -> str:
    return shown(times[0]) + (f" to {shown(times[-1])}" if len(times) > 1 else "")
