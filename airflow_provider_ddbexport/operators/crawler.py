"""Crawling a snapshot into the Glue Catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.glue_crawler import GlueCrawlerHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.assets import snapshot_figures, tell_outlets
from airflow_provider_ddbexport.core.conversation import Patience, converse
from airflow_provider_ddbexport.core.crawl.configuration import (
    Change,
    crawler_configuration,
    ensure_crawler,
    update_arguments,
)
from airflow_provider_ddbexport.core.crawl.watch import CLOCK_SKEW, CrawlWatch, crawl_after
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.links.console import GlueCrawlerLink
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.triggers.conversation import outcome_of
from airflow_provider_ddbexport.triggers.crawl import SnapshotCrawlTrigger
from airflow_provider_ddbexport.triggers.waiting import TRIGGER_GRACE

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.published import Published


class GlueSnapshotCrawlerOperator(AwsBaseOperator[GlueCrawlerHook]):
    """Returns when a crawl that started after the snapshot was published has ended well.

    A crawl that was under way at publication may have missed the snapshot: it is waited out and another one started.
    A crawl somebody else started after publication counts. With ``create``, the crawler is made, or brought up to date
    first, and only a crawl with that configuration counts. Trying again starts at most one more crawl.

    The other way, without a crawler, is ``database=`` of :class:`.DynamoDBExportToParquetOperator`; it is faster, free,
    and keeps snapshots in the making out of the catalog. Where it is used, do not crawl the same table.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the snapshot's figures.

    XCom: ``crawler``, ``started_at``, ``started_by_us``, ``waited_out`` (crawls that did not count), ``runtime_s``,
    ``median_runtime_s``, ``tables_created``, ``tables_updated``, ``tables_deleted``.

    :param crawler_name: the crawler. (templated)
    :param record: address of the snapshot's commit record; the conversion's XCom has it under ``record``. (templated)
    :param create: make the crawler when absent, and update it where it differs.
    :param role: name or ARN of the IAM role the crawler reads the lake with; needed with ``create``. (templated)
    :param database: database of the Glue Catalog the crawler writes to; needed with ``create``. (templated)
    :param config: further arguments of CreateCrawler, or others than this package's, with ``create``. (templated)
    :param poll_interval_s: seconds between two looks at the crawler.
    :param patience_s: seconds to wait, per try; a crawl that runs goes on after that.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the crawler. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = GlueCrawlerHook
    template_fields: Sequence[str] = aws_template_fields("crawler_name", "record", "role", "database", "config")
    operator_extra_links = (GlueCrawlerLink(),)
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        crawler_name: str,
        record: str,
        create: bool = False,
        role: str | None = None,
        database: str | None = None,
        config: Mapping[str, Any] | None = None,
        poll_interval_s: float = 10.0,
        patience_s: float = 2 * 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.crawler_name = crawler_name
        self.record = record
        self.create = create
        self.role = role
        self.database = database
        self.config = config
        self.poll_interval_s = poll_interval_s
        self.patience_s = patience_s
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the figures of the crawl that counts, or defer until there is one."""
        with permanent_errors_fail(self):
            published = self._published()
            GlueCrawlerLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                crawler_name=self.crawler_name,
            )
            counts_from: datetime | None = published.record.published_at + CLOCK_SKEW
            pending: dict[str, Any] | None = None
            if self.create:
                configuration = self._configuration(published)
                change = ensure_crawler(self.hook.conn, configuration)
                if change is not Change.NONE:
                    self.log.info("Crawler %s: configuration %s", self.crawler_name, change)
                    counts_from = None
                if change is Change.PENDING:
                    pending = update_arguments(configuration)
            until = datetime.now(UTC) + timedelta(seconds=self.patience_s)
            if self.deferrable:
                self._defer(counts_from, pending, until)
            watch = CrawlWatch(self.crawler_name, counts_from)
            conversation = crawl_after(watch, Patience(until, self.poll_interval_s), configuration=pending)
            return self._finish(context, published, converse(conversation, self.hook.conn))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the figures of the crawl the trigger waited for, or raise what ended the wait."""
        with permanent_errors_fail(self):
            figures = outcome_of(validate_execute_complete_event(event))
            return self._finish(context, self._published(), figures)

    def _published(self) -> Published:
        from airflow_provider_ddbexport.core.snapshot.published import find_published

        return find_published(self.record, s3=S3Hook(**self._hook_parameters).conn)

    def _configuration(self, published: Published) -> dict[str, Any]:
        if not self.database:
            raise BadCallError("database: creating a crawler needs the database it writes to")
        return crawler_configuration(
            crawler=self.crawler_name,
            role=self.role,
            database=self.database,
            table_location=f"{published.table_uri}/",
            more=self.config,
        )

    def _defer(self, counts_from: datetime | None, configuration: dict[str, Any] | None, until: datetime) -> None:
        self.defer(
            trigger=SnapshotCrawlTrigger(
                crawler_name=self.crawler_name,
                counts_from=None if counts_from is None else counts_from.isoformat(),
                configuration=configuration,
                deadline=until.isoformat(),
                poll_interval_s=self.poll_interval_s,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.patience_s) + TRIGGER_GRACE,
        )

    def _finish(self, context: Context, published: Published, figures: dict[str, Any]) -> dict[str, Any]:
        self.log.info("Crawled: %s", figures)
        tell_outlets(context, self.outlets or (), snapshot_figures(published.record, self.record))
        return figures
