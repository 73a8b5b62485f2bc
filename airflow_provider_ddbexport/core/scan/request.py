"""What a scan asks of DynamoDB, the same for every segment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airflow_provider_ddbexport.core.boto_values import value_from_boto, value_to_boto
from airflow_provider_ddbexport.core.decode import check_item
from airflow_provider_ddbexport.errors import BadCallError, ItemError


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan of a table or an index. Raises BadCallError when an expression's value is no DynamoDB JSON.

    Attributes:
        table_name: name or ARN.
        index_name: a secondary index to scan instead of the table; it holds the attributes projected into it.
        filter_expression, projection_expression: DynamoDB's; what is filtered out is charged all the same.
        names, values: what ``#names`` and ``:values`` in them stand for; values are DynamoDB JSON, binaries as base64
            text or bytes.
    """

    table_name: str
    index_name: str | None = None
    is_consistent: bool = False
    filter_expression: str | None = None
    projection_expression: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # What templates give for "none".
        for name in ("index_name", "filter_expression", "projection_expression"):
            object.__setattr__(self, name, getattr(self, name) or None)
        object.__setattr__(self, "names", dict(self.names))
        object.__setattr__(
            self, "values", {name: _request_value(name, value) for name, value in dict(self.values).items()}
        )

    def parameters(self, segments: int) -> dict[str, Any]:
        """Return the arguments of boto3's ``scan`` but for Segment, Limit and ExclusiveStartKey."""
        parameters = {
            "TableName": self.table_name,
            "IndexName": self.index_name,
            "TotalSegments": segments,
            "ConsistentRead": self.is_consistent,
            "ReturnConsumedCapacity": "TOTAL",
            "FilterExpression": self.filter_expression,
            "ProjectionExpression": self.projection_expression,
            "ExpressionAttributeNames": self.names,
            "ExpressionAttributeValues": self.values,
        }
        # DynamoDB refuses empty expressions.
        return {name: value for name, value in parameters.items() if value not in (None, "", {})}

    def values_digest(self) -> str | None:
        """Return SHA-256 of the values, which are items' values and written nowhere; None without any."""
        if not self.values:
            return None
        values = {name: value_from_boto(value) for name, value in self.values.items()}
        return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()


def _request_value(name: str, value: Any) -> dict[str, Any]:
    """Return an expression's value as boto3 takes it; what is wrong with it is said without quoting it."""
    try:
        converted = value_to_boto(value)
        check_item({"value": value_from_boto(converted)})
    except (AttributeError, TypeError, ValueError, ItemError):
        raise BadCallError(
            f'expression_attribute_values: {name} is no DynamoDB JSON, such as {{"S": "text"}} or {{"N": "1"}}',
            name=name,
        ) from None
    return converted
