"""Checking a published snapshot through Athena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from botocore.exceptions import BotoCoreError, ClientError

from airflow_provider_ddbexport.assets import snapshot_figures, tell_outlets
from airflow_provider_ddbexport.core.conversation import Patience, converse
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.errors import CheckFailedError
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.links.console import AthenaQueryLink
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail
from airflow_provider_ddbexport.triggers.athena_queries import AthenaQueriesTrigger
from airflow_provider_ddbexport.triggers.conversation import outcome_of
from airflow_provider_ddbexport.triggers.waiting import TRIGGER_GRACE

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.check.athena import QuerySettings, Tries
    from airflow_provider_ddbexport.core.check.verdict import Bounds, Verdict
    from airflow_provider_ddbexport.core.snapshot.published import Published
    from airflow_provider_ddbexport.core.snapshot.record import CommitRecord


class AthenaSnapshotCheckOperator(AwsBaseOperator[AthenaHook]):
    """Succeeds when the snapshot, as Athena sees it, passes every check; fails with the list of those it does not.

    Checked are: the row count equals the commit record's; there are rows; the table's keys are neither null nor
    double; the number of rows changed within bounds since the previous snapshot; and the author's expectations.

    A retry takes up the queries of the try before it and runs none twice, except one that failed. Clearing the task
    runs them anew. A snapshot that does not pass fails the task at once, without retries.

    With Asset ``outlets`` (see :func:`.snapshot_asset`), the asset event's ``extra`` has the snapshot's figures.

    XCom: ``table``, ``as_of``, ``rows``, ``previous_rows`` (None without a previous snapshot), ``rescued``,
    ``null_keys``, ``double_keys`` (None if unchecked), ``bytes_scanned``, ``checks`` (by check, ``passed`` or
    ``skipped: why``), ``queries`` (execution ids).

    :param record: address of the snapshot's commit record; the conversion's XCom has it under ``record``. (templated)
    :param database: database of the Glue Catalog. (templated)
    :param table: name in the catalog, if it is not the lake folder's. (templated)
    :param keys: attributes of the table's key. None takes those that the commit record tells, which it does of scans
        and merges, or asks DynamoDB (dynamodb:DescribeTable); () leaves keys unchecked, as for a scan that projects
        them away. (templated)
    :param expectations: by name, queries whose one row has one boolean, in Athena's SQL, or files ending in ``.sql``.
        ``{snapshot}`` stands for this snapshot wherever a table can, ``{previous}`` for the one before; without one
        there, an expectation that names it is skipped. (templated)
    :param allow_empty: a snapshot without rows passes.
    :param max_growth: rows gained since the previous snapshot at most, as a share of it: 0.5 is half as many again.
    :param max_shrink: rows lost since the previous snapshot at most, likewise.
    :param workgroup: Athena's workgroup. (templated)
    :param output_location: ``s3://`` folder of the results, where the workgroup has none. (templated)
    :param catalog: Athena's data source. (templated)
    :param poll_interval_s: seconds between two looks at the queries.
    :param patience_s: seconds to wait for the queries, per try; they go on after that.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of Athena. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = AthenaHook
    template_fields: Sequence[str] = aws_template_fields(
        "record", "database", "table", "keys", "expectations", "workgroup", "output_location", "catalog"
    )
    template_ext: Sequence[str] = (".sql",)
    operator_extra_links = (AthenaQueryLink(),)
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        record: str,
        database: str,
        table: str | None = None,
        keys: Sequence[str] | None = None,
        expectations: Mapping[str, str] | None = None,
        allow_empty: bool = False,
        max_growth: float | None = None,
        max_shrink: float | None = None,
        workgroup: str = "primary",
        output_location: str | None = None,
        catalog: str = "AwsDataCatalog",
        poll_interval_s: float = 5.0,
        patience_s: float = 2 * 3600.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.record = record
        self.database = database
        self.table = table
        self.keys = keys
        self.expectations = expectations
        self.allow_empty = allow_empty
        self.max_growth = max_growth
        self.max_shrink = max_shrink
        self.workgroup = workgroup
        self.output_location = output_location
        self.catalog = catalog
        self.poll_interval_s = poll_interval_s
        self.patience_s = patience_s
        self.deferrable = deferrable
        self._executions: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the figures of a snapshot that passed, or defer until the queries have ended."""
        from airflow_provider_ddbexport.core.check.athena import await_queries, start_queries
        from airflow_provider_ddbexport.core.check.queries import COUNTS, build_checks

        with permanent_errors_fail(self):
            published = self._published()
            keys, previous = self._key_attributes(published), published.previous()
            queries = build_checks(
                published.record,
                previous,
                database=self.database,
                table=self.table or None,
                keys=keys,
                expectations=self.expectations or {},
            )
            self._bounds()
            patience = self._patience()
            self._executions = converse(
                start_queries(
                    queries, self._settings(), patience, asker=_asker(context, published), tries=self._tries(context)
                ),
                self.hook.conn,
            )
            self.log.info("Queries: %s", self._executions)
            AthenaQueryLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                query_execution_id=self._executions[COUNTS],
            )
            if self.deferrable:
                self._defer(patience, keys, previous)
            converse(await_queries(self._executions, patience), self.hook.conn)
            return self._conclude(context, published, previous, keys)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the figures of a snapshot that passed, or raise what ended the wait or failed."""
        with permanent_errors_fail(self):
            waited_for = outcome_of(validate_execute_complete_event(event))
            self._executions = waited_for["executions"]
            published, before = self._published(), waited_for["previous"]
            # The one that the queries were made for: another may have been published in between.
            previous = None if before is None else published.ledger.get(parse_time(before))
            return self._conclude(context, published, previous, waited_for["keys"])

    def on_kill(self) -> None:
        """Cancel the queries, which would be billed to their end."""
        for name, query_id in self._executions.items():
            try:
                self.hook.conn.stop_query_execution(QueryExecutionId=query_id)
            except (ClientError, BotoCoreError) as error:
                self.log.warning("Query %s (%s) could not be cancelled: %s", name, query_id, error)

    def _published(self) -> Published:
        from airflow_provider_ddbexport.core.snapshot.published import find_published

        return find_published(self.record, s3=S3Hook(**self._hook_parameters).conn)

    def _key_attributes(self, published: Published) -> list[str]:
        if self.keys is not None:
            return [self.keys] if isinstance(self.keys, str) else list(self.keys)
        source = published.record.source
        if source.keys:
            return list(source.keys)
        arn = source.table_arn
        parameters = {**self._hook_parameters, "region_name": arn.split(":")[3] or self.region_name}
        return list(DynamoDBExportHook(**parameters).key_attributes(arn))

    def _settings(self) -> QuerySettings:
        from airflow_provider_ddbexport.core.check.athena import QuerySettings

        return QuerySettings(self.database, self.workgroup, self.output_location or None, self.catalog)

    def _bounds(self) -> Bounds:
        from airflow_provider_ddbexport.core.check.verdict import Bounds

        return Bounds(self.allow_empty, self.max_growth, self.max_shrink)

    def _patience(self) -> Patience:
        return Patience(datetime.now(UTC) + timedelta(seconds=self.patience_s), self.poll_interval_s)

    def _tries(self, context: Context) -> Tries:
        """Return the numbers this try may use. Clearing a task raises ``max_tries`` by what was tried: a fresh look."""
        from airflow_provider_ddbexport.core.check.athena import Tries

        ti = context["ti"]
        return Tries(first=max(0, int(ti.max_tries) - int(self.retries or 0)), last=max(0, int(ti.try_number) - 1))

    def _defer(self, patience: Patience, keys: list[str], previous: CommitRecord | None) -> None:
        self.defer(
            trigger=AthenaQueriesTrigger(
                executions=self._executions,
                keys=keys,
                previous=None if previous is None else iso(previous.as_of),
                deadline=patience.until.isoformat(),
                poll_interval_s=self.poll_interval_s,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.patience_s) + TRIGGER_GRACE,
        )

    def _conclude(
        self, context: Context, published: Published, previous: CommitRecord | None, keys: Sequence[str]
    ) -> dict[str, Any]:
        """Return the figures if every check passed; raises CheckFailedError, QueryFailedError."""
        from airflow_provider_ddbexport.core.check.athena import read_answers
        from airflow_provider_ddbexport.core.check.verdict import judge

        record = published.record
        verdict = judge(
            record,
            previous,
            self._bounds(),
            keys=keys,
            expectations=list(self.expectations or {}),
            answers=converse(read_answers(self._executions, self._patience()), self.hook.conn),
        )
        for check, outcome in verdict.outcomes.items():
            self.log.info("%s: %s", check, outcome)
        if verdict.failures:
            raise _failed(verdict, f"{self.database}.{self.table or record.table} as of {iso(record.as_of)}")
        tell_outlets(context, self.outlets or (), snapshot_figures(record, self.record))
        return {
            "table": record.table,
            "as_of": iso(record.as_of),
            "rows": verdict.rows,
            "previous_rows": None if previous is None else previous.rows,
            "rescued": sum(record.rescued.values()),
            "null_keys": verdict.null_keys,
            "double_keys": verdict.double_keys,
            "bytes_scanned": verdict.bytes_scanned,
            "checks": dict(verdict.outcomes),
            "queries": dict(self._executions),
        }


def _failed(verdict: Verdict, snapshot: str) -> CheckFailedError:
    listed = "".join(f"\n- {failure}" for failure in verdict.failures)
    return CheckFailedError(
        f"{snapshot}: {len(verdict.failures)} of {len(verdict.outcomes)} checks failed:{listed}\n"
        "Once the cause is mended, clear this task to check again",
        failures=list(verdict.failures),
    )


def _asker(context: Context, published: Published) -> str:
    """Return who may share executions: the tries of this task, for this very snapshot."""
    ti, record = context["ti"], published.record
    return "\n".join((ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), record.digest, iso(record.published_at)))
