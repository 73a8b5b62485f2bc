"""Export chains: one full export and the increments after it, which together show the table at the last one's end.

Validated from the manifests alone, before any data file is read. That point-in-time recovery stayed on in between needs
no question of its own: DynamoDB exports no window that reaches back before recovery was turned on, so where it was off
for a while there is a gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from airflow_provider_ddbexport.core.export.model import Export, ExportSummary, ExportType
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError, ExportChainError

_NOTHING = timedelta(0)


class ChainState(StrEnum):
    """What is the matter with a chain; the ``state`` in the context of :class:`.ExportChainError`."""

    WHOLE = "WHOLE"
    """Nothing: each export begins where the one before it ends."""
    NO_FULL_EXPORT = "NO_FULL_EXPORT"
    """There is nothing the increments could be applied to."""
    SEVERAL_FULL_EXPORTS = "SEVERAL_FULL_EXPORTS"
    """It cannot be told which of them the increments follow."""
    OTHER_TABLE = "OTHER_TABLE"
    """Exports of tables with different ARNs."""
    TABLE_RECREATED = "TABLE_RECREATED"
    """The table was deleted and made again in between: same ARN, another TableId."""
    GAP = "GAP"
    """What was written between two of the exports is in neither."""
    OVERLAP = "OVERLAP"
    """Two windows hold the same time, or one begins before the full export's."""
    HISTORY_GONE = "HISTORY_GONE"
    """The next window begins before what can be restored: recovery was off for a while, or too much time has passed."""


@dataclass(frozen=True, slots=True)
class ChainBase:
    """The state of a table that increments are applied to: a full export's, or a published snapshot's.

    Attributes:
        label: what it is, for messages: ``full export 01768385930622-efd1a093``.
        as_of: the instant it shows.
        export_arn: of the export, or of the last one that made the snapshot.
    """

    label: str
    table_name: str
    table_arn: str
    table_id: str
    as_of: datetime
    export_arn: str


@dataclass(frozen=True, slots=True)
class ExportChain:
    """A full export and increments that follow it without a gap.

    Attributes:
        full: shows the table as it was at its as_of.
        increments: oldest first; each begins where the one before it ends.
        gaps: start and end of the gaps that the author allowed; what was written in them may be missing.
    """

    full: Export
    increments: tuple[Export, ...]
    gaps: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def as_of(self) -> datetime:
        """The instant that the whole chain shows: the end of its last window, exclusive."""
        return (self.increments[-1] if self.increments else self.full).summary.as_of

    @property
    def table_id(self) -> str:
        """TableId of every export in it."""
        return self.full.summary.table_id


def chain_exports(exports: Iterable[Export], *, max_gap: timedelta = _NOTHING) -> ExportChain:
    """Return the chain of *exports*, which may come in any order, and one more than once.

    An increment has to begin in the very moment its predecessor ends; the first one may begin up to a second before the
    full export's time, which has milliseconds where windows have none. *max_gap* is what the author knows that nothing
    was written in: 0 by default; the gaps it allowed are in the chain.

    Raises ExportChainError, whose context has ``state``, one of :class:`ChainState`, the times ``from_time`` and
    ``to_time`` of a gap or an overlap as ISO 8601 text, and both ``export_arns`` it lies between, joined by a space.
    """
    by_arn = {export.summary.export_arn: export for export in exports}
    full = _the_full(list(by_arn.values()))
    increments = (e for e in by_arn.values() if e.summary.export_type is ExportType.INCREMENTAL)
    return ExportChain(full, *chain_increments(_base("full export", full.summary), increments, max_gap=max_gap))


def chain_increments(
    base: ChainBase, increments: Iterable[Export], *, max_gap: timedelta = _NOTHING
) -> tuple[tuple[Export, ...], tuple[tuple[datetime, datetime], ...]]:
    """Return *increments*, which follow *base*, oldest first, and the gaps that *max_gap* allowed; as chain_exports."""
    if max_gap < _NOTHING:
        raise BadCallError(f"max_gap: expected 0 or more, found {max_gap}")
    by_arn = {export.summary.export_arn: export for export in increments}
    ordered = sorted(by_arn.values(), key=lambda e: (_from(e), e.summary.as_of, e.summary.export_arn))
    gaps = []
    before = base
    for export in ordered:
        summary = export.summary
        _check_table(before, summary)
        if gap := _gap(before, export, max_gap, is_first=before is base):
            gaps.append(gap)
        before = _base("export", summary)
    return tuple(ordered), tuple(gaps)


