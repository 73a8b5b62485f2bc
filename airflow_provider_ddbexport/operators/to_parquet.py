"""From an export to a published, registered snapshot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.export.manifest import read_export
from airflow_provider_ddbexport.core.export.model import Export
from airflow_provider_ddbexport.core.export.source import split_source
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import ConversionStoppedError
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.publishing import PUBLISHING_FIELDS, PublishingOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.progress import Progress
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord

_LOG_EVERY_S = 30.0


class DynamoDBExportToParquetOperator(PublishingOperator[S3Hook]):
    """Verifies an export, converts it to Parquet, publishes it as a snapshot and registers it in the Glue Catalog.

    Every byte of the export is verified before anything is published. Readers see the whole snapshot or none: its
    partition is registered only after the commit record has been created. Trying again is safe at any instruction: a
    snapshot that is published already is not converted again, only registered. Memory does not grow with the export.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the same figures as XCom.

    XCom: ``record`` (address of the commit record, what :class:`.GlueSnapshotCrawlerOperator` and
    :class:`.AthenaSnapshotCheckOperator` take), ``table``, ``as_of``, ``published_at``, ``rows``, ``parts``, ``bytes``,
    ``columns``, ``rescued`` (values that fit no column and are kept beside them), ``export_arn``, ``export_type``,
    ``table_arn``, ``database`` (None if not registered), ``partitions`` (how many the catalog has of it) and
    ``new_columns`` (names the catalog's table gained).

    :param source: address of the export's folder, ``…/AWSDynamoDB/<ExportId>``; the export operator's XCom has it
        under ``source``. (templated)
    :param lake: folder of the lake, ``s3://`` or a path. (templated)
    :param table: folder and catalog name of the table; made from the DynamoDB table's name by default. (templated)
    :param database: database of the Glue Catalog to register the snapshot in, made when absent; None to leave it to a
        crawler. (templated)
    :param catalog_id: account of the Glue Catalog, if it is not the caller's. (templated)
    :param numbers: type of number columns: ``auto``, ``double``, ``string`` or ``decimal(p,s)``, for all or by
        attribute. (templated)
    :param nested: what maps become: ``struct``, ``flatten`` or ``json``. (templated)
    :param partition_by: attributes whose values become folders. (templated)
    :param column_names: column names by attribute, where two would be alike. (templated)
    :param rows_per_part: rows of a Parquet file, at most.
    :param part_bytes: size at which a Parquet file ends, about.
    :param sort_by: attributes by which the rows of each Parquet file are sorted, such as the table's key: queries for
        few of its values skip most of the file. (templated)
    :param workers: shards of the export converted side by side.
    :param replace: put another snapshot in the place of one that is published for the same time. The whole export is
        read and verified once more than usual, then the old one is unregistered from *database* and *registered_in*
        before the first new part is written, so there is a gap in which the catalog has neither. Where it is registered
        elsewhere as well, unregister it there beforehand: its folder holds the rows of both until the new one is
        published.
    :param registered_in: database of the Glue Catalog that a crawler registers the snapshots in, for *replace*; or
        ``DATABASE.TABLE``, where the table there has another name than the lake's folder. (templated)
    :param other_table: go on although the snapshots in the table's folder are of another DynamoDB table, because it was
        restored under another name, say.
    :param accept_edited_summary: take an export whose manifest-summary.json differs from its md5, because somebody
        edited it on purpose; the commit record says so.
    :param s3_bucket_owner: account id that must own the buckets of export and lake; not checked if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the catalog. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = S3Hook
    template_fields: Sequence[str] = aws_template_fields(
        *PUBLISHING_FIELDS, "source", "sort_by", "registered_in", "s3_bucket_owner"
    )

    def __init__(
        self,
        *,
        source: str,
        sort_by: Sequence[str] | str = (),
        workers: int = 1,
        replace: bool = False,
        registered_in: str | None = None,
        accept_edited_summary: bool = False,
        s3_bucket_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.sort_by = sort_by
        self.workers = workers
        self.replace = replace
        self.registered_in = registered_in
        self.accept_edited_summary = accept_edited_summary
        self.s3_bucket_owner = s3_bucket_owner

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the published snapshot's figures."""
        from airflow_provider_ddbexport.core.snapshot.convert import convert_export
        from airflow_provider_ddbexport.core.snapshot.report_text import report_lines

        with permanent_errors_fail(self):
            arguments = self._conversion()
            root, export, lake = self._open()
            record = convert_export(root, export, lake, **arguments)
            figures = self._registered(record, lake.child(record.table))
        self._tell(context, figures)
        self.log.info("%s", "\n".join(report_lines(record)))
        return figures

    def on_kill(self) -> None:
        """End the work soon, where it reads: nothing is recorded of what is not done, and another try goes on."""
        stop: threading.Event | None = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()

    def _conversion(self) -> dict[str, Any]:
        """Return the arguments that convert_export and plan_conversion share."""
        return {
            **self._columns(),
            "sort_by": self.sort_by,
            "workers": self.workers,
            "replace": self.replace,
            "before_replace": partial(self._unregister, self._catalogs()),
            "progress": self._progress(),
        }

    def _catalogs(self) -> list[dict[str, Any]]:
        """Return where in the catalog a snapshot that is replaced may be registered. Raises BadCallError."""
        from airflow_provider_ddbexport.core.catalog.register import catalog_names

        places: list[dict[str, Any]] = [{"database": self.database}] if self.database else []
        return [*places, catalog_names(self.registered_in)] if self.registered_in else places

    def _unregister(self, catalogs: Sequence[dict[str, Any]], replaced: CommitRecord) -> None:
        from airflow_provider_ddbexport.core.catalog.register import unregister_snapshot

        for place in catalogs:
            removed = unregister_snapshot(
                self._glue, replaced, **place, lake_uri=self.lake, catalog_id=self.catalog_id or None
            )
            self.log.info(
                "Replacing the snapshot as of %s: %s partitions unregistered from %s",
                iso(replaced.as_of),
                removed,
                place["database"],
            )

    def _open(self) -> tuple[ObjectStore, Export, ObjectStore]:
        """Return the export, the store it is in, and the lake."""
        self._check_lake()
        root_uri, export_id = split_source(self.source)
        root = self._store(root_uri)
        export = read_export(root, export_id, accept_edited_summary=self.accept_edited_summary)
        return root, export, self._store(self.lake)

    def _store(self, uri: str) -> ObjectStore:
        return open_store(
            uri,
            s3=self.hook.conn if uri.startswith("s3://") else None,
            expected_bucket_owner=self.s3_bucket_owner or None,
        )

    def _progress(self) -> Callable[[Progress], None]:
        """Return what logs the progress of the work, and ends it when the task is killed."""
        # Made here, because an operator is copied before it runs and an event cannot be.
        self._stop = stop = threading.Event()
        started = told = time.monotonic()

        def log(progress: Progress) -> None:
            nonlocal told
            if stop.is_set():
                raise ConversionStoppedError(
                    "the task was asked to stop; nothing was published, and another try goes on with what is not done"
                )
            if (now := time.monotonic()) - told >= _LOG_EVERY_S:
                told = now
                self.log.info(
                    "%s: %s of %s items after %.0f s", progress.stage, progress.items, progress.total, now - started
                )

        return log
