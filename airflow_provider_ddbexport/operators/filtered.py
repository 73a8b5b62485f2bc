"""Asking DynamoDB whether increments that a task is given were exported with a filter."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_ddbexport.errors import AccessError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook

_log = logging.getLogger(__name__)


def filter_finder(hook_parameters: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return what tells of an ARN whether the export is known to have a filter.

    The export's own region is asked, by one client for all that are in it: making one takes longer than the answer.
    """

    @functools.cache
    def hook_of(region: str) -> DynamoDBExportHook:
        return DynamoDBExportHook(**{**hook_parameters, "region_name": region or hook_parameters.get("region_name")})

    def is_filtered(export_arn: str) -> bool:
        try:
            return hook_of(export_arn.split(":")[3]).is_filtered(export_arn)
        except AccessError as error:
            # An account that reads what another one exports need not be allowed to ask.
            _log.warning("Whether the export was filtered is not known: %s", error)
            return False

    return is_filtered
