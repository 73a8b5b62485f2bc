"""Scans of the embedded AWS: whether the read budget is kept, and how segments speed a scan up.

The budget is measured on a simulated clock, with real calls of Scan, whose ConsumedCapacity is the embedded AWS's. The
speed-up is measured in real time; each call waits as long as a network would take.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RATES_RCU = (5.0, 25.0, 100.0, 300.0, 1_000.0)
ITEM_BYTES = (200, 4_000, 40_000, 390_000)
WINDOWS_S = (10.0, 30.0, 60.0)
SEGMENTS = (1, 2, 4, 8, 16)

_TABLE_BYTES = 4 << 20
_DURATION_S = 70.0
_THREADS = 8
_PAGE_S = 0.05
_SPEED_UP_ITEMS = 3_200
_SPEED_UP_ITEM_BYTES = 40_000
_SPEED_UP_LATENCY_S = 0.1


def measure_budgets() -> list[dict[str, float]]:
    """Return, for each rate, item size and window, the part of the budget that the fullest and all windows used."""
    with _embedded_aws() as aws:
        for item_bytes in ITEM_BYTES:
            _fill(aws, f"Items{item_bytes}", item_bytes, max(16, _TABLE_BYTES // item_bytes))
        return [
            figures
            for rate_rcu in RATES_RCU
            for item_bytes in ITEM_BYTES
            for figures in _budget(aws, rate_rcu, item_bytes)
        ]


def _budget(aws: Any, rate_rcu: float, item_bytes: int) -> Iterator[dict[str, float]]:
    """Scan the table again and again for more than a simulated minute, by eight threads, as a scan does."""
    from airflow_provider_ddbexport.core.scan.pacing import Pacer
    from airflow_provider_ddbexport.core.store.retry import RetryPolicy
    from scan.simulated_time import SimulatedTime

    simulated = SimulatedTime(_THREADS)
    source = _Counts(aws.client("dynamodb"), simulated)
    pacer = Pacer(
        source,
        lambda: rate_rcu,
        is_consistent=False,
        retries=RetryPolicy(clock=simulated.clock, sleep=simulated.sleep),
        stop=threading.Event(),
    )

    def scan_segment(segment: int) -> None:
        request = {
            "TableName": f"Items{item_bytes}",
            "Segment": segment,
            "TotalSegments": _THREADS,
            "Select": "COUNT",
            "ReturnConsumedCapacity": "TOTAL",
        }
        try:
            start = None
            while simulated.clock() < _DURATION_S:
                start = pacer.page(request, start).last_key
        finally:
            simulated.end()

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(scan_segment, range(_THREADS)))
    for window_s in WINDOWS_S:
        yield {
            "rate_rcu": rate_rcu,
            "item_bytes": item_bytes,
            "window_s": window_s,
            "fullest": most_in(source.charges, window_s) / (rate_rcu * window_s),
            "used": sum(units for at, units in source.charges if at < _DURATION_S) / (rate_rcu * _DURATION_S),
        }


class _Counts:
    """Pages of which nothing but their cost is fetched; each takes :data:`_PAGE_S` of the simulated time."""

    def __init__(self, dynamodb: Any, simulated: Any) -> None:
        self._dynamodb = dynamodb
        self._simulated = simulated
        self.charges: list[tuple[float, float]] = []

    def page(self, request: dict[str, Any], start: Any) -> Any:
        from airflow_provider_ddbexport.core.scan.page import Page

        asked = {**request, "ExclusiveStartKey": start} if start else request
        answer = self._dynamodb.scan(**asked)
        units = answer["ConsumedCapacity"]["CapacityUnits"]
        self.charges.append((self._simulated.clock(), units))
        self._simulated.sleep(_PAGE_S)
        return Page(b"", 0, answer["ScannedCount"], 0, answer.get("LastEvaluatedKey"), units)


def most_in(charges: list[tuple[float, float]], window_s: float) -> float:
    """Return the most units that any *window_s* seconds contain."""
    most = total = 0.0
    start = 0
    charges = sorted(charges)
    for at, units in charges:
        total += units
        while charges[start][0] <= at - window_s:
            total -= charges[start][1]
            start += 1
        most = max(most, total)
    return most


def measure_speed_up() -> list[dict[str, float]]:
    """Return the seconds and the read capacity units of a backup by each number of segments."""
    from airflow_provider_ddbexport.core.scan import scan_backup
    from airflow_provider_ddbexport.core.store import LocalStore

    found = []
    with _embedded_aws() as aws:
        _fill(aws, "Items", _SPEED_UP_ITEM_BYTES, _SPEED_UP_ITEMS)
        for segments in SEGMENTS:
            dynamodb = aws.client("dynamodb", config=_connections(segments))
            dynamodb.meta.events.register("before-send.dynamodb.Scan", _wait)
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                backup = scan_backup(
                    dynamodb,
                    LocalStore(Path(folder)),
                    table_name="Items",
                    bucket="benchmark",
                    segments=segments,
                    workers=segments,
                )
                seconds = time.perf_counter() - started
            if backup.summary.item_count != _SPEED_UP_ITEMS or backup.summary.scan is None:
                raise SystemExit(f"expected {_SPEED_UP_ITEMS} items, found {backup.summary.item_count}")
            found.append(
                {"segments": segments, "seconds": seconds, "consumed_units": backup.summary.scan.consumed_units}
            )
    return found


def _wait(**_: Any) -> None:
    time.sleep(_SPEED_UP_LATENCY_S)


def _connections(workers: int) -> Any:
    from botocore.config import Config

    return Config(max_pool_connections=workers + 2)


def _fill(aws: Any, name: str, item_bytes: int, items: int) -> None:
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    text = "x" * (item_bytes - 20)
    for start in range(0, items, 25):
        puts = [
            {"PutRequest": {"Item": {"Id": {"N": str(number)}, "Text": {"S": text}}}}
            for number in range(start, min(start + 25, items))
        ]
        dynamodb.batch_write_item(RequestItems={name: puts})


def _serve(ready: Connection) -> None:
    from airflow_provider_ddbexport.local import local_aws

    with local_aws() as aws:
        ready.send(aws.endpoint_url)
        # Until the other end is closed.
        ready.poll(None)


@contextmanager
def _embedded_aws() -> Iterator[Any]:
    """Serve the embedded AWS from a process of its own; yields a handle on it."""
    from airflow_provider_ddbexport.local.handle import LocalAws

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield LocalAws(ours.recv())
    finally:
        ours.close()
        process.join()
