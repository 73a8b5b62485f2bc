"""Whether a table's next snapshot can be had by increments, and from which one before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from airflow_provider_ddbexport.core.export.chain import ChainState, check_continuation
from airflow_provider_ddbexport.core.export.model import ExportType
from airflow_provider_ddbexport.core.exporting.request import SHORTEST_WINDOW
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.merge.chain_notes import BreakState, find_base, find_broken, note_base
from airflow_provider_ddbexport.core.merge.merge_input import chain_base, chain_start, ends_between, merged_into
from airflow_provider_ddbexport.core.snapshot.commit import missing_parts
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import MERGE, CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ExportChainError, PointInTimeRecoveryError, TableNotFoundError


class WayState(StrEnum):
    """What a way is besides a :class:`.ChainState` or a :class:`.BreakState`."""

    PUBLISHED = "PUBLISHED"
    """A snapshot of the very time is published."""
    FILTERED = "FILTERED"
    """The full export before has not all items."""
    FULL_DUE = "FULL_DUE"
    """The full export before is as old as the author lets it become."""
    TOO_SOON = "TOO_SOON"
    """The only snapshot before is less than 15 minutes older, which is the least that DynamoDB exports changes of."""


@dataclass(frozen=True, slots=True)
class WayOn:
    """How a run goes on, and why.

    Attributes:
        by: None where nothing is to be done.
        base: the snapshot that increments follow, or would.
        reason: a sentence; None where increments follow as they should.
        cut_at: where windows of the increments are to end: as those of runs before, which are paid for.
    """

    by: Literal["increment", "full"] | None
    state: ChainState | BreakState | WayState
    base: CommitRecord | None
    reason: str | None
    cut_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class TableNow:
    """What the table is.

    Attributes:
        table_id: asks DynamoDB for the TableId.
        window: asks DynamoDB for the restorable window.
        is_filtered: tells whether the export of an ARN is known to hold only some of the items.
    """

    table_id: Callable[[], str]
    window: Callable[[], RestorableWindow]
    is_filtered: Callable[[str], bool]


def find_way_on(
    table_store: ObjectStore, moment: datetime, table: TableNow, *, full_every: timedelta | None = None
) -> WayOn:
    """Return how the snapshot as of *moment* can be had: by increments, by a full export, or not at all.

    Increments follow the newest snapshot before that shows a point in time, 15 minutes or more. Which one it was is
    noted: the same is taken again as long as it can be, so that a run that is repeated uses the exports it has paid
    for, whatever was published in between. So does one that follows the same snapshot as runs before, which published
    nothing: its windows end where theirs did. *full_every* is how old a chain's full export may become.

    Raises PointInTimeRecoveryError, TableNotFoundError, AccessError, SnapshotDamagedError and the store's errors.
    """
    return _Finding(table_store, moment, table, full_every).way()


@dataclass(frozen=True, slots=True)
class _Finding:
    store: ObjectStore
    moment: datetime
    table: TableNow
    full_every: timedelta | None

    def way(self) -> WayOn:
        ledger = Ledger(self.store)
        own = ledger.get(self.moment)
        if own is not None and not _is_scan(own):
            return self._same_way(own, ledger)
        chosen = find_base(self.store, self.moment)
        if chosen is not None:
            before = ledger.get(chosen.time)
            if before is not None and before.identity == chosen.snapshot and self._obstacle(before) is None:
                return WayOn("increment", ChainState.WHOLE, before, None, chosen.cuts)
        otherwise = None
        for base in _points_in_time(ledger, self.moment):
            obstacle = self._obstacle(base)
            if self.moment - base.as_of.replace(microsecond=0) < SHORTEST_WINDOW:
                otherwise = otherwise or obstacle or _too_soon(base)
            elif obstacle is not None:
                return otherwise or obstacle
            else:
                noted = note_base(self.store, self.moment, base)
                return WayOn("increment", ChainState.WHOLE, base, None, noted.cuts)
        reason = "No snapshot before shows a point in time: a full export begins"
        return otherwise or WayOn("full", ChainState.NO_FULL_EXPORT, None, reason)

    def _obstacle(self, base: CommitRecord) -> WayOn | None:
        """Return the way of a full export, and why, where increments cannot follow *base*."""
        try:
            self._check_continuation(base)
        except ExportChainError as error:
            return WayOn("full", ChainState(error.context["state"]), base, str(error))
        shown = f"the snapshot as of {iso(base.as_of)}"
        if broken := find_broken(self.store, base):
            reason = f"Increments could not be merged into {shown}: {broken.reason}"
            return WayOn("full", broken.state, base, reason)
        if missing := missing_parts(self.store, base.as_of, base.parts):
            reason = f"{len(missing)} of {len(base.parts)} parts of {shown} are missing or of another size"
            return WayOn("full", BreakState.BASE_DAMAGED, base, reason)
        start = chain_start(base)
        if self.full_every is not None and self.moment - start >= self.full_every:
            reason = f"The last full export is of {iso(start)}, and one is due every {self.full_every}"
            return WayOn("full", WayState.FULL_DUE, base, reason)
        if base.source.export_type != MERGE and self.table.is_filtered(base.source.export_arn):
            reason = f"The export of {shown} was filtered, so that increments tell of other items than it has"
            return WayOn("full", WayState.FILTERED, base, reason)
        return None

    def _same_way(self, own: CommitRecord, ledger: Ledger) -> WayOn:
        """Return the way that *own*, which is published for the very time, was made."""
        state, published = WayState.PUBLISHED, f"The snapshot as of {iso(own.as_of)} is published already"
        base = merged_into(own, ledger) if own.source.export_type == MERGE else None
        if base is None and own.source.export_type == MERGE:
            return WayOn(None, state, base, f"{published}, the one it was merged into is not: nothing is left to do")
        try:
            # A full export has to be of the table and of a time that can be exported, like what an increment follows.
            self._check_continuation(base or own)
        except (ExportChainError, PointInTimeRecoveryError, TableNotFoundError) as error:
            return WayOn(None, state, base, f"{published}, and its exports could not be made again: {error}")
        reason = f"{published}: its exports are used again"
        return WayOn("increment" if base else "full", state, base, reason, ends_between(base, own) if base else ())

    def _check_continuation(self, record: CommitRecord) -> None:
        check_continuation(chain_base(record), table_id=self.table.table_id(), window=self.table.window())


def _points_in_time(ledger: Ledger, moment: datetime) -> Iterator[CommitRecord]:
    """Give the snapshots before *moment* that increments could follow, newest first."""
    for time in reversed(ledger.times()):
        record = ledger.get(time) if time < moment else None
        if record is not None and not _is_scan(record):
            yield record


def _too_soon(base: CommitRecord) -> WayOn:
    reason = f"The snapshot as of {iso(base.as_of)} is less than 15 minutes older: there is nothing to do"
    return WayOn(None, WayState.TOO_SOON, base, reason)


def _is_scan(record: CommitRecord) -> bool:
    return record.source.export_type == ExportType.SCAN.value
