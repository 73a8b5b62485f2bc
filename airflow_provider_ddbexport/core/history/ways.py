"""Ways to the wanted times: which exports each takes, those there are and those to be made.

The way of full exports takes one for each time. The way with increments takes, for each time in order, the exports that
are billed least: a full export, or increments from what is there by then, which the times before it add to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_provider_ddbexport.core.exporting.request import SHORTEST_WINDOW, cut_windows
from airflow_provider_ddbexport.core.history.known import KnownExport, KnownHistory

LEAST_INCREMENT_BYTES = 10_000_000
"""What DynamoDB bills for an increment at least."""

_DAY = timedelta(days=1)


class WayKind(StrEnum):
    """How the wanted times are got."""

    FULL_EXPORTS = "FULL_EXPORTS"
    """Each by a full export of its own."""
    WITH_INCREMENTS = "WITH_INCREMENTS"
    """Each by increments where they are billed less than a full export, or where only they lead there."""


@dataclass(frozen=True, slots=True)
class PlannedExport:
    """An export that a way takes.

    Attributes:
        export_time: the instant of a full export, the window's end of an increment.
        from_time: start of an increment's window; None for a full export.
        bytes: about what it will be billed; 0 where it is there.
        known: the export, where it is there.
    """

    export_time: datetime
    from_time: datetime | None = None
    bytes: int = 0
    known: KnownExport | None = field(default=None)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to all of the wanted times.

    Attributes:
        exports: those to be made, oldest first.
        unreached: the wanted times it does not lead to.
        bytes: about what its exports are billed together.
        is_at_least: whether it is known only that they are billed no less.
    """

    kind: WayKind
    exports: tuple[PlannedExport, ...]
    unreached: tuple[datetime, ...]
    is_at_least: bool = False

    @property
    def bytes(self) -> int:
        """About what its exports are billed together."""
        return sum(export.bytes for export in self.exports)


Steps = tuple[PlannedExport, ...]


def full_steps(history: KnownHistory, time: datetime) -> Steps | None:
    """Return the full export of *time*, there or to be made; None where it can be neither."""
    for known in history.exports:
        if known.from_time is None and known.export_time == time:
            return (PlannedExport(time, known=known),)
    return (PlannedExport(time, bytes=history.table_bytes),) if history.window.holds(time) else None


def increment_steps(
    history: KnownHistory, wanted: Sequence[datetime], changed_bytes_per_day: float
) -> dict[datetime, Steps]:
    """Return what is billed least for each of the *wanted* times that can be had, full export or increments.

    What is published takes no steps. Increments without a full export before them follow a snapshot that is there by
    then: published already, or of a wanted time before.
    """
    return _Search(history, wanted, changed_bytes_per_day).steps()


@dataclass(slots=True)
class _Arrival:
    """The least that leads to a time: *bytes*, and the last step, from *start*; no step where a snapshot is there."""

    bytes: float = 0
    start: datetime | None = None
    export: PlannedExport | None = None


class _Search:
    """Goes through all times at which anything begins or ends, oldest first, and keeps the least way to each."""

    def __init__(self, history: KnownHistory, wanted: Sequence[datetime], changed_bytes_per_day: float) -> None:
        self._history = history
        self._wanted = set(wanted)
        self._rate = changed_bytes_per_day
        self._increments: dict[datetime, list[KnownExport]] = {}
        self._starts: set[datetime] = set()
        for known in history.exports:
            if known.from_time is not None:
                self._increments.setdefault(known.export_time, []).append(known)
                self._starts.add(known.from_time)
        # Increments begin in whole seconds; what a snapshot or a full export shows may have milliseconds.
        self._there = {
            _whole(known.export_time): _Arrival(export=PlannedExport(known.export_time, known=known))
            for known in history.exports
            if known.from_time is None
        }
        self._there |= {_whole(time): _Arrival() for time in history.bases}
        self._arrivals: dict[datetime, _Arrival] = {}
        self._in_order: list[datetime] = []

    def steps(self) -> dict[datetime, Steps]:
        """Return the steps to each wanted time that can be reached."""
        found: dict[datetime, Steps] = {}
        for time in sorted(self._wanted | self._starts | self._there.keys() | self._increments.keys()):
            best = self._by_increments(time)
            steps = self._chosen(time, best) if time in self._wanted else None
            if steps is not None:
                found[time] = steps
            # What takes steps has a snapshot from here on.
            arrival = _Arrival() if steps else self._there.get(time, best)
            if arrival is not None:
                self._arrivals[time] = arrival
                self._in_order.append(time)
        return found

    def _chosen(self, time: datetime, best: _Arrival | None) -> Steps | None:
        if time in self._history.published:
            return ()
        full = full_steps(self._history, time)
        if full and (best is None or sum(step.bytes for step in full) <= best.bytes):
            return full
        return None if best is None else self._back(best)

    def _by_increments(self, time: datetime) -> _Arrival | None:
        best: _Arrival | None = None
        for known in self._increments.get(time, ()):
            if before := self._arrivals.get(known.from_time or time):
                step = PlannedExport(time, known.from_time, known=known)
                best = _least(best, _Arrival(before.bytes, known.from_time, step))
        if (time in self._wanted or time in self._starts) and not self._history.window.is_before(time):
            best = self._by_new_increments(time, best)
        return best

    def _by_new_increments(self, time: datetime, best: _Arrival | None) -> _Arrival | None:
        for start in reversed(self._in_order):
            if self._history.window.is_past(start):
                break
            if time - start < SHORTEST_WINDOW:
                continue
            before = self._arrivals[start]
            size = sum(step.bytes for step in self._new(start, time))
            best = _least(best, _Arrival(before.bytes + size, start, PlannedExport(time, start, size)))
            if not before.bytes:
                # A longer window is billed no less.
                break
        return best

    def _back(self, arrival: _Arrival) -> Steps:
        steps: list[PlannedExport] = []
        while (step := arrival.export) is not None:
            # Counted here; whatever else leads through it finds it there.
            arrival.bytes = 0
            if arrival.start is None:
                return (step, *steps)
            steps[:0] = [step] if step.known else self._new(arrival.start, step.export_time)
            arrival = self._arrivals[arrival.start]
        return tuple(steps)

    def _new(self, start: datetime, end: datetime) -> list[PlannedExport]:
        return [
            PlannedExport(to, since, max(LEAST_INCREMENT_BYTES, round((to - since) / _DAY * self._rate)))
            for since, to in cut_windows(start, end)
        ]


def _least(one: _Arrival | None, other: _Arrival) -> _Arrival:
    return other if one is None or other.bytes < one.bytes else one


def _whole(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def way_of(kind: WayKind, wanted: Collection[datetime], steps: dict[datetime, Steps], *, is_guess: bool) -> Way:
    """Return what *steps* take together; *is_guess* says that the size of changes is not known."""
    exports = dict.fromkeys(step for time in sorted(steps) for step in steps[time] if step.known is None)
    return Way(
        kind,
        tuple(exports),
        unreached=tuple(sorted(set(wanted) - set(steps))),
        is_at_least=is_guess and any(export.from_time is not None for export in exports),
    )
