"""A crawl that started after publication and ended well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_provider_ddbexport.core.conversation import Patience, aconverse, converse
from airflow_provider_ddbexport.core.crawl.configuration import crawler_configuration
from airflow_provider_ddbexport.core.crawl.watch import CLOCK_SKEW, CrawlWatch, crawl_after
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.errors import AccessError, BadCallError, CrawlFailedError, DeadlineError, ThrottledError

PUBLISHED = datetime(2026, 1, 14, 12, tzinfo=UTC)
CRAWL = timedelta(seconds=60)


def test_a_crawler_leaves_out_every_folder_that_holds_no_parts() -> None:
    """Notes of chains, say, are JSON, of which a crawler would make a table; no folder of the layout is forgotten."""
    configuration = crawler_configuration(crawler="c", role="r", database="d", table_location="s3://b/lake/reviews/")
    ((target,),) = configuration["Targets"].values()
    folders = {value for name, value in vars(layout).items() if name.endswith("_FOLDER")}
    assert {"_chains", "_snapshots"} <= folders
    assert set(target["Exclusions"]) == {f"{folder}/**" for folder in folders}


@dataclass
class Crawler:
    """A crawler that crawls for a minute by a clock that only sleeping moves, as GetCrawler shows it.

    ``endings`` are how the crawls end, the last one for all that follow. ``refusals`` are error codes of the next
    calls, by method. ``meanwhile`` runs once, just before a StartCrawler is looked at.
    """

    now: datetime = PUBLISHED
    running_since: datetime | None = None
    last: dict[str, Any] | None = None
    endings: list[str] = field(default_factory=lambda: ["SUCCEEDED"])
    refusals: dict[str, list[str]] = field(default_factory=dict)
    meanwhile: Callable[[], None] | None = None
    started: list[datetime] = field(default_factory=list)
    updated: list[dict[str, Any]] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def begin(self) -> None:
        self.running_since = self.now

    def _settle(self) -> None:
        if self.running_since is not None and self.now >= self.running_since + CRAWL:
            status = self.endings.pop(0) if len(self.endings) > 1 else self.endings[0]
            self.last = {"Status": status, "StartTime": self.running_since, "ErrorMessage": f"it {status}"}
            self.running_since = None

    def _refuse(self, method: str) -> None:
        if codes := self.refusals.get(method):
            raise ClientError({"Error": {"Code": codes.pop(0), "Message": "no"}}, method)

    def get_crawler(self, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        self._refuse("get_crawler")
        self._settle()
        state = "READY" if self.running_since is None else "RUNNING"
        return {"Crawler": {"Name": Name, "State": state, **({"LastCrawl": self.last} if self.last else {})}}

    def start_crawler(self, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        self._refuse("start_crawler")
        if self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        if self.running_since is not None:
            raise ClientError({"Error": {"Code": "CrawlerRunningException", "Message": Name}}, "StartCrawler")
        self.begin()
        self.started.append(self.now)
        return {}

    def update_crawler(self, **arguments: Any) -> dict[str, Any]:
        self._settle()
        if self.running_since is not None:
            raise ClientError({"Error": {"Code": "CrawlerRunningException", "Message": ""}}, "UpdateCrawler")
        self.updated.append(arguments)
        return {}

    def get_crawler_metrics(self, CrawlerNameList: list[str]) -> dict[str, Any]:  # noqa: N803 - boto3's
        return {
            "CrawlerMetricsList": [{"CrawlerName": CrawlerNameList[0], "TablesCreated": 1, "LastRuntimeSeconds": 60.0}]
        }


def crawl(
    crawler: Crawler, *, counts_from: datetime | None = PUBLISHED + CLOCK_SKEW, patience_s: float = 600, **more: Any
) -> dict[str, Any]:
    patience = Patience(crawler.now + timedelta(seconds=patience_s), 10, lambda: crawler.now)
    return converse(crawl_after(CrawlWatch("c", counts_from), patience, **more), crawler, sleep=crawler.sleep)


def last_crawl(started: datetime, status: str = "SUCCEEDED") -> dict[str, Any]:
    return {"Status": status, "StartTime": started}


def test_a_crawler_that_never_ran_is_started_and_its_metrics_come_back() -> None:
    """A ready crawler without a past is started once; the figures name the crawl's start and what it made."""
    crawler = Crawler()
    figures = crawl(crawler)
    assert crawler.started == [PUBLISHED]
    assert figures["started_at"] == "2026-01-14T12:00:00Z"
    assert (figures["tables_created"], figures["runtime_s"], figures["started_by_us"]) == (1, 60.0, True)


def test_an_old_success_does_not_count() -> None:
    """A crawl of years ago that succeeded is no crawl of this snapshot (the stock sensor takes it for one)."""
    crawler = Crawler(last=last_crawl(datetime(2020, 1, 1, tzinfo=UTC)))
    assert crawl(crawler)["started_at"] == "2026-01-14T12:00:00Z"
    assert len(crawler.started) == 1


def test_a_crawl_under_way_is_waited_out_and_another_started() -> None:
    """What began before publication may have passed the folder already, so it does not count, though it succeeds."""
    crawler = Crawler(running_since=PUBLISHED - timedelta(seconds=30))
    figures = crawl(crawler)
    assert len(crawler.started) == 1
    assert crawler.started[0] >= PUBLISHED + timedelta(seconds=30)
    assert figures["waited_out"] == 1


def test_a_crawl_under_way_that_began_after_publication_counts() -> None:
    """Somebody else started it after publication: it is waited for, and no other is started."""
    crawler = Crawler(now=PUBLISHED + timedelta(seconds=40), running_since=PUBLISHED + timedelta(seconds=20))
    figures = crawl(crawler)
    assert crawler.started == []
    assert (figures["started_by_us"], figures["started_at"]) == (False, "2026-01-14T12:00:20Z")


