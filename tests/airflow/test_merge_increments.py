"""Increments merged by tasks, against the embedded AWS."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake, task_context
from emulated_table import create_table

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.core.snapshot import layout, snapshot_items
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.operators import to_parquet
from airflow_provider_ddbexport.operators.chain import DynamoDBChainBranchOperator
from airflow_provider_ddbexport.operators.merge import DynamoDBMergeIncrementsOperator


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table and an empty lake."""
    return EmulatedLake(aws).create()


def put(lake: EmulatedLake, number: int, **attributes: Any) -> None:
    lake.put({"Id": {"S": str(number)}, **attributes})


def now(lake: EmulatedLake) -> datetime:
    return lake.aws.clock.now().replace(microsecond=0)


def later(lake: EmulatedLake, **step: float) -> datetime:
    lake.aws.clock.advance(timedelta(**step))
    return now(lake)


def merge(increments: Any, **arguments: Any) -> dict[str, Any]:
    operator = DynamoDBMergeIncrementsOperator(
        task_id="merge", increments=increments, **{"lake": LAKE, "table": "reviews", "database": DATABASE, **arguments}
    )
    figures: dict[str, Any] = operator.execute(task_context())
    return figures


def choose(lake: EmulatedLake, to_time: datetime, **arguments: Any) -> tuple[Any, dict[str, Any]]:
    """Return what follows and why."""
    operator = DynamoDBChainBranchOperator(
        task_id="chain",
        table_name=lake.table,
        lake=LAKE,
        table="reviews",
        to_time=to_time,
        increment="merge_it",
        full=["wait", "export"],
        region_name="us-east-1",
        **arguments,
    )
    context = task_context()
    return operator.choose_branch(context), context["ti"].xcoms["chain"]


def held(lake: EmulatedLake, table: str, at: datetime) -> list[str]:
    items = map(json.loads, snapshot_items(open_store(LAKE, s3=lake.s3), table, at))
    return sorted(json.dumps(item, sort_keys=True) for item in items)


def test_a_days_changes_become_the_next_snapshot(lake: EmulatedLake) -> None:
    """Published, registered and answered by Athena; the operator takes what the increment operator returned."""
    for number in range(4):
        put(lake, number, Rating={"N": str(number)})
    begin = later(lake, minutes=20)
    lake.publish(lake.export_at(begin))
    assert choose(lake, later(lake, hours=1))[0] == "merge_it"
    put(lake, 2, Rating={"N": "5"})
    put(lake, 9, Rating={"N": "4"}, Late={"S": "new"})
    lake.delete({"Id": {"S": "0"}})
    end = later(lake, minutes=20)
    source = lake.export_at(end, since=begin)

    figures = merge({"exports": [{"source": source, "item_count": 3}], "item_count": 3})
    assert (figures["rows"], figures["export_type"], figures["new_columns"]) == (4, "MERGE", ["late"])
    assert merge(source) == {**figures, "new_columns": []}
    partition = f"ddb_export_timestamp = '{end:%Y%m%dT%H%M%SZ}'"
    assert lake.query(f"SELECT sum(rating), count(late) FROM reviews WHERE {partition}") == [["13", "1"]]
    assert len(lake.partitions()) == 2


