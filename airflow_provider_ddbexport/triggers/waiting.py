"""What every trigger of this package is given, and tells the triggerer to make it again from."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_ddbexport.arguments import check_arguments

TRIGGER_GRACE = timedelta(minutes=10)
"""A trigger ends at its deadline itself; this much later Airflow ends it, should no triggerer be running."""


class WaitingTrigger(BaseTrigger):
    """Waits for something in AWS until a deadline. Raises BadCallError for an argument of a wrong kind.

    :param deadline: ISO 8601 text with an offset; the wait ends then, however often the triggerer was restarted.
    :param poll_interval_s: seconds between two looks.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region.
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle.
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    def __init__(
        self,
        *,
        deadline: str,
        poll_interval_s: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.deadline = deadline
        self.poll_interval_s = poll_interval_s
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.verify = verify
        self.botocore_config = botocore_config
        check_arguments(self)

    @abstractmethod
    def own_fields(self) -> dict[str, Any]:
        """Return the constructor's arguments that the subclass adds."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the constructor's arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            **self.own_fields(),
            "deadline": self.deadline,
            "poll_interval_s": self.poll_interval_s,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "botocore_config": self.botocore_config,
        }

    @property
    def hook_parameters(self) -> dict[str, Any]:
        """The arguments of an AWS hook."""
        return {
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "verify": self.verify,
            "config": self.botocore_config,
        }
