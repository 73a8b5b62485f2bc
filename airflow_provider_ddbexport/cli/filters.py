"""Whether the increments that a command is given were exported with a filter."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_provider_ddbexport.cli.show import counted
from airflow_provider_ddbexport.cli.stores import StoreSettings
from airflow_provider_ddbexport.errors import ServiceError


class Filters:
    """Asks DynamoDB whether exports have a filter; where it does not answer, the command goes on and it is told."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._asked = 0
        self._clients: dict[str, Any] = {}
        self.not_known: dict[str, str] = {}

    def __call__(self, export_arn: str) -> bool:
        from airflow_provider_ddbexport.core.exporting.point_in_time import is_filtered

        self._asked += 1
        region = export_arn.split(":")[3]
        try:
            if region not in self._clients:
                settings = dataclasses.replace(self._settings, region=region)
                self._clients[region] = settings.dynamodb(is_optional=True)
            return is_filtered(self._clients[region], export_arn)
        except ServiceError as error:
            self.not_known[export_arn] = str(error)
            return False

    @property
    def told(self) -> str:
        """What is known, for people."""
        if self.not_known:
            reason = next(iter(self.not_known.values()))
            return f"not known of {len(self.not_known):,} of {counted(self._asked, 'export')}: {reason}"
        return "none that DynamoDB knows of" if self._asked else "not asked for: the exports do not lie in S3"
