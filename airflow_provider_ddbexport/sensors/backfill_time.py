"""Letting those runs of a backfill through that there is something to do for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.airflow_exceptions import AirflowSkipException
from airflow_provider_ddbexport.core.exporting.request import export_instant
from airflow_provider_ddbexport.core.exporting.restorable_window import (
    RestorableWindow,
    outside_window,
    table_name_of,
)
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.table_folder import check_table, table_folder
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import RestorableWindowError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.export import RUN_INSTANT
from airflow_provider_ddbexport.operators.out_of_window import OutOfWindow, gone_times
from airflow_provider_ddbexport.sensors.waking import WakingSensor
from airflow_provider_ddbexport.triggers.restorable_time import DynamoDBRestorableTimeTrigger

if TYPE_CHECKING:
    from airflow_provider_ddbexport.core.history import PlannedTime, TimeState
    from airflow_provider_ddbexport.core.snapshot import CommitRecord


class DynamoDBBackfillTimeSensor(WakingSensor[DynamoDBExportHook]):
    """Lets a run through whose time has to be exported and can be; waits where the window has yet to reach it.

    Is skipped, and with it what comes after, where a snapshot of the time is published. Fails at once, or is skipped
    (*out_of_window*), where the time's history is gone; the message has the restorable window. The window is read now:
    what could be restored when the backfill was created may be gone. Nothing is billed for asking.

    XCom: ``export_time``, ``state`` (``RESTORABLE``, ``REACHABLE`` by exports that are there, ``PUBLISHED`` where only
    the registration is missing), ``record`` (where PUBLISHED: the address of the commit record), ``earliest`` and
    ``latest`` (the window; None where PUBLISHED), ``full`` and ``increments`` (where REACHABLE: the addresses of those
    exports; without a full one, None, the increments follow a published snapshot).

    :param table_name: the DynamoDB table's name or ARN. (templated)
    :param lake: where snapshots are published, ``s3://`` or a path. (templated)
    :param table: folder of the table in the lake; made from the DynamoDB table's name by default. (templated)
    :param database: database of the Glue Catalog; with it, what is published but not registered is let through, so that
        a run that was interrupted in between is finished. (templated)
    :param catalog_id: account of the Glue Catalog, if it is not the caller's. (templated)
    :param export_time: ISO 8601 text with an offset, or an aware datetime; the run's logical date by default, or its
        ``run_after`` where it has none. (templated)
    :param out_of_window: ``fail`` or ``skip``.
    :param exports_in: only exports in this ``s3://`` folder count as those that are there; all of the table's by
        default. (templated)
    :param with_increments: a time out of the window may be reached by a full export and the increments after it, for
        DAGs that merge them; otherwise only by a full export of the very time.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    aws_hook_class = DynamoDBExportHook
    template_fields: Sequence[str] = aws_template_fields(
        "table_name", "lake", "table", "database", "catalog_id", "export_time", "exports_in"
    )

    def __init__(
        self,
        *,
        table_name: str,
        lake: str,
        table: str | None = None,
        database: str | None = None,
        catalog_id: str | None = None,
        export_time: str | datetime = RUN_INSTANT,
        out_of_window: OutOfWindow = "fail",
        exports_in: str | None = None,
        with_increments: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table_name = table_name
        self.lake = lake
        self.table = table
        self.database = database
        self.catalog_id = catalog_id
        self.export_time = export_time
        self.out_of_window = out_of_window
        self.exports_in = exports_in
        self.with_increments = with_increments

    def look(self) -> dict[str, Any] | None:
        """Return how the time can be had. Raises AirflowSkipException, RestorableWindowError."""
        from airflow_provider_ddbexport.core.history import TimeState, plan_time
        from airflow_provider_ddbexport.core.snapshot import Ledger, layout

        with gone_times(self.out_of_window):
            moment = export_instant(self.export_time)
            table = check_table(self.table) if self.table else table_folder(table_name_of(self.table_name))
            s3 = S3Hook(**self._hook_parameters).conn if self.lake.startswith("s3://") else None
            store = open_store(self.lake, s3=s3).child(table)
            ledger = Ledger(store)
            if record := ledger.get(moment):
                uri = store.uri_of(layout.record_key(moment))
                if self._is_whole(record):
                    raise AirflowSkipException(f"{table} as of {iso(moment)} is published: {uri}")
                return _found(moment, TimeState.PUBLISHED, record=uri)
            plan = plan_time(self.hook.conn, self.table_name, moment, ledger=ledger, exports_in=self.exports_in or None)
            return self._way(plan.history.window, plan.times[0])

    def trigger(self, **waiting: Any) -> DynamoDBRestorableTimeTrigger:
        """Return the trigger that waits for the window."""
        return DynamoDBRestorableTimeTrigger(
            table_name=self.table_name,
            export_time=iso(export_instant(self.export_time)),
            poll_interval_s=self.poke_interval,
            **waiting,
        )

    def _is_whole(self, record: CommitRecord) -> bool:
        from airflow_provider_ddbexport.core.catalog.register import is_registered

        if not self.database:
            return True
        glue = AwsBaseHook(client_type="glue", **self._hook_parameters).conn
        if is_registered(glue, record, database=self.database, catalog_id=self.catalog_id or None):
            return True
        self.log.info("%s as of %s is published, but not in %s", record.table, iso(record.as_of), self.database)
        return False

    def _way(self, window: RestorableWindow, planned: PlannedTime) -> dict[str, Any] | None:
        from airflow_provider_ddbexport.core.history import TimeState

        if planned.state is TimeState.NOT_YET:
            return None
        steps = planned.least or ()
        is_merge = any(step.from_time is not None for step in steps)
        sources = [step.known.source for step in steps if step.known]
        if planned.state is TimeState.OUT_OF_WINDOW or (is_merge and not self.with_increments):
            gone = outside_window(planned.time, window, what=f"table {self.table_name}")
            if not is_merge:
                raise gone
            raise RestorableWindowError(
                f"{gone}; but {', '.join(sources)} lead there: "
                "merge them, in a DAG that does, with with_increments=True",
                **gone.context,
            )
        return _found(
            planned.time,
            planned.state,
            earliest=window.earliest and iso(window.earliest),
            latest=window.latest and iso(window.latest),
            full=next((step.known.source for step in steps if step.known and step.from_time is None), None),
            increments=[step.known.source for step in steps if step.known and step.from_time is not None],
        )


def _found(time: datetime, state: TimeState, **known: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"record": None, "earliest": None, "latest": None, "full": None, "increments": []}
    return {"export_time": iso(time), "state": state.value, **nothing, **known}