def check_continuation(chain: ExportChain | ChainBase, *, table_id: str, window: RestorableWindow) -> None:
    """Check that another increment can follow *chain*, of the table as it is now.

    Raises ExportChainError with the state TABLE_RECREATED or HISTORY_GONE: only a new full export goes on from there.
    """
    table = chain.full.summary.table_name if isinstance(chain, ExportChain) else chain.table_name
    if table_id != chain.table_id:
        raise ExportChainError(
            f"table {table}: the chain that ends at {iso(chain.as_of)} is of table id {chain.table_id}, the table is "
            f"{table_id} now: it was deleted and made again; {_ANEW}",
            state=ChainState.TABLE_RECREATED.value,
            from_time=iso(chain.as_of),
        )
    if window.earliest is None or window.is_past(chain.as_of.replace(microsecond=0)):
        raise ExportChainError(
            f"table {table}: the chain ends at {iso(chain.as_of)}, but the restorable window is {window} now: recovery "
            f"was off for a while, or the next increment waited longer than the recovery period; {_ANEW}",
            state=ChainState.HISTORY_GONE.value,
            from_time=iso(chain.as_of),
            to_time=window.earliest and iso(window.earliest),
        )


_ANEW = "begin a new chain with a full export"


def _the_full(exports: list[Export]) -> Export:
    fulls = [export for export in exports if export.summary.export_type is ExportType.FULL]
    if len(fulls) == 1:
        return fulls[0]
    if not fulls:
        scans = sum(export.summary.export_type is ExportType.SCAN for export in exports)
        because = ", a backup by scan is none, since it shows no single point in time" if scans else ""
        raise ExportChainError(
            f"expected one full export and its increments, found no full export among {len(exports)}{because}; {_ANEW}",
            state=ChainState.NO_FULL_EXPORT.value,
        )
    times = ", ".join(iso(full.summary.as_of) for full in sorted(fulls, key=lambda e: e.summary.as_of))
    raise ExportChainError(
        f"expected one full export and its increments, found {len(fulls)} full exports (as of {times}); "
        "give one of them, and the increments after it",
        state=ChainState.SEVERAL_FULL_EXPORTS.value,
    )


def _base(kind: str, summary: ExportSummary) -> ChainBase:
    return ChainBase(
        f"{kind} {summary.export_id}",
        summary.table_name,
        summary.table_arn,
        summary.table_id,
        summary.as_of,
        summary.export_arn,
    )


def _check_table(old: ChainBase, new: ExportSummary) -> None:
    if old.table_arn != new.table_arn:
        raise ExportChainError(
            f"export {new.export_id} is of table {new.table_arn}, the {old.label} before it of {old.table_arn}; "
            "give exports of one table",
            state=ChainState.OTHER_TABLE.value,
            export_arns=_arns(old, new),
        )
    if old.table_id != new.table_id:
        raise ExportChainError(
            f"table {new.table_name} was deleted and made again between {iso(old.as_of)} (table id {old.table_id}, "
            f"{old.label}) and {iso(new.as_of)} (table id {new.table_id}, export {new.export_id}); "
            f"{_ANEW} of the table as it is now",
            state=ChainState.TABLE_RECREATED.value,
            from_time=iso(old.as_of),
            to_time=iso(new.as_of),
            export_arns=_arns(old, new),
        )


def _gap(old: ChainBase, after: Export, max_gap: timedelta, *, is_first: bool) -> tuple[datetime, datetime] | None:
    new = after.summary
    start, end = _from(after), old.as_of
    if start == end or (is_first and start == end.replace(microsecond=0)):
        return None
    if start < end:
        raise ExportChainError(
            f"export {new.export_id} begins at {iso(start)}, before {iso(end)}, where the "
            f"{'' if is_first else 'window of '}{old.label} ends: the chain tells the time in "
            f"between twice; leave one of the two out, or {_ANEW}",
            state=ChainState.OVERLAP.value,
            from_time=iso(start),
            to_time=iso(min(end, new.as_of)),
            export_arns=_arns(old, new),
        )
    if start - end > max_gap:
        raise ExportChainError(
            f"nothing tells what was written from {iso(end)} ({old.label}) to {iso(start)} (export "
            f"{new.export_id}), {start - end} in all; add the increment of this time while it can be restored, or "
            f"{_ANEW}; if you know that nothing was written then, allow it with max_gap (--max-gap)",
            state=ChainState.GAP.value,
            from_time=iso(end),
            to_time=iso(start),
            export_arns=_arns(old, new),
        )
    return end, start


def _from(export: Export) -> datetime:
    start = export.summary.from_time
    assert start is not None, "increments have a start"  # noqa: S101 - the reader checked it
    return start


def _arns(old: ChainBase, new: ExportSummary) -> str:
    return f"{old.export_arn} {new.export_arn}"
