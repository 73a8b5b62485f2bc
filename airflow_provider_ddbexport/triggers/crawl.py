"""Crawling a snapshot from the triggerer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.amazon.aws.hooks.glue_crawler import GlueCrawlerHook

from airflow_provider_ddbexport.core.conversation import Conversation, Patience
from airflow_provider_ddbexport.core.crawl.watch import CrawlWatch, crawl_after
from airflow_provider_ddbexport.triggers.conversation import ConversationTrigger


class SnapshotCrawlTrigger(ConversationTrigger):
    """Fires when a crawl that counts has ended well, starting one where there is none.

    :param crawler_name: the crawler.
    :param counts_from: ISO 8601 text; a crawl counts that started then or later. None: only one begun from now on.
    :param configuration: UpdateCrawler's arguments, where the crawler was running and has to be updated first.
    """

    aws_hook_class = GlueCrawlerHook

    def __init__(
        self,
        *,
        crawler_name: str,
        counts_from: str | None,
        configuration: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.crawler_name = crawler_name
        self.counts_from = counts_from
        self.configuration = configuration

    def own_fields(self) -> dict[str, Any]:
        """Return what tells a crawl that counts."""
        return {
            "crawler_name": self.crawler_name,
            "counts_from": self.counts_from,
            "configuration": self.configuration,
        }

    def conversation(self, patience: Patience) -> Conversation[dict[str, Any]]:
        """Return the conversation that ends with a crawl's figures."""
        counts_from = datetime.fromisoformat(self.counts_from) if self.counts_from else None
        return crawl_after(CrawlWatch(self.crawler_name, counts_from), patience, configuration=self.configuration)
