"""What Airflow's provider manager reads at start-up."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_provider_ddbexport"
_INTEGRATION = "DynamoDB export"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, valid against ``airflow/provider_info.schema.json``.

    There is no connection type of its own: operators use connections of the amazon provider's type ``aws``.
    """
    return {
        "package-name": "airflow-provider-ddbexport",
        "name": "DynamoDB export",
        "description": "Turns DynamoDB tables into verified, queryable Parquet snapshots.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": (
                    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html"
                ),
                "tags": ["aws"],
            }
        ],
        "operators": _modules(
            "operators.export",
            "operators.incremental_export",
            "operators.point_in_time_recovery",
            "operators.scan_backup",
            "operators.scan_shards",
            "operators.scan_to_parquet",
            "operators.scan_to_parquet_shards",
            "operators.convert_shards",
            "operators.to_parquet",
            "operators.chain",
            "operators.merge",
            "operators.merge_shards",
            "operators.register",
            "operators.crawler",
            "operators.athena_check",
            "operators.snapshot_diff",
        ),
        "sensors": _modules("sensors.backfill_time", "sensors.export", "sensors.restorable_time", "sensors.snapshot"),
        "hooks": _modules("hooks.dynamodb"),
        "triggers": _modules(
            "triggers.export",
            "triggers.restorable_time",
            "triggers.turn",
            "triggers.snapshot",
            "triggers.crawl",
            "triggers.athena_queries",
        ),
        "extra-links": [
            f"{_PACKAGE}.links.console.DynamoDBExportLink",
            f"{_PACKAGE}.links.console.GlueCrawlerLink",
            f"{_PACKAGE}.links.console.AthenaQueryLink",
        ],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}]
