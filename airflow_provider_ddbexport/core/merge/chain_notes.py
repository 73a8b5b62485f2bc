"""What runs tell later runs about a table's chain, beside its snapshots.

::

    _chains/<T>-base.json       the snapshot that the increments up to T follow, so that a run that is cleared takes the
                                same, and with it the same exports
    _chains/<T>-broken.json     why increments could not be merged into the snapshot as of T: the next run does not
                                follow it

Either is of one publication of a snapshot: where that was replaced, the note says nothing any more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.ledger import Ledger
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import (
    BadDataError,
    DataFileError,
    InvalidTimeError,
    ManifestError,
    MergeConflictError,
    ObjectNotFoundError,
    SnapshotDamagedError,
    StorageError,
)

FORMAT = 1

_log = logging.getLogger(__name__)


class BreakState(StrEnum):
    """Why increments cannot be merged into a snapshot, however often it is tried."""

    CONFLICT = "CONFLICT"
    """They say that other items were there."""
    BASE_DAMAGED = "BASE_DAMAGED"
    """Parts of the snapshot are gone or not what they were."""
    INCREMENT_DAMAGED = "INCREMENT_DAMAGED"
    """Files of an increment are gone or not what its manifests say."""


@dataclass(frozen=True, slots=True)
class Broken:
    """That increments could not be merged into a snapshot.

    Attributes:
        snapshot: identity of the snapshot's record.
        state: one of :class:`BreakState`.
        reason: the error's message.
        format: of the note.
    """

    snapshot: str
    state: BreakState
    reason: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class ChosenBase:
    """Which snapshot the increments up to a time follow.

    Attributes:
        as_of: of that snapshot, ISO 8601 text.
        snapshot: identity of its record.
        format: of the note.
        cut_at: until when runs before had increments of it, which they did not publish; ISO 8601 text.
    """

    as_of: str
    snapshot: str
    format: int = FORMAT
    cut_at: tuple[str, ...] = ()

    @property
    def time(self) -> datetime:
        """The instant that the snapshot shows."""
        return parse_time(self.as_of)

    def check(self) -> None:
        """Raise InvalidTimeError unless its times are some."""
        for text in (self.as_of, *self.cut_at):
            parse_time(text)

    @property
    def cuts(self) -> tuple[datetime, ...]:
        """The times *cut_at*."""
        return tuple(map(parse_time, self.cut_at))


@contextmanager
def noting_breaks(table_store: ObjectStore, base: datetime | None, *, were_complete: bool = False) -> Iterator[None]:
    """Merge into the snapshot as of *base* in the block: where that can never be done, it is noted. None notes nothing.

    Where it cannot be noted, that is logged; the error that tells why is raised all the same.
    What is wrong with other snapshots, with how the exports follow each other, or with how they are asked for (before
    they are complete, say, or elsewhere than they were written) is no reason. Where the increments *were_complete*, a
    manifest that is missing was deleted, and one that has another MD5 was damaged.
    """
    try:
        yield
    except BadDataError as error:
        if base is not None and (state := _break_state(error, base, were_complete=were_complete)):
            with _logging_failure("Why increments cannot be merged was not noted"):
                _note_break(table_store, base, state, str(error))
        raise


def _note_break(table_store: ObjectStore, base: datetime, state: BreakState, reason: str) -> None:
    if record := Ledger(table_store).get(base):
        _write(table_store, layout.broken_chain_key(base), Broken(record.identity, state, reason))


@contextmanager
def _logging_failure(what: str) -> Iterator[None]:
    try:
        yield
    except (StorageError, SnapshotDamagedError) as error:
        _log.warning("%s: %s", what, error)


def _break_state(error: BadDataError, base: datetime, *, were_complete: bool) -> BreakState | None:
    match error:
        case MergeConflictError():
            return BreakState.CONFLICT
        case SnapshotDamagedError() if error.context.get("as_of") == iso(base):
            return BreakState.BASE_DAMAGED
        case DataFileError():
            return BreakState.INCREMENT_DAMAGED
        case ManifestError() if "damage" in error.context or (were_complete and "doubt" in error.context):
            return BreakState.INCREMENT_DAMAGED
        case _:
            return None


def forget_break(table_store: ObjectStore, base: datetime | None) -> None:
    """Let later runs follow the snapshot as of *base* again, now that increments were merged into it. None is none.

    Where that cannot be written, it is logged: what was merged is published.
    """
    if base is not None:
        with _logging_failure("That increments could be merged was not noted"):
            table_store.delete(layout.broken_chain_key(base))


def find_broken(table_store: ObjectStore, base: CommitRecord) -> Broken | None:
    """Return why increments cannot be merged into *base*; None where nobody has noted that."""
    found = _read(table_store, layout.broken_chain_key(base.as_of), Broken)
    return found if found is not None and found.snapshot == base.identity else None


def note_base(table_store: ObjectStore, to_time: datetime, base: CommitRecord) -> ChosenBase:
    """Write down, and return, that the increments up to *to_time* follow *base*, and where others of it end before."""
    cut_at = tuple(map(iso, _ends_before(table_store, to_time, base)))
    note = ChosenBase(iso(base.as_of), base.identity, cut_at=cut_at)
    _write(table_store, layout.chosen_base_key(to_time), note)
    return note


def _ends_before(table_store: ObjectStore, to_time: datetime, base: CommitRecord) -> list[datetime]:
    ends = []
    for info in table_store.list(layout.CHAINS_FOLDER):
        end = layout.chosen_base_in(info.key)
        if end is not None and base.as_of < end < to_time:
            # A note that nobody can read is no reason to fail: it would save an export.
            with suppress(SnapshotDamagedError):
                note = find_base(table_store, end)
                if note is not None and note.snapshot == base.identity:
                    ends.append(end)
    return sorted(ends)


def find_base(table_store: ObjectStore, to_time: datetime) -> ChosenBase | None:
    """Return what the increments up to *to_time* were to follow when a run last looked; None where none has."""
    return _read(table_store, layout.chosen_base_key(to_time), ChosenBase)


def _write(store: ObjectStore, key: str, note: Broken | ChosenBase) -> None:
    store.write(key, json.dumps(msgspec.to_builtins(note), ensure_ascii=False, indent=1).encode() + b"\n")


_Note = TypeVar("_Note", Broken, ChosenBase)


def _read(store: ObjectStore, key: str, kind: type[_Note]) -> _Note | None:
    try:
        note = msgspec.json.decode(store.read(key), type=kind)
        if isinstance(note, ChosenBase):
            note.check()
    except ObjectNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidTimeError) as error:
        raise SnapshotDamagedError(
            f"{store.uri_of(key)}: expected a note of a table's chain, found something else ({type(error).__name__}); "
            "delete it: what it says is found out again",
            key=key,
        ) from None
    if note.format > FORMAT:
        raise SnapshotDamagedError(
            f"{store.uri_of(key)}: a note of format {note.format}, this version reads formats up to {FORMAT}; "
            "upgrade airflow-provider-ddbexport",
            key=key,
        )
    return note
