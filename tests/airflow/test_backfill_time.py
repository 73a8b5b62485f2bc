"""DynamoDBBackfillTimeSensor, deferred and not, against the embedded AWS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException, AirflowSkipException
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.operators.export import DynamoDBPointInTimeExportOperator
from airflow_provider_ddbexport.sensors.backfill_time import DynamoDBBackfillTimeSensor

BOTH_WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
ITEMS = [{"Id": {"S": "a"}}]
HOUR = timedelta(hours=1)


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table with point-in-time recovery since two hours, and its lake."""
    return EmulatedLake(aws).create()


@pytest.fixture
def time(lake: EmulatedLake) -> datetime:
    """An instant that can be exported: half an hour after recovery was turned on."""
    time: datetime = lake.aws.clock.now().replace(microsecond=0) + HOUR / 2
    lake.aws.clock.advance(HOUR)
    return time


def due(**changes: Any) -> DynamoDBBackfillTimeSensor:
    """Return a sensor that looks often, and gives up soon."""
    arguments = {"table_name": "Reviews", "lake": LAKE, "poke_interval": 0.1, "timeout": 600, **changes}
    return DynamoDBBackfillTimeSensor(task_id="due", **arguments)


@BOTH_WAYS
def test_a_time_that_can_be_exported_goes_on(
    *, lake: EmulatedLake, time: datetime, run_task: Any, context: Any, deferrable: bool
) -> None:
    """With the window as it is now."""
    found = run_task(due(export_time=time, deferrable=deferrable), context)
    assert (found["export_time"], found["state"]) == (iso(time), "RESTORABLE")
    assert (found["record"], found["full"], found["increments"]) == (None, None, [])
    assert found["earliest"] < iso(time) < found["latest"]
    assert run_task.deferrals == []


@BOTH_WAYS
def test_a_time_that_is_published_is_skipped(
    *, lake: EmulatedLake, time: datetime, run_task: Any, context: Any, deferrable: bool
) -> None:
    """Under its own name in the lake, too; DynamoDB is not asked for anything."""
    lake.place(ITEMS, time)
    lake.place(ITEMS, time, table="other", register=False)
    for choice in ({}, {"database": DATABASE}, {"table": "other"}):
        sensor = due(export_time=time, deferrable=deferrable, **choice)
        with pytest.raises(AirflowSkipException, match=rf"is published: {LAKE}/(reviews|other)/_snapshots/"):
            run_task(sensor, context)


def test_what_is_published_but_not_registered_goes_on(
    lake: EmulatedLake, time: datetime, run_task: Any, context: Any
) -> None:
    """A run that was interrupted between the two is finished at any time, be it a partition or the table it lacks."""
    record = lake.place(ITEMS, time, register=False)
    for change in (
        lambda: None,
        lambda: lake.place(ITEMS, time - HOUR / 4),
        lambda: lake.aws.clock.advance(timedelta(days=36)),
    ):
        change()
        found = run_task(due(export_time=time, database=DATABASE), context)
        assert (found["state"], found["record"], found["increments"]) == ("PUBLISHED", record, [])


@BOTH_WAYS
def test_a_time_whose_history_is_gone_fails_or_is_skipped(
    *, lake: EmulatedLake, time: datetime, run_task: Any, context: Any, deferrable: bool
) -> None:
    """As the author says; the window is in the message either way."""
    gone = time - HOUR
    outcomes: dict[str, type[Exception]] = {"fail": AirflowFailException, "skip": AirflowSkipException}
    for setting, outcome in outcomes.items():
        sensor = due(export_time=gone, out_of_window=setting, deferrable=deferrable)
        with pytest.raises(outcome, match=rf"{iso(gone)} is outside the restorable window \(\S+ to \S+\)"):
            run_task(sensor, context)


