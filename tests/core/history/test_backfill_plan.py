"""What a backfill will take is known before anything is asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.exporting.request import LONGEST_WINDOW, SHORTEST_WINDOW
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.history import (
    BackfillPlan,
    KnownExport,
    KnownHistory,
    PlannedExport,
    TimeState,
    Way,
    parse_step,
    plan_backfill,
    wanted_times,
)
from airflow_provider_ddbexport.core.history.ways import LEAST_INCREMENT_BYTES
from airflow_provider_ddbexport.errors import BadCallError

DAY = timedelta(days=1)
T = datetime(2026, 1, 1, tzinfo=UTC)
GB = 10**9
WINDOW = RestorableWindow(T + 2.5 * DAY, T + 37.5 * DAY, 35)


def at(day: float) -> datetime:
    """Return the time *day* days after the first of January."""
    return T + day * DAY


def full(day: float) -> KnownExport:
    """A full export that is there."""
    return KnownExport(f"full {day}", f"s3://b/{day}", at(day), billed_bytes=GB)


def increment(since: float, to: float, size: int = 50_000_000) -> KnownExport:
    """An increment that is there."""
    return KnownExport(f"{since} to {to}", f"s3://b/{since}-{to}", at(to), at(since), size)


def history(*exports: KnownExport, published: Any = (), size: int = GB, **changes: Any) -> KnownHistory:
    """What is known of a table of a gigabyte, whose published snapshots increments can be applied to."""
    times = frozenset(at(day) for day in published)
    return KnownHistory(
        "Reviews", size, **{"window": WINDOW, "published": times, "bases": times, **changes}, exports=exports
    )


def planned(known: KnownHistory, first: int = 0, last: int = 9, **options: Any) -> BackfillPlan:
    """Plan the midnights from day *first* to day *last*."""
    return plan_backfill(known, wanted_times(at(first), at(last), DAY), **options)


def days(way: Way) -> list[tuple[float | None, float]]:
    """Return the exports of a way, in days."""
    return [
        (None if export.from_time is None else (export.from_time - T) / DAY, (export.export_time - T) / DAY)
        for export in way.exports
    ]


def test_each_time_is_published_restorable_or_out_of_the_window() -> None:
    """With the first time that is in the window, and when each of those leaves it."""
    plan = planned(history(published=[1, 4, 5]), last=38)
    states = [one.state for one in plan.times]
    assert states[:6] == ["OUT_OF_WINDOW", "PUBLISHED", "OUT_OF_WINDOW", "RESTORABLE", "PUBLISHED", "PUBLISHED"]
    assert set(states[6:38]) == {"RESTORABLE"}
    assert states[38] == "NOT_YET"
    assert plan.states == {
        TimeState.PUBLISHED: 3,
        TimeState.RESTORABLE: 33,
        TimeState.REACHABLE: 0,
        TimeState.OUT_OF_WINDOW: 2,
        TimeState.NOT_YET: 1,
    }
    assert plan.first_restorable == at(3)
    assert plan.times[3].restorable_until == at(38)
    assert plan.times[0].restorable_until is None


def test_full_exports_are_those_of_the_times_that_are_missing() -> None:
    """An export that is there is not made again."""
    plan = planned(history(full(6), published=[4]), last=7)
    assert days(plan.full_exports) == [(None, 3), (None, 5), (None, 7)]
    assert plan.full_exports.bytes == 3 * GB
    assert plan.full_exports.unreached == (at(0), at(1), at(2))
    (there,) = plan.times[6].full or ()
    assert there.known == full(6)
    assert plan.times[4].full == ()


def test_increments_follow_one_full_export_where_they_are_billed_less() -> None:
    """The first missing time takes a full export; each one after it, a day's changes."""
    plan = planned(history(), changed_bytes_per_day=GB / 5)
    assert days(plan.with_increments) == [(None, 3), *((day, day + 1) for day in range(3, 9))]
    assert plan.with_increments.bytes == GB + 6 * GB // 5
    assert plan.cheapest is plan.with_increments


def test_increments_follow_what_is_published_or_exported() -> None:
    """In the window; a published snapshot out of it leads nowhere new."""
    assert days(planned(history(published=[3])).with_increments)[0] == (3, 4)
    assert days(planned(history(full(3))).with_increments)[0] == (3, 4)
    assert days(planned(history(published=[2])).with_increments)[0] == (None, 3)
    scanned = history(published=[3], bases=frozenset())
    assert days(planned(scanned).with_increments)[0] == (None, 4)


def test_a_full_export_is_taken_where_the_changes_since_are_more() -> None:
    """Between two times far apart."""
    plan = plan_backfill(history(), [at(3), at(4), at(12)], changed_bytes_per_day=GB / 4)
    assert days(plan.with_increments) == [(None, 3), (3, 4), (None, 12)]


