"""Asking DynamoDB whether increments that a task is given were exported with a filter."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_ddbexport.errors import AccessError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook

_log = logging.getLogger(__name__)


def is_filtered(hook_parameters: Mapping[str, Any], export_arn: str) -> bool:
    """Return whether the export is known to have a filter; its own region is asked."""
    region = export_arn.split(":")[3] or hook_parameters.get("region_name")
    try:
        return DynamoDBExportHook(**{**hook_parameters, "region_name": region}).is_filtered(export_arn)
    except AccessError as error:
        # An account that reads what another one exports need not be allowed to ask.
        _log.warning("Whether the export was filtered is not known: %s", error)
        return False
