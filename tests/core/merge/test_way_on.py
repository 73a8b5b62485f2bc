"""Which snapshot a run's increments follow, and when a full export is made instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from snapshot_records import commit_record, schema_of

from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.merge import TableNow, WayOn, find_way_on
from airflow_provider_ddbexport.core.merge.chain_notes import find_broken, forget_break, noting_breaks
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, layout
from airflow_provider_ddbexport.core.snapshot.record import Ancestor
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import (
    BadDataError,
    DataFileError,
    ExportChainError,
    ItemError,
    ManifestError,
    MergeConflictError,
    SnapshotDamagedError,
    StorageError,
)

START = datetime(2026, 1, 14, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA = schema_of([{"Id": {"S": "a"}}])


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "lake/reviews")


def publish(store: LocalStore, at: timedelta, *, digest: str = "d1", **source: Any) -> CommitRecord:
    """Publish a snapshot of a full export, with a part of one byte."""
    record = commit_record(SCHEMA, as_of=START + at, digest=digest)
    parts = tuple(replace(part, sha256="0") for part in record.parts)
    record = replace(record, parts=parts, source=replace(record.source, **source))
    for part in record.parts:
        store.write(part.key, b"x")
    Ledger(store).create(record)
    return record


def look(store: LocalStore, at: timedelta, *, filtered: str = "none", **arguments: Any) -> WayOn:
    window = RestorableWindow(START - DAY, START + 30 * DAY)
    table = TableNow(lambda: "", lambda: window, lambda arn: arn == filtered)
    return find_way_on(store, START + at, table, **arguments)


def told(way: WayOn) -> tuple[str | None, str, datetime | None]:
    return way.by, way.state, way.base and way.base.as_of


def test_windows_end_where_those_of_runs_before_did(store: LocalStore) -> None:
    """Of the same snapshot, where nothing came of them; noted, so that a run that is cleared cuts as it did."""
    publish(store, 0 * DAY)
    hour = timedelta(hours=1)
    assert look(store, 3 * hour).cut_at == ()
    store.write(layout.chosen_base_key(START + 2 * hour), b"damaged")
    assert look(store, 1 * hour).cut_at == ()
    for _ in range(2):
        assert look(store, 5 * hour).cut_at == (START + hour, START + 3 * hour)
    assert look(store, 4 * hour).cut_at == (START + hour, START + 3 * hour)
    assert look(store, 5 * hour).cut_at == (START + hour, START + 3 * hour)
    publish(store, 4 * hour)
    assert look(store, 6 * hour).cut_at == ()
    Ledger(store).delete(START)
    publish(store, 0 * DAY, digest="replaced")
    assert look(store, 3.5 * hour).cut_at == ()


def test_scans_are_passed_over(store: LocalStore) -> None:
    """An older snapshot by export goes on; a full export would be billed the whole table."""
    publish(store, DAY / 2, export_type="SCAN")
    assert told(look(store, DAY)) == ("full", "NO_FULL_EXPORT", None)
    publish(store, 0 * DAY)
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)


def test_less_than_fifteen_minutes_before_is_passed_over(store: LocalStore) -> None:
    """That cannot be exported. The snapshot before is followed; where there is none, nothing is done, or billed."""
    close = publish(store, DAY - timedelta(minutes=14))
    assert told(look(store, DAY)) == (None, "TOO_SOON", close.as_of)
    publish(store, 0 * DAY)
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)
    assert told(look(store, DAY + timedelta(minutes=1))) == ("increment", "WHOLE", close.as_of)


def test_a_full_export_before_long_is_not_followed_by_another(store: LocalStore) -> None:
    """Where the chain before it cannot go on: what was made anew a minute ago is new enough, unless it is damaged."""
    publish(store, 0 * DAY, table_id="another")
    close = publish(store, DAY - timedelta(minutes=1))
    assert told(look(store, DAY)) == (None, "TOO_SOON", close.as_of)
    store.delete(close.parts[0].key)
    assert told(look(store, DAY)) == ("full", "BASE_DAMAGED", close.as_of)


def test_what_a_run_follows_stays_what_it_follows(store: LocalStore) -> None:
    """Whatever is published in between; unless it is another snapshot now, or none that can be followed."""
    base = publish(store, 0 * DAY)
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)
    between = publish(store, DAY / 2)
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)
    assert told(look(store, DAY + timedelta(seconds=1))) == ("increment", "WHOLE", between.as_of)
    Ledger(store).delete(base.as_of)
    publish(store, 0 * DAY, digest="other")
    assert told(look(store, DAY)) == ("increment", "WHOLE", between.as_of)
    store.delete(between.parts[0].key)
    assert told(look(store, DAY)) == ("full", "BASE_DAMAGED", between.as_of)


def test_a_full_export_is_due_by_the_age_of_the_chains_own(store: LocalStore) -> None:
    """Not by that of the snapshot before; where the author says nothing, never."""
    ancestry = tuple(
        Ancestor("", f"arn{day}", kind, "", 0, None, iso(START + day * DAY))
        for day, kind in ((0, "FULL_EXPORT"), (6, "INCREMENTAL_EXPORT"))
    )
    base = publish(store, 6 * DAY, export_type="MERGE", ancestry=ancestry)
    week = 7 * DAY
    assert told(look(store, week - timedelta(seconds=1), full_every=week)) == ("increment", "WHOLE", base.as_of)
    assert told(look(store, week, full_every=week)) == ("full", "FULL_DUE", base.as_of)
    assert told(look(store, week)) == ("increment", "WHOLE", base.as_of)


def test_a_filtered_full_export_is_not_followed(store: LocalStore) -> None:
    """It does not have all items."""
    base = publish(store, 0 * DAY, export_arn="arn:filtered")
    assert told(look(store, DAY, filtered="arn:filtered")) == ("full", "FILTERED", base.as_of)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MergeConflictError("1 items differ", items=1), "CONFLICT"),
        (SnapshotDamagedError("a part is missing", as_of=iso(START)), "BASE_DAMAGED"),
        (ManifestError("md5", damage="md5"), "INCREMENT_DAMAGED"),
        (ManifestError("the manifest is missing"), "WHOLE"),
        (DataFileError("md5"), "INCREMENT_DAMAGED"),
        (ItemError("no item"), "INCREMENT_DAMAGED"),
        (SnapshotDamagedError("the published one lost parts", as_of=iso(START + DAY)), "WHOLE"),
        (ExportChainError("a gap", state="GAP"), "WHOLE"),
    ],
)
def test_what_can_never_be_merged_is_followed_by_a_full_export(
    store: LocalStore, error: BadDataError, state: str
) -> None:
    """Errors that are not about the base or the increments' own files are not noted; the reason is the error's."""
    base = publish(store, 0 * DAY)
    with pytest.raises(type(error)), noting_breaks(store, base.as_of):
        raise error
    way = look(store, DAY)
    assert told(way) == ("increment" if state == "WHOLE" else "full", state, START)
    assert way.reason is None or str(error) in way.reason


def test_a_snapshot_after_a_broken_one_is_followed(store: LocalStore) -> None:
    """A full export that somebody converted, which no increment has to reach."""
    broken = publish(store, 0 * DAY)
    with pytest.raises(DataFileError), noting_breaks(store, broken.as_of):
        raise DataFileError("md5")
    newer = publish(store, DAY / 2)
    assert told(look(store, DAY)) == ("increment", "WHOLE", newer.as_of)


@pytest.mark.parametrize("doubt", ["missing", "md5"])
def test_a_manifest_may_be_there_yet_or_accepted(store: LocalStore, doubt: str) -> None:
    """Unless the export was complete when the merge began: then it was deleted or damaged since."""
    base = publish(store, 0 * DAY)
    for were_complete, state in ((False, "WHOLE"), (True, "INCREMENT_DAMAGED")):
        with pytest.raises(ManifestError), noting_breaks(store, base.as_of, were_complete=were_complete):
            raise ManifestError("a manifest", doubt=doubt)
        assert look(store, DAY).state == state


def test_a_note_is_of_one_publication(store: LocalStore) -> None:
    """A snapshot that was replaced since is followed, and one that was merged into; without a base none is made."""
    base = publish(store, 0 * DAY)
    for time in (None, START + DAY, START):
        with pytest.raises(DataFileError), noting_breaks(store, time):
            raise DataFileError("md5")
        assert (find_broken(store, base) is None) == (time != START)
    note = store.read(layout.broken_chain_key(START))
    for time in (None, START + DAY, START):
        assert told(look(store, DAY)) == ("full", "INCREMENT_DAMAGED", START)
        forget_break(store, time)
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)
    store.write(layout.broken_chain_key(START), note)
    assert told(look(store, DAY)) == ("full", "INCREMENT_DAMAGED", START)
    Ledger(store).delete(base.as_of)
    publish(store, 0 * DAY, digest="other")
    assert told(look(store, DAY)) == ("increment", "WHOLE", START)


@pytest.mark.parametrize("fails", ["read", "write", "delete"])
def test_a_note_that_cannot_be_written_hides_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    """The merge's own error is raised, and a merge that was published has succeeded; the log tells of the store's."""
    base = publish(store, 0 * DAY)

    def fail(*_: object) -> None:
        raise StorageError("the store is away")

    monkeypatch.setattr(LocalStore, fails, fail)
    with pytest.raises(DataFileError, match="md5"), noting_breaks(store, base.as_of):
        raise DataFileError("md5")
    forget_break(store, base.as_of)
    assert caplog.messages == [
        f"{what} was not noted: the store is away"
        for what in (["That increments could be merged"] if fails == "delete" else ["Why increments cannot be merged"])
    ]


@pytest.mark.parametrize("key", [layout.chosen_base_key(START + DAY), layout.broken_chain_key(START)])
def test_a_note_that_cannot_be_read_is_named(store: LocalStore, key: str) -> None:
    """Going on without what it says could be paid for twice."""
    publish(store, 0 * DAY)
    for body in (b"{", b"[]", b'{"as_of": "now", "snapshot": ""}'):
        store.write(key, body)
        with pytest.raises(SnapshotDamagedError, match=rf"{key}: expected a note of a table's chain"):
            look(store, DAY)
    store.write(
        key, b'{"as_of": "2026-01-14T00:00:00Z", "snapshot": "", "state": "CONFLICT", "reason": "", "format": 2}'
    )
    with pytest.raises(SnapshotDamagedError, match=rf"{key}: a note of format 2, .* upgrade"):
        look(store, DAY)
