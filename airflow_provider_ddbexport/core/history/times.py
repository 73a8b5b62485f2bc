"""The times a backfill is to show."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

MOST_TIMES = 10_000

_NAMED = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_COUNTED = re.compile(r"([1-9]\d{0,4})([mhd])")


def parse_step(text: str) -> timedelta:
    """Return what *text* says lies between two times: ``hour``, ``day``, ``week``, or ``30m``, ``6h``, ``2d``.

    Days are 24 hours: times are UTC. Raises BadCallError.
    """
    if text in _NAMED:
        return _NAMED[text]
    if counted := _COUNTED.fullmatch(text):
        return int(counted[1]) * _UNITS[counted[2]]
    raise BadCallError(f"every: expected hour, day, week or such as 30m, 6h, 2d, found {text!r}")


def wanted_times(first: datetime, last: datetime, step: timedelta) -> tuple[datetime, ...]:
    """Return the times from *first* on, *step* apart, up to *last*, which is one of them if it is met.

    They are cut to whole seconds, which is what can be exported. Raises BadCallError where there is none, or more than
    :data:`MOST_TIMES`.
    """
    if step < timedelta(seconds=1):
        raise BadCallError(f"every: expected a second or more, found {step}")
    first, last = first.replace(microsecond=0), last.replace(microsecond=0)
    if last < first:
        raise BadCallError(f"from {iso(first)} to {iso(last)}: expected a time and one that is not before it")
    count = (last - first) // step + 1
    if count > MOST_TIMES:
        raise BadCallError(
            f"from {iso(first)} to {iso(last)} every {step}: {count:,} times, at most {MOST_TIMES:,} are planned at "
            "once; take a longer step, or the range in pieces"
        )
    return tuple(first + number * step for number in range(count))
