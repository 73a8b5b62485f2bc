"""Registration in the Glue Data Catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from snapshot_records import AS_OF, commit_record, schema_of

from airflow_provider_ddbexport.core.catalog.register import catalog_names, register_snapshot, unregister_snapshot
from airflow_provider_ddbexport.core.columns import Schema
from airflow_provider_ddbexport.core.times import snapshot_timestamp
from airflow_provider_ddbexport.errors import BadCallError, SchemaConflictError, ServiceError

LAKE = "s3://bucket/lake"
T = snapshot_timestamp(AS_OF)
FIRST = schema_of([{"User": {"S": "u"}, "Rating": {"N": "5"}, "Place": {"M": {"City": {"S": "c"}}}}])
LATER = schema_of(
    [{"User": {"S": "u"}, "Place": {"M": {"City": {"S": "c"}, "Zip": {"S": "z"}}}, "Added": {"BOOL": True}}],
    previous=FIRST,
)


@pytest.fixture
def glue(client: Callable[[str], Any]) -> Any:
    return client("glue")


@pytest.fixture
def database() -> str:
    """A name that no other test uses."""
    return f"lake_{uuid4().hex[:8]}"


def table_of(glue: Any, database: str, name: str = "reviews") -> dict[str, Any]:
    table: dict[str, Any] = glue.get_table(DatabaseName=database, Name=name)["Table"]
    return table


def columns_of(described: dict[str, Any]) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in described["StorageDescriptor"]["Columns"]}


def partitions_of(glue: Any, database: str, name: str = "reviews") -> dict[tuple[str, ...], dict[str, Any]]:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=name)
    return {tuple(found["Values"]): found for page in pages for found in page["Partitions"]}


def test_the_first_snapshot_makes_database_table_and_partition(glue: Any, database: str) -> None:
    """Where there was nothing there are a database, a Parquet table with typed, commented columns, and a partition."""
    registered = register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    table = table_of(glue, database)
    assert columns_of(table) == {
        "place": "struct<city:string>",
        "rating": "bigint",
        "user": "string",
        "_rescued": "map<string,string>",
    }
    comments = {column["Name"]: column.get("Comment") for column in table["StorageDescriptor"]["Columns"]}
    assert comments == {"place": "Place", "rating": "Rating", "user": "User", "_rescued": None}
    assert [(key["Name"], key["Type"]) for key in table["PartitionKeys"]] == [("ddb_export_timestamp", "string")]
    assert table["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
    assert table["Parameters"]["projection.enabled"] == "false"
    partition = partitions_of(glue, database)[(T,)]
    assert partition["StorageDescriptor"]["Location"] == f"{LAKE}/reviews/ddb_export_timestamp={T}/"
    assert columns_of(partition) == columns_of(table)
    assert (registered.created, registered.updated, registered.removed, registered.unchanged) == (1, 0, 0, 0)
    assert set(registered.new_columns) == {"place", "rating", "user", "_rescued"}


def test_what_an_empty_table_is_partitioned_by_stays_text_in_the_catalog(glue: Any, database: str) -> None:
    """A catalog's partition keys never change; the type that the first items tell is the lake's."""
    empty = schema_of([], partition_by=["Year"])
    first = schema_of([{"User": {"S": "u"}, "Year": {"N": "2026"}}], partition_by=["Year"], previous=empty)
    assert [column.kind.value for column in (*empty.columns, *first.columns)] == ["S", "N", "S"]
    for schema, values in ((empty, (None,)), (first, ("2026",))):
        record = commit_record(schema, partitions=[values], rows=int(schema is first))
        register_snapshot(glue, record, schema, database=database, lake_uri=LAKE)
    assert [key["Type"] for key in table_of(glue, database)["PartitionKeys"]] == ["string", "string"]
    assert [values[1] for values in partitions_of(glue, database)] == ["2026"]


def test_registering_again_writes_nothing(glue: Any, database: str) -> None:
    """A retried task finds everything in place: no table version and no partition is written a second time."""
    record = commit_record(FIRST)
    register_snapshot(glue, record, FIRST, database=database, lake_uri=LAKE)
    version = table_of(glue, database)["VersionId"]
    registered = register_snapshot(glue, record, FIRST, database=database, lake_uri=LAKE)
    assert (registered.created, registered.updated, registered.unchanged) == (0, 0, 1)
    assert registered.new_columns == ()
    assert table_of(glue, database)["VersionId"] == version


def test_columns_only_grow_and_old_partitions_keep_theirs(glue: Any, database: str) -> None:
    """A later snapshot's columns and struct fields are added; the partition before it is as it was."""
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    before = partitions_of(glue, database)[(T,)]
    later = commit_record(LATER, as_of=AS_OF + timedelta(days=1))
    registered = register_snapshot(glue, later, LATER, database=database, lake_uri=LAKE)
    assert registered.new_columns == ("added",)
    columns = columns_of(table_of(glue, database))
    assert list(columns) == ["place", "rating", "user", "_rescued", "added"]
    assert columns["place"] == "struct<city:string,zip:string>"
    partitions = partitions_of(glue, database)
    assert partitions[(T,)] == before
    newer = partitions[(snapshot_timestamp(later.as_of),)]
    assert list(columns_of(newer)) == list(columns), "in the table's order, so they agree by place as well"


