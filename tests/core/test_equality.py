"""When two items are the same item."""

from __future__ import annotations

import pytest

from airflow_provider_ddbexport.core.decode import AttributeValue
from airflow_provider_ddbexport.core.equality import is_same_item


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"N": "1"}, {"N": "1.0"}),
        ({"N": "-0"}, {"N": "0E+5"}),
        ({"N": "1E-130"}, {"N": "0.1E-129"}),
        ({"NS": ["1", "2E1"]}, {"NS": ["20", "1.00"]}),
        ({"SS": ["a", "b"]}, {"SS": ["b", "a"]}),
        ({"BS": ["QQ==", "Qg=="]}, {"BS": ["Qg==", "QQ=="]}),
        (
            {"L": [{"M": {"a": {"N": "1"}, "b": {"NULL": True}}}]},
            {"L": [{"M": {"b": {"NULL": True}, "a": {"N": "1e0"}}}]},
        ),
    ],
)
def test_how_a_value_is_written_does_not_count(one: AttributeValue, other: AttributeValue) -> None:
    """Numbers are decimals, sets are sets, maps have no order."""
    assert is_same_item({"x": one}, {"x": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"N": "1"}, {"S": "1"}),
        ({"N": "12345678901234567890123456789012345678"}, {"N": "12345678901234567890123456789012345679"}),
        ({"N": "0"}, {"N": "1E-130"}),
        ({"L": [{"S": "a"}, {"S": "b"}]}, {"L": [{"S": "b"}, {"S": "a"}]}),
        ({"L": [{"S": "a"}]}, {"L": [{"S": "a"}, {"S": "a"}]}),
        ({"L": []}, {"M": {}}),
        ({"SS": ["a"]}, {"SS": ["a", "b"]}),
        ({"B": "QQ=="}, {"B": "Qg=="}),
        ({"M": {"a": {"NULL": True}}}, {"M": {}}),
        ({"BOOL": True}, {"BOOL": False}),
    ],
)
def test_what_a_value_is_counts(one: AttributeValue, other: AttributeValue) -> None:
    """Its type, every digit, the order of a list; and NULL is not absent."""
    assert not is_same_item({"x": one}, {"x": other})
    assert not is_same_item({"x": one}, {})
    assert not is_same_item({"x": one}, {"y": one})
