"""A conversion whose shards are converted by tasks of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake, task_context
from watched_store import Killed

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.snapshot import Ledger, ShardRecord
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion
from airflow_provider_ddbexport.core.store import S3Store, open_store
from airflow_provider_ddbexport.operators.convert_shards import (
    DynamoDBConversionPlanOperator,
    DynamoDBConversionShardOperator,
)
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

NOTHING = {"items": 0, "parts": 0, "read_bytes": 0}


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table of forty items."""
    aws.configure(export_files=9)
    lake = EmulatedLake(aws).create()
    lake.put(*({"Id": {"S": f"sesame-{n}"}, "Rating": {"N": str(n)}} for n in range(40)))
    return lake


def arguments(source: str, **more: Any) -> dict[str, Any]:
    """Return what all three tasks are given: parts of ten rows, so that a small export has several shards."""
    return {"source": source, "lake": LAKE, "database": DATABASE, "rows_per_part": 10, **more}


def plan(source: str, shards: int = 2, **more: Any) -> list[dict[str, Any]]:
    task = DynamoDBConversionPlanOperator(task_id="plan", shards=shards, **arguments(source, **more))
    return list(task.execute(task_context()))


def convert(source: str, shard: Any) -> dict[str, Any]:
    task = DynamoDBConversionShardOperator(task_id="convert_shards", shard=shard, **arguments(source))
    return dict(task.execute(task_context()))


def publish(source: str, **more: Any) -> dict[str, Any]:
    task = DynamoDBExportToParquetOperator(task_id="convert", **arguments(source, **more))
    return dict(task.execute(task_context()))


def test_shards_are_converted_by_tasks_and_published_by_the_last(lake: EmulatedLake) -> None:
    """In any order, also twice; the last task needs no data file any more; the parts are those of one task alone."""
    source = lake.export()
    tasks = plan(source)
    assert len(tasks) == 2
    assert plan(source) == tasks, "another try finds the plan"
    numbers = sorted(number for task in tasks for number in task["shards"])
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 2
    done = [convert(source, task) for task in (tasks[1], tasks[0], tasks[1])]
    assert done[0] == done[2]
    assert done[0]["items"] + done[1]["items"] == 40
    assert lake.partitions() == []

    alone = publish(source, lake=f"{LAKE}-alone", database=None)
    for info in lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="AWSDynamoDB/")["Contents"]:
        if "/data/" in info["Key"]:
            lake.s3.delete_object(Bucket=BUCKET, Key=info["Key"])
    figures = publish(source)
    assert (figures["rows"], figures["parts"]) == (40, done[0]["parts"] + done[1]["parts"])
    assert len(lake.partitions()) == 1
    assert "sesame" not in json.dumps([tasks, done, figures])
    (record,) = Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3)).records()
    (other,) = Ledger(open_store(f"{LAKE}-alone/reviews", s3=lake.s3)).records()
    assert other.parts == record.parts
    assert alone["rows"] == 40


def test_a_task_that_is_killed_goes_on_at_its_next_try(lake: EmulatedLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after its first shard is recorded: the other try reads the data files of the rest only."""
    source = lake.export()
    (task,) = plan(source, shards=1)
    assert len(task["shards"]) > 2
    read: list[str] = []
    stream, keep = S3Store.stream, Conversion.keep

    def noted(store: S3Store, key: str, **options: Any) -> Iterator[bytes]:
        if "/data/" in key:
            read.append(key)
        return stream(store, key, **options)

    def last_words(conversion: Conversion, record: ShardRecord) -> None:
        keep(conversion, record)
        raise Killed

    monkeypatch.setattr(S3Store, "stream", noted)
    with monkeypatch.context() as dying:
        dying.setattr(Conversion, "keep", last_words)
        with pytest.raises(Killed):
            convert(source, task)
    first = list(read)
    done = convert(source, task)
    assert done["items"] == 40
    assert 0 < len(first) < len(read)
    assert sorted(set(read)) == sorted(read), "a file was read twice"
    assert len(read) == 9
    read.clear()
    assert convert(source, task) == done
    assert publish(source)["rows"] == 40
    assert read == []


def test_what_is_published_already_leaves_nothing_to_do(lake: EmulatedLake) -> None:
    """Tasks cleared afterwards, or tried again late, do nothing and fail nothing."""
    source = lake.export()
    tasks = plan(source)
    figures = publish(source)
    assert convert(source, tasks[0]) == {"table": "reviews", "shards": tasks[0]["shards"], **NOTHING}
    (task,) = plan(source)
    assert convert(source, task) == {"table": "reviews", "shards": [], **NOTHING}
    assert publish(source) == {**figures, "new_columns": []}


def test_the_plan_withdraws_what_is_to_be_replaced(lake: EmulatedLake) -> None:
    """After the whole export has been verified: shards must not be written beside a registered snapshot."""
    source = lake.export()
    publish(source)
    with pytest.raises(AirflowFailException, match=r"published already, with other options \(rows_per_part\)"):
        plan(source, rows_per_part=7)
    tasks = plan(source, replace=True, rows_per_part=7)
    assert lake.partitions() == []
    for task in tasks:
        convert(source, task)
    assert publish(source, replace=True, rows_per_part=7)["rows"] == 40
    assert len(lake.partitions()) == 1


@pytest.mark.parametrize(
    "shard", ["nothing", {"shards": [1]}, {"table": "t", "conversion": "elsewhere", "shards": [1]}]
)
def test_a_shard_of_no_plan_is_refused(lake: EmulatedLake, shard: Any) -> None:
    """The error says what is expected."""
    with pytest.raises(AirflowFailException, match=r"one element of what .* returned, found .* over that output"):
        convert(lake.export(), shard)


def test_fewer_than_one_task_is_refused(lake: EmulatedLake) -> None:
    """The error names the argument."""
    with pytest.raises(AirflowFailException, match="shards: expected at least 1"):
        plan(lake.export(), shards=0)


def test_a_shard_that_the_plan_does_not_have_is_refused(lake: EmulatedLake) -> None:
    """An element of an earlier plan, from before the export was replaced or the options changed."""
    source = lake.export()
    (task,) = plan(source, shards=1)
    with pytest.raises(AirflowFailException, match=r"expected numbers from 0 to \d+, found 0, 99.* clear the"):
        convert(source, {**task, "shards": [0, 99]})
