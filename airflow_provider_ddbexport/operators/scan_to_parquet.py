"""From a table to a published, registered snapshot by parallel scan, without a backup in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.assets import snapshot_figures, tell_outlets
from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.scan.to_parquet import GROUPS, scan_to_parquet
from airflow_provider_ddbexport.core.snapshot import layout
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.registering import UNREGISTERED, check_lake, registered_figures
from airflow_provider_ddbexport.operators.scanning import SCAN_FIELDS, ScanningOperator, scan_of_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class DynamoDBScanToParquetOperator(ScanningOperator):
    """Scans a table straight into Parquet, publishes it as a snapshot and registers it in the Glue Catalog.

    For small and frequent snapshots, and where no backup is wanted: no JSON lies in S3 in between. The snapshot is
    named by the time the scan began and is no point in time: each item is as it was at some moment while the scan ran.
    Read capacity, its budget and the tries of a task are as :class:`.DynamoDBScanBackupOperator` has them: another try
    goes on from what is in the lake already, no item is in the snapshot twice, and none is missing. Readers see the
    whole snapshot or none.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the same figures as XCom.

    XCom: what :class:`.DynamoDBExportToParquetOperator` has, with ``consumed_units`` (read capacity units),
    ``segments``, ``seconds`` and ``is_point_in_time`` (false).

    :param table_name: the table's name. (templated)
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
    :param part_bytes: size at which a Parquet file ends, about; most are smaller, a group of pages makes one.
    :param other_table: go on although the snapshots in the table's folder are of another DynamoDB table.

    The parameters ``segments``, ``workers``, ``read_units``, ``read_percent``, ``ceiling_units``,
    ``throttle_deadline_s``, ``index_name``, ``is_consistent``, ``filter_expression``, ``projection_expression``,
    ``expression_attribute_names``, ``expression_attribute_values``, ``s3_bucket_owner`` and those of AWS are those of
    :class:`.DynamoDBScanBackupOperator`.
    """

    template_fields: Sequence[str] = aws_template_fields(
        *SCAN_FIELDS,
        "lake",
        "table",
        "database",
        "catalog_id",
        "numbers",
        "nested",
        "partition_by",
        "column_names",
    )

    def __init__(
        self,
        *,
        lake: str,
        table: str | None = None,
        database: str | None = None,
        catalog_id: str | None = None,
        numbers: str | Mapping[str, str] = "auto",
        nested: Literal["struct", "flatten", "json"] = "struct",
        partition_by: Sequence[str] | str = (),
        column_names: Mapping[str, str] | None = None,
        rows_per_part: int = 1_000_000,
        part_bytes: int = 256 << 20,
        other_table: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.table = table
        self.database = database
        self.catalog_id = catalog_id
        self.numbers = numbers
        self.nested = nested
        self.partition_by = partition_by
        self.column_names = column_names
        self.rows_per_part = rows_per_part
        self.part_bytes = part_bytes
        self.other_table = other_table

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the published snapshot's figures."""
        with permanent_errors_fail():
            check_lake(self.lake, self.database)
            self._begin(context)
            lake = self._store(self.lake)
            record = scan_to_parquet(
                self.hook.conn,
                lake,
                self._request(),
                table=self.table or None,
                options=ColumnOptions(
                    numbers=self.numbers,
                    nested=self.nested,
                    partition_by=self.partition_by,  # type: ignore[arg-type] # it makes a tuple of what it is given
                    column_names=self.column_names or {},
                ),
                rows_per_part=self.rows_per_part,
                part_bytes=self.part_bytes,
                segments=self._segments(),
                other_table=self.other_table,
                resumption=scan_of_task(context, self.task_id),
                settings=self._settings(GROUPS),
            )
            figures = self._figures(record, lake.child(record.table))
        self.log.info(
            "Snapshot of %s as of %s: %s rows in %s parts, %s values rescued; %s",
            *(figures[name] for name in ("table", "as_of", "rows", "parts", "rescued", "record")),
        )
        tell_outlets(context, self.outlets or (), figures)
        return figures

    def _figures(self, record: CommitRecord, table_store: ObjectStore) -> dict[str, Any]:
        registered = dict(UNREGISTERED)
        if self.database:
            registered = registered_figures(
                AwsBaseHook(client_type="glue", **self._hook_parameters).conn,
                record,
                table_store,
                lake=self.lake,
                database=self.database,
                catalog_id=self.catalog_id,
            )
        scan = record.source.scan
        return {
            **snapshot_figures(record, table_store.uri_of(layout.record_key(record.as_of))),
            **registered,
            "consumed_units": None if scan is None else scan.consumed_units,
            "segments": None if scan is None else scan.segments,
            "seconds": None if scan is None else (scan.ended_at - scan.started_at).total_seconds(),
            "is_point_in_time": False,
        }