def test_longer_times_are_cut_into_windows_dynamodb_exports() -> None:
    """Of 24 hours at most and 15 minutes at least."""
    plan = plan_backfill(history(published=[3]), [at(5), at(5) + timedelta(minutes=20)], changed_bytes_per_day=1)
    assert days(plan.with_increments)[:2] == [(3, 4), (4, 5)]
    assert plan.with_increments.bytes == 3 * LEAST_INCREMENT_BYTES
    soon = plan_backfill(history(published=[3]), [at(3) + timedelta(minutes=14)], changed_bytes_per_day=1)
    assert days(soon.with_increments) == [(None, 3 + 14 / 24 / 60)]


def test_what_is_out_of_the_window_is_reached_by_exports_that_are_there() -> None:
    """By a full export of the very time, or by one and the increments after it; never by increments to be made."""
    known = history(full(0), increment(0, 1), increment(2, 3))
    plan = planned(known, last=4)
    assert [one.state for one in plan.times] == ["REACHABLE"] * 2 + ["OUT_OF_WINDOW"] + ["RESTORABLE"] * 2
    steps = [[step.known for step in one.least or ()] for one in plan.times[:2]]
    assert steps == [[full(0)], [increment(0, 1)]]
    assert plan.with_increments.unreached == (at(2),)
    assert plan.full_exports.unreached == (at(1), at(2))
    dear = planned(known, last=4, changed_bytes_per_day=10.0 * GB)
    assert dear.with_increments.bytes == dear.full_exports.bytes
    assert dear.cheapest is dear.with_increments
    (only,) = plan_backfill(known, [at(1)]).times
    assert [step.known for step in only.least or ()] == [full(0), increment(0, 1)]


def test_milliseconds_of_what_is_there_do_not_break_a_chain() -> None:
    """Windows begin in whole seconds; a full export of a moment later is not one of the wanted time."""
    late = replace(full(4), export_time=at(4) + timedelta(milliseconds=622))
    plan = plan_backfill(history(late), [at(4), at(5)], changed_bytes_per_day=1)
    assert days(plan.full_exports) == [(None, 4), (None, 5)]
    assert days(plan.with_increments) == [(None, 4), (4, 5)]
    assert days(plan_backfill(history(late), [at(5)], changed_bytes_per_day=1).with_increments) == [(4, 5)]


def test_an_increment_that_serves_two_times_is_made_once() -> None:
    """It leads to the beginning of one that is there, from which two times are reached."""
    known = history(increment(5.5, 6), increment(5.5, 6.4), published=[5], size=100 * GB)
    plan = plan_backfill(known, [at(6), at(6.4)], changed_bytes_per_day=GB)
    assert days(plan.with_increments) == [(5, 5.5)]


def test_without_a_rate_of_change_the_least_is_told_as_such() -> None:
    """Unless full exports are billed less anyhow; the changes at which both are billed alike are told."""
    plan = planned(history(), first=3)
    assert plan.changed_bytes_per_day is None
    assert plan.with_increments.bytes == GB + 6 * LEAST_INCREMENT_BYTES
    assert plan.with_increments.is_at_least
    assert plan.cheapest is None
    assert plan.break_even_bytes_per_day == pytest.approx(GB)
    small = planned(history(size=LEAST_INCREMENT_BYTES))
    assert small.cheapest is small.full_exports
    assert small.break_even_bytes_per_day is None


def test_the_rate_of_change_is_that_of_the_increments_there_are() -> None:
    """Unless the author knows better."""
    known = history(increment(20, 21, 2 * GB), increment(21, 21.5, GB))
    plan = planned(known)
    assert plan.changed_bytes_per_day == 2 * GB
    assert plan.cheapest is plan.full_exports
    assert planned(known, changed_bytes_per_day=1.0).changed_bytes_per_day == 1.0


def test_limits_of_the_service_are_told() -> None:
    """300 exports, or 100 TB, at once."""
    assert planned(history()).full_exports_at_once == 300
    assert planned(history(size=10**12)).full_exports_at_once == 100
    assert planned(history(size=10**15)).full_exports_at_once == 1


def test_a_table_whose_recovery_has_just_been_turned_on_can_give_nothing_yet() -> None:
    """Its window is empty."""
    plan = planned(history(window=RestorableWindow(None, None, 35)))
    assert plan.states[TimeState.NOT_YET] == 10
    assert plan.full_exports.exports == plan.with_increments.exports == ()


