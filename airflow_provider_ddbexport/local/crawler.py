"""Glue crawlers that crawl: Parquet below their S3 targets becomes tables and partitions of the catalog."""

from __future__ import annotations

import statistics
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_ddbexport.local.crawl_catalog import CrawlCounts, rules_of, write_crawl
from airflow_provider_ddbexport.local.crawl_discovery import FoundTable, discover
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.glue_catalog import Catalog
from airflow_provider_ddbexport.local.lake_objects import LakeError
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

SERVICE = "AWSGlue"
_STOPPING_SHARE = 0.1
"""Part of a crawl's time that it spends in STOPPING, after it has written to the catalog."""

_FIELDS = {
    "Role": "role",
    "DatabaseName": "database_name",
    "Description": "description",
    "Targets": "targets",
    "Schedule": "schedule",
    "Classifiers": "classifiers",
    "TablePrefix": "table_prefix",
    "SchemaChangePolicy": "schema_change_policy",
    "RecrawlPolicy": "recrawl_policy",
    "LineageConfiguration": "lineage_configuration",
    "Configuration": "configuration",
    "CrawlerSecurityConfiguration": "crawler_security_configuration",
}


@dataclass(slots=True)
class Crawl:
    """One run of a crawler. It sees the objects as they are when it starts, and writes what it found near its end.

    Attributes:
        started: by :meth:`.Emulator.elapsed`, seconds.
        stopping: seconds after the start at which STOPPING began; None before.
        ended: seconds after the start; None while it goes on.
        status: RUNNING, then SUCCEEDED, FAILED or CANCELLED.
    """

    started_at: datetime
    started: float
    found: list[FoundTable]
    failure: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    stopping: float | None = None
    ended: float | None = None
    status: str = "RUNNING"
    counts: CrawlCounts = field(default_factory=CrawlCounts)

    @property
    def state(self) -> str:
        """The crawler's state by this, its latest, crawl."""
        if self.ended is not None:
            return "READY"
        return "RUNNING" if self.stopping is None else "STOPPING"

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, by the emulator's clock."""
        return None if self.ended is None else self.started_at + timedelta(seconds=self.ended)


