"""Pages within the budget, on a clock that moves only by sleeping, and what the budget is."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from fake_time import FakeTime
from page_table import MortalStore, PageTable

from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    ReadBudgetOptions,
    Resumption,
    ScanProgress,
    ScanRequest,
    ScanSettings,
    plan_scan,
    scan_backup,
    scan_shard,
)
from airflow_provider_ddbexport.core.scan.pacing import Pacer
from airflow_provider_ddbexport.core.scan.page import Page
from airflow_provider_ddbexport.core.scan.page_source import DAMAGED_PAGE
from airflow_provider_ddbexport.core.scan.progress import Meter, ScanPage
from airflow_provider_ddbexport.core.scan.shard import rotated
from airflow_provider_ddbexport.core.scan.table import describe_table, read_rate
from airflow_provider_ddbexport.errors import BadCallError, ScanStoppedError, ServiceError, ThrottledError

REQUEST = {"TableName": "Reviews", "Segment": 0, "TotalSegments": 1}


class Source:
    """Pages of 1 unit an item, as many items as asked for; or *error*, *times* times. Answering takes no time."""

    def __init__(
        self, time: FakeTime, error: ServiceError | None = None, times: int = 10**9, requests: int = 1
    ) -> None:
        self.time = time
        self.error = error
        self.times = times
        self.requests = requests
        self.limits: list[int | None] = []
        self.asked: list[float] = []
        self.charged: list[tuple[float, float]] = []

    def page(self, request: dict[str, Any], start: Any) -> Page:
        limit = request.get("Limit")
        self.limits.append(limit)
        self.asked.append(self.time.now)
        if self.error is not None and self.times > 0:
            self.times -= 1
            raise self.error
        items = limit or 100
        self.charged.append((self.time.now, items * self.requests))
        return Page(b"", items, items, 1000, None, float(items), self.requests)


def pacer(source: Source, rate: Any, deadline_s: float = 60.0, **arguments: Any) -> Pacer:
    read = rate if callable(rate) else lambda: rate
    return Pacer(
        source,
        read,
        is_consistent=False,
        retries=source.time.policy(deadline_s),
        stop=arguments.pop("stop", threading.Event()),
        **arguments,
    )


THROTTLED = ThrottledError("slow", code="ProvisionedThroughputExceededException")


@pytest.mark.parametrize("rate", [None, 1.0, 10.0, 5_000.0])
def test_throttling_without_end_is_a_typed_error_at_the_deadline(rate: float | None) -> None:
    """Not later, whatever the budget would have the page wait for, and with what to do."""
    source = Source(FakeTime(), THROTTLED)
    with pytest.raises(ThrottledError, match=r"throttled one page for 45 s.*lower the read budget") as caught:
        pacer(source, rate, deadline_s=45.0).page(REQUEST, None)
    # What the page waited for the budget before it was asked for is no throttling.
    assert source.time.now - source.asked[0] == pytest.approx(45.0)
    assert caught.value.context["code"] == "ProvisionedThroughputExceededException"
    assert (3 if rate != 1.0 else 1) <= len(source.asked) <= 60


def test_pauses_after_throttling_grow_and_the_page_comes_in_the_end() -> None:
    """Three refusals, four requests, and each pause longer than the one before."""
    source = Source(FakeTime(), THROTTLED, times=3)
    paced = pacer(source, None)
    assert paced.page(REQUEST, None).items == 100
    assert paced.throttles == 3
    assert source.time.pauses == pytest.approx([0.2, 0.4, 0.8])


@pytest.mark.parametrize("code", ["InternalServerError", "ReadTimeoutError", DAMAGED_PAGE])
def test_a_page_that_may_have_been_charged_is_counted_as_charged(code: str) -> None:
    """Nobody knows whether a failed request was read; the budget takes it for spent."""
    source = Source(FakeTime(), ServiceError("failed", code=code), times=1)
    paced = pacer(source, 1_000.0)
    paced.page(REQUEST, None)
    spent_on_the_page = source.charged[0][1]
    assert paced.budget.spent > spent_on_the_page


def test_requests_that_botocore_repeated_by_itself_are_charged_each() -> None:
    """A page that took three requests may have cost three times as much."""
    source = Source(FakeTime(), requests=3)
    paced = pacer(source, 1_000.0)
    page = paced.page(REQUEST, None)
    assert paced.budget.spent == 3 * page.consumed_units


def test_a_refusal_for_good_is_not_repeated() -> None:
    """Validation errors and denied access come out at once."""
    source = Source(FakeTime(), ServiceError("no", code="ValidationException"))
    with pytest.raises(ServiceError, match="no"):
        pacer(source, 10.0).page(REQUEST, None)
    assert len(source.limits) == 1


def test_a_waiting_page_ends_when_the_scan_does() -> None:
    """A stop is seen within a second even where the budget would let nothing happen for hours."""
    time, stop = FakeTime(), threading.Event()
    source = Source(time)
    paced = pacer(source, 0.001, stop=stop)
    paced.page(REQUEST, None)
    begun = time.now
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.now += seconds
        if len(slept) == 5:
            stop.set()

    object.__setattr__(paced._retries, "sleep", sleep)
    with pytest.raises(ScanStoppedError):
        paced.page(REQUEST, None)
    assert max(slept) <= 1.0
    assert time.now - begun <= 5.0


def test_a_page_that_is_throttled_ends_when_the_scan_does() -> None:
    """Within a second of the stop, however long the pause that throttling has led to."""
    time, stop = FakeTime(), threading.Event()
    paced = pacer(Source(time, THROTTLED), None, deadline_s=900.0, stop=stop)
    stopped_at: list[float] = []

    def sleep(seconds: float) -> None:
        time.now += seconds
        if time.now > 30.0 and not stopped_at:
            stop.set()
            stopped_at.append(time.now)

    object.__setattr__(paced._retries, "sleep", sleep)
    with pytest.raises(ScanStoppedError):
        paced.page(REQUEST, None)
    assert stopped_at
    assert time.now - stopped_at[0] <= 1.0


def test_capacity_is_read_again_as_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    """Each minute; the new budget is kept from then on and told."""
    source = Source(FakeTime())
    rates = [100.0]
    paced = pacer(source, lambda: rates[0])
    while source.time.now < 90.0:
        paced.page(REQUEST, None)
    rates[0] = 10.0
    with caplog.at_level(logging.INFO):
        while source.time.now < 240.0:
            paced.page(REQUEST, None)
    assert "The read budget is now 10.0 RCU/s, was 100.0 RCU/s" in caplog.text
    before = sum(units for at, units in source.charged if 20.0 <= at < 90.0) / 70.0
    after = sum(units for at, units in source.charged if 140.0 <= at < 240.0) / 100.0
    assert 90.0 <= before <= 105.0
    assert 9.0 <= after <= 10.5


def test_capacity_that_cannot_be_read_stays_as_it_was() -> None:
    """A failing DescribeTable does not end a scan that reads well."""
    source = Source(FakeTime())
    answers = iter([100.0])

    def rate() -> float:
        try:
            return next(answers)
        except StopIteration:
            raise ServiceError("no answer", code="InternalServerError") from None

    paced = pacer(source, rate)
    while source.time.now < 130.0:
        paced.page(REQUEST, None)
    assert paced.budget.rate_rcu == 100.0


@pytest.mark.parametrize("asked", [{}, {"read_percent": 25}])
def test_a_table_that_is_switched_to_on_demand_keeps_its_budget(
    asked: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """There is no capacity any more to take a percentage of: neither does the scan end nor is it let loose."""
    table = PageTable(1)
    on_demand = dict(table.table)
    table.table |= PROVISIONED
    source = Source(FakeTime())
    paced = pacer(source, read_rate(table, "Reviews", **asked))
    before = paced.budget.rate_rcu
    paced.page(REQUEST, None)
    table.table = on_demand
    for _ in range(130):
        paced.page(REQUEST, None)
        source.time.now += 1.0
    assert paced.budget.rate_rcu == before
    assert "is on demand now" in caplog.text


@pytest.mark.parametrize("asked", [{}, {"read_percent": 25}])
def test_a_shard_that_begins_after_a_switch_to_on_demand_has_the_budget_of_the_plan(asked: dict[str, Any]) -> None:
    """In a process that never saw the capacity, and for a plan that is found again."""
    table, store, request, job = PageTable(12), MortalStore({}), ScanRequest("Reviews"), Resumption("job")
    on_demand = dict(table.table)
    table.table |= PROVISIONED
    budget = ReadBudgetOptions(**asked)
    arguments: dict[str, Any] = {"bucket": "b", "segments": 2, "resumption": job, "budget": budget}
    plan = plan_scan(table, store, request, **arguments)
    table.table = on_demand
    assert plan_scan(table, store, request, **arguments) == plan
    told: list[ScanProgress] = []
    time = FakeTime()
    scan_shard(
        table,
        store,
        plan,
        request,
        settings=ScanSettings(budget=budget, retries=time.policy(), on_progress=told.append),
    )
    assert told[-1].budget_rcu == 400 * asked.get("read_percent", 50) / 100


def test_an_index_that_is_gone_does_not_end_the_scan_for_its_budget() -> None:
    """What cannot be read again stays as it was, whatever the reason; the pages themselves will tell."""
    table = PageTable(1)
    table.table |= PROVISIONED | {"LocalSecondaryIndexes": [{"IndexName": "l"}]}
    source = Source(FakeTime())
    paced = pacer(source, read_rate(table, "Reviews", "l"))
    table.table = {**table.table, "LocalSecondaryIndexes": []}
    for _ in range(70):
        paced.page(REQUEST, None)
        source.time.now += 1.0
    assert paced.budget.rate_rcu == 200.0


PROVISIONED = {"BillingModeSummary": {}, "ProvisionedThroughput": {"ReadCapacityUnits": 400}}


@pytest.mark.parametrize(
    ("described", "asked", "rate"),
    [
        (PROVISIONED, {}, 200.0),
        (PROVISIONED, {"read_percent": 10}, 40.0),
        (PROVISIONED, {"read_units": 7}, 7.0),
        ({}, {}, None),
        ({}, {"read_units": 9}, 9.0),
        ({}, {"ceiling_units": 1000}, 500.0),
        ({}, {"ceiling_units": 1000, "read_percent": 25}, 250.0),
        ({"OnDemandThroughput": {"MaxReadRequestUnits": 600}}, {}, 300.0),
        ({"OnDemandThroughput": {"MaxReadRequestUnits": -1}}, {}, None),
    ],
)
def test_the_budget_follows_from_the_table(
    described: dict[str, Any], asked: dict[str, Any], rate: float | None
) -> None:
    """Half of what is provisioned, or what is asked for; on demand, of a ceiling, and without one there is none."""
    table = PageTable(1)
    table.table |= described
    assert read_rate(table, "Reviews", **asked)() == rate


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"read_units": 0}, "more than 0"),
        ({"read_percent": 101}, "at most 100"),
        ({"read_units": 5, "read_percent": 5}, "one of them"),
        ({"read_percent": 50}, "state a ceiling"),
        ({"read_units": float("nan")}, "more than 0"),
    ],
)
def test_budgets_without_a_meaning_are_refused(asked: dict[str, Any], problem: str) -> None:
    """Before anything is read."""
    with pytest.raises(BadCallError, match=problem):
        read_rate(PageTable(1), "Reviews", **asked)()


def test_an_index_has_its_own_capacity() -> None:
    """A global one; a local one shares the table's."""
    table = PageTable(1)
    table.table |= PROVISIONED | {
        "GlobalSecondaryIndexes": [{"IndexName": "g", "ProvisionedThroughput": {"ReadCapacityUnits": 30}}],
        "LocalSecondaryIndexes": [{"IndexName": "l"}],
    }
    assert describe_table(table, "Reviews", "g").provisioned_rcu == 30.0
    assert describe_table(table, "Reviews", "l").provisioned_rcu == 400.0


