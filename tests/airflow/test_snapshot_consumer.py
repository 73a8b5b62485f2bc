"""The example DAG that is scheduled on snapshots: which of them a run is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dag_bag import DagBag

from airflow_provider_ddbexport.assets import snapshot_asset

DAGS = Path(__file__).parents[2] / "dags"
ASKED = {"snapshot.published", "snapshot.top_authors", "snapshot.changes"}


@pytest.fixture(scope="module")
def new_snapshots() -> Callable[..., list[str]]:
    """Return what the DAG's first task returns, given the days that its run and earlier ones were told of."""
    dag = DagBag(DAGS / "snapshot_consumer.py").dags["reviews_top_authors"]
    task = dag.get_task("new_snapshots")
    (inlet,) = task.inlets
    asset = snapshot_asset("s3://ddbexport-demo/lake", "reviews")
    assert inlet == asset
    if type(asset).__hash__ is None:
        pytest.skip("assets of Airflow 3.0 cannot be keys of the dictionaries that are handed over here")
    assert {name for name in dag.task_ids if dag.get_task(name).is_mapped or "." in name} == ASKED

    def events(days: list[str]) -> list[Any]:
        return [SimpleNamespace(extra={"as_of": f"2026-01-{day}T00:00:00Z"} if day else {}) for day in days]

    def run(*, triggering: list[str], ever: list[str]) -> list[str]:
        told = {asset: events(triggering)} if triggering else {}
        found = task.python_callable(triggering_asset_events=told, inlet_events={asset: events(ever)})
        return [text.removeprefix("2026-01-").removesuffix("T00:00:00Z") for text in found]

    return run


def test_each_of_several_snapshots_that_one_run_is_told_of_is_asked(new_snapshots: Callable[..., list[str]]) -> None:
    """Airflow gives a run all events since the last; each is asked once, in whatever order and often they came."""
    assert new_snapshots(triggering=["12", "11", "12"], ever=["10", "12", "11", "12"]) == ["11", "12"]


def test_a_run_that_was_started_by_hand_asks_the_latest_snapshot(new_snapshots: Callable[..., list[str]]) -> None:
    """Of all that were told of, by the snapshots' times; also where the event was made by hand and tells of none."""
    assert new_snapshots(triggering=[], ever=["12", "11"]) == ["12"]
    assert new_snapshots(triggering=[""], ever=["12", "11", ""]) == ["12"]
    assert new_snapshots(triggering=[], ever=[]) == []
