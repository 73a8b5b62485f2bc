"""What DescribeTable says that a scan depends on, and the read budget that follows from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.core.scan.budget import RateReader
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.errors import BadCallError

log = logging.getLogger(__name__)

DEFAULT_READ_PERCENT = 50.0


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table, or one of its indexes.

    Attributes:
        key_schema: ("User", "HASH"), ("Book", "RANGE").
        size_bytes, items: as DynamoDB last counted them, which it does every six hours; 0 for a new table.
        provisioned_rcu: read capacity units a second; None on demand.
        most_on_demand_rcu: the maximum set for a table on demand; None where there is none.
    """

    name: str
    arn: str
    table_id: str
    key_schema: tuple[tuple[str, str], ...]
    size_bytes: int
    items: int
    provisioned_rcu: float | None
    most_on_demand_rcu: float | None


def describe_table(dynamodb: Any, table_name: str, index_name: str | None = None) -> TableFacts:
    """Return what DynamoDB says of the table or of its index. Raises TableNotFoundError, AccessError, BadCallError."""
    with service_errors(f"describing table {table_name}"):
        table = dynamodb.describe_table(TableName=table_name)["Table"]
    scanned, size = table, table.get("TableSizeBytes", 0)
    if index_name:
        scanned, size = _index(table, table_name, index_name)
    provisioned = float(scanned.get("ProvisionedThroughput", {}).get("ReadCapacityUnits", 0))
    is_local_index = index_name is not None and "ProvisionedThroughput" not in scanned
    if is_local_index:
        provisioned = float(table.get("ProvisionedThroughput", {}).get("ReadCapacityUnits", 0))
    most = float(scanned.get("OnDemandThroughput", {}).get("MaxReadRequestUnits", -1))
    is_on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST" or not provisioned
    return TableFacts(
        name=table["TableArn"].rpartition("/")[2],
        arn=table["TableArn"],
        table_id=table.get("TableId", ""),
        key_schema=tuple((key["AttributeName"], key["KeyType"]) for key in scanned.get("KeySchema", ())),
        size_bytes=int(size),
        items=int(scanned.get("ItemCount", 0)),
        provisioned_rcu=None if is_on_demand else provisioned,
        most_on_demand_rcu=most if is_on_demand and most > 0 else None,
    )


def _index(table: dict[str, Any], table_name: str, index_name: str) -> tuple[dict[str, Any], int]:
    indexes = [*table.get("GlobalSecondaryIndexes", ()), *table.get("LocalSecondaryIndexes", ())]
    for index in indexes:
        if index["IndexName"] == index_name:
            return index, index.get("IndexSizeBytes", 0)
    known = ", ".join(sorted(index["IndexName"] for index in indexes)) or "none"
    raise BadCallError(f"table {table_name} has no index {index_name!r}; it has: {known}", index=index_name)


def read_rate(
    dynamodb: Any,
    table_name: str,
    index_name: str | None = None,
    *,
    read_units: float | None = None,
    read_percent: float | None = None,
    ceiling_units: float | None = None,
    before_rcu: float | None = None,
) -> RateReader:
    """Return what reads the budget, units a second, each time it is called.

    *read_units* is absolute. *read_percent* is of the provisioned capacity as it is then, by default
    :data:`DEFAULT_READ_PERCENT`; on demand it is of *ceiling_units* or of the maximum set for the table, and without
    either there is no budget (None), unless a percentage was asked for, which is a BadCallError. A table that is
    switched to on demand between two calls keeps the budget it had; *before_rcu*, what was provisioned when another
    process began the same scan, counts as such a call.
    """
    for name, value in (("read_units", read_units), ("read_percent", read_percent), ("ceiling_units", ceiling_units)):
        if value is not None and not value > 0:
            raise BadCallError(f"{name}: expected more than 0, found {value}")
    if read_units is not None and read_percent is not None:
        raise BadCallError("read_units and read_percent: give one of them, the budget is absolute or a percentage")
    if read_percent is not None and read_percent > 100:
        raise BadCallError(f"read_percent: expected at most 100, found {read_percent}")
    if read_units is not None:
        return lambda: read_units

    percent = read_percent or DEFAULT_READ_PERCENT
    last = None if before_rcu is None else before_rcu * percent / 100

    def rate() -> float | None:
        nonlocal last
        facts = describe_table(dynamodb, table_name, index_name)
        capacity = facts.provisioned_rcu or ceiling_units or facts.most_on_demand_rcu
        if capacity is None:
            if last is not None:
                log.warning(
                    "Table %s is on demand now and has no capacity to take a percentage of: the read budget stays "
                    "%.1f RCU/s; to change it, end the scan and go on with another budget",
                    facts.name,
                    last,
                )
                return last
            if read_percent is not None:
                raise BadCallError(
                    f"read_percent: table {facts.name} is on demand and has no capacity to take {read_percent} % of; "
                    "state a ceiling (ceiling_units) or the budget itself (read_units)"
                )
            return None
        last = capacity * percent / 100
        return last

    return rate
