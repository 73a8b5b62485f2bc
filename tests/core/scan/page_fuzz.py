"""Bodies of Scan's responses, of every spelling."""

from __future__ import annotations

from random import Random
from typing import Any

from decoder_fuzz import spelled_json

from airflow_provider_ddbexport.core.decode import Item


def body_of(items: list[Item], random: Random) -> bytes:
    """Return a body that holds *items*; its members are spelled in one way, each item mostly so as DynamoDB does."""
    body: dict[str, Any] = {
        "ConsumedCapacity": {"CapacityUnits": random.choice([0.5, 128.0, 3]), "TableName": "Reviews"},
        "Count": len(items),
        "Items": items,
        "ScannedCount": len(items) + random.randrange(3),
    }
    if items and random.random() < 0.7:
        body["LastEvaluatedKey"] = items[-1]
    return spelled_json(body, random)
