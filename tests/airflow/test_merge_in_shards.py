"""A merge whose shards are merged by tasks of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from emulated_lake import DATABASE, LAKE, EmulatedLake, task_context
from watched_store import Killed

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.merge import lots
from airflow_provider_ddbexport.core.merge.records import MergedShard, ShardRecords
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import S3Store, open_store
from airflow_provider_ddbexport.errors import PublishRaceError
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator
from airflow_provider_ddbexport.operators.merge_shards import DynamoDBMergePlanOperator, DynamoDBMergeShardOperator

ROWS_PER_PART = 10


@pytest.fixture
def lake(aws: Any, monkeypatch: pytest.MonkeyPatch) -> EmulatedLake:
    """A table of forty items, published in parts of ten rows, of which shards have one each."""
    monkeypatch.setattr(lots, "_SHARD_PARTS", 1)
    aws.configure(export_files=9)
    lake = EmulatedLake(aws).create()
    lake.put(*({"Id": {"S": f"sesame-{n}"}, "Rating": {"N": str(n)}} for n in range(40)))
    aws.clock.advance(timedelta(minutes=20))
    return lake


@pytest.fixture
def increment(lake: EmulatedLake) -> str:
    """The address of an increment that follows what is published: an update, an insert, a delete, a new attribute."""
    begin = lake.aws.clock.now().replace(microsecond=0)
    lake.publish(lake.export_at(begin), rows_per_part=ROWS_PER_PART)
    lake.aws.clock.advance(timedelta(minutes=20))
    lake.put({"Id": {"S": "sesame-3"}, "Rating": {"N": "5"}}, {"Id": {"S": "sesame-99"}, "Late": {"S": "new"}})
    lake.delete({"Id": {"S": "sesame-7"}})
    lake.aws.clock.advance(timedelta(minutes=20))
    end = lake.aws.clock.now().replace(microsecond=0)
    return lake.export_at(end, since=begin)


def arguments(source: str, **more: Any) -> dict[str, Any]:
    """Return what all three tasks are given."""
    return {"increments": [source], "lake": LAKE, "table": "reviews", "database": DATABASE, **more}


def plan(source: str, shards: int = 2, **more: Any) -> list[dict[str, Any]]:
    task = DynamoDBMergePlanOperator(task_id="plan_merge", shards=shards, **arguments(source, **more))
    return list(task.execute(task_context()))


def merge_shards(source: str, shard: Any, **more: Any) -> dict[str, Any]:
    task = DynamoDBMergeShardOperator(task_id="merge_shards", shard=shard, **arguments(source, **more))
    return dict(task.execute(task_context()))


def publish(source: str, **more: Any) -> dict[str, Any]:
    task = DynamoDBMergeIncrementsOperator(task_id="merge", **arguments(source, **more))
    return dict(task.execute(task_context()))


def streamed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the keys of the parts that are read from now on."""
    read: list[str] = []
    chunks = S3Store._chunks

    def noted(store: S3Store, key: str, chunk_bytes: int) -> Iterator[tuple[str, bytes]]:
        if key.endswith(".parquet"):
            read.append(key)
        return chunks(store, key, chunk_bytes)

    monkeypatch.setattr(S3Store, "_chunks", noted)
    return read


