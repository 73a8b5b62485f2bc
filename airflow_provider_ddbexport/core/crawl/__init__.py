"""Glue crawlers: made as asked, and crawls that started after a snapshot was published."""

from airflow_provider_ddbexport.core.crawl.configuration import (
    Change,
    crawler_configuration,
    ensure_crawler,
    update_arguments,
)
from airflow_provider_ddbexport.core.crawl.watch import CLOCK_SKEW, CrawlWatch, crawl_after

__all__ = [
    "Change",
    "crawler_configuration",
    "ensure_crawler",
    "update_arguments",
    "CLOCK_SKEW",
    "CrawlWatch",
    "crawl_after",
]
