"""Increments merged into the snapshot before them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.store import ObjectStore
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.core.times import parse_time
from airflow_provider_ddbexport.operators.filtered import filter_finder
from airflow_provider_ddbexport.operators.incremental_export import Increments, sources_of, were_complete
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.to_parquet import DynamoDBExportToParquetOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.merge import Increment


class DynamoDBMergeIncrementsOperator(DynamoDBExportToParquetOperator):
    """Merges incremental exports into the snapshot published before them, and publishes and registers the next one.

    The last write of each key wins, deletes are applied, and what the increments say was there before is compared with
    the snapshot. Its columns and options stay; columns are added where new attributes ask for them. Every byte is
    verified before anything is published. The increments have to follow the snapshot without a gap, in any order of
    delivery: else the task fails with the times and the way out, and publishes nothing. Trying again is safe at any
    instruction. Where *base* is given and the merge fails for what is wrong with it or with the increments, that is
    noted in the lake, and :class:`.DynamoDBChainBranchOperator` begins the next snapshot with a full export.

    XCom: as :class:`.DynamoDBExportToParquetOperator`'s, with ``MERGE`` as ``export_type``; ``gaps`` (start and end of
    the times that nothing tells of, which were allowed in this merge or one before), ``old_images_compared`` and
    ``gathered`` (small parts that were written together). The commit record names the full export and every increment
    that the snapshot is made of.

    :param increments: addresses of the exports' folders, or what :class:`.DynamoDBIncrementalExportOperator` or
        :class:`.DynamoDBBackfillTimeSensor` returned. (templated)
    :param lake: folder of the lake, ``s3://`` or a path. (templated)
    :param table: folder and catalog name of the table. (templated)
    :param base: the instant of the snapshot to begin with, ISO 8601 text with an offset, or an aware datetime; by
        default the newest before the increments. (templated)
    :param max_gap: time before and between the increments that nothing was written in, as the author knows.
    :param column_names: column names by attribute, for those that have no column yet and would share one; merges into
        this snapshot know them. (templated)
    :param database: database of the Glue Catalog to register the snapshot in; None to leave it to a crawler.
        (templated)
    :param catalog_id: account of the Glue Catalog, if it is not the caller's. (templated)
    :param workers: parts gone through side by side.
    :param replace: put another snapshot in the place of one that is published for the same time. The whole snapshot
        before is gone through once more than usual, then the old one is unregistered, as by
        :class:`.DynamoDBExportToParquetOperator`.
    :param registered_in: database of the Glue Catalog that a crawler registers the snapshots in, for *replace*; or
        ``DATABASE.TABLE``. (templated)
    :param accept_edited_summary: take exports whose manifest-summary.json differs from its md5, because somebody
        edited it on purpose; the commit record says so.
    :param s3_bucket_owner: account id that must own the buckets of exports and lake; not checked if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the catalog. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "increments",
        "lake",
        "table",
        "base",
        "column_names",
        "database",
        "catalog_id",
        "registered_in",
        "s3_bucket_owner",
    )

    def __init__(
        self,
        *,
        increments: Increments,
        lake: str,
        table: str,
        base: str | datetime | None = None,
        max_gap: timedelta = timedelta(0),
        **kwargs: Any,
    ) -> None:
        if columns := sorted(_OF_THE_BASE & kwargs.keys()):
            raise TypeError(
                f"unexpected keyword argument {columns[0]!r}: a merged snapshot has the options of its base"
            )
        super().__init__(source="", lake=lake, table=table, **kwargs)
        self.increments = increments
        self.base = base
        self.max_gap = max_gap

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the published snapshot's figures."""
        from airflow_provider_ddbexport.core.merge import merge_facts, merge_increments
        from airflow_provider_ddbexport.core.merge.chain_notes import forget_break

        with permanent_errors_fail(self):
            arguments = self._merging()
            lake = self._store(self.lake)
            with self._noting_breaks(lake.child(arguments["table"]), arguments["base"]):
                record = merge_increments(self._read_increments(), lake, **arguments)
            forget_break(lake.child(record.table), arguments["base"])
            facts = merge_facts(record)
            figures = {**self._registered(record, lake.child(record.table)), **facts}
        self._tell(context, figures)
        self.log.info(
            "Old images were %scompared; %s small parts gathered; gaps: %s",
            "" if facts["old_images_compared"] else "not ",
            facts["gathered"],
            ", ".join(" to ".join(gap) for gap in facts["gaps"]) or "none",
        )
        return figures

    def _merging(self) -> dict[str, Any]:
        """Return the arguments that merge_increments and plan_merge share. Raises BadCallError."""
        self._check_lake()
        return {
            "table": check_table(str(self.table)),
            "base": parse_time(self.base, what="base") if self.base else None,
            "max_gap": self.max_gap,
            "column_names": self.column_names,
            "workers": self.workers,
            "replace": self.replace,
            "before_replace": partial(self._unregister, self._catalogs()),
            "is_filtered": filter_finder(self._hook_parameters),
            "progress": self._progress(),
        }

    def _noting_breaks(self, table_store: ObjectStore, base: datetime | None) -> AbstractContextManager[None]:
        from airflow_provider_ddbexport.core.merge.chain_notes import noting_breaks

        return noting_breaks(table_store, base, were_complete=were_complete(self.increments))

    def _read_increments(self) -> list[Increment]:
        """Return the increments, their manifests checked."""
        from airflow_provider_ddbexport.core.merge import read_increment

        return [
            read_increment(source, self._store, accept_edited_summary=self.accept_edited_summary)
            for source in sources_of(self.increments)
        ]


_OF_THE_BASE = {
    "source",
    "numbers",
    "nested",
    "partition_by",
    "rows_per_part",
    "part_bytes",
    "sort_by",
    "other_table",
}
"""Arguments of the conversion that are decided already."""