@BOTH_WAYS
def test_a_time_that_is_not_restorable_yet_is_waited_for(
    *,
    lake: EmulatedLake,
    time: datetime,
    run_task: Any,
    context: Any,
    deferrable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the triggerer, if deferrable."""
    soon = time + HOUR
    sensor = due(export_time=soon, deferrable=deferrable)
    looks = []
    look = sensor.look

    def look_then_pass() -> Any:
        looks.append(look())
        lake.aws.clock.advance(HOUR)
        return looks[-1]

    monkeypatch.setattr(sensor, "look", look_then_pass)
    found = run_task(sensor, context)
    assert looks == [None, found]
    assert found["state"] == "RESTORABLE"
    assert len(run_task.deferrals) == int(deferrable)


def test_a_time_that_slid_out_of_the_window_goes_on_if_it_was_exported(
    lake: EmulatedLake, time: datetime, run_task: Any, context: Any
) -> None:
    """A backfill interrupted for so long uses what it has paid for; the same export is not asked for again."""
    export = DynamoDBPointInTimeExportOperator(
        task_id="export", table_name="Reviews", s3_bucket_name=BUCKET, s3_prefix="history", export_time=time
    )
    exported = run_task(export, context)
    lake.aws.clock.advance(timedelta(days=36))
    found = run_task(due(export_time=time, exports_in=f"s3://{BUCKET}/history"), context)
    assert (found["state"], found["full"], found["increments"]) == ("REACHABLE", exported["source"], [])
    assert run_task(export, context)["export_arn"] == exported["export_arn"]
    assert len(lake.aws.exports_billed()) == 1
    with pytest.raises(AirflowFailException, match="outside the restorable window"):
        run_task(due(export_time=time, exports_in=f"s3://{BUCKET}/elsewhere"), context)


def test_a_time_that_only_increments_lead_to_is_for_those_who_merge(
    lake: EmulatedLake, time: datetime, run_task: Any, context: Any
) -> None:
    """The exports to merge are in XCom; for others they are in the message."""
    full = lake.aws.clock.now().replace(microsecond=0)
    source = lake.export_at(full)
    lake.aws.clock.advance(HOUR)
    increment = lake.export_at(full + HOUR / 2, since=full)
    lake.aws.clock.advance(timedelta(days=36))
    wanted = full + HOUR / 2
    with pytest.raises(AirflowFailException, match=f"but {source}, {increment} lead there: .* with_increments=True"):
        run_task(due(export_time=wanted), context)
    found = run_task(due(export_time=wanted, with_increments=True), context)
    assert (found["state"], found["full"], found["increments"]) == ("REACHABLE", source, [increment])


def test_a_run_without_a_logical_date_takes_the_time_it_was_due(
    lake: EmulatedLake, time: datetime, run_task: Any, make_context: Any
) -> None:
    """Started by hand or by an asset."""
    context = make_context(logical_date=None, run_after=time)
    sensor = due()
    sensor.render_template_fields(context)
    assert run_task(sensor, context)["export_time"] == iso(time)


def test_a_table_that_no_snapshot_can_be_of_is_refused(
    lake: EmulatedLake, time: datetime, run_task: Any, context: Any
) -> None:
    """Nothing would ever be published under such a name, so each run would pay for an export."""
    with pytest.raises(AirflowFailException, match="found 'Reviews'; 'reviews' would do"):
        run_task(due(table="Reviews", export_time=time), context)


def test_another_setting_is_refused(lake: EmulatedLake, time: datetime, run_task: Any, context: Any) -> None:
    """Rather than taken for one of the two."""
    with pytest.raises(AirflowFailException, match="expected fail or skip, found 'ignore'"):
        run_task(due(export_time=time, out_of_window="ignore"), context)


@BOTH_WAYS
def test_a_time_that_goes_while_the_export_waits_for_its_turn_is_skipped(
    *, lake: EmulatedLake, time: datetime, run_task: Any, context: Any, deferrable: bool
) -> None:
    """The export reads the window when it asks; by default it fails."""
    arguments = {"table_name": "Reviews", "s3_bucket_name": BUCKET, "deferrable": deferrable, "poll_interval_s": 0.1}
    gone = datetime(2020, 1, 1, tzinfo=UTC)
    skipping = DynamoDBPointInTimeExportOperator(task_id="export", export_time=gone, out_of_window="skip", **arguments)
    with pytest.raises(AirflowSkipException, match="outside the restorable window"):
        run_task(skipping, context)
    with pytest.raises(AirflowFailException, match="outside the restorable window"):
        run_task(DynamoDBPointInTimeExportOperator(task_id="export", export_time=gone, **arguments), context)
    assert lake.aws.exports_billed() == []
