"""What the operators that publish a snapshot share: where it goes, what its columns are, and its registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import AwsHookType

from airflow_provider_ddbexport.assets import snapshot_figures, tell_outlets
from airflow_provider_ddbexport.core.part_size import PART_BYTES, ROWS_PER_PART
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.errors import BadCallError
from airflow_provider_ddbexport.operators.registering import registered

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord

PUBLISHING_FIELDS = (
    "lake",
    "table",
    "database",
    "catalog_id",
    "numbers",
    "nested",
    "partition_by",
    "column_names",
)
"""Template fields of every operator that publishes a snapshot."""


class PublishingOperator(AwsBaseOperator[AwsHookType]):
    """Publishes a snapshot and registers it in the Glue Catalog. Base of the operators that do.

    Its parameters are told of at :class:`.DynamoDBExportToParquetOperator`.
    """

    ui_color = "#e8f0fb"

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
        rows_per_part: int = ROWS_PER_PART,
        part_bytes: int = PART_BYTES,
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

    def _check_lake(self) -> None:
        """Raise BadCallError where the catalog's database could not point at the lake."""
        if self.database and not self.lake.startswith("s3://"):
            raise BadCallError(
                f"lake: the Glue Catalog can only point at s3://, found {self.lake}; leave database out or give an "
                "s3:// lake"
            )

    def _columns(self) -> dict[str, Any]:
        """Return the arguments of a conversion that say where it goes and how it is cut."""
        from airflow_provider_ddbexport.core.columns import ColumnOptions

        return {
            "table": self.table or None,
            "options": ColumnOptions(
                numbers=self.numbers,
                nested=self.nested,
                partition_by=self.partition_by,  # type: ignore[arg-type] # it makes a tuple of what it is given
                column_names=self.column_names or {},
            ),
            "rows_per_part": self.rows_per_part,
            "part_bytes": self.part_bytes,
            "other_table": self.other_table,
        }

    def _registered(self, record: CommitRecord, table_store: ObjectStore) -> dict[str, Any]:
        """Register the snapshot and return its figures for XCom. Repeating it is safe."""
        from airflow_provider_ddbexport.core.snapshot import layout
        from airflow_provider_ddbexport.core.snapshot.ledger import Ledger

        figures = snapshot_figures(record, table_store.uri_of(layout.record_key(record.as_of)))
        if not self.database:
            return {**figures, "database": None, "partitions": 0, "new_columns": []}
        ledger = Ledger(table_store)
        return figures | registered(
            self._glue, record, ledger, database=self.database, lake=self.lake, catalog_id=self.catalog_id
        )

    def _tell(self, context: Context, figures: dict[str, Any]) -> None:
        """Log what was published, and tell the outlets of it."""
        self.log.info(
            "Snapshot of %s as of %s: %s rows in %s parts, %s values rescued; %s",
            *(figures[name] for name in ("table", "as_of", "rows", "parts", "rescued", "record")),
        )
        tell_outlets(context, self.outlets or (), figures)

    @property
    def _glue(self) -> Any:
        return AwsBaseHook(client_type="glue", **self._hook_parameters).conn
