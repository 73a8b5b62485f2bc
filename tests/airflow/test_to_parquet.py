"""The operator that makes a snapshot of an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emulated_lake import BUCKET, DATABASE, LAKE, EmulatedLake, task_context

from airflow_provider_ddbexport.airflow_exceptions import AirflowFailException
from airflow_provider_ddbexport.assets import snapshot_asset, table_asset
from airflow_provider_ddbexport.core.snapshot import Ledger
from airflow_provider_ddbexport.core.store import S3Store, open_store
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError, ConversionStoppedError, ServiceError
from airflow_provider_ddbexport.operators.crawler import GlueSnapshotCrawlerOperator
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

FIRST = ({"Id": {"S": "sesame-1"}, "Rating": {"N": "5"}}, {"Id": {"S": "sesame-2"}, "Rating": {"N": "4.5"}})


@pytest.fixture
def lake(aws: Any) -> EmulatedLake:
    """A table of two items, exported by nobody yet."""
    lake = EmulatedLake(aws).create()
    lake.put(*FIRST)
    return lake


def crawl(record: str) -> None:
    """Have a crawler register what lies in the lake."""
    GlueSnapshotCrawlerOperator(
        task_id="crawl",
        crawler_name="reviews",
        record=record,
        create=True,
        role="crawler",
        database=DATABASE,
        poll_interval_s=0.05,
    ).execute(task_context())


def ledger(lake: EmulatedLake, table: str = "reviews") -> Ledger:
    return Ledger(open_store(f"{LAKE}/{table}", s3=lake.s3))


def test_an_export_becomes_a_published_and_registered_snapshot(lake: EmulatedLake) -> None:
    """Afterwards the ledger has the record, the catalog its partition, Athena its rows, and XCom its figures."""
    figures = lake.publish()
    (record,) = ledger(lake).records()
    assert figures["record"] == f"{LAKE}/reviews/_snapshots/{figures['as_of'].replace('-', '').replace(':', '')}.json"
    assert (figures["rows"], figures["parts"], figures["rescued"]) == (2, 1, 0)
    assert figures["bytes"] == sum(part.size for part in record.parts)
    assert (figures["database"], figures["partitions"]) == ("snapshots", 1)
    assert set(figures["new_columns"]) == {"id", "rating", "_rescued"}
    assert len(lake.partitions()) == 1
    assert lake.query("SELECT id, rating FROM reviews ORDER BY id") == [
        ["sesame-1", "5.000000000"],
        ["sesame-2", "4.500000000"],
    ]


def test_a_task_that_is_killed_ends_soon_and_the_next_try_goes_on(lake: EmulatedLake) -> None:
    """It ends where it has read the first block of items, with nothing published and no part written."""

    class KilledOperator(DynamoDBExportToParquetOperator):
        def _open(self) -> Any:
            self.on_kill()
            return super()._open()

    arguments = {"source": lake.export(), "lake": LAKE, "table": "reviews"}
    with pytest.raises(ConversionStoppedError, match="another try goes on"):
        KilledOperator(task_id="convert", **arguments).execute(task_context())
    store = open_store(f"{LAKE}/reviews", s3=lake.s3)
    assert not [info.key for info in store.list() if info.key.endswith(".parquet")]
    assert ledger(lake).records() == ()
    assert DynamoDBExportToParquetOperator(task_id="convert", **arguments).execute(task_context())["rows"] == 2


def test_what_the_task_tells_holds_nothing_of_the_items(lake: EmulatedLake, caplog: pytest.LogCaptureFixture) -> None:
    """Neither XCom nor the log repeats a value."""
    figures = lake.publish(partition_by=["Id"])
    assert "sesame" not in json.dumps(figures)
    assert "sesame" not in caplog.text


def test_trying_again_converts_nothing_and_returns_the_same(lake: EmulatedLake) -> None:
    """A retry, or a cleared task, finds the snapshot published: same record, same objects, same partition."""
    source = lake.export()
    first = lake.publish(source)
    objects = lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="lake/")["Contents"]
    again = lake.publish(source)
    assert again == {**first, "new_columns": []}
    assert lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="lake/")["Contents"] == objects
    assert len(lake.partitions()) == 1


def test_a_try_that_published_and_could_not_register_is_finished_by_the_next(lake: EmulatedLake, aws: Any) -> None:
    """The failure is left to the retries; the next try only registers, and until then the catalog shows nothing."""
    source = lake.export()
    aws.fail_next("BatchCreatePartition", "ResourceNumberLimitExceededException", "too many")
    with pytest.raises(ServiceError, match="ResourceNumberLimitExceededException"):
        lake.publish(source)
    (record,) = ledger(lake).records()
    assert lake.partitions() == []
    assert lake.publish(source)["published_at"] == iso(record.published_at)
    assert ledger(lake).records() == (record,)
    assert len(lake.partitions()) == 1


def test_without_a_database_nothing_is_registered(lake: EmulatedLake) -> None:
    """The catalog is left to a crawler."""
    figures = lake.publish(database=None)
    assert (figures["database"], figures["partitions"]) == (None, 0)
    assert lake.glue.get_databases()["DatabaseList"] == []
    assert len(ledger(lake).records()) == 1


def test_other_contents_for_the_same_time_are_refused_unless_replaced(lake: EmulatedLake) -> None:
    """Refusing is permanent; replacing leaves one snapshot, one set of partitions, and only its own parts."""
    source = lake.export()
    lake.publish(source, numbers="double", table="other")
    first = lake.publish(source)
    with pytest.raises(AirflowFailException, match="replace"):
        lake.publish(source, rows_per_part=1)
    assert ledger(lake).records()[0].rows == 2
    replaced = lake.publish(source, rows_per_part=1, replace=True)
    assert (replaced["parts"], replaced["record"]) == (2, first["record"])
    (record,) = ledger(lake).records()
    (partition,) = lake.partitions()
    assert partition["Parameters"]["ddbexport.digest"] == record.digest
    listed = lake.s3.list_objects_v2(Bucket=BUCKET, Prefix="lake/reviews/ddb_export_timestamp")["Contents"]
    assert len(listed) == 2
    assert lake.query("SELECT count(*) FROM reviews") == [["2"]]


def test_what_a_crawler_registered_is_unregistered_before_it_is_replaced(
    lake: EmulatedLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by registered_in: no query sees the rows of both in one folder, also if the task is killed midway."""
    source = lake.export()
    crawl(lake.publish(source, database=None)["record"])
    registered = [len(lake.partitions())]
    move_file = S3Store.move_file

    def watched(store: S3Store, key: str, path: Path) -> None:
        registered.append(len(lake.partitions()))
        move_file(store, key, path)

    monkeypatch.setattr(S3Store, "move_file", watched)
    figures = lake.publish(source, database=None, registered_in=DATABASE, replace=True, rows_per_part=1)
    assert registered == [1, 0, 0], "both new parts were written while nothing was registered"
    crawl(figures["record"])
    assert lake.query("SELECT count(*) FROM reviews") == [["2"]]


