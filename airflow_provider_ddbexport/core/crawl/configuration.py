"""A crawler that reads one table of the lake, made or brought up to date.

A crawler registers what it finds, and it cannot tell the folder of a snapshot in the making from a published one:
where several snapshots of a table are converted at a time, registering them (``database=`` of the conversion) is what
keeps half of one out of the catalog.

Needs glue:GetCrawler, CreateCrawler, UpdateCrawler, and iam:PassRole for the crawler's role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from airflow_provider_ddbexport.core.answers import says
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.errors import BadCallError


class Change(StrEnum):
    """What it took to give the crawler its configuration."""

    NONE = "none"
    """It had it already."""
    MADE = "made"
    """It was created or updated: a crawl before that does not count."""
    PENDING = "pending"
    """It is running: the update must wait for its end."""


def crawler_configuration(
    *,
    crawler: str,
    role: str | None,
    database: str,
    table_location: str,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return CreateCrawler's arguments for the table's folder ``s3://…/<table>/``.

    What is no part is left out, columns only grow, partitions inherit the table's types, and what
    disappears is logged, not deleted. *more* overrides any of it. Raises BadCallError without a role.
    """
    # Airflow imports this module whenever it parses a DAG, and should not have to import pyarrow.
    from airflow_provider_ddbexport.core.snapshot.layout import FOLDERS_WITHOUT_PARTS

    exclusions = [f"{folder}/**" for folder in FOLDERS_WITHOUT_PARTS]
    configuration = {
        "Name": crawler,
        "Role": role,
        "DatabaseName": database,
        "Description": "Snapshots of a DynamoDB table, by airflow-provider-ddbexport",
        "Targets": {"S3Targets": [{"Path": table_location, "Exclusions": exclusions}]},
        "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"},
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
        "Configuration": json.dumps(
            {
                "Version": 1.0,
                "CrawlerOutput": {
                    "Partitions": {"AddOrUpdateBehavior": "InheritFromTable"},
                    "Tables": {"AddOrUpdateBehavior": "MergeNewColumns"},
                },
                "Grouping": {"TableGroupingPolicy": "CombineCompatibleSchemas"},
            }
        ),
        **(more or {}),
    }
    if not configuration["Role"]:
        raise BadCallError(f"crawler {crawler}: creating it needs role=, the IAM role it reads the lake with")
    return configuration


def ensure_crawler(glue: Any, configuration: dict[str, Any]) -> Change:
    """Make the crawler exist with *configuration*, unless it runs; repeating it changes nothing."""
    name = configuration["Name"]
    running = glue.exceptions.CrawlerRunningException
    with service_errors(f"creating or updating crawler {name}"):
        try:
            current = glue.get_crawler(Name=name)["Crawler"]
        except glue.exceptions.EntityNotFoundException:
            try:
                glue.create_crawler(**configuration)
                return Change.MADE
            except glue.exceptions.AlreadyExistsException:
                current = glue.get_crawler(Name=name)["Crawler"]  # somebody made it in between
        wanted = update_arguments(configuration)
        if all(_has(name, current.get(name), value) for name, value in wanted.items()):
            return Change.NONE
        if current["State"] != "READY":
            return Change.PENDING
        try:
            glue.update_crawler(**wanted)
        except running:
            return Change.PENDING
        return Change.MADE


def update_arguments(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return UpdateCrawler's arguments: CreateCrawler's without the tags, which it does not take."""
    return {name: value for name, value in configuration.items() if name != "Tags"}


def _has(name: str, found: Any, wanted: Any) -> bool:
    """Whether the crawler read from Glue has what we would send: it answers in other shapes than it takes."""
    if name == "Role":
        # GetCrawler answers with the role's name, whether it was given as a name or as an ARN.
        return str(found or "").rpartition("/")[2] == str(wanted).rpartition("/")[2]
    if name == "Schedule" and isinstance(found, Mapping):
        return bool(found.get("ScheduleExpression", "") == wanted)
    if name == "Configuration":
        return bool(found) and json.loads(found) == json.loads(wanted)
    return says(found, wanted)
