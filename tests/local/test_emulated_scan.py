"""Scan of the embedded DynamoDB: pages, segments, filters, projections."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders_table import Orders

from airflow_provider_ddbexport.local.attribute_values import KeySchema
from airflow_provider_ddbexport.local.projection import parse_projection, project

KEYS: dict[str, Callable[[int], Any]] = {
    "S": lambda number: f"k{number}",
    "N": lambda number: f"{number / 4:g}",
    "B": lambda number: number.to_bytes(2, "big"),
}


def fill(orders: Orders, kind: str = "S", count: int = 60, **attributes: Any) -> None:
    items = [{"pk": {kind: KEYS[kind](number)}, **attributes} for number in range(count)]
    for start in range(0, count, 25):
        batch = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        orders.dynamodb.batch_write_item(RequestItems={"Orders": batch})


def pages(orders: Orders, **arguments: Any) -> list[dict[str, Any]]:
    found = []
    while True:
        found.append(orders.dynamodb.scan(TableName="Orders", **arguments))
        if "LastEvaluatedKey" not in found[-1]:
            return found
        arguments["ExclusiveStartKey"] = found[-1]["LastEvaluatedKey"]


def keys(found: list[dict[str, Any]], kind: str = "S") -> list[Any]:
    return [item["pk"][kind] for page in found for item in page["Items"]]


@pytest.mark.parametrize("kind", ["S", "N", "B"])
@pytest.mark.parametrize("total", [1, 2, 7, 40])
def test_segments_hold_every_item_once_whatever_the_key(orders: Orders, kind: str, total: int) -> None:
    """Text, number and binary keys alike: the segments together are the table."""
    orders.create("Orders", kind)
    fill(orders, kind)
    parts = [keys(pages(orders, Segment=part, TotalSegments=total, Limit=7), kind) for part in range(total)]
    assert sorted(key for part in parts for key in part) == sorted(KEYS[kind](number) for number in range(60))
    assert total == 1 or max(map(len, parts)) < 60


@pytest.mark.parametrize("kind", ["S", "N", "B"])
def test_a_million_segments_are_possible(orders: Orders, kind: str) -> None:
    """The largest TotalSegments: an item is in the segment its hash says, and in no neighbour."""
    orders.create("Orders", kind)
    value = KEYS[kind](17)
    orders.dynamodb.put_item(TableName="Orders", Item={"pk": {kind: value}})
    wire = base64.b64encode(value).decode() if kind == "B" else value
    total = 1_000_000
    mine = KeySchema("pk", None).key({"pk": {kind: wire}}).token * total >> 128
    counts = [
        orders.dynamodb.scan(TableName="Orders", Segment=part % total, TotalSegments=total)["Count"]
        for part in (mine - 1, mine, mine + 1)
    ]
    assert counts == [0, 1, 0]


def test_items_with_one_partition_key_are_in_one_segment_in_the_order_of_their_sort_key(orders: Orders) -> None:
    """An item collection is never torn apart; numbers sort as numbers."""
    orders.create("Orders", "S", "N")
    for number in (10, 9, -1, 2.5):
        orders.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": "a"}, "sk": {"N": f"{number}"}})
    parts = [pages(orders, Segment=part, TotalSegments=8) for part in range(8)]
    held = [[item["sk"]["N"] for page in part for item in page["Items"]] for part in parts]
    assert [part for part in held if part] == [["-1", "2.5", "9", "10"]]


def test_a_page_ends_at_a_megabyte(orders: Orders) -> None:
    """Pages hold at most 1 MB of items, as stored, and all of them together the table."""
    orders.create()
    fill(orders, count=30, v={"S": "x" * 100_000})
    found = pages(orders, ReturnConsumedCapacity="TOTAL")
    assert [page["Count"] for page in found] == [10, 10, 10]
    assert all(page["ConsumedCapacity"]["CapacityUnits"] <= 128 for page in found)
    assert len(set(keys(found))) == 30


def test_a_page_cut_by_its_limit_says_so_even_at_the_last_item(orders: Orders) -> None:
    """As with AWS, the page after a limit reached by the very last item is empty."""
    orders.create()
    fill(orders, count=4)
    assert [page["Count"] for page in pages(orders, Limit=2)] == [2, 2, 0]


def test_a_scan_goes_on_behind_an_item_that_is_gone(orders: Orders) -> None:
    """Deleting the item a page ended with neither repeats nor skips another."""
    orders.create()
    fill(orders, count=10)
    first = orders.dynamodb.scan(TableName="Orders", Limit=5)
    orders.dynamodb.delete_item(TableName="Orders", Key=first["LastEvaluatedKey"])
    rest = pages(orders, ExclusiveStartKey=first["LastEvaluatedKey"])
    assert sorted(keys([first]) + keys(rest)) == sorted(f"k{number}" for number in range(10))


def test_a_filter_drops_items_but_they_are_counted_as_scanned(orders: Orders) -> None:
    """Count is what is left, ScannedCount what was read; the limit counts what was read."""
    orders.create()
    for number in range(10):
        orders.put(f"k{number}", n={"N": str(number)}, tags={"SS": ["x"]} if number % 2 else {"NULL": True})
    condition = {
        "FilterExpression": "n BETWEEN :low AND :high AND contains(tags, :tag)",
        "ExpressionAttributeValues": {":low": {"N": "2"}, ":high": {"N": "7.0"}, ":tag": {"S": "x"}},
    }
    found = pages(orders, Limit=3, **condition)
    assert sorted(keys(found)) == ["k3", "k5", "k7"]
    assert sum(page["ScannedCount"] for page in found) == 10
    counted = orders.dynamodb.scan(TableName="Orders", Select="COUNT", **condition)
    assert (counted["Count"], counted["ScannedCount"]) == (3, 10)
    assert "Items" not in counted


def test_a_projection_gives_back_the_parts_it_names(orders: Orders) -> None:
    """Names, nested names, list elements and placeholders; binaries and sets keep their types."""
    orders.create()
    orders.put(
        "a",
        m={"M": {"x.y": {"B": b"\x00"}, "z": {"N": "1"}}},
        l={"L": [{"S": "0"}, {"M": {"k": {"S": "v"}, "other": {"S": "w"}}}]},
        s={"NS": ["1", "2"]},
        rest={"S": "left out"},
    )
    (item,) = orders.dynamodb.scan(
        TableName="Orders",
        ProjectionExpression="m.#dotted, l[1].k, s, absent.deeper",
        ExpressionAttributeNames={"#dotted": "x.y"},
    )["Items"]
    assert item["m"] == {"M": {"x.y": {"B": b"\x00"}}}
    assert item["l"] == {"L": [{"M": {"k": {"S": "v"}}}]}
    assert sorted(item["s"]["NS"]) == ["1", "2"]
    assert set(item) == {"m", "l", "s"}


@given(st.dictionaries(st.sampled_from("abc"), st.builds(lambda text: {"S": text}, st.text()), min_size=1))
def test_projecting_on_all_names_is_the_identity(item: dict[str, Any]) -> None:
    """Naming every attribute gives back the whole item."""
    paths, used = parse_projection(", ".join(f"#{name}" for name in item), {f"#{name}": name for name in item})
    assert project(item, paths) == item
    assert used == {f"#{name}" for name in item}


@pytest.mark.parametrize(
    "arguments",
    [
        {"Segment": 0},
        {"TotalSegments": 2},
        {"Segment": 2, "TotalSegments": 2},
        {"ProjectionExpression": "a..b"},
        {"ProjectionExpression": "#a"},
        {"FilterExpression": ""},
        {"FilterExpression": "a ="},
        {"ExpressionAttributeNames": {"#unused": "a"}},
        {"ExclusiveStartKey": {"sk": {"S": "a"}}},
    ],
)
def test_a_scan_that_makes_no_sense_is_refused(
    orders: Orders, refused: Callable[..., dict[str, Any]], arguments: dict[str, Any]
) -> None:
    """A ValidationException, as from the service."""
    orders.create()
    orders.put("a")
    assert refused(orders.dynamodb.scan, TableName="Orders", **arguments)["Code"] == "ValidationException"


def test_a_starting_key_of_another_segment_is_refused(orders: Orders, refused: Callable[..., dict[str, Any]]) -> None:
    """A page of one segment cannot be gone on with in another."""
    orders.create()
    fill(orders, count=20)
    first = orders.dynamodb.scan(TableName="Orders", Segment=0, TotalSegments=2, Limit=1)
    error = refused(
        orders.dynamodb.scan,
        TableName="Orders",
        Segment=1,
        TotalSegments=2,
        ExclusiveStartKey=first["LastEvaluatedKey"],
    )
    assert error["Code"] == "ValidationException"


def test_a_secondary_index_is_scanned_too(orders: Orders) -> None:
    """Scans of an index hold the items that have its key."""
    orders.dynamodb.create_table(
        TableName="Orders",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "city")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-city",
                "KeySchema": [{"AttributeName": "city", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    orders.put("a", city={"S": "Oslo"})
    orders.put("b")
    found = orders.dynamodb.scan(TableName="Orders", IndexName="by-city", ReturnConsumedCapacity="TOTAL")
    assert [item["pk"]["S"] for item in found["Items"]] == ["a"]
    assert found["ConsumedCapacity"]["CapacityUnits"] == 0.5