def test_an_older_snapshot_registered_late_takes_nothing_away(glue: Any, database: str) -> None:
    """A backfilled day has fewer columns; the table keeps the newer ones."""
    later = commit_record(LATER, as_of=AS_OF + timedelta(days=1))
    register_snapshot(glue, later, LATER, database=database, lake_uri=LAKE)
    before = table_of(glue, database)["StorageDescriptor"]["Columns"]
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    assert table_of(glue, database)["StorageDescriptor"]["Columns"] == before
    assert columns_of(partitions_of(glue, database)[(T,)])["place"] == "struct<city:string>"


def test_a_column_of_another_type_is_a_conflict_and_changes_nothing(glue: Any, database: str) -> None:
    """A table whose column somebody retyped is refused with the column, both types and the way out."""
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    table = table_of(glue, database)
    for column in table["StorageDescriptor"]["Columns"]:
        if column["Name"] == "rating":
            column["Type"] = "string"
    kept = {name: table[name] for name in ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")}
    glue.update_table(DatabaseName=database, TableInput=kept)
    later = commit_record(LATER, as_of=AS_OF + timedelta(days=1))
    with pytest.raises(SchemaConflictError, match=r"column rating: the catalog has type string, the snapshot bigint"):
        register_snapshot(glue, later, LATER, database=database, lake_uri=LAKE)
    assert "added" not in columns_of(table_of(glue, database))
    assert list(partitions_of(glue, database)) == [(T,)]


@pytest.mark.parametrize(
    ("lake", "schema", "message"),
    [
        ("s3://bucket/elsewhere", FIRST, "location: expected s3://bucket/elsewhere/reviews/"),
        (LAKE, schema_of([{"User": {"S": "u"}}], partition_by=["User"]), "partition keys: expected .*user"),
    ],
)
def test_another_table_of_that_name_is_left_alone(
    glue: Any, database: str, lake: str, schema: Schema, message: str
) -> None:
    """A table that lies elsewhere or is partitioned otherwise is somebody's: an error, no change."""
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    before = table_of(glue, database)
    with pytest.raises(SchemaConflictError, match=message):
        register_snapshot(glue, commit_record(schema), schema, database=database, lake_uri=lake)
    assert table_of(glue, database) == before


def test_what_others_keep_on_the_table_survives_growth(glue: Any, database: str) -> None:
    """Description, owner and parameters that somebody set are there after columns were added."""
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    table = table_of(glue, database)
    theirs = {
        "Name": "reviews",
        "Description": "ours",
        "Owner": "team",
        "Parameters": {**table["Parameters"], "pii": "yes"},
        **{name: table[name] for name in ("StorageDescriptor", "PartitionKeys", "TableType")},
    }
    glue.update_table(DatabaseName=database, TableInput=theirs)
    register_snapshot(glue, commit_record(LATER), LATER, database=database, lake_uri=LAKE)
    table = table_of(glue, database)
    assert (table["Description"], table["Owner"], table["Parameters"]["pii"]) == ("ours", "team", "yes")
    assert "added" in columns_of(table)


def test_attributes_that_partition_become_partitions_in_batches(glue: Any, database: str) -> None:
    """250 values of two attributes, null among them, are 250 partitions, written a hundred at a time."""
    schema = schema_of([{"User": {"S": "u"}, "Year": {"N": "2026"}, "Kind": {"S": "k"}}], partition_by=["Year", "Kind"])
    values = [*((str(year), "it's") for year in range(248)), (None, "k"), ("2026", None)]
    record = commit_record(schema, partitions=values)
    batches: list[int] = []
    glue.meta.events.register(
        "before-parameter-build.glue.BatchCreatePartition",
        lambda params, **_: batches.append(len(params["PartitionInputList"])),
    )
    registered = register_snapshot(glue, record, schema, database=database, lake_uri=LAKE)
    assert registered.created == 250
    assert batches == [100, 100, 50]
    keys = table_of(glue, database)["PartitionKeys"]
    assert [key["Type"] for key in keys] == ["string", "bigint", "string"]
    found = partitions_of(glue, database)
    assert len(found) == 250
    assert (T, "__HIVE_DEFAULT_PARTITION__", "k") in found
    assert found[(T, "7", "it's")]["StorageDescriptor"]["Location"].endswith("/p=7/p=it's/")
    assert register_snapshot(glue, record, schema, database=database, lake_uri=LAKE).unchanged == 250


def test_a_replaced_snapshot_leaves_no_partition_of_the_old_one(glue: Any, database: str) -> None:
    """After registering, the catalog has exactly the partitions of the record, and no snapshot beside it is touched."""
    schema = schema_of([{"User": {"S": "u"}, "Kind": {"S": "k"}}], partition_by=["Kind"])
    other_day = commit_record(schema, as_of=AS_OF + timedelta(days=1), partitions=[("a",)])
    register_snapshot(glue, other_day, schema, database=database, lake_uri=LAKE)
    old = commit_record(schema, partitions=[(str(number),) for number in range(60)])
    register_snapshot(glue, old, schema, database=database, lake_uri=LAKE)
    new = commit_record(schema, partitions=[("1",), ("new",)], digest="d2")
    registered = register_snapshot(glue, new, schema, database=database, lake_uri=LAKE)
    assert (registered.created, registered.updated, registered.removed) == (1, 1, 59)
    found = set(partitions_of(glue, database))
    assert found == {(T, "1"), (T, "new"), (snapshot_timestamp(other_day.as_of), "a")}


def test_an_empty_snapshot_is_registered_with_the_last_known_columns(glue: Any, database: str) -> None:
    """A table that became empty has a partition, of no rows."""
    record = replace(commit_record(FIRST, rows=0), rows=0)
    register_snapshot(glue, record, FIRST, database=database, lake_uri=LAKE)
    assert partitions_of(glue, database)[(T,)]["Parameters"]["recordCount"] == "0"


def test_unregistering_takes_that_snapshot_away_and_nothing_else(glue: Any, database: str) -> None:
    """The snapshot's partitions go, other days and the table stay; a second time there is nothing to do."""
    later = commit_record(FIRST, as_of=AS_OF + timedelta(days=1))
    for record in (commit_record(FIRST), later):
        register_snapshot(glue, record, FIRST, database=database, lake_uri=LAKE)
    assert unregister_snapshot(glue, commit_record(FIRST), database=database, lake_uri=LAKE) == 1
    assert list(partitions_of(glue, database)) == [(snapshot_timestamp(later.as_of),)]
    assert unregister_snapshot(glue, commit_record(FIRST), database=database, lake_uri=LAKE) == 0


def test_unregistering_from_where_nothing_is_is_fine(glue: Any, database: str) -> None:
    """No database and no table: nothing to take away."""
    assert unregister_snapshot(glue, commit_record(FIRST), database=database, lake_uri=LAKE) == 0


def test_a_table_of_another_name_is_unregistered_from(glue: Any, database: str) -> None:
    """A crawler may call the folder's table otherwise; it is named behind the database."""
    record = commit_record(FIRST)
    register_snapshot(glue, record, FIRST, database=database, lake_uri=LAKE)
    table = {name: table_of(glue, database)[name] for name in ("PartitionKeys", "StorageDescriptor")}
    glue.create_table(DatabaseName=database, TableInput={"Name": "crawled_reviews", **table})
    partition = partitions_of(glue, database)[(T,)]
    there = {name: partition[name] for name in ("Values", "StorageDescriptor")}
    glue.create_partition(DatabaseName=database, TableName="crawled_reviews", PartitionInput=there)
    names = catalog_names(f"{database}.crawled_reviews")
    assert unregister_snapshot(glue, record, **names, lake_uri=f"{LAKE}/") == 1
    assert partitions_of(glue, database, "crawled_reviews") == {}
    assert (T,) in partitions_of(glue, database)
    for wrong in (".reviews", f"{database}."):
        with pytest.raises(BadCallError, match=r"expected DATABASE or DATABASE\.TABLE"):
            catalog_names(wrong)


def test_another_lakes_snapshot_stays_registered(glue: Any, database: str) -> None:
    """One of the same table and time, in another bucket: refused, without the values that name its folders."""
    schema = schema_of([{"User": {"S": "u"}, "Kind": {"S": "k"}}], partition_by=["Kind"])
    record = commit_record(schema, partitions=[("secret",)])
    register_snapshot(glue, record, schema, database=database, lake_uri=LAKE)
    with pytest.raises(SchemaConflictError, match="expected s3://other/lake/reviews/, found s3://bucket/") as caught:
        unregister_snapshot(glue, record, database=database, lake_uri="s3://other/lake")
    assert "secret" not in f"{caught.value} {caught.value.context}"
    assert len(partitions_of(glue, database)) == 1


@pytest.mark.parametrize("code", ["ConcurrentModificationException", "VersionMismatchException"])
def test_two_that_grow_a_table_at_once_lose_no_column(glue: Any, database: str, code: str) -> None:
    """When the table changed between reading and updating, it is read anew, and both sides' columns are in it."""
    register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri=LAKE)
    other = schema_of([{"Others": {"S": "o"}}], previous=FIRST)
    racing = Racing(
        glue,
        code,
        lambda: register_snapshot(
            glue, commit_record(other, as_of=AS_OF + timedelta(days=2)), other, database=database, lake_uri=LAKE
        ),
    )
    register_snapshot(
        racing, commit_record(LATER, as_of=AS_OF + timedelta(days=1)), LATER, database=database, lake_uri=LAKE
    )
    assert racing.lost == 1
    assert {"added", "others"} <= set(columns_of(table_of(glue, database)))


