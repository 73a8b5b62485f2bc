"""What a backfill will take, before any money is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from airflow_provider_ddbexport.core.history.known import KnownHistory
from airflow_provider_ddbexport.core.history.ways import (
    PlannedExport,
    Steps,
    Way,
    WayKind,
    full_steps,
    increment_steps,
    way_of,
)

MOST_EXPORTS_AT_ONCE = 300
MOST_BYTES_AT_ONCE = 100 * 10**12
"""What DynamoDB exports at once, of all tables of an account in a region."""


class TimeState(StrEnum):
    """How a wanted time can be had."""

    PUBLISHED = "PUBLISHED"
    """It is: a snapshot is published."""
    RESTORABLE = "RESTORABLE"
    """A full export of it can be made now."""
    REACHABLE = "REACHABLE"
    """It is out of the window, but exports that are there lead to it: a full one, or one and increments after it."""
    OUT_OF_WINDOW = "OUT_OF_WINDOW"
    """Its history is gone, and no exports lead to it."""
    NOT_YET = "NOT_YET"
    """The window has yet to reach it."""


@dataclass(frozen=True, slots=True)
class PlannedTime:
    """One wanted time.

    Attributes:
        restorable_until: when it leaves the window; None where it is not in it, or the service does not say.
        full: the full export of it, there or to be made; None where it can be neither, empty where it is published.
        least: the exports that are billed least, likewise: the full export, or increments.
    """

    time: datetime
    state: TimeState
    restorable_until: datetime | None
    full: tuple[PlannedExport, ...] | None
    least: tuple[PlannedExport, ...] | None


@dataclass(frozen=True)
class BackfillPlan:
    """What can be had of the wanted times, and by which exports.

    Attributes:
        times: in order.
        changed_bytes_per_day: about what a day's changes are billed; None where nothing tells, and an increment counts
            as the 10 MB it is billed at least.
        full_exports, with_increments: the two ways.
    """

    history: KnownHistory
    times: tuple[PlannedTime, ...]
    changed_bytes_per_day: float | None
    full_exports: Way
    with_increments: Way

    @cached_property
    def states(self) -> dict[TimeState, int]:
        """How many times are in each state."""
        counted = Counter(time.state for time in self.times)
        return {state: counted[state] for state in TimeState}

    @property
    def first_restorable(self) -> datetime | None:
        """The first of the times that is in the window; None where none is."""
        return next((planned.time for planned in self.times if self.history.window.holds(planned.time)), None)

    @property
    def cheapest(self) -> Way | None:
        """The way that leads to most of the times and is billed least; None where the size of changes decides."""
        full, mixed = self.full_exports, self.with_increments
        if len(mixed.unreached) < len(full.unreached):
            return mixed
        if mixed.bytes >= full.bytes:
            return full
        return None if mixed.is_at_least else mixed

    @property
    def break_even_bytes_per_day(self) -> float | None:
        """Changes of a day above which full exports are billed less; None without increments to be made."""
        windows = [export for export in self.with_increments.exports if export.from_time is not None]
        days = sum((e.export_time - e.from_time) / timedelta(days=1) for e in windows if e.from_time is not None)
        if not days:
            return None
        fulls = sum(export.bytes for export in self.with_increments.exports if export.from_time is None)
        return max(0, self.full_exports.bytes - fulls) / days

    @property
    def full_exports_at_once(self) -> int:
        """How many full exports of the table DynamoDB makes at once, if nobody else exports anything."""
        return min(MOST_EXPORTS_AT_ONCE, max(1, MOST_BYTES_AT_ONCE // max(1, self.history.table_bytes)))


def plan_backfill(
    history: KnownHistory, wanted: Sequence[datetime], *, changed_bytes_per_day: float | None = None
) -> BackfillPlan:
    """Return what the *wanted* times (whole seconds, as :func:`.wanted_times` gives them) take; nothing is asked for.

    *changed_bytes_per_day* is about what a day's changes are billed; by default what the increments there are tell.
    The same history gives the same plan. The window moves on: what is planned late may be gone when it is asked for.
    """
    rate = changed_bytes_per_day if changed_bytes_per_day is not None else history.changed_bytes_per_day()
    wanted = sorted(set(wanted))
    full = {time: steps for time in wanted if (steps := _full(history, time)) is not None}
    least = increment_steps(history, wanted, rate or 0)
    return BackfillPlan(
        history,
        tuple(_planned(history, time, full.get(time), least.get(time)) for time in wanted),
        rate,
        way_of(WayKind.FULL_EXPORTS, wanted, full, is_guess=rate is None),
        way_of(WayKind.WITH_INCREMENTS, wanted, least, is_guess=rate is None),
    )


def _full(history: KnownHistory, time: datetime) -> Steps | None:
    return () if time in history.published else full_steps(history, time)


def _planned(history: KnownHistory, time: datetime, full: Steps | None, least: Steps | None) -> PlannedTime:
    window = history.window
    is_inside = window.holds(time)
    if time in history.published:
        state = TimeState.PUBLISHED
    elif is_inside:
        state = TimeState.RESTORABLE
    elif least is not None:
        state = TimeState.REACHABLE
    else:
        state = TimeState.NOT_YET if window.is_before(time) else TimeState.OUT_OF_WINDOW
    leaves_at = time + timedelta(days=window.period_days) if is_inside and window.period_days else None
    return PlannedTime(time, state, leaves_at, full, least)
