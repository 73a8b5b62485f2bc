"""What calls to the embedded DynamoDB cost, and when a provisioned table throttles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from orders_table import Orders

from airflow_provider_ddbexport.local.attribute_values import item_size

PROVISIONED = {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}}
"""A slow machine takes seconds, of which each brings back one unit: what is refused costs many."""


def text(size: int) -> dict[str, str]:
    """Return a value that makes an item with the key ``pk`` of one letter *size* bytes."""
    return {"S": "x" * (size - len("pk") - 1 - len("v"))}


def units(answer: dict[str, Any]) -> float:
    found: float = answer["ConsumedCapacity"]["CapacityUnits"]
    return found


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"ab": {"S": "é"}}, 4),
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "123"}}, 4),
        ({"n": {"N": "-123"}}, 5),
        ({"n": {"N": "1000"}}, 3),
        ({"b": {"B": "AAEC"}}, 4),
        ({"t": {"BOOL": True}, "z": {"NULL": True}}, 4),
        ({"m": {"M": {"k": {"S": "vv"}}}}, 1 + 3 + 1 + 1 + 2),
        ({"l": {"L": [{"S": "a"}, {"S": "bb"}]}}, 1 + 3 + 2 + 3),
        ({"s": {"SS": ["a", "bb"]}, "t": {"NS": ["1", "22"]}, "u": {"BS": ["AAEC"]}}, 4 + 5 + 4),
    ],
)
def test_an_item_is_as_large_as_its_names_and_values(item: dict[str, Any], size: int) -> None:
    """Text by its UTF-8 bytes, numbers by two digits a byte, containers three bytes and one for each element."""
    assert item_size(item) == size


@pytest.mark.parametrize(("size", "eventual"), [(100, 0.5), (4096, 0.5), (4097, 1.0), (40_000, 5.0)])
def test_a_read_costs_half_a_unit_for_each_4_kilobytes(orders: Orders, size: int, eventual: float) -> None:
    """Strongly consistent reads cost twice as much; so do Scan and Query of the one item."""
    orders.create()
    orders.put("a", v=text(size))
    ask = {"TableName": "Orders", "ReturnConsumedCapacity": "TOTAL"}
    key = {"Key": {"pk": {"S": "a"}}}
    of_key = {"KeyConditionExpression": "pk = :a", "ExpressionAttributeValues": {":a": {"S": "a"}}}
    db = orders.dynamodb
    for read, arguments in ((db.get_item, key), (db.scan, {}), (db.query, of_key)):
        assert units(read(**ask, **arguments)) == eventual
        assert units(read(**ask, **arguments, ConsistentRead=True)) == 2 * eventual


def test_many_items_of_one_page_are_rounded_together_but_apart_in_a_batch(orders: Orders) -> None:
    """A page costs what its bytes cost; a batch costs what each of its items costs."""
    orders.create()
    for pk in "abcdefgh":
        orders.put(pk, v=text(1024))
    ask = {"ReturnConsumedCapacity": "TOTAL"}
    assert units(orders.dynamodb.scan(TableName="Orders", **ask)) == 1.0
    batch = {"Orders": {"Keys": [{"pk": {"S": pk}} for pk in "abcdefgh"]}}
    (found,) = orders.dynamodb.batch_get_item(RequestItems=batch, **ask)["ConsumedCapacity"]
    assert found["CapacityUnits"] == 4.0
    reads = [{"Get": {"TableName": "Orders", "Key": {"pk": {"S": pk}}}} for pk in "ab"]
    (found,) = orders.dynamodb.transact_get_items(TransactItems=reads, **ask)["ConsumedCapacity"]
    assert found["CapacityUnits"] == 4.0


def test_what_is_filtered_out_or_cut_down_is_paid_for(orders: Orders) -> None:
    """Neither a filter nor a projection makes a Scan or a Query cheaper."""
    orders.create("Orders", "S", "S")
    for sk in "ab":
        item = {"pk": {"S": "p"}, "sk": {"S": sk}, "v": {"S": "x" * 8000}}
        orders.dynamodb.put_item(TableName="Orders", Item=item)
    narrow = {
        "TableName": "Orders",
        "FilterExpression": "attribute_exists(absent)",
        "ProjectionExpression": "#k",
        "ExpressionAttributeNames": {"#k": "sk"},
        "ReturnConsumedCapacity": "TOTAL",
    }
    scanned = orders.dynamodb.scan(**narrow)
    queried = orders.dynamodb.query(
        **narrow, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "p"}}
    )
    for answer in (scanned, queried):
        assert (answer["Count"], answer["ScannedCount"], units(answer)) == (0, 2, 2.0)


@pytest.mark.parametrize(("before", "after", "cost"), [(0, 100, 1), (0, 1025, 2), (3000, 100, 3), (100, 5000, 5)])
def test_a_write_costs_a_unit_for_each_kilobyte_of_the_larger_image(
    orders: Orders, before: int, after: int, cost: float
) -> None:
    """The larger of what was there and what comes in counts; a transaction costs twice as much."""
    orders.create()
    ask = {"ReturnConsumedCapacity": "TOTAL"}
    item = {"pk": {"S": "a"}, "v": text(after)}
    ways: list[Callable[[], Any]] = [
        lambda: orders.dynamodb.put_item(TableName="Orders", Item=item, **ask)["ConsumedCapacity"],
        lambda: orders.dynamodb.update_item(
            TableName="Orders",
            Key={"pk": {"S": "a"}},
            UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": text(after)},
            **ask,
        )["ConsumedCapacity"],
        lambda: orders.dynamodb.batch_write_item(RequestItems={"Orders": [{"PutRequest": {"Item": item}}]}, **ask)[
            "ConsumedCapacity"
        ][0],
        lambda: orders.dynamodb.transact_write_items(
            TransactItems=[{"Put": {"TableName": "Orders", "Item": item}}], **ask
        )["ConsumedCapacity"][0],
    ]
    costs = []
    for write in ways:
        orders.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "a"}})
        if before:
            orders.put("a", v=text(before))
        costs.append(write()["CapacityUnits"])
    assert costs == [cost, cost, cost, 2 * cost]


def test_a_provisioned_table_throttles_reads_beyond_its_capacity(
    orders: Orders, refused: Callable[..., dict[str, Any]]
) -> None:
    """What was not used for a while may be spent at once; then calls are refused until some of it is back."""
    orders.aws.configure(capacity_burst_seconds=1000)
    orders.create(**PROVISIONED)
    orders.put("a", v=text(400_000))
    let_in = 0
    while let_in < 100:
        try:
            orders.dynamodb.scan(TableName="Orders", ConsistentRead=True)
        except orders.dynamodb.exceptions.ProvisionedThroughputExceededException:
            break
        let_in += 1
    # 1000 units, at 98 each; the last one was not all there.
    assert let_in == 11
    error = refused(orders.dynamodb.get_item, TableName="Orders", Key={"pk": {"S": "a"}})
    assert error["Code"] == "ProvisionedThroughputExceededException"
    orders.later(seconds=1000)
    assert orders.dynamodb.get_item(TableName="Orders", Key={"pk": {"S": "a"}})["Item"]


def test_a_provisioned_table_leaves_a_part_of_a_batch_unprocessed(orders: Orders) -> None:
    """What the capacity does not reach for comes back as unprocessed, and is not written."""
    orders.aws.configure(capacity_burst_seconds=1000)
    orders.create(**PROVISIONED)
    puts = [{"PutRequest": {"Item": {"pk": {"S": pk}, "v": text(100 * 1024)}}} for pk in "abcdefghijklmnop"]
    left = orders.dynamodb.batch_write_item(RequestItems={"Orders": puts})["UnprocessedItems"]["Orders"]
    # 1000 units, at 100 each.
    assert len(left) == 6
    held = {item["pk"]["S"] for item in orders.dynamodb.scan(TableName="Orders")["Items"]}
    assert held == set("abcdefghij")
    orders.later(seconds=1000)
    assert orders.dynamodb.batch_write_item(RequestItems={"Orders": left})["UnprocessedItems"] == {}


def test_a_table_on_demand_never_throttles(orders: Orders) -> None:
    """Without provisioned capacity there is nothing to run out of."""
    orders.aws.configure(capacity_burst_seconds=0)
    orders.create()
    orders.put("a", v=text(100_000))
    for _ in range(20):
        orders.dynamodb.scan(TableName="Orders")


def test_a_wish_for_capacity_that_is_none_is_refused(orders: Orders, refused: Callable[..., dict[str, Any]]) -> None:
    """ReturnConsumedCapacity takes three values."""
    orders.create()
    error = refused(orders.dynamodb.scan, TableName="Orders", ReturnConsumedCapacity="SOME")
    assert error["Code"] == "ValidationException"


def test_describe_table_counts_items_and_bytes_at_once(orders: Orders) -> None:
    """Unlike AWS, which counts every six hours: a test need not wait."""
    orders.create()
    orders.put("a", v=text(1000))
    found = orders.dynamodb.describe_table(TableName="Orders")["Table"]
    assert (found["ItemCount"], found["TableSizeBytes"]) == (1, 1000)
    assert found["TableId"]