class Racing:
    """A Glue client whose first UpdateTable loses against *winner*; moto knows no versions to lose by."""

    def __init__(self, glue: Any, code: str, winner: Callable[[], Any]) -> None:
        self._glue, self._code, self._winner = glue, code, winner
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._glue, name)

    def update_table(self, **arguments: Any) -> Any:
        from botocore.exceptions import ClientError

        if not self.lost:
            self.lost += 1
            self._winner()
            raise ClientError({"Error": {"Code": self._code, "Message": "too late"}}, "UpdateTable")
        return self._glue.update_table(**arguments)


def test_a_lake_that_is_not_on_s3_is_refused(glue: Any, database: str) -> None:
    """Glue cannot point at a local folder; the error says what to do and nothing is made."""
    with pytest.raises(BadCallError, match="s3:// lake or no database"):
        register_snapshot(glue, commit_record(FIRST), FIRST, database=database, lake_uri="/tmp/lake")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_database(Name=database)


def test_a_refusal_of_some_partitions_is_an_error_without_their_values(glue: Any, database: str) -> None:
    """Batch calls succeed with a list of what they refused; that is not overlooked, and no value is repeated."""
    schema = schema_of([{"User": {"S": "u"}, "Kind": {"S": "k"}}], partition_by=["Kind"])

    class Refusing(Racing):
        def batch_create_partition(self, **arguments: Any) -> Any:
            self.lost += 1
            values = arguments["PartitionInputList"][0]["Values"]
            return {"Errors": [{"PartitionValues": values, "ErrorDetail": {"ErrorCode": "InternalServiceException"}}]}

    refusing = Refusing(glue, "", lambda: None)
    with pytest.raises(ServiceError, match="InternalServiceException") as caught:
        register_snapshot(
            refusing, commit_record(schema, partitions=[("secret",)]), schema, database=database, lake_uri=LAKE
        )
    assert refusing.lost
    assert "secret" not in str(caught.value)


