"""The operator that crawls a snapshot into the catalog."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.conversation import aconverse, converse
from airflow_provider_ddbexport.errors import CrawlFailedError, DeadlineError, SnapshotNotFoundError
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.triggers.crawl import SnapshotCrawlTrigger

AS_OF = datetime(2026, 1, 14, 10, 18, 50, tzinfo=UTC)
ROWS = ({"Id": {"S": "a"}, "Rating": {"N": "5"}}, {"Id": {"S": "b"}, "Rating": {"N": "4"}})
ROLE = "arn:aws:iam::123456789012:role/service-role/crawler"


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A lake whose catalog is empty."""
    return EmulatedLake(aws)


@pytest.fixture
def record(lake: EmulatedLake) -> str:
    """The address of the commit record of a snapshot that is published and not registered."""
    return lake.place(ROWS, AS_OF, register=False)


def next_snapshot(lake: EmulatedLake) -> str:
    """Return the record of another snapshot, published now."""
    return lake.place(ROWS, AS_OF + timedelta(days=1), register=False)


@pytest.fixture
def at_first_pause(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Return what has something happen when a task next pauses, in the worker or in the triggerer."""

    def arrange(happen: Callable[[], None]) -> None:
        left = [happen]

        def pause(seconds: float) -> None:
            while left:
                left.pop()()
            time.sleep(seconds)

        async def pause_in_triggerer(seconds: float) -> None:
            while left:
                left.pop()()
            await asyncio.sleep(seconds)

        monkeypatch.setitem(converse.__kwdefaults__, "sleep", pause)
        monkeypatch.setitem(aconverse.__kwdefaults__, "sleep", pause_in_triggerer)

    return arrange


@pytest.fixture(params=[False, True], ids=["waiting in the worker", "deferred"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Both ways have to end alike."""
    return bool(request.param)


def crawling(record: str, **arguments: Any) -> GlueSnapshotCrawlerOperator:
    defaults: dict[str, Any] = {
        "crawler_name": "reviews",
        "create": True,
        "role": ROLE,
        "database": DATABASE,
        "poll_interval_s": 0.05,
        "patience_s": 600,
    }
    return GlueSnapshotCrawlerOperator(task_id="crawl", record=record, **{**defaults, **arguments})


def crawler(lake: EmulatedLake) -> dict[str, Any]:
    found: dict[str, Any] = lake.glue.get_crawler(Name="reviews")["Crawler"]
    return found


def make_crawler(lake: EmulatedLake, record: str, run_task: Any) -> None:
    """Make the crawler by a run of the task, which leaves a crawl behind."""
    run_task(crawling(record, deferrable=False), task_context())


def test_a_crawler_is_made_and_its_crawl_puts_the_snapshot_into_the_catalog(
    lake: EmulatedLake, record: str, run_task: Any, deferrable: bool
) -> None:
    """Table, columns and partition are there, the records' folder is not taken for data, and XCom has the metrics."""
    context = task_context()
    figures = run_task(crawling(record, deferrable=deferrable), context)
    assert bool(run_task.deferrals) is deferrable
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["crawler"], figures["started_by_us"], figures["tables_created"]) == ("reviews", True, 1)
    assert datetime.fromisoformat(figures["started_at"]) <= datetime.now(UTC)
    assert [table["Name"] for table in lake.glue.get_tables(DatabaseName=DATABASE)["TableList"]] == ["reviews"]
    assert len(lake.partitions()) == 1
    assert lake.query("SELECT count(*) FROM reviews") == [["2"]]
    assert context["ti"].xcoms["_ddbexport_crawler"]["crawler_name"] == "reviews"


def test_a_crawl_under_way_is_waited_out_and_another_started(
    *, lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool, at_first_pause: Any
) -> None:
    """A crawl that somebody began before publication ends first; the one that counts started after it."""
    make_crawler(lake, record, run_task)
    aws.configure(crawl_seconds=3600)
    lake.glue.start_crawler(Name="reviews")
    assert crawler(lake)["State"] == "RUNNING"
    record = next_snapshot(lake)
    published = datetime.now(UTC)
    at_first_pause(lambda: aws.configure(crawl_seconds=0.1))
    figures = run_task(crawling(record, deferrable=deferrable), task_context())
    assert (figures["started_by_us"], figures["waited_out"]) == (True, 1)
    assert datetime.fromisoformat(figures["started_at"]) > published
    assert len(lake.partitions()) == 2


