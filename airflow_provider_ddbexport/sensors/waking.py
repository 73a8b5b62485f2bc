"""Sensors that end alike whether a worker or the triggerer does the waiting."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import AwsHookType
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import PokeReturnValue
from airflow.triggers.base import BaseTrigger

from airflow_provider_ddbexport.airflow_exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_provider_ddbexport.core.service import is_transient
from airflow_provider_ddbexport.errors import BadCallError, DdbExportError, ServiceError
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.triggers.waiting import TRIGGER_GRACE

if TYPE_CHECKING:
    from airflow.sdk import Context


class WakingSensor(AwsBaseSensor[AwsHookType]):
    """A sensor whose trigger only wakes it: what it finds, it finds by :meth:`look`, deferred or not.

    ``poke_interval``, ``timeout``, ``soft_fail``, ``never_fail`` and ``silent_fail`` mean the same both ways.

    :param deferrable: wait in the triggerer, holding no worker.
    """

    def __init__(
        self,
        *,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        if deferrable and self.poke_interval <= 0:
            raise BadCallError("poke_interval: expected more than 0 seconds of a sensor that is deferrable, found 0")

    @abstractmethod
    def look(self) -> dict[str, Any] | None:
        """Return what goes to XCom if it is there, None if it is not yet. Raises the package's errors."""

    @abstractmethod
    def trigger(self, **waiting: Any) -> BaseTrigger:
        """Return the trigger that waits; *waiting* are its arguments about connection, interval and deadline."""

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's
        """Look once. An error that will pass counts as not yet, one that will not fails the task at once."""
        try:
            with permanent_errors_fail(self):
                found = self.look()
        except ServiceError as error:
            if not is_transient(error):
                raise
            self.log.warning("looking again: %s", error)
            found = None
        return PokeReturnValue(is_done=found is not None, xcom_value=found)

    def execute(self, context: Context) -> Any:
        """Return what was waited for, or defer until it is there."""
        if not self.deferrable:
            return super().execute(context)
        return self._look_or_defer(context, datetime.now(UTC) + timedelta(seconds=self.timeout))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, *, deadline: str) -> Any:
        """Look again. The event only says why the trigger fired."""
        woken = validate_execute_complete_event(event)
        if woken["status"] == "error":
            found = self._poke_deferred(context)
            if found:
                return found.xcom_value
            self._tolerate(
                ServiceError(f"{self.task_id}: the triggerer could not wait: {woken.get('message', 'no message')}")
            )
            # A trigger looks as soon as it starts: without a pause, it and the worker would take turns without end.
            return self.defer(
                trigger=TimeDeltaTrigger(timedelta(seconds=self.poke_interval)),
                method_name="execute_again",
                kwargs={"deadline": deadline},
                timeout=timedelta(seconds=self.poke_interval) + TRIGGER_GRACE,
            )
        return self._look_or_defer(context, datetime.fromisoformat(deadline))

    def execute_again(self, context: Context, event: Any = None, *, deadline: str) -> Any:  # noqa: ARG002 - Airflow's
        """Look again, after a pause."""
        return self._look_or_defer(context, datetime.fromisoformat(deadline))

    def _look_or_defer(self, context: Context, deadline: datetime) -> Any:
        found = self._poke_deferred(context)
        if found:
            return found.xcom_value
        remaining = deadline - datetime.now(UTC)
        if remaining <= timedelta(0):
            message = f"Sensor has timed out; it waited {self.timeout} seconds"
            raise AirflowSkipException(message) if self.soft_fail else AirflowSensorTimeout(message)
        return self.defer(
            trigger=self.trigger(
                deadline=deadline.isoformat(),
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            kwargs={"deadline": deadline.isoformat()},
            timeout=remaining + TRIGGER_GRACE,
        )

    def _poke_deferred(self, context: Context) -> PokeReturnValue:
        """Poke as BaseSensorOperator.execute does, which a deferred sensor never enters."""
        try:
            return self.poke(context)
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        except DdbExportError as error:
            self._tolerate(error)
            return PokeReturnValue(is_done=False)

    def _tolerate(self, error: DdbExportError) -> None:
        """Log *error* where it counts as not yet; otherwise skip the task, or fail it."""
        if self.silent_fail:
            self.log.error("looking again", exc_info=error)
        elif self.never_fail:
            raise AirflowSkipException(str(error)) from error
        else:
            raise error
