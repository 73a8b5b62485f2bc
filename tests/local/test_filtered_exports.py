"""Exports with a FilterSpecification select what is written, not what is billed."""

from __future__ import annotations

from typing import Any

import pytest
from orders_table import DAY_1, Orders

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


def test_a_token_stands_for_its_filter_too(numbered: Orders, refused: Any) -> None:
    """The same token with another filter is a conflict."""
    numbered.export(FilterSpecification=ABOVE_1, ClientToken="t")
    assert refused(numbered.export, ClientToken="t")["Code"] == "ExportConflictException"


@pytest.mark.parametrize(
    "arguments",
    [
        {"FilterSpecification": {"FilterExpression": "n >"}},
        {"FilterSpecification": {"FilterExpression": "attribute_exists(n)", "ExpressionAttributeNames": {"#x": "x"}}},
        {
            "FilterSpecification": {
                "FilterExpression": "a <> :a",
                "ExpressionAttributeValues": {":a": {"S": "x" * 4096}},
            }
        },
        {"FilterSpecification": {"KeyConditionExpression": "pk = :a"}},
        {
            "FilterSpecification": ABOVE_1,
            "ExportType": "INCREMENTAL_EXPORT",
            "IncrementalExportSpecification": {"ExportFromTime": DAY_1},
        },
    ],
    ids=["no expression", "unused name", "too long", "key condition", "increment"],
)
def test_a_filter_that_cannot_be_meant_or_emulated_is_refused(
    numbered: Orders, refused: Any, arguments: dict[str, Any]
) -> None:
    """Rather than exporting something else than AWS would."""
    assert refused(numbered.export, **arguments)["Code"] == "ValidationException"
