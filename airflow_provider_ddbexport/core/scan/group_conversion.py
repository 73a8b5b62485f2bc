"""Groups of pages as Parquet parts: each is converted as an export of one file would be."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from airflow_provider_ddbexport.core.columns import Observation, resolve
from airflow_provider_ddbexport.core.columns.schema import Schema
from airflow_provider_ddbexport.core.export.model import DataFile, Export
from airflow_provider_ddbexport.core.export.writer import data_file_name
from airflow_provider_ddbexport.core.scan.finish import scan_summary
from airflow_provider_ddbexport.core.scan.group import PageGroup
from airflow_provider_ddbexport.core.scan.journal import FileEntry, ShardDone
from airflow_provider_ddbexport.core.scan.plan import ScanPlan
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, ShardRecord
from airflow_provider_ddbexport.core.snapshot.plan import ConversionPlan, Shard, Target
from airflow_provider_ddbexport.core.snapshot.sample import sample_export
from airflow_provider_ddbexport.core.snapshot.shard import convert_shard
from airflow_provider_ddbexport.core.store.local import LocalStore
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError, SchemaConflictError

CHECKED = ("checksum of each response", "item count of each response")


class Conversions:
    """Delivers groups of pages as parts. Safe to share between threads.

    It converts in the few threads of *pool*: each thread that ever did keeps some of the memory it took.
    """

    def __init__(
        self, pool: Executor, lake: ObjectStore, target: Target, plan: ScanPlan, table_schema: Schema | None
    ) -> None:
        self._pool = pool
        self._lake = lake
        self._target = target
        self._plan = plan
        self._table_schema = table_schema
        self._seen = Observation()
        self._lock = threading.Lock()

    def __call__(self, group: PageGroup) -> FileEntry:
        file = FileEntry(key=f"{data_file_name()}.json.gz", item_count=group.items, md5=group.md5)
        with said_to_be_kept(self._plan):
            record = self._pool.submit(self._converted, file, group.path).result()
        with self._lock:
            if record.observation is not None:
                self._seen.merge(record.observation)
        return file

    def _converted(self, file: FileEntry, path: Path) -> ShardRecord:
        """Convert the local file at *path* and return the record of it, which is kept."""
        plan = group_plan(self._plan, self._target, data_file(file))
        local = dataclasses.replace(data_file(file), key=path.name)
        plan = dataclasses.replace(
            plan,
            export=dataclasses.replace(plan.export, files=(local,)),
            shards=(Shard(plan.shards[0].number, (local,)),),
            table_schema=self._table_schema,
        )
        root = LocalStore(path.parent)
        with self._lock:
            seen = self._seen if self._seen.items else sample_export(root, plan.export)
            schema = resolve(seen, self._target.options, self._table_schema, is_sample=True)
        plan = dataclasses.replace(plan, schema=schema)
        record = convert_shard(plan, plan.shards[0], root=root, lake=self._lake)
        if record.is_built or record.observation is None:
            return record
        # What the guess had no room for: now all of the group is known.
        exact = plan.under(resolve(record.observation, self._target.options, self._table_schema, is_sample=True))
        again = convert_shard(exact, exact.shards[0], root=root, lake=self._lake)
        record = dataclasses.replace(again, observation=record.observation)
        Conversion(self._lake.child(plan.table), plan).keep(record)
        return record


@contextlib.contextmanager
def said_to_be_kept(plan: ScanPlan) -> Iterator[None]:
    """Let an error about columns say that it need not cost reading the table again."""
    try:
        yield
    except (BadCallError, SchemaConflictError) as error:
        if plan.pointer_folder is None:
            raise
        raise type(error)(
            f"{error}; what was read before is kept: another try, with --resume on the command line, may have other "
            "column names and partitions, and goes on with it",
            **error.context,
        ) from error


def group_plan(plan: ScanPlan, target: Target, file: DataFile | None) -> ConversionPlan:
    """Return the conversion of one group of pages, or of none, whose schema is still to be said."""
    files = () if file is None else (file,)
    # Not by its contents: where a projection leaves the keys out, two groups may be alike.
    digest = hashlib.sha256(f"{plan.export_id} {files[0].key if files else ''}".encode()).hexdigest()
    return ConversionPlan(
        export=export_of(plan, (), files, digest),
        # Found by any try, whatever names and partitions it asks for.
        target=dataclasses.replace(target, conversion=layout.conversion_folder(plan.started_at, digest)),
        # Parts are called by it and by a digest: thousands of groups need more than the digest's 32 bits.
        shards=(Shard(int(digest[:4], 16), files),),
        schema=resolve(Observation(), target.options, None),
        table_schema=None,
    )


def export_of(plan: ScanPlan, done: Sequence[ShardDone], files: tuple[DataFile, ...], digest: str) -> Export:
    """Return what the shards *done* have read, or the group of pages in *files*, as an export."""
    summary = scan_summary(plan, done, files)
    return Export(source=summary.export_arn, summary=summary, files=files, digest=digest, checked=CHECKED)


def data_file(file: FileEntry) -> DataFile:
    """Return the data file that *file* stands for."""
    return DataFile(key=file.key, item_count=file.item_count, md5=file.md5)
