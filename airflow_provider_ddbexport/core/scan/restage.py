"""Parts turned back into the data file they were made of, where their group is to be converted under another schema."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator

from isal import igzip

from airflow_provider_ddbexport.core.export.model import DataFile
from airflow_provider_ddbexport.core.scan.plan import ANEW
from airflow_provider_ddbexport.core.snapshot.conversion import ShardRecord
from airflow_provider_ddbexport.core.snapshot.fetch import fetched
from airflow_provider_ddbexport.core.snapshot.items import part_items
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard
from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import PublishRaceError


@contextlib.contextmanager
def restaged(
    store: ObjectStore, plan: ConversionPlan, record: ShardRecord
) -> Iterator[tuple[ObjectStore, ConversionPlan]]:
    """Give a store with one data file of all items of *record*, and the plan of its conversion.

    Nothing is lost: what a part holds gives its items back, value for value. Raises PublishRaceError where a part is
    gone.
    """
    with workplace() as folder:
        path = folder / "items.json.gz"
        items = 0
        with igzip.open(path, "wb", compresslevel=1) as lines:  # type: ignore[no-untyped-call]
            for part, under in zip(record.parts, record.under, strict=True):
                with fetched(store, part) as held:
                    if held is None:
                        raise PublishRaceError(f"{store.uri}: a part of a scan is gone; {ANEW}")
                    for line in part_items(held, under.schema, part.partition):
                        lines.write(line + b"\n")
                        items += 1
        with path.open("rb") as body:
            md5 = base64.b64encode(hashlib.file_digest(body, "md5").digest()).decode()
        file = DataFile(key=path.name, item_count=items, md5=md5)
        number = plan.shards[0].number
        again = dataclasses.replace(
            plan, export=dataclasses.replace(plan.export, files=(file,)), shards=(Shard(number, (file,)),)
        )
        yield LocalStore(folder), again
