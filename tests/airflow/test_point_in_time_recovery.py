"""DynamoDBEnablePointInTimeRecoveryOperator against the embedded AWS."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from emulated_table import create_table

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.exporting.recovery import enable_recovery
from airflow_provider_ddbexport.operators.point_in_time_recovery import DynamoDBEnablePointInTimeRecoveryOperator


@pytest.fixture
def dynamodb(aws: Any) -> Any:
    client = aws.client("dynamodb")
    create_table(client, "Reviews", "User", recovery=False)
    return client


def _enable(**changes: Any) -> Any:
    return DynamoDBEnablePointInTimeRecoveryOperator(task_id="t", table_name="Reviews", **changes).execute({})


def _recovery(dynamodb: Any) -> dict[str, Any]:
    answer = dynamodb.describe_continuous_backups(TableName="Reviews")
    found: dict[str, Any] = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    return found


def test_recovery_is_turned_on_once(aws: Any, dynamodb: Any) -> None:
    """Running it again changes nothing: not the history, not the period."""
    first = _enable(recovery_period_days="7")
    assert (first["was_on"], first["is_changed"], first["recovery_period_days"]) == (False, True, 7)
    earliest = _recovery(dynamodb)["EarliestRestorableDateTime"]
    aws.clock.advance(timedelta(hours=1))
    again = _enable()
    assert (again["was_on"], again["is_changed"], again["recovery_period_days"]) == (True, False, 7)
    assert _recovery(dynamodb)["EarliestRestorableDateTime"] == earliest
    assert again["earliest"] < again["latest"]


def test_the_period_is_35_days_unless_said_otherwise(dynamodb: Any) -> None:
    """And None from a template is no period."""
    assert _enable(recovery_period_days="None")["recovery_period_days"] == 35


def test_a_period_is_lengthened_and_shortened_only_on_demand(dynamodb: Any) -> None:
    """Shortening throws history away for good."""
    _enable(recovery_period_days=7)
    assert _enable(recovery_period_days=14)["is_changed"]
    with pytest.raises(AirflowFailException, match=r"keeps 14 days.*shorten=True"):
        _enable(recovery_period_days=3)
    assert _recovery(dynamodb)["RecoveryPeriodInDays"] == 14
    assert _enable(recovery_period_days=3, shorten=True)["recovery_period_days"] == 3


@pytest.mark.parametrize("days", [0, 36, "a week", "-1"])
def test_a_period_that_cannot_be_is_refused(dynamodb: Any, days: Any) -> None:
    """Before any call."""
    with pytest.raises(AirflowFailException, match="1 to 35"):
        _enable(recovery_period_days=days)
    assert _recovery(dynamodb)["PointInTimeRecoveryStatus"] == "DISABLED"


def test_a_missing_table_fails_at_once(aws: Any) -> None:
    """Named in the error."""
    with pytest.raises(AirflowFailException, match="Reviews"):
        _enable()


def test_a_table_that_is_not_ready_yet_is_waited_for(aws: Any, dynamodb: Any) -> None:
    """Just after it was made, its backups are not available."""
    aws.fail_next("UpdateContinuousBackups", "ContinuousBackupsUnavailableException", times=2)
    naps: list[float] = []
    assert enable_recovery(dynamodb, "Reviews", sleep=naps.append).is_changed
    assert naps == [1.0, 2.0]
