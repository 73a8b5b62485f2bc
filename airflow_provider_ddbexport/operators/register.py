"""Registering a published snapshot in the Glue Catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.glue_catalog import GlueCatalogHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.assets import snapshot_figures, tell_outlets
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.operators.registering import registered

if TYPE_CHECKING:
    from airflow.sdk import Context


class GlueSnapshotRegisterOperator(AwsBaseOperator[GlueCatalogHook]):
    """Makes the Glue Catalog show a snapshot that is published already, whatever it was made of.

    For a run that was interrupted before it registered what it had published, for snapshots made from a shell, and
    where a table of the catalog was dropped or a second one is wanted: neither the export nor a crawler is needed. What
    publishes registers by itself, with its ``database=``. The table is made when absent, and its columns only grow.
    Repeating it changes nothing.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the snapshot's figures.

    XCom: what :class:`.DynamoDBExportToParquetOperator` has, ``database``, ``partitions`` and ``new_columns`` among it.

    :param record: address of the snapshot's commit record, ``s3://<lake>/<table>/_snapshots/<T>.json``. (templated)
    :param database: database of the Glue Catalog; made when absent. (templated)
    :param catalog_id: account of the catalog; the caller's if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the catalog. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = GlueCatalogHook
    template_fields: Sequence[str] = aws_template_fields("record", "database", "catalog_id")
    ui_color = "#e8f0fb"

    def __init__(self, *, record: str, database: str, catalog_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.record = record
        self.database = database
        self.catalog_id = catalog_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the snapshot's figures."""
        from airflow_provider_ddbexport.core.snapshot.published import find_published

        with permanent_errors_fail(self):
            s3 = S3Hook(**self._hook_parameters).conn if self.record.startswith("s3://") else None
            published = find_published(self.record, s3=s3)
            figures = snapshot_figures(published.record, self.record) | registered(
                self.hook.conn,
                published.record,
                published.ledger,
                database=self.database,
                lake=published.table_uri.rpartition("/")[0],
                catalog_id=self.catalog_id,
            )
        tell_outlets(context, self.outlets or (), figures)
        return figures
