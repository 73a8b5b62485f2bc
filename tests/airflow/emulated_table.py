"""Tables of the embedded AWS."""

from __future__ import annotations

from typing import Any


def create_table(dynamodb: Any, name: str, key: str, *, key_type: str = "S", recovery: bool = True) -> None:
    """Make a table on demand whose items have the partition key *key*, and turn point-in-time recovery on."""
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": key_type}],
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    if recovery:
        dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