def test_a_concurrent_starters_crawl_counts(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """Two tasks at once both succeed, and neither fails with CrawlerRunningException."""
    aws.configure(crawl_seconds=0.5)
    outcomes: list[Any] = []
    other = threading.Thread(target=lambda: outcomes.append(crawling(record, deferrable=False).execute(task_context())))
    other.start()
    try:
        outcomes.append(run_task(crawling(record, deferrable=deferrable), task_context()))
    finally:
        other.join(timeout=600)
    assert len(outcomes) == 2
    assert len(lake.partitions()) == 1


def test_the_wait_ends_at_the_deadline_and_leaves_it_to_the_retries(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """Patience shorter than the crawl ends as a DeadlineError either way; the crawl goes on."""
    aws.configure(crawl_seconds=3600)
    with pytest.raises(DeadlineError, match="patience_s"):
        run_task(crawling(record, patience_s=0.5, deferrable=deferrable), task_context())
    assert crawler(lake)["State"] == "RUNNING"


def test_a_crawl_that_is_stopped_fails_the_try(
    *, lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool, at_first_pause: Any
) -> None:
    """The try fails with the crawl's status, is left to the retries, and the next try succeeds."""
    make_crawler(lake, record, run_task)
    aws.configure(crawl_seconds=3600)
    record = next_snapshot(lake)

    def stop() -> None:
        lake.glue.stop_crawler(Name="reviews")
        aws.configure(crawl_seconds=0.1)

    at_first_pause(stop)
    with pytest.raises(CrawlFailedError, match="CANCELLED"):
        run_task(crawling(record, deferrable=deferrable), task_context())
    assert run_task(crawling(record, deferrable=deferrable), task_context())["started_by_us"] is True


def test_a_throttled_service_is_waited_out(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """A refused look or start is repeated and no failure."""
    make_crawler(lake, record, run_task)
    aws.fail_next("StartCrawler", "OperationTimeoutException", "slow")
    record = next_snapshot(lake)
    run_task(crawling(record, deferrable=deferrable), task_context())
    assert len(lake.partitions()) == 2


def test_another_role_updates_the_crawler_and_nothing_else_does(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any
) -> None:
    """The configuration is brought up to date where it differs; an unchanged one is not touched."""
    make_crawler(lake, record, run_task)
    version = crawler(lake).get("Version")
    assert crawler(lake)["Targets"]["S3Targets"][0]["Path"] == f"{LAKE}/reviews/"
    assert crawler(lake)["Targets"]["S3Targets"][0]["Exclusions"] == [
        "_snapshots/**",
        "_schemas/**",
        "_conversions/**",
        "_chains/**",
    ]
    run_task(crawling(record), task_context())
    assert crawler(lake).get("Version") == version
    run_task(crawling(record, role="another", config={"Description": "ours"}), task_context())
    assert (crawler(lake)["Role"], crawler(lake)["Description"]) == ("another", "ours")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"role": None}, "needs role="),
        ({"database": None}, "needs the database"),
        ({"record": "s3://lakes/lake/reviews"}, "address of a commit record"),
    ],
)
def test_a_wrong_call_fails_at_once(record: str, arguments: dict[str, Any], message: str) -> None:
    """What no retry can mend is an AirflowFailException, before anything is asked of AWS."""
    with pytest.raises(AirflowFailException, match=message):
        crawling(**{"record": record, **arguments}).execute(task_context())


def test_a_crawler_that_is_not_there_fails_at_once(record: str, run_task: Any, deferrable: bool) -> None:
    """Found by whoever looks first, worker or triggerer, it ends the task alike."""
    with pytest.raises(AirflowFailException, match="there is no crawler reviews"):
        run_task(crawling(record, create=False, deferrable=deferrable), task_context())


def test_a_denied_call_fails_at_once(
    lake: EmulatedLake, record: str, run_task: Any, aws: Any, deferrable: bool
) -> None:
    """Missing permissions are named with the call, and not retried."""
    make_crawler(lake, record, run_task)
    aws.fail_next("GetCrawlerMetrics", "AccessDeniedException", "not authorized to perform glue:GetCrawlerMetrics")
    with pytest.raises(AirflowFailException, match="glue:GetCrawlerMetrics"):
        run_task(crawling(next_snapshot(lake), deferrable=deferrable), task_context())


def test_a_snapshot_that_is_not_published_is_left_to_the_retries(lake: EmulatedLake, record: str) -> None:
    """Its commit record may come; until then there is nothing to crawl."""
    missing = f"s3://{BUCKET}/lake/reviews/_snapshots/20200101T000000Z.json"
    with pytest.raises(SnapshotNotFoundError, match="2020-01-01T00:00:00Z"):
        crawling(missing).execute(task_context())


def test_the_trigger_survives_serialisation(rebuilt: Any) -> None:
    """A triggerer makes the same trigger of what was serialised, with every AWS argument."""
    trigger = SnapshotCrawlTrigger(
        crawler_name="reviews",
        counts_from="2026-01-14T10:18:55+00:00",
        configuration={"Name": "reviews", "Targets": {"S3Targets": [{"Path": "s3://b/t/"}]}},
        deadline="2026-01-14T12:00:00+00:00",
        poll_interval_s=3.5,
        aws_conn_id="other",
        region_name="eu-west-1",
        verify=False,
        botocore_config={"read_timeout": 5},
    )
    again = rebuilt(trigger)
    assert type(again) is SnapshotCrawlTrigger
    assert again.serialize() == trigger.serialize()
    assert again.hook().region_name == "eu-west-1"
    assert again.hook().verify is False


def test_every_aws_argument_reaches_the_trigger(lake: EmulatedLake, record: str) -> None:
    """The deferred half talks to AWS as the first half did."""
    from airflow_provider_ddbexport.airflow_exceptions import TaskDeferred

    operator = crawling(
        record, deferrable=True, region_name="us-east-1", verify=False, botocore_config={"read_timeout": 7}
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(task_context())
    fields = deferred.value.trigger.serialize()[1]
    assert (fields["region_name"], fields["verify"], fields["botocore_config"]) == (
        "us-east-1",
        False,
        {"read_timeout": 7},
    )
    assert fields["aws_conn_id"] == "aws_default"
