"""A crawl that started after a snapshot was published and ended well.

A crawl that was under way when the snapshot was published may have passed its folder before the parts were there, so
it is waited out and another one is started. A crawl counts

- when it began after we had found the crawler ready, by us or by anyone else, because we look after publication; or
- when the service says that it started at ``counts_from`` or later.

The first rule needs no clock. The second compares the service's clock with that of whoever published: one that runs
behind AWS's by some seconds could let a crawl count that began just before publication, which :data:`CLOCK_SKEW`
allows for.

Needs glue:GetCrawler, StartCrawler and GetCrawlerMetrics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from airflow_provider_ddbexport.core.conversation import Ask, Conversation, Patience, insist
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError, CrawlFailedError, ServiceError

CLOCK_SKEW = timedelta(seconds=5)
"""Hosts with a time service are within fractions of a second of each other."""


@dataclass(frozen=True, slots=True)
class CrawlWatch:
    """What a wait for a crawl knows; enough to go on with it in another process.

    Attributes:
        crawler: its name.
        counts_from: a crawl counts that started then or later; None when only a crawl begun after our first look does.
        begun: who began the crawl we wait for, once we found the crawler ready.
        before: start of the crawler's last crawl at that moment; a crawl with another start came later.
        waited_out: crawls that were under way at the first look and did not count.
    """

    crawler: str
    counts_from: datetime | None
    begun: Literal["", "us", "others"] = ""
    before: datetime | None = None
    waited_out: int = 0


def crawl_after(
    watch: CrawlWatch, patience: Patience, *, configuration: dict[str, Any] | None = None
) -> Conversation[dict[str, Any]]:
    """Return the figures of a crawl that counts and ended well, starting one when there is none.

    *configuration* are UpdateCrawler's arguments, applied before the next start: given when the crawler was running
    and could not be updated. Raises CrawlFailedError when the crawl begun by us ended otherwise, DeadlineError,
    BadCallError when there is no such crawler, AccessError, ServiceError. Repeating it is safe: at most one more crawl.
    """
    what = f"crawler {watch.crawler}"
    while True:
        try:
            answer = yield from insist(Ask("get_crawler", {"Name": watch.crawler}), patience, what=what)
        except ServiceError as error:
            raise _as_missing(error, watch.crawler) from error
        crawler = answer["Crawler"]
        move, watch = _next_move(watch, crawler)
        if move == "done":
            return (yield from _figures(watch, crawler, patience))
        if move == "start":
            if configuration is not None and not (yield from _update(configuration, patience)):
                yield from patience.rest(f"{what}: being ready for a new configuration")
                continue
            configuration = None
            watch = yield from _start(watch, crawler, patience)
        yield from patience.rest(f"{what}: a crawl that started after the snapshot was published and ended well")


def _next_move(watch: CrawlWatch, crawler: dict[str, Any]) -> tuple[Literal["wait", "start", "done"], CrawlWatch]:
    if crawler["State"] != "READY":
        if not watch.begun and not watch.waited_out:
            watch = replace(watch, waited_out=1)
        return "wait", watch
    last = crawler.get("LastCrawl") or {}
    started = last.get("StartTime")
    if watch.begun and started == watch.before:
        return "wait", watch  # begun, and not shown yet
    good = last.get("Status") == "SUCCEEDED"
    if watch.begun:
        if good:
            return "done", watch
        if watch.begun == "us":
            raise _failed(watch.crawler, last)
        return "start", watch
    if good and watch.counts_from is not None and started is not None and started >= watch.counts_from:
        return "done", replace(watch, waited_out=0)
    return "start", watch


def _start(watch: CrawlWatch, crawler: dict[str, Any], patience: Patience) -> Conversation[CrawlWatch]:
    """Return the watch with a crawl begun since *crawler* was read, by us or by others."""
    before = (crawler.get("LastCrawl") or {}).get("StartTime")
    try:
        yield from insist(
            Ask("start_crawler", {"Name": watch.crawler}), patience, what=f"starting crawler {watch.crawler}"
        )
    except ServiceError as error:
        # Running by now, or running and ending: somebody began it after we had found it ready. If our own call was
        # repeated because its first answer was lost, "others" are us.
        if error.context.get("code") not in {"CrawlerRunningException", "CrawlerStoppingException"}:
            raise
        return replace(watch, begun="others", before=before)
    return replace(watch, begun="us", before=before)


def _update(configuration: dict[str, Any], patience: Patience) -> Conversation[bool]:
    """Return whether the crawler has *configuration* now; it has not while a crawl runs."""
    try:
        yield from insist(
            Ask("update_crawler", configuration), patience, what=f"updating crawler {configuration['Name']}"
        )
    except ServiceError as error:
        if error.context.get("code") != "CrawlerRunningException":
            raise
        return False
    return True


def _figures(watch: CrawlWatch, crawler: dict[str, Any], patience: Patience) -> Conversation[dict[str, Any]]:
    answer = yield from insist(
        Ask("get_crawler_metrics", {"CrawlerNameList": [watch.crawler]}),
        patience,
        what=f"metrics of crawler {watch.crawler}",
    )
    metrics: dict[str, Any] = next(iter(answer.get("CrawlerMetricsList") or ()), {})
    return {
        "crawler": watch.crawler,
        "started_at": iso(crawler["LastCrawl"]["StartTime"].astimezone(UTC)),
        "started_by_us": watch.begun == "us",
        "waited_out": watch.waited_out,
        "runtime_s": metrics.get("LastRuntimeSeconds"),
        "median_runtime_s": metrics.get("MedianRuntimeSeconds"),
        "tables_created": metrics.get("TablesCreated"),
        "tables_updated": metrics.get("TablesUpdated"),
        "tables_deleted": metrics.get("TablesDeleted"),
    }


def _as_missing(error: ServiceError, crawler: str) -> ServiceError | BadCallError:
    if error.context.get("code") != "EntityNotFoundException":
        return error
    return BadCallError(
        f"there is no crawler {crawler} in this account and region; create it, or let create=True do so",
        crawler=crawler,
    )


def _failed(crawler: str, last: dict[str, Any]) -> CrawlFailedError:
    status = str(last.get("Status") or "unknown")
    reason = str(last.get("ErrorMessage") or "").rstrip(".") or "no message"
    log = "/".join(str(last[part]) for part in ("LogGroup", "LogStream") if last.get(part))
    return CrawlFailedError(
        f"crawler {crawler}: the crawl ended as {status}: {reason}; {f'its log is {log}; ' if log else ''}"
        "trying again starts another one",
        crawler=crawler,
        status=status,
    )