def test_what_is_no_name_in_the_catalog_is_refused_before_anything_is_read(lake: EmulatedLake) -> None:
    """Not after the export has been verified for hours."""
    with pytest.raises(AirflowFailException, match=r"expected DATABASE or DATABASE\.TABLE"):
        lake.publish(NOWHERE, database=None, registered_in=f"{DATABASE}.")


def test_columns_grow_with_the_table_and_old_snapshots_stay_readable(lake: EmulatedLake) -> None:
    """A new attribute is a new column; the day before has null there, and both answer one query."""
    lake.publish()
    lake.put({"Id": {"S": "sesame-3"}, "Rating": {"S": "five"}, "Late": {"M": {"a": {"BOOL": True}}}})
    figures = lake.publish()
    assert figures["new_columns"] == ["late"]
    assert figures["rescued"] == 1, "a text where numbers are is kept beside its column"
    rows = lake.query(
        "SELECT count(*), count(late.a), count(rating) FROM reviews GROUP BY ddb_export_timestamp ORDER BY 1"
    )
    assert rows == [["2", "0", "2"], ["3", "1", "2"]]


def test_an_emptied_table_is_a_snapshot_of_no_rows(lake: EmulatedLake) -> None:
    """It is published and registered, with the columns the table had."""
    lake.publish()
    lake.delete(*({"Id": item["Id"]} for item in FIRST))
    figures = lake.publish()
    assert (figures["rows"], figures["columns"], len(lake.partitions())) == (0, 2, 2)


