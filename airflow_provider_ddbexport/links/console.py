"""Buttons of a task that lead to the AWS console.

Each is persisted as soon as there is something to look at, before any waiting::

    DynamoDBExportLink.persist(
        context=context,
        operator=self,
        region_name=self.hook.conn_region_name,
        aws_partition=self.hook.conn_partition,
        table_name="Reviews",
    )
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink
from airflow.sdk import BaseOperator, Context


class _ConsoleLink(BaseAwsLink):
    """Escapes what it is given: names and ARNs hold characters that mean something in a URL."""

    def format_link(self, **kwargs: Any) -> str:
        """Return the URL; empty where a value is missing or the partition has no console."""
        if not kwargs.get("aws_domain"):
            return ""
        url: str = super().format_link(**{name: quote(str(value), safe=".-_") for name, value in kwargs.items()})
        return url

    @classmethod
    def persist(
        cls, context: Context, operator: BaseOperator, region_name: str, aws_partition: str, **kwargs: Any
    ) -> None:
        """Keep what the link is made of. Amazon's older providers do it by a method that sensors do not have."""
        if operator.do_xcom_push:
            made_of = {"region_name": region_name, "aws_domain": cls.get_aws_domain(aws_partition), **kwargs}
            context["ti"].xcom_push(key=cls.key, value=made_of)


class DynamoDBExportLink(_ConsoleLink):
    """The table's page that lists its exports. Give ``table_name``; ``export_arn`` is kept beside it."""

    name = "DynamoDB Exports"
    key = "_ddbexport_export"
    format_str = (
        BASE_AWS_CONSOLE_LINK + "/dynamodbv2/home?region={region_name}"
        "#table?initialTagKey=&name={table_name}&tab=streams"
    )


class GlueCrawlerLink(_ConsoleLink):
    """The crawler and its runs. Give ``crawler_name``."""

    name = "Glue Crawler"
    key = "_ddbexport_crawler"
    format_str = BASE_AWS_CONSOLE_LINK + "/glue/home?region={region_name}#/v2/data-catalog/crawlers/view/{crawler_name}"


class AthenaQueryLink(_ConsoleLink):
    """One query in Athena's editor. Give ``query_execution_id``."""

    name = "Athena Query"
    key = "_ddbexport_query"
    format_str = BASE_AWS_CONSOLE_LINK + "/athena/home?region={region_name}#/query-editor/history/{query_execution_id}"
