"""What an export task remembers from one try to the next, where Airflow has a task state store (3.3 and later)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, cast

from airflow_provider_ddbexport.core.exporting.request import ExportRequest

RETENTION = timedelta(days=90)
"""How long DynamoDB can say of an export what it is of; after that nothing could be done with its ARN."""

_log = logging.getLogger(__name__)


class TaskStateStore:
    """Remembers exports in the task state store of *context*; nothing where the running Airflow has none.

    One entry for each request, of this task instance alone: a retry, a cleared task and a resumed one find it, another
    run does not. A store that fails is logged, and the task goes on without it.
    """

    def __init__(self, context: Any) -> None:
        # The context of an earlier Airflow has no such member, and its SDK no such type.
        self._store: Any = context.get("task_state_store")

    def export_of(self, request: ExportRequest) -> str | None:
        """Return the ARN that an earlier try noted for *request*, None if there is none."""
        if self._store is None:
            return None
        try:
            noted = self._store.get(_key(request))
        except Exception as error:  # noqa: BLE001 - any backend may be behind it, and none may stop an export
            _log.warning("what earlier tries noted in the task state store cannot be read: %s", error)
            return None
        if not isinstance(noted, dict) or noted.get("request") != request.facts():
            return None
        return cast("str | None", noted.get("export_arn"))

    def remember(self, request: ExportRequest, export_arn: str) -> None:
        """Note the ARN, and what was asked for, which holds no value of an item."""
        if self._store is None:
            return
        try:
            noted = {"export_arn": export_arn, "request": request.facts()}
            self._store.set(_key(request), noted, retention=RETENTION)
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("export %s cannot be noted in the task state store: %s", export_arn, error)


def _key(request: ExportRequest) -> str:
    return f"ddbexport-{request.digest()[:16]}"