def test_segments_scanned_at_once_lie_far_apart() -> None:
    """Neighbours are on one partition; each segment is there once."""
    order = rotated(range(64), 8)
    assert sorted(order) == list(range(64))
    assert order[:8] == [0, 8, 16, 24, 32, 40, 48, 56]


def test_progress_is_logged_every_30_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """With rate, share of the budget, segments and the time that is left; told to the caller each time."""
    time = FakeTime()
    told: list[ScanProgress] = []
    meter = Meter(
        pacer(Source(time), 100.0),
        segments=4,
        segments_done=1,
        expected_units=6_000.0,
        on_page=None,
        on_progress=told.append,
        clock=time.clock,
    )
    with caplog.at_level(logging.INFO):
        for second in range(61):
            meter.page(ScanPage(0, 10, 50.0, 1_000_000), ended_segment=second == 59)
            meter.tell()
            time.now += 1.0
    lines = [record.message for record in caplog.records if record.message.startswith("Scan: ")]
    assert len(lines) == 2
    assert "of the budget)" in lines[1]
    assert "2 of 4 segments done" in lines[1]
    assert "about 58 s left" in lines[1]
    assert len(told) == 61
    assert told[-1].rate_rcu == pytest.approx(50.0, rel=0.2)


def test_progress_is_told_twice_a_second_however_often_there_is_some() -> None:
    """A page may come every millisecond; the end is told in any case."""
    time = FakeTime()
    told: list[ScanProgress] = []
    meter = Meter(
        pacer(Source(time), None),
        segments=1,
        segments_done=0,
        expected_units=None,
        on_page=None,
        on_progress=told.append,
        clock=time.clock,
    )
    for page in range(1, 2_001):
        meter.page(ScanPage(0, 1, 0.5), ended_segment=page == 2_000)
        meter.tell()
        time.now += 0.001
    assert 4 <= len(told) <= 6
    assert (told[-1].items, told[-1].segments_done) == (2_000, 1)