class Crawlers:
    """Crawlers of all accounts and regions of an emulator; what they are told is kept by moto."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._crawls: dict[tuple[str, str, str], list[Crawl]] = {}
        emulator.on_request(self._settle)
        emulator.on_reset(self._crawls.clear)

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return what is answered here instead of by moto."""
        answered: dict[str, Handler] = {
            "CreateCrawler": self.create,
            "UpdateCrawler": self.update,
            "DeleteCrawler": self.delete,
            "StartCrawler": self.start,
            "StopCrawler": self.stop,
            "GetCrawler": self.get,
            "GetCrawlers": self.get_all,
            "BatchGetCrawlers": self.batch_get,
            "GetCrawlerMetrics": self.metrics,
            "ListCrawls": self.list_crawls,
        }
        return {(SERVICE, operation): handler for operation, handler in answered.items()}

    def create(self, call: Call) -> dict[str, Any]:
        """Create a crawler; a name that is taken is an AlreadyExistsException."""
        if not any((call.body.get("Targets") or {}).values()):
            raise AwsError("InvalidInputException", "Crawler cannot be created without targets")
        answer = self._emulator.forward(call, "glue")
        crawler = self._find(call)
        crawler.creation_time = crawler.last_updated = self._emulator.clock.now()
        return answer

    def update(self, call: Call) -> dict[str, Any]:
        """Change what is named in the call; refused while the crawler runs."""
        crawler = self._find(call)
        self._refuse_running(call)
        for name, attribute in _FIELDS.items():
            if name in call.body:
                setattr(crawler, attribute, call.body[name])
        crawler.version += 1
        crawler.last_updated = self._emulator.clock.now()
        return {}

    def delete(self, call: Call) -> dict[str, Any]:
        """Delete a crawler; refused while it runs."""
        self._find(call)
        self._refuse_running(call)
        self._crawls.pop(_key(call, call.body["Name"]), None)
        return self._emulator.forward(call, "glue")

    def start(self, call: Call) -> dict[str, Any]:
        """Start a crawl of what is there now."""
        crawler = self._find(call)
        self._refuse_running(call)
        crawl = Crawl(self._emulator.clock.now(), self._emulator.elapsed(), [])
        try:
            for target in _s3_targets(crawler):
                s3 = self._emulator.moto.s3(call.account)
                crawl.found += discover(s3, target["Path"], target.get("Exclusions") or [])
        except LakeError as error:
            crawl.failure = str(error).partition(": ")[2]
        self._crawls.setdefault(_key(call, crawler.name), []).append(crawl)
        return {}

    def stop(self, call: Call) -> dict[str, Any]:
        """Cancel a crawl; the catalog stays as it is."""
        crawler = self._find(call)
        crawl = self._latest(call, crawler.name)
        if crawl is None or crawl.state == "READY":
            raise AwsError("CrawlerNotRunningException", f"Crawler with name {crawler.name} isn't running")
        if crawl.state == "STOPPING":
            raise AwsError("CrawlerStoppingException", f"Crawler with name {crawler.name} is stopping")
        crawl.stopping, crawl.status = self._emulator.elapsed() - crawl.started, "CANCELLED"
        return {}

    def get(self, call: Call) -> dict[str, Any]:
        """Return one crawler."""
        return {"Crawler": self._describe(call, self._find(call))}

    def get_all(self, call: Call) -> dict[str, Any]:
        """Return all crawlers, on one page."""
        return {"Crawlers": [self._describe(call, crawler) for crawler in self._glue(call).crawlers.values()]}

    def batch_get(self, call: Call) -> dict[str, Any]:
        """Return the named crawlers, and which there are not."""
        known = self._glue(call).crawlers
        wanted = call.body.get("CrawlerNames") or []
        return {
            "Crawlers": [self._describe(call, known[name]) for name in wanted if name in known],
            "CrawlersNotFound": [name for name in wanted if name not in known],
        }

    def metrics(self, call: Call) -> dict[str, Any]:
        """Return figures of the named crawlers, or all: times of the runs, tables changed by the latest that ended."""
        wanted = call.body.get("CrawlerNameList")
        names = [name for name in self._glue(call).crawlers if not wanted or name in wanted]
        return {"CrawlerMetricsList": [self._metrics(call, name) for name in names]}

    def list_crawls(self, call: Call) -> dict[str, Any]:
        """Return a crawler's crawls, newest first. Filters by STATE with EQ are understood, others are not."""
        name = call.body.get("CrawlerName") or ""
        if name not in self._glue(call).crawlers:
            raise AwsError("EntityNotFoundException", f"Crawler entry with name {name} does not exist")
        states = [item["FieldValue"] for item in call.body.get("Filters") or [] if item.get("FieldName") == "STATE"]
        crawls = [
            {
                "CrawlId": crawl.id,
                "State": {"RUNNING": "RUNNING", "SUCCEEDED": "COMPLETED", "CANCELLED": "STOPPED"}.get(
                    crawl.status, crawl.status
                ),
                "StartTime": crawl.started_at.timestamp(),
                **({"EndTime": crawl.ended_at.timestamp()} if crawl.ended_at else {}),
                **({"ErrorMessage": crawl.failure} if crawl.status == "FAILED" else {}),
                "LogGroup": "/aws-glue/crawlers",
                "LogStream": name,
                "MessagePrefix": crawl.id,
            }
            for crawl in reversed(self._crawls.get(_key(call, name), []))
        ]
        limit = call.body.get("MaxResults") or 20
        return {"Crawls": [crawl for crawl in crawls if not states or crawl["State"] in states][:limit]}

    def _settle(self) -> None:
        elapsed = self._emulator.elapsed()
        whole = self._emulator.settings.crawl_seconds
        for (account, region, name), crawls in self._crawls.items():
            crawl = crawls[-1]
            seconds = elapsed - crawl.started
            if crawl.stopping is None and seconds >= whole * (1 - _STOPPING_SHARE):
                crawl.stopping = min(seconds, whole * (1 - _STOPPING_SHARE))
                self._write(account, region, name, crawl)
            if crawl.stopping is not None and crawl.ended is None:
                end = crawl.stopping + whole * _STOPPING_SHARE
                if seconds >= end:
                    crawl.ended = end

    def _write(self, account: str, region: str, name: str, crawl: Crawl) -> None:
        if crawl.failure:
            crawl.status = "FAILED"
            return
        glue = self._emulator.moto.glue(account, region)
        crawler = glue.crawlers[name]
        targets = [target["Path"] for target in _s3_targets(crawler)]
        try:
            crawl.counts = write_crawl(
                Catalog(glue), crawl.found, targets, rules_of(crawler), self._emulator.clock.now()
            )
        except LakeError as error:
            crawl.status, crawl.failure = "FAILED", str(error)
        else:
            crawl.status = "SUCCEEDED"

    def _describe(self, call: Call, crawler: Any) -> dict[str, Any]:
        latest = self._latest(call, crawler.name)
        done = [crawl for crawl in self._crawls.get(_key(call, crawler.name), []) if crawl.ended is not None]
        is_busy = latest is not None and latest.ended is None
        described: dict[str, Any] = {
            "Name": crawler.name,
            "Role": crawler.role,
            "Targets": crawler.targets,
            "DatabaseName": crawler.database_name,
            "Description": crawler.description,
            "Classifiers": crawler.classifiers or [],
            "RecrawlPolicy": crawler.recrawl_policy or {"RecrawlBehavior": "CRAWL_EVERYTHING"},
            "SchemaChangePolicy": crawler.schema_change_policy
            or {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"},
            "LineageConfiguration": crawler.lineage_configuration or {"CrawlerLineageSettings": "DISABLE"},
            "State": latest.state if latest else "READY",
            "TablePrefix": crawler.table_prefix,
            "CrawlElapsedTime": round((self._emulator.elapsed() - latest.started) * 1000) if latest and is_busy else 0,
            "CreationTime": _timestamp(crawler.creation_time),
            "LastUpdated": _timestamp(crawler.last_updated),
            "Version": crawler.version,
            "Configuration": crawler.configuration,
            "CrawlerSecurityConfiguration": crawler.crawler_security_configuration,
        }
        if crawler.schedule:
            described["Schedule"] = {"ScheduleExpression": crawler.schedule, "State": "SCHEDULED"}
        if done:
            described["LastCrawl"] = {
                "Status": done[-1].status,
                "LogGroup": "/aws-glue/crawlers",
                "LogStream": crawler.name,
                "MessagePrefix": done[-1].id,
                "StartTime": done[-1].started_at.timestamp(),
                **({"ErrorMessage": done[-1].failure} if done[-1].status == "FAILED" else {}),
            }
        return {name: value for name, value in described.items() if value is not None}

    def _metrics(self, call: Call, name: str) -> dict[str, Any]:
        crawls = self._crawls.get(_key(call, name), [])
        runtimes = [crawl.ended for crawl in crawls if crawl.ended is not None]
        latest = crawls[-1] if crawls else None
        done = [crawl for crawl in crawls if crawl.ended is not None]
        counts = done[-1].counts if done else CrawlCounts()
        seconds = self._emulator.elapsed() - latest.started if latest and latest.ended is None else None
        left = max(0.0, self._emulator.settings.crawl_seconds - seconds) if seconds is not None else 0.0
        return {
            "CrawlerName": name,
            "TimeLeftSeconds": left,
            "StillEstimating": seconds is not None and not runtimes,
            "LastRuntimeSeconds": runtimes[-1] if runtimes else 0.0,
            "MedianRuntimeSeconds": statistics.median(runtimes) if runtimes else 0.0,
            "TablesCreated": len(counts.created),
            "TablesUpdated": len(counts.updated),
            "TablesDeleted": len(counts.deleted),
        }

    def _glue(self, call: Call) -> Any:
        return self._emulator.moto.glue(call.account, call.region)

    def _find(self, call: Call) -> Any:
        name = call.body.get("Name") or ""
        crawler = self._glue(call).crawlers.get(name)
        if crawler is None:
            is_get = call.operation.startswith("Get")
            raise AwsError(
                "EntityNotFoundException", f"Crawler {'entry ' if is_get else ''}with name {name} does not exist"
            )
        return crawler

    def _latest(self, call: Call, name: str) -> Crawl | None:
        crawls = self._crawls.get(_key(call, name))
        return crawls[-1] if crawls else None

    def _refuse_running(self, call: Call) -> None:
        crawl = self._latest(call, call.body["Name"])
        if crawl is not None and crawl.state != "READY":
            raise AwsError("CrawlerRunningException", f"Crawler with name {call.body['Name']} has already started")


def _key(call: Call, name: str) -> tuple[str, str, str]:
    return call.account, call.region, name


def _s3_targets(crawler: Any) -> list[dict[str, Any]]:
    targets = crawler.targets or {}
    if others := sorted(kind for kind, given in targets.items() if given and kind != "S3Targets"):
        raise LakeError(f"NOT_SUPPORTED: the emulated crawler reads S3Targets only, not {', '.join(others)}")
    return list(targets.get("S3Targets") or [])


def _timestamp(moment: datetime) -> float:
    # moto's own times are UTC without saying so.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
