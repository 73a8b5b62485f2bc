"""The operator that registers what is published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from emulated_lake import DATABASE, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.assets import snapshot_asset
from airflow_provider_ddbexport.errors import SnapshotNotFoundError
from airflow_provider_ddbexport.operators.register import GlueSnapshotRegisterOperator

DAYS = [datetime(2026, 1, day, tzinfo=UTC) for day in (14, 15)]


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    return EmulatedLake(aws)


def register(record: str, *, context: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    operator = GlueSnapshotRegisterOperator(task_id="register", record=record, database=DATABASE, **more)
    return operator.execute(context or task_context())


def catalog(lake: EmulatedLake) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the catalog has of the table: the table itself and its partitions."""
    table = lake.glue.get_table(DatabaseName=DATABASE, Name="reviews")["Table"]
    return table, lake.glue.get_partitions(DatabaseName=DATABASE, TableName="reviews")["Partitions"]


def test_a_snapshot_that_is_published_is_registered(lake: EmulatedLake) -> None:
    """Without its export, and each for itself, in any order; the table has all columns, a partition its own."""
    first = lake.place([{"Id": {"S": "a"}}], DAYS[0], register=False)
    second = lake.place([{"Id": {"S": "a"}, "Rating": {"N": "5"}}], DAYS[1], register=False)
    asset, context = snapshot_asset(LAKE, "reviews"), task_context()
    figures = register(first, context=context, outlets=[asset])
    assert (figures["record"], figures["as_of"], figures["rows"]) == (first, "2026-01-14T00:00:00Z", 1)
    assert (figures["database"], figures["partitions"]) == (DATABASE, 1)
    assert set(figures["new_columns"]) == {"id", "rating", "_rescued"}
    assert context["outlet_events"][asset].extra == figures
    (partition,) = catalog(lake)[1]
    assert partition["Values"] == ["20260114T000000Z"]
    assert "rating" not in {column["Name"] for column in partition["StorageDescriptor"]["Columns"]}
    register(second)
    assert {partition["Values"][0] for partition in catalog(lake)[1]} == {"20260114T000000Z", "20260115T000000Z"}


def test_registering_again_changes_nothing(lake: EmulatedLake) -> None:
    """Whoever registered it: the XCom is the same but for the columns, which are there by then."""
    record = lake.place([{"Id": {"S": "a"}}], DAYS[0], register=False)
    figures, before = register(record), catalog(lake)
    assert register(record) == {**figures, "new_columns": []}
    assert catalog(lake) == before


def test_what_is_not_published_is_not_registered(lake: EmulatedLake) -> None:
    """What may come is left to the retries, what is no address of a record fails at once; nothing is in the catalog."""
    with pytest.raises(SnapshotNotFoundError, match="no snapshot is published as of"):
        register(f"{LAKE}/reviews/_snapshots/20260114T000000Z.json")
    with pytest.raises(AirflowFailException, match="expected the address of a commit record"):
        register(f"{LAKE}/reviews")
    assert lake.glue.get_databases()["DatabaseList"] == []


def test_a_lake_on_a_disk_is_none_for_the_catalog(lake: EmulatedLake, tmp_path: Any) -> None:
    """The error says so before Glue is asked."""
    copied = tmp_path / "reviews/_snapshots/20260114T000000Z.json"
    record = lake.place([{"Id": {"S": "a"}}], DAYS[0], register=False)
    copied.parent.mkdir(parents=True)
    copied.write_bytes(lake.s3.get_object(Bucket="lakes", Key=record.removeprefix("s3://lakes/"))["Body"].read())
    with pytest.raises(AirflowFailException, match="can only point at s3://"):
        register(str(copied))
    assert lake.glue.get_databases()["DatabaseList"] == []