def test_a_scan_in_which_one_segment_has_nearly_all_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """A skewed table is worth knowing of: more segments do not make it faster."""

    class Skewed(PageTable):
        def scan(self, **request: Any) -> dict[str, Any]:
            if request["Segment"]:
                return {"Items": []}
            return super().scan(**{**request, "TotalSegments": 1})

    with caplog.at_level(logging.WARNING):
        scan_backup(
            Skewed(50), MortalStore({}), table_name="Reviews", bucket="b", segments=10, limits=GroupLimits(pages=3)
        )
    assert "segment 0 has 100 % of the items" in caplog.text


def test_a_scan_keeps_its_budget_with_many_threads() -> None:
    """Sixteen workers, one budget: by the clock that their sleeps move, no more than 105 % in any 10 s."""
    time = FakeTime()
    table = PageTable(2_000, page_items=1000)
    charged: list[tuple[float, float]] = []
    scan = table.scan

    def metered(**request: Any) -> dict[str, Any]:
        answer = scan(**request)
        answer["ConsumedCapacity"]["CapacityUnits"] = float(len(answer["Items"])) or 0.5
        charged.append((time.now, answer["ConsumedCapacity"]["CapacityUnits"]))
        return answer

    table.scan = metered  # type: ignore[method-assign]
    scan_backup(
        table, MortalStore({}), table_name="Reviews", bucket="b", segments=32, read_units=50.0, retries=time.policy()
    )
    assert sum(units for _, units in charged) >= 2_000
    for start, _ in charged:
        assert sum(units for at, units in charged if start <= at < start + 10.0) <= 1.05 * 500.0