@pytest.mark.parametrize(
    ("text", "step"),
    [("hour", DAY / 24), ("day", DAY), ("week", 7 * DAY), ("30m", DAY / 48), ("6h", DAY / 4), ("2d", 2 * DAY)],
)
def test_steps_are_written_as_people_write_them(text: str, step: timedelta) -> None:
    """A name, or a number and a unit."""
    assert parse_step(text) == step


@pytest.mark.parametrize("text", ["", "0h", "day ", "1.5h", "fortnight", "-1d", "6H"])
def test_another_step_is_refused(text: str) -> None:
    """With those there are."""
    with pytest.raises(BadCallError, match="hour, day, week"):
        parse_step(text)


def test_times_include_the_last_one_if_it_is_met() -> None:
    """As `airflow backfill` does; a range that is none, or far too fine, is refused."""
    assert wanted_times(at(0), at(2), DAY) == (at(0), at(1), at(2))
    assert wanted_times(at(0), at(1.9), DAY) == (at(0), at(1))
    assert wanted_times(at(0) + timedelta(milliseconds=5), at(0), DAY) == (at(0),)
    with pytest.raises(BadCallError, match="not before"):
        wanted_times(at(1), at(0), DAY)
    with pytest.raises(BadCallError, match="at most 10,000"):
        wanted_times(at(0), at(30), timedelta(minutes=1))
    with pytest.raises(BadCallError, match="a second or more"):
        wanted_times(at(0), at(30), timedelta(0))


hours = st.integers(0, 30).map(lambda hour: T + hour * timedelta(hours=6))
increments = st.tuples(st.integers(0, 30), st.integers(1, 4)).map(
    lambda pair: increment(pair[0] / 4, pair[0] / 4 + pair[1] / 4)
)
histories = st.builds(
    lambda exports, published, hour: history(
        *exports,
        published=[(time - T) / DAY for time in published],
        window=RestorableWindow(T + hour * timedelta(hours=6), at(9), 35),
    ),
    st.lists(st.one_of(hours.map(lambda time: full((time - T) / DAY)), increments), max_size=6),
    st.sets(hours, max_size=3),
    st.integers(0, 20),
)


@given(
    histories,
    st.sets(st.one_of(hours, st.just(at(9.5))), min_size=1, max_size=6),
    st.sampled_from([0, GB // 2, 4 * GB, 40 * GB]),
)
def test_every_step_can_be_made_and_follows_what_is_there(
    known: KnownHistory, wanted: set[datetime], rate: int
) -> None:
    """Each new export is inside the window and as long as DynamoDB allows; each increment begins where one ends."""
    plan = plan_backfill(known, sorted(wanted), changed_bytes_per_day=rate)
    there = set(known.bases)
    for one in plan.times:
        assert (one.least is not None) or one.state in {TimeState.OUT_OF_WINDOW, TimeState.NOT_YET}
        assert one.full is None or one.least is not None
        if one.least is None or one.state is TimeState.PUBLISHED:
            continue
        reached = None
        for step in one.least:
            check_step(step, known)
            assert step.from_time is None or step.from_time in there | {reached}
            reached = step.export_time
        assert reached == one.time
        there.add(one.time)
    assert set(plan.with_increments.unreached) <= set(plan.full_exports.unreached)
    # What full exports do not lead to is reached for nothing, or not at all.
    assert plan.with_increments.bytes <= plan.full_exports.bytes


def check_step(step: PlannedExport, known: KnownHistory) -> None:
    """Check that *step* is there, or can be made."""
    if step.known:
        assert step.known in known.exports
        assert (step.from_time, step.export_time) == (step.known.from_time, step.known.export_time)
        return
    assert known.window.holds(step.export_time)
    if step.from_time is not None:
        assert known.window.holds(step.from_time)
        assert SHORTEST_WINDOW <= step.export_time - step.from_time <= LONGEST_WINDOW


@given(
    st.sets(st.integers(3, 12), min_size=1, max_size=6),
    st.sets(st.integers(3, 12), max_size=2),
    st.sampled_from([1, 3, 9]),
)
def test_no_other_choice_is_billed_less(wanted: set[int], published: set[int], tenths: int) -> None:
    """Of all ways to take each missing day by a full export or by increments after any snapshot before it."""
    rate = tenths * GB // 10
    plan = plan_backfill(history(published=published), [at(day) for day in wanted], changed_bytes_per_day=rate)
    missing = sorted(wanted - published)
    choices = [[None, *(day for day in wanted | published if day < missing_day)] for missing_day in missing]
    totals = [
        sum(GB if base is None else (day - base) * rate for day, base in zip(missing, bases, strict=True))
        for bases in itertools.product(*choices)
    ]
    assert plan.with_increments.bytes == min(totals)
