"""Exports with a FilterSpecification select what is written, not what is billed."""

from __future__ import annotations

from typing import Any

import pytest
from orders_table import Orders

ABOVE_1 = {
    "FilterExpression": "#n > :n",
    "ExpressionAttributeNames": {"#n": "n"},
    "ExpressionAttributeValues": {":n": {"N": "1"}},
}


@pytest.fixture
def numbered(orders: Orders) -> Orders:
    """Three items with n of 1, 2 and 3."""
    orders.create()
    for n in ("1", "2", "3"):
        orders.put(f"k{n}", n={"N": n}, other={"S": "x" * 100})
    orders.later(hours=1)
    return orders


def test_only_what_passes_the_filter_is_written_and_all_is_billed(numbered: Orders) -> None:
    """The description tells the filter."""
    whole = numbered.export()
    filtered = numbered.export(FilterSpecification=ABOVE_1)
    assert sorted(line["Item"]["n"]["N"] for line in numbered.lines(filtered)) == ["2", "3"]
    assert filtered["FilterSpecification"] == ABOVE_1
    assert filtered["ItemCount"] == 2
    assert filtered["BilledSizeBytes"] == whole["BilledSizeBytes"] > 300


def test_a_projection_leaves_the_attributes_it_names(numbered: Orders) -> None:
    """With a filter or without one."""
    found = numbered.export(FilterSpecification={"ProjectionExpression": "pk, n"})
    assert [set(line["Item"]) for line in numbered.lines(found)] == [{"pk", "n"}] * 3


def test_an_increment_tells_of_what_passes_as_it_is_now_or_was_if_it_is_gone(numbered: Orders) -> None:
    """So an item that no longer passes is not told of at all; what changed is billed, whether it is told of or not."""
    begin = numbered.later(minutes=20).replace(microsecond=0)
    numbered.later(minutes=1)
    numbered.put("k1", n={"N": "9"})
    numbered.put("k2", n={"N": "0"})
    numbered.dynamodb.delete_item(TableName="Orders", Key={"pk": {"S": "k3"}})
    numbered.put("k5", n={"N": "5"}, other={"S": "y" * 2000})
    end = numbered.later(minutes=20).replace(microsecond=0)
    whole = numbered.increment(begin, end)
    found = numbered.increment(begin, end, FilterSpecification={**ABOVE_1, "ProjectionExpression": "n"})
    told = {line["Keys"]["pk"]["S"]: line for line in numbered.lines(found)}
    images = {pk: (line.get("OldImage"), line.get("NewImage")) for pk, line in told.items()}
    assert images == {
        "k1": ({"n": {"N": "1"}}, {"n": {"N": "9"}}),
        "k3": ({"n": {"N": "3"}}, None),
        "k5": (None, {"n": {"N": "5"}}),
    }
    assert (whole["ItemCount"], found["ItemCount"]) == (4, 3)
    assert found["BilledSizeBytes"] == whole["BilledSizeBytes"]
    assert found["FilterSpecification"]["ProjectionExpression"] == "n"
    only_new = numbered.increment(begin, end, "NEW_IMAGE", FilterSpecification=ABOVE_1)
    assert {line["Keys"]["pk"]["S"]: "NewImage" in line for line in numbered.lines(only_new)} == {
        "k1": True,
        "k3": False,
        "k5": True,
    }


def test_a_token_stands_for_its_filter_too(numbered: Orders, refused: Any) -> None:
    """The same token with another filter is a conflict."""
    numbered.export(FilterSpecification=ABOVE_1, ClientToken="t")
    assert refused(numbered.export, ClientToken="t")["Code"] == "ExportConflictException"


@pytest.mark.parametrize(
    "arguments",
    [
        {"FilterSpecification": {"FilterExpression": "n >"}},
        {"FilterSpecification": {"FilterExpression": "n > :a"}},
        {"FilterSpecification": {"FilterExpression": "#n = n"}},
        {"FilterSpecification": {"FilterExpression": "n > :a", "ExpressionAttributeValues": {":a": {"N": "x"}}}},
        {"FilterSpecification": {"FilterExpression": "attribute_exists(n)", "ExpressionAttributeNames": {"#x": "x"}}},
        {
            "FilterSpecification": {
                "FilterExpression": "a <> :a",
                "ExpressionAttributeValues": {":a": {"S": "x" * 4096}},
            }
        },
        {"FilterSpecification": {"KeyConditionExpression": "pk = :a"}},
    ],
    ids=["no expression", "no value", "no name", "no number", "unused name", "too long", "key condition"],
)
def test_a_filter_that_cannot_be_meant_or_emulated_is_refused(
    numbered: Orders, refused: Any, arguments: dict[str, Any]
) -> None:
    """Rather than exporting something else than AWS would."""
    assert refused(numbered.export, **arguments)["Code"] == "ValidationException"


def test_a_value_without_what_a_filter_asks_for_does_not_pass(numbered: Orders) -> None:
    """A number has no size, and is neither more nor less than a text."""
    for expression, value in (("size(n) > :a", {"N": "0"}), ("n > :a", {"S": ""})):
        narrowing = {"FilterExpression": expression, "ExpressionAttributeValues": {":a": value}}
        assert numbered.lines(numbered.export(FilterSpecification=narrowing)) == []
