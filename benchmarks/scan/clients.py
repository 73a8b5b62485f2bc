"""Ways to read a table, ours and others': each prepares a client and returns what scans and counts the items."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REGION = "us-east-1"
Scan = Callable[[], int]
"""Scans the whole table; returns the number of items."""
_KEYS = {"aws_access_key_id": "benchmark", "aws_secret_access_key": "benchmark"}


def _arguments(url: str) -> dict[str, Any]:
    from botocore.config import Config

    return {"endpoint_url": url, "region_name": REGION, "config": Config(max_pool_connections=64), **_KEYS}


def _client(url: str) -> Any:
    import boto3

    return boto3.client("dynamodb", **_arguments(url))


def _request(segment: int, segments: int, start: Any) -> dict[str, Any]:
    request = {
        "TableName": "Canned",
        "Segment": segment,
        "TotalSegments": segments,
        "ReturnConsumedCapacity": "TOTAL",
    }
    return {**request, "ExclusiveStartKey": start} if start else request


def _in_threads(segments: int, scan_segment: Callable[[int], int]) -> int:
    with ThreadPoolExecutor(segments) as pool:
        return sum(pool.map(scan_segment, range(segments)))


def ours_pages(url: str, segments: int) -> Scan:
    """Our pages, spliced into lines and dropped: no compression, and a budget without a limit."""
    import threading

    from airflow_provider_ddbexport.core.scan.pacing import Pacer
    from airflow_provider_ddbexport.core.scan.page_source import page_source
    from airflow_provider_ddbexport.core.store.retry import RetryPolicy

    source = page_source(_client(url))
    source.page(_request(0, segments, None), None)
    pacer = Pacer(source, lambda: None, is_consistent=False, retries=RetryPolicy(), stop=threading.Event())

    def scan_segment(segment: int) -> int:
        request = _request(segment, segments, None)
        items, start = 0, None
        with Path("/dev/null").open("wb") as sink:
            while True:
                page = pacer.page(request, start)
                sink.write(page.lines)
                items += page.items
                start = page.last_key
                if start is None:
                    return items

    return lambda: _in_threads(segments, scan_segment)


def ours_table(url: str, segments: int) -> Scan:
    """Our scan_table: Arrow record batches, read and dropped."""
    from airflow_provider_ddbexport.core.scan.reader import scan_table

    client = _client(url)
    client.scan(**_request(0, segments, None))

    def scan() -> int:
        with scan_table(client, "Canned", segments=segments, workers=segments) as reader:
            return sum(batch.num_rows for batch in reader)

    return scan


def ours_backup(url: str, segments: int) -> Scan:
    """Our whole backup: gzip, data files, checkpoints, manifests, in a local folder."""
    from airflow_provider_ddbexport.core.scan import scan_backup
    from airflow_provider_ddbexport.core.store import LocalStore

    client = _client(url)
    client.scan(**_request(0, segments, None))

    def scan() -> int:
        with tempfile.TemporaryDirectory() as folder:
            backup = scan_backup(
                client,
                LocalStore(Path(folder)),
                table_name="Canned",
                bucket="benchmark",
                segments=segments,
                workers=segments,
            )
            return backup.summary.item_count

    return scan


def ours_to_parquet(url: str, segments: int) -> Scan:
    """Our scan straight to Parquet, published in a lake in a local folder."""
    from airflow_provider_ddbexport.core.scan import ScanRequest, ScanSettings
    from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS, scan_to_parquet
    from airflow_provider_ddbexport.core.store import LocalStore

    client = _client(url)
    client.scan(**_request(0, segments, None))

    def scan() -> int:
        with tempfile.TemporaryDirectory() as folder:
            settings = ScanSettings(workers=segments, limits=GROUPS)
            lake = LocalStore(Path(folder))
            return scan_to_parquet(client, lake, ScanRequest("Canned"), segments=segments, settings=settings).rows

    return scan


def boto3_client(url: str, segments: int) -> Scan:
    """boto3.client, one for all threads."""
    client = _client(url)
    client.scan(**_request(0, segments, None))

    def scan_segment(segment: int) -> int:
        items, start = 0, None
        while True:
            page = client.scan(**_request(segment, segments, start))
            items += page["Count"]
            start = page.get("LastEvaluatedKey")
            if not start:
                return items

    return lambda: _in_threads(segments, scan_segment)


def boto3_resource(url: str, segments: int) -> Scan:
    """boto3.resource, which turns values into Python's; one for each thread, as its documentation asks for."""
    import boto3

    def scan_segment(segment: int) -> int:
        table = boto3.session.Session().resource("dynamodb", **_arguments(url)).Table("Canned")
        items, start = 0, None
        while True:
            request = _request(segment, segments, start)
            del request["TableName"]
            page = table.scan(**request)
            items += page["Count"]
            start = page.get("LastEvaluatedKey")
            if not start:
                return items

    return lambda: _in_threads(segments, scan_segment)


def aiobotocore(url: str, segments: int) -> Scan:
    """aiobotocore, one task for each segment."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    async def scan() -> int:
        session = get_session()
        arguments = {**_arguments(url), "config": AioConfig(max_pool_connections=64)}
        async with session.create_client("dynamodb", **arguments) as client:

            async def scan_segment(segment: int) -> int:
                items, start = 0, None
                while True:
                    page = await client.scan(**_request(segment, segments, start))
                    items += page["Count"]
                    start = page.get("LastEvaluatedKey")
                    if not start:
                        return items

            return sum(await asyncio.gather(*(scan_segment(segment) for segment in range(segments))))

    return lambda: asyncio.run(scan())


def awswrangler(url: str, segments: int) -> Scan:
    """awswrangler.dynamodb.read_items, which scans in parallel by itself, in an environment of its own."""
    import awswrangler
    import boto3

    awswrangler.config.dynamodb_endpoint_url = url
    session = boto3.Session(region_name=REGION, **_KEYS)

    def scan() -> int:
        return len(
            awswrangler.dynamodb.read_items(
                "Canned", allow_full_scan=True, use_threads=segments if segments > 1 else False, boto3_session=session
            )
        )

    return scan


OURS = "ours, pages"
OURS_TABLE = "ours, scan_table"
OURS_BACKUP = "ours, gzip backup"
OURS_PARQUET = "ours, to Parquet"
REFERENCE = "boto3 client"

CLIENTS: dict[str, Callable[[str, int], Scan]] = {
    OURS: ours_pages,
    OURS_TABLE: ours_table,
    OURS_BACKUP: ours_backup,
    OURS_PARQUET: ours_to_parquet,
    REFERENCE: boto3_client,
    "boto3 resource": boto3_resource,
    "aiobotocore": aiobotocore,
    "awswrangler": awswrangler,
}

FAST = {OURS, OURS_TABLE, OURS_BACKUP, OURS_PARQUET}