def test_a_type_that_glue_would_refuse_is_refused_before_it_is_asked(glue: Any, database: str) -> None:
    """A struct of many names, and one that only grows to that; the table stays as it was."""
    half = {f"{'n' * 200}{number:04d}": {"S": "x"} for number in range(200)}
    other = {f"{'m' * 200}{number:04d}": {"S": "x"} for number in range(200)}
    deep = {name: {"M": {"a": {"M": half}, "b": {"M": other}}} for name in ("one", "two")}
    whole = schema_of([{"Place": {"M": deep}}])
    with pytest.raises(
        BadCallError, match=r"column place: its type is \d+ characters long, .* takes 131072; "
    ) as caught:
        register_snapshot(glue, commit_record(whole), whole, database=database, lake_uri=LAKE)
    assert caught.value.context["found"] > 131_072
    assert glue.get_tables(DatabaseName=database)["TableList"] == []

    first = schema_of([{"Place": {"M": {"one": deep["one"]}}}])
    register_snapshot(glue, commit_record(first), first, database=database, lake_uri=LAKE)
    before = table_of(glue, database)
    later = schema_of([{"Place": {"M": {"two": deep["two"]}}}], previous=first)
    with pytest.raises(BadCallError, match="column place: its type is "):
        register_snapshot(glue, commit_record(later), later, database=database, lake_uri=LAKE)
    assert table_of(glue, database) == before


def test_a_comment_glue_would_refuse_is_made_fit(glue: Any, database: str) -> None:
    """An attribute's name with a line break, or longer than 255 characters, becomes a comment Glue takes."""
    schema = schema_of([{"a\nb": {"S": "x"}, "n" * 300: {"S": "x"}, "größe": {"S": "x"}}])
    register_snapshot(glue, commit_record(schema), schema, database=database, lake_uri=LAKE)
    comments = {column.get("Comment", "") for column in table_of(glue, database)["StorageDescriptor"]["Columns"]}
    assert "a\\u000ab" in comments
    assert "größe" in comments
    assert max(map(len, comments)) == 255
