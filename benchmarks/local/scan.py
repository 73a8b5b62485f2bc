"""How long a Scan of 20,000 items takes through boto3: the embedded AWS, and moto as it is.

Both scan the same table: moto's server in the same process has the same tables. ``python benchmarks/local/scan.py``
"""

from __future__ import annotations

import sys
import time
from typing import Any

from moto.server import ThreadedMotoServer

from airflow_provider_ddbexport.local import LocalAws, local_aws

ITEMS = 20_000
BATCH = 25


def fill(aws: LocalAws) -> None:
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="Orders",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for start in range(0, ITEMS, BATCH):
        items = [
            {"pk": {"S": f"user-{number:08}"}, "n": {"N": str(number)}, "text": {"S": "x" * 60}}
            for number in range(start, start + BATCH)
        ]
        dynamodb.batch_write_item(RequestItems={"Orders": [{"PutRequest": {"Item": item}} for item in items]})


def scan(dynamodb: Any, limit: int) -> tuple[int, float]:
    started = time.perf_counter()
    pages = dynamodb.get_paginator("scan").paginate(TableName="Orders", PaginationConfig={"PageSize": limit})
    items = sum(len(page["Items"]) for page in pages)
    return items, time.perf_counter() - started


def main() -> int:
    with local_aws() as aws:
        fill(aws)
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        try:
            for limit in (20_000, 1_000):
                for name, port in (("embedded AWS", None), ("moto", moto.get_host_and_port()[1])):
                    endpoint = {} if port is None else {"endpoint_url": f"http://127.0.0.1:{port}"}
                    items, seconds = scan(aws.client("dynamodb", **endpoint), limit)
                    print(f"{name:>14}: {items} items, pages of at most {limit}: {seconds:.2f} s")
        finally:
            moto.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