def test_a_crawl_that_ended_well_after_publication_is_enough() -> None:
    """A retried task whose crawl is done does not crawl again."""
    crawler = Crawler(now=PUBLISHED + timedelta(hours=1), last=last_crawl(PUBLISHED + timedelta(minutes=1)))
    assert crawl(crawler)["started_at"] == "2026-01-14T12:01:00Z"
    assert crawler.started == []


def test_a_start_within_the_clocks_skew_of_publication_does_not_count() -> None:
    """A crawl that by the clocks began barely after publication may really have begun before."""
    crawler = Crawler(now=PUBLISHED + timedelta(hours=1), last=last_crawl(PUBLISHED + CLOCK_SKEW / 2))
    crawl(crawler)
    assert len(crawler.started) == 1


def test_whoever_is_quicker_to_start_after_we_looked_does_our_work() -> None:
    """We find it ready, another starts it before we do: that crawl began after publication by any clock."""
    crawler = Crawler(last=last_crawl(PUBLISHED - timedelta(days=1)))
    crawler.meanwhile = crawler.begin
    figures = crawl(crawler, counts_from=None)
    assert crawler.meanwhile is None, "the race did take place"
    assert crawler.started == []
    assert figures["started_by_us"] is False


def test_when_the_others_crawl_fails_we_start_our_own() -> None:
    """A failed crawl of somebody else's is not our failure."""
    crawler = Crawler(endings=["CANCELLED", "SUCCEEDED"])
    crawler.meanwhile = crawler.begin
    assert crawl(crawler)["started_by_us"] is True
    assert len(crawler.started) == 1


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_our_crawl_that_ends_ill_is_an_error_with_the_crawlers_words(status: str) -> None:
    """The error has the status and the message; it does not start another one by itself."""
    crawler = Crawler(endings=[status])
    with pytest.raises(CrawlFailedError, match=f"ended as {status}: it {status}"):
        crawl(crawler)
    assert len(crawler.started) == 1


def test_a_failure_of_the_past_is_not_ours() -> None:
    """The crawl of the try before failed after publication: this try starts another."""
    crawler = Crawler(now=PUBLISHED + timedelta(hours=1), last=last_crawl(PUBLISHED + timedelta(minutes=1), "FAILED"))
    crawl(crawler)
    assert len(crawler.started) == 1


def test_the_wait_ends_at_the_deadline() -> None:
    """Patience that is shorter than the crawl ends the wait at its end, not a poll later, and says what to do."""
    crawler = Crawler()
    with pytest.raises(DeadlineError, match=r"2026-01-14T12:00:45Z.*patience_s"):
        crawl(crawler, patience_s=45)
    assert crawler.now == PUBLISHED + timedelta(seconds=45)


def test_throttling_is_waited_out_and_given_up_at_the_deadline() -> None:
    """A throttled look is repeated; throttling up to the deadline is the error that is raised."""
    crawler = Crawler(refusals={"get_crawler": ["ThrottlingException", "InternalServiceException"]})
    crawl(crawler)
    assert crawler.refusals["get_crawler"] == []
    with pytest.raises(ThrottledError):
        crawl(Crawler(refusals={"get_crawler": ["ThrottlingException"] * 100}))


def test_no_such_crawler_and_no_permission_end_at_once() -> None:
    """What waiting cannot mend is not waited for."""
    crawler = Crawler(refusals={"get_crawler": ["EntityNotFoundException"]})
    with pytest.raises(BadCallError, match="no crawler c in this account"):
        crawl(crawler)
    with pytest.raises(AccessError):
        crawl(Crawler(refusals={"start_crawler": ["AccessDeniedException"]}))
    assert crawler.now == PUBLISHED


def test_a_start_whose_answer_was_lost_is_not_repeated() -> None:
    """The service failed after it began: asking again meets a running crawler, and that crawl is waited for."""
    crawler = Crawler(refusals={"start_crawler": ["InternalServiceException"]})
    crawler.meanwhile = crawler.begin
    assert crawl(crawler)["started_at"] == "2026-01-14T12:00:10Z"
    assert crawler.started == []


def test_a_new_configuration_waits_for_the_crawl_under_way_and_only_then_counts() -> None:
    """The running crawl has the old configuration: it is waited out, the crawler updated, and then started."""
    crawler = Crawler(now=PUBLISHED + timedelta(minutes=5), running_since=PUBLISHED + timedelta(minutes=5))
    crawl(crawler, counts_from=None, configuration={"Name": "c", "Role": "r"})
    assert crawler.updated == [{"Name": "c", "Role": "r"}]
    assert len(crawler.started) == 1


def test_in_a_triggerer_the_same_happens() -> None:
    """Held with an async client, the conversation makes the same calls and has the same outcome."""

    class Async:
        def __init__(self, crawler: Crawler) -> None:
            self._crawler = crawler

        def __getattr__(self, name: str) -> Any:
            async def call(**arguments: Any) -> Any:
                return getattr(self._crawler, name)(**arguments)

            return call

    def crawler() -> Crawler:
        return Crawler(
            running_since=PUBLISHED - timedelta(seconds=30), refusals={"start_crawler": ["ThrottlingException"]}
        )

    here, there = crawler(), crawler()

    async def sleep(seconds: float) -> None:
        there.sleep(seconds)

    patience = Patience(PUBLISHED + timedelta(minutes=10), 10, lambda: there.now)
    watch = CrawlWatch("c", PUBLISHED + CLOCK_SKEW)
    assert asyncio.run(aconverse(crawl_after(watch, patience), Async(there), sleep=sleep)) == crawl(here)
    assert there == here
