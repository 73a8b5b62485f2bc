"""Buttons lead to the page of the AWS console that shows what the task did."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_ddbexport.links.console import AthenaQueryLink, DynamoDBExportLink, GlueCrawlerLink


@pytest.mark.parametrize(
    ("link", "value", "expected"),
    [
        (
            DynamoDBExportLink(),
            {"table_name": "Reviews"},
            "https://console.aws.amazon.com/dynamodbv2/home?region=eu-west-1#table?initialTagKey=&name=Reviews&tab=streams",
        ),
        (
            GlueCrawlerLink(),
            {"crawler_name": "my crawler/1"},
            "https://console.aws.amazon.com/glue/home?region=eu-west-1#/v2/data-catalog/crawlers/view/my%20crawler%2F1",
        ),
        (
            AthenaQueryLink(),
            {"query_execution_id": "1-2"},
            "https://console.aws.amazon.com/athena/home?region=eu-west-1#/query-editor/history/1-2",
        ),
    ],
)
def test_a_link_leads_to_its_page(link: Any, value: dict[str, str], expected: str) -> None:
    """Names are escaped, the region is the task's."""
    assert link.format_link(region_name="eu-west-1", aws_domain=link.get_aws_domain("aws"), **value) == expected


def test_a_partition_without_a_known_console_has_no_link() -> None:
    """Rather an empty link than a wrong one."""
    assert AthenaQueryLink().format_link(region_name="x", aws_domain=None, query_execution_id="1") == ""


def test_a_link_without_its_value_is_empty() -> None:
    """A task that failed before it had anything to show has no page."""
    assert AthenaQueryLink().format_link(region_name="x", aws_domain="aws.amazon.com") == ""