def test_shards_are_merged_by_tasks_and_published_by_the_last(
    lake: EmulatedLake, increment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, also twice; the last task goes through no part any more; what tasks tell holds no item."""
    tasks = plan(increment)
    assert len(tasks) == 2
    assert plan(increment) == tasks, "another try finds the plan"
    numbers = sorted(number for task in tasks for number in task["shards"])
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 5
    done = [merge_shards(increment, task) for task in (tasks[1], tasks[0], tasks[1])]
    assert done[0] == done[2]
    assert done[0]["rows"] + done[1]["rows"] == 40
    assert len(lake.partitions()) == 1

    read = streamed(monkeypatch)
    figures = publish(increment)
    assert not read
    assert (figures["rows"], figures["parts"]) == (40, done[0]["parts"] + done[1]["parts"])
    assert len(lake.partitions()) == 2
    assert figures["new_columns"] == ["late"]
    assert "sesame" not in json.dumps([tasks, done, figures])


def test_a_task_that_is_killed_goes_on_at_its_next_try(
    lake: EmulatedLake, increment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after its first part is recorded: the other try goes through the rest only."""
    (task,) = plan(increment, shards=1)
    read = streamed(monkeypatch)
    keep = ShardRecords.keep

    def last_words(records: ShardRecords, *arguments: Any) -> MergedShard:
        keep(records, *arguments)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(ShardRecords, "keep", last_words)
        with pytest.raises(Killed):
            merge_shards(increment, task)
    assert len(read) == 1
    assert merge_shards(increment, task)["rows"] == 40
    assert sorted(set(read)) == sorted(read), "a part was gone through twice"
    (base, *_) = Ledger(open_store(f"{LAKE}/reviews", s3=lake.s3)).records()
    assert len(read) == len(base.parts)
    assert publish(increment)["rows"] == 40


def test_what_is_published_already_leaves_nothing_to_do(lake: EmulatedLake, increment: str) -> None:
    """Tasks cleared afterwards, or tried again late, do nothing and fail nothing."""
    tasks = plan(increment)
    figures = publish(increment)
    nothing = {"rows": 0, "parts": 0}
    assert merge_shards(increment, tasks[0]) == {"table": "reviews", "shards": tasks[0]["shards"], **nothing}
    (task,) = plan(increment)
    assert merge_shards(increment, task) == {"table": "reviews", "shards": [], **nothing}
    assert publish(increment) == {**figures, "new_columns": []}
    assert len(lake.partitions()) == 2


@pytest.mark.parametrize("catalog", [{}, {"database": None, "registered_in": DATABASE}], ids=["ours", "a crawler's"])
def test_the_plan_withdraws_what_is_to_be_replaced(lake: EmulatedLake, increment: str, catalog: dict[str, Any]) -> None:
    """After the whole base was gone through: shards must not be written beside a registered snapshot."""
    published = publish(increment)
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    *_, record = Ledger(store).records()
    store.delete(record.parts[0].key)
    with pytest.raises(AirflowFailException, match=r"1 of .* parts are missing"):
        plan(increment)
    tasks = plan(increment, replace=True, **catalog)
    assert len(lake.partitions()) == 1
    for task in tasks:
        merge_shards(increment, task, replace=True)
    assert publish(increment, replace=True)["rows"] == published["rows"] == 40
    assert len(lake.partitions()) == 2


def test_a_shard_that_does_not_fit_breaks_the_chain(lake: EmulatedLake, increment: str) -> None:
    """The task fails for good, and what chain looks at says so."""
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    (base,) = Ledger(store).records()
    (task,) = plan(increment, shards=1, base=base.as_of)
    store.delete(base.parts[0].key)
    with pytest.raises(AirflowFailException, match="it is missing"):
        merge_shards(increment, task, base=base.as_of)
    assert [info.key for info in store.list("_chains") if info.key.endswith("-broken.json")]


@pytest.mark.parametrize("shard", ["nothing", {"shards": [1]}, {"table": "t", "conversion": "other", "shards": [1]}])
def test_what_no_plan_returned_is_refused(lake: EmulatedLake, shard: Any) -> None:
    """The error says what is expected."""
    assert lake.partitions() == []
    with pytest.raises(AirflowFailException, match="one element of what DynamoDBMergePlanOperator returned"):
        merge_shards("s3://b/AWSDynamoDB/1", shard)
    with pytest.raises(AirflowFailException, match="shards: expected at least 1"):
        plan("s3://b/AWSDynamoDB/1", shards=0)


def test_what_was_staged_and_is_lost_does_not_break_the_chain(lake: EmulatedLake, increment: str) -> None:
    """The try fails; the next one leaves what is not done to the task that publishes, which stages it again."""
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    (base,) = Ledger(store).records()
    (task,) = plan(increment, shards=1, base=base.as_of)
    store.delete(f"{task['conversion']}/survivors-00000.json.gz")
    with pytest.raises(PublishRaceError, match="plan the merge again"):
        merge_shards(increment, task, base=base.as_of)
    assert merge_shards(increment, task, base=base.as_of)["parts"] == 0
    assert publish(increment, base=base.as_of)["rows"] == 40
    assert not [info.key for info in store.list("_chains")]
