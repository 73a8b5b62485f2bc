"""What a scan will take, before it is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_ddbexport.core.scan.plan import choose_segments, require_possible
from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.settings import ReadBudgetOptions
from airflow_provider_ddbexport.core.scan.table import describe_table, read_rate


@dataclass(frozen=True, slots=True)
class ScanEstimate:
    """About what a scan takes. Filters and projections change none of it: all items are read and charged.

    Attributes:
        items, size_bytes: as DynamoDB last counted them, up to six hours ago; 0 for a table younger than that.
        read_units: capacity units: half a one for each 4 KB, a whole one when consistent.
        budget_rcu: units a second; None without a budget.
        minutes: at this budget; None without one.
        cost: in the currency of the price; None without one. Provisioned capacity is paid for whether used or not.
    """

    table_name: str
    items: int
    size_bytes: int
    segments: int
    read_units: float
    budget_rcu: float | None
    minutes: float | None
    cost: float | None


def estimate_scan(
    dynamodb: Any,
    request: ScanRequest,
    *,
    segments: int | None = None,
    budget: ReadBudgetOptions | None = None,
    price_per_million_units: float | None = None,
) -> ScanEstimate:
    """Return the estimate, from one DescribeTable; nothing is read. Raises as starting the scan would."""
    require_possible(segments, 1)
    budget = budget or ReadBudgetOptions()
    table = describe_table(dynamodb, request.table_name, request.index_name)
    rate = read_rate(
        dynamodb,
        request.table_name,
        request.index_name,
        read_units=budget.read_units,
        read_percent=budget.read_percent,
        ceiling_units=budget.ceiling_units,
    )()
    units = -(-table.size_bytes // 4096) * (1.0 if request.is_consistent else 0.5)
    return ScanEstimate(
        table_name=table.name,
        items=table.items,
        size_bytes=table.size_bytes,
        segments=choose_segments(table, segments, rate, 1),
        read_units=units,
        budget_rcu=rate,
        minutes=None if rate is None else units / rate / 60,
        cost=None if price_per_million_units is None else units / 1e6 * price_per_million_units,
    )