def test_a_damaged_export_fails_for_good_and_publishes_nothing(lake: EmulatedLake) -> None:
    """Flipped bits are found before anything is visible; another try would find them again."""
    source = lake.export()
    key = max(
        lake.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{source.removeprefix(f's3://{BUCKET}/')}/data/")["Contents"],
        key=lambda found: found["Size"],
    )["Key"]
    body = lake.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    lake.s3.put_object(Bucket=BUCKET, Key=key, Body=body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(AirflowFailException, match="md5"):
        lake.publish(source)
    assert ledger(lake).records() == ()
    assert lake.partitions() == []


NOWHERE = f"s3://{BUCKET}/AWSDynamoDB/01234567890123-00000000"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"numbers": "decimal(99,1)"}, "numbers"),
        ({"nested": "flat"}, "nested: expected one of"),
        ({"partition_by": ["Nowhere", "Nowhere"]}, "each attribute once"),
        ({"lake": "/tmp/lake"}, "can only point at s3://"),
        ({"source": f"s3://{BUCKET}"}, "AWSDynamoDB"),
        ({}, "01234567890123-00000000"),
    ],
)
def test_a_wrong_call_fails_at_once_and_says_what_is_expected(
    aws: Any, arguments: dict[str, Any], message: str
) -> None:
    """What no retry can mend is not retried."""
    lake = EmulatedLake(aws)
    with pytest.raises(AirflowFailException, match=message):
        lake.publish(**{"source": NOWHERE, **arguments})
    assert lake.partitions() == []


def test_a_table_that_can_be_no_folder_is_refused_with_one_that_can(lake: EmulatedLake) -> None:
    """The name of the catalog's table is a folder's as well."""
    with pytest.raises(AirflowFailException, match="not_a_folder"):
        lake.publish(table="Not-A-Folder")


def test_outlets_are_told_the_figures(lake: EmulatedLake) -> None:
    """The asset event's extra has what XCom has, so that a DAG scheduled on it finds the commit record."""
    asset = snapshot_asset(LAKE, "reviews")
    operator = DynamoDBExportToParquetOperator(
        task_id="to_parquet",
        source=lake.export(),
        lake=LAKE,
        inlets=[table_asset("Reviews", "us-east-1")],
        outlets=[asset],
    )
    context = task_context()
    figures = operator.execute(context)
    assert context["outlet_events"][asset].extra == figures
    assert asset.uri == f"{LAKE}/reviews"


def test_the_table_asset_names_region_and_table() -> None:
    """Everybody who mentions a table means the same asset; an ARN would be another."""
    assert table_asset("Reviews", "eu-west-1").uri == "dynamodb://eu-west-1/Reviews"
    with pytest.raises(BadCallError, match="not its ARN"):
        table_asset("arn:aws:dynamodb:eu-west-1:1:table/Reviews", "eu-west-1")


def test_arguments_are_assigned_untouched_so_that_templates_work() -> None:
    """Every templated field holds what was given until Airflow has rendered it."""
    operator = DynamoDBExportToParquetOperator(
        task_id="t",
        source="{{ a }}",
        lake="{{ b }}",
        table="{{ c }}",
        database="{{ d }}",
        numbers="{{ e }}",
        partition_by="{{ f }}",
    )
    given = {"source": "{{ a }}", "lake": "{{ b }}", "table": "{{ c }}", "database": "{{ d }}", "numbers": "{{ e }}"}
    assert {name: getattr(operator, name) for name in given} == given
    assert set(given) <= set(operator.template_fields)