def test_the_log_tells_how_far_a_merge_is(
    lake: EmulatedLake, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the words of a conversion."""
    monkeypatch.setattr(to_parquet, "_LOG_EVERY_S", 0.0)
    put(lake, 1)
    begin = later(lake, minutes=20)
    lake.publish(lake.export_at(begin))
    put(lake, 2)
    source = lake.export_at(later(lake, minutes=20), since=begin)
    merge(source)
    log = "".join(capfd.readouterr())
    assert "read: 1 of 1 items after" in log
    assert "merge: 1 of 1 items after" in log


def test_a_base_that_is_merged_into_after_all_is_followed_again(lake: EmulatedLake) -> None:
    """What was noted of it when an increment was damaged is removed by the merge that succeeds."""
    put(lake, 1)
    begin = later(lake, minutes=20)
    lake.publish(lake.export_at(begin))
    put(lake, 2)
    source = lake.export_at(later(lake, minutes=20), since=begin)
    entries = lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="AWSDynamoDB/data/")["Contents"]
    whole = {entry["Key"]: lake.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in entries}
    note = f"reviews/{layout.broken_chain_key(begin)}"
    for bodies, is_noted in ((dict.fromkeys(whole, b"damaged"), True), (whole, False)):
        for name, body in bodies.items():
            lake.s3.put_object(Bucket=BUCKET, Key=name, Body=body)
        with pytest.raises(AirflowFailException) if is_noted else nullcontext():
            merge(source, base=begin)
        assert open_store(LAKE, s3=lake.s3).exists(note) == is_noted


def test_increments_that_do_not_follow_fail_for_good(lake: EmulatedLake) -> None:
    """Another try would meet the same gap."""
    put(lake, 1)
    begin = later(lake, minutes=20)
    lake.publish(lake.export_at(begin))
    middle, end = later(lake, minutes=20), later(lake, minutes=20)
    source = lake.export_at(end, since=middle)
    with pytest.raises(AirflowFailException, match="nothing tells what was written"):
        merge([source])
    merged = merge([source], max_gap=timedelta(minutes=21))
    assert (merged["rows"], merged["old_images_compared"]) == (1, False)
    assert merged["gaps"] == [[f"{begin:%Y-%m-%dT%H:%M:%SZ}", f"{middle:%Y-%m-%dT%H:%M:%SZ}"]]


def test_what_is_written_in_the_very_microsecond_of_the_full_export_is_no_conflict(lake: EmulatedLake) -> None:
    """The export has it, and so has the window that begins there, which tells what was before."""
    for number in range(3):
        put(lake, number, v={"N": "0"})
    begin = later(lake, minutes=20)
    lake.aws.clock.set(begin, frozen=True)
    put(lake, 1, v={"N": "1"})
    put(lake, 7)
    lake.delete({"Id": {"S": "2"}})
    middle, end = later(lake, minutes=20), later(lake, minutes=20)
    lake.publish(lake.export_at(begin))
    assert merge(lake.export_at(middle, since=begin))["rows"] == 3
    lake.publish(lake.export_at(middle), table="full", database=None)
    assert held(lake, "reviews", middle) == held(lake, "full", middle)

    # What was merged ends before its time, so the next window's old images are what it holds.
    lake.aws.clock.set(middle, frozen=True)
    put(lake, 7, v={"N": "2"})
    lake.aws.clock.set(end, frozen=True)
    assert merge(lake.export_at(end, since=middle))["rows"] == 3
    assert '{"Item": {"Id": {"S": "7"}, "v": {"N": "2"}}}' in held(lake, "reviews", end)


def test_a_lake_that_the_catalog_cannot_point_at_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    """And before anything is looked for."""
    with pytest.raises(AirflowFailException, match="leave database out or give an s3:// lake"):
        merge([str(tmp_path / "no export")], lake=str(tmp_path / "lake"))


@pytest.mark.parametrize("option", [{"nested": "json"}, {"sort_by": "Id"}, {"other_table": True}])
def test_columns_are_the_bases_to_decide(option: dict[str, Any]) -> None:
    """An option of the conversion is an error when the DAG is read."""
    with pytest.raises(TypeError, match=f"'{next(iter(option))}': a merged snapshot has the options of its base"):
        DynamoDBMergeIncrementsOperator(task_id="merge", increments=[], lake=LAKE, table="t", **option)


def test_a_chain_begins_with_a_full_export(lake: EmulatedLake) -> None:
    """Where nothing is published, the table was made again, or what was written since is gone; and says which."""
    put(lake, 1)
    begin = later(lake, minutes=20)
    chosen, chain = choose(lake, begin)
    assert chosen == ["wait", "export"]
    assert (chain["state"], chain["from_time"], chain["record"]) == ("NO_FULL_EXPORT", None, None)

    published = lake.publish(lake.export_at(begin))
    assert choose(lake, begin)[1]["state"] == "PUBLISHED"
    assert choose(lake, begin - timedelta(minutes=1))[1]["state"] == "NO_FULL_EXPORT"
    chosen, chain = choose(lake, later(lake, hours=1))
    assert (chosen, chain["state"], chain["reason"]) == ("merge_it", "WHOLE", None)
    assert (chain["from_time"], chain["record"]) == (f"{begin:%Y-%m-%dT%H:%M:%SZ}", published["record"])

    assert choose(lake, now(lake), full_every=timedelta(hours=1))[1]["state"] == "FULL_DUE"
    chosen, chain = choose(lake, later(lake, days=40))
    assert (chosen, chain["state"]) == (["wait", "export"], "HISTORY_GONE")
    assert "begin a new chain with a full export" in chain["reason"]

    lake.dynamodb.delete_table(TableName=lake.table)
    create_table(lake.dynamodb, lake.table, "Id")
    assert choose(lake, later(lake, hours=1))[1]["state"] == "TABLE_RECREATED"