def test_shards_in_several_processes_share_one_budget() -> None:
    """Each has its part of it; one that is through leaves its part to the other, which has it within a minute. By a
    clock that both live by, no 10 s contain more than 105 % of the whole."""
    whole = 100.0
    ends_at = 95.0
    charged: list[tuple[float, float]] = []
    for until, rate in (
        (ends_at, lambda _: whole / 2),
        (300.0, lambda now: whole / 2 if now < ends_at else whole),
    ):
        time = FakeTime()
        source = Source(time)
        paced = pacer(source, lambda time=time, rate=rate: rate(time.now))
        while time.now < until:
            paced.page(REQUEST, None)
        charged += source.charged
    for start, _ in charged:
        assert sum(units for at, units in charged if start <= at < start + 10.0) <= 1.05 * whole * 10.0
    assert sum(units for at, units in charged if at < ends_at) >= 0.9 * whole * ends_at
    late = ends_at + 60.0
    assert sum(units for at, units in charged if late <= at < 300.0) >= 0.9 * whole * (300.0 - late)


@pytest.mark.parametrize(("rate", "is_consistent", "shards"), [(25.0, False, 5), (25.0, True, 2), (1.0, False, 1)])
def test_a_small_budget_is_divided_among_fewer_shards(
    rate: float, is_consistent: bool, shards: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each begins with one item, of which nobody knows how large it is: for ten shards and items of 400 KB that would
    be twice the budget of any ten seconds. By one clock for all of them it is kept; a retry finds the same shards."""
    table, store = PageTable(40, page_items=1), MortalStore({})
    item_units = 100.0 if is_consistent else 50.0
    request, budget = ScanRequest("Reviews", is_consistent=is_consistent), ReadBudgetOptions(read_units=rate)
    for _ in range(2):
        job = Resumption("job")
        plan = plan_scan(table, store, request, bucket="b", segments=10, shards=10, budget=budget, resumption=job)
        assert plan.shards == shards
    assert f"{shards} shards of 10" in caplog.text
    charged: list[tuple[float, float]] = []
    scan = table.scan
    for shard in range(shards):
        time = FakeTime()

        def charging(time: FakeTime = time, **request: Any) -> dict[str, Any]:
            answer = scan(**request)
            answer["ConsumedCapacity"]["CapacityUnits"] = item_units * len(answer["Items"]) or 0.5
            charged.append((time.now, answer["ConsumedCapacity"]["CapacityUnits"]))
            return answer

        table.scan = charging  # type: ignore[method-assign]
        # Each begins while all others are still to come, and has its part to the end.
        others = MortalStore({key: body for key, body in store.objects.items() if "/done.json" not in key})
        settings = ScanSettings(budget=budget, workers=4, retries=time.policy())
        scan_shard(table, others, plan, request, shard=shard, settings=settings)
    assert sum(units for _, units in charged) >= 40 * item_units
    allowed = max(1.05 * rate * 10.0, item_units + 0.5)
    for start, _ in charged:
        assert sum(units for at, units in charged if start <= at < start + 10.0) <= allowed


def test_a_budget_that_became_too_small_for_the_shards_there_are_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Planned under a large budget, gone on with under a small one: the shards are what they are."""
    table, store, request = PageTable(4), MortalStore({}), ScanRequest("Reviews")
    large, small = (ReadBudgetOptions(read_units=units) for units in (1_000.0, 10.0))
    plan = plan_scan(table, store, request, bucket="b", segments=16, shards=16, budget=large)
    scan_shard(table, store, plan, request, shard=0, settings=ScanSettings(budget=large, retries=FakeTime().policy()))
    assert "room for" not in caplog.text
    scan_shard(table, store, plan, request, shard=1, settings=ScanSettings(budget=small, retries=FakeTime().policy()))
    assert "15 shards are left and the read budget of 10.0 RCU/s has room for 2" in caplog.text


def test_a_shard_has_the_budget_divided_by_those_that_are_not_through() -> None:
    """Two shards: the first, while the other is still to come, has half; the other, alone, has all of it."""
    table = PageTable(2_000, page_items=1_000)
    scan = table.scan

    def charging(**request: Any) -> dict[str, Any]:
        answer = scan(**request)
        answer["ConsumedCapacity"]["CapacityUnits"] = float(len(answer["Items"])) or 0.5
        return answer

    table.scan = charging  # type: ignore[method-assign]
    store, request = MortalStore({}), ScanRequest("Reviews")
    budget = ReadBudgetOptions(read_units=50.0)
    plan = plan_scan(table, store, request, bucket="b", segments=2, shards=2, budget=budget)
    rates = []
    for shard in (0, 1):
        time = FakeTime()
        settings = ScanSettings(budget=budget, workers=1, retries=time.policy())
        done = scan_shard(table, store, plan, request, shard=shard, settings=settings)
        rates.append(done.units / time.now)
    assert rates == [pytest.approx(25.0, rel=0.1), pytest.approx(50.0, rel=0.1)]
