"""What changed since the snapshot before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.airflow_exceptions import AirflowSkipException
from airflow_provider_ddbexport.assets import tell_outlets
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.core.store.port import ObjectStore
from airflow_provider_ddbexport.core.times import iso, parse_time
from airflow_provider_ddbexport.hooks.dynamodb import DynamoDBExportHook
from airflow_provider_ddbexport.operators.filtered import filter_finder
from airflow_provider_ddbexport.operators.incremental_export import Increments, sources_of
from airflow_provider_ddbexport.operators.permanent import permanent_errors_fail

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_ddbexport.core.diff import Pair
    from airflow_provider_ddbexport.core.exporting.point_in_time import TableIdentity
    from airflow_provider_ddbexport.core.merge.compact import Increment


class DynamoDBSnapshotDiffOperator(AwsBaseOperator[S3Hook]):
    """Tells what was added, changed and removed from one published snapshot to another, as Parquet and as counts.

    Items are compared by key and as items, whatever columns the two snapshots have. Trying again is safe: changes that
    are written already are not looked for again. Where there is no snapshot before, the task is skipped.

    With Asset ``outlets``, the asset event's ``extra`` has the same figures as XCom.

    XCom: ``record`` (address of the diff's record; None without *destination*), ``table``, ``from``, ``to``, ``key``,
    ``added``, ``changed``, ``removed``, ``unchanged``, ``method``, ``parts``, ``bytes``.

    :param record: address of the later snapshot's commit record; the conversion's XCom has it under ``record``.
        (templated)
    :param since: the instant of the earlier snapshot, ISO 8601 text with an offset, or an aware datetime; by default
        the snapshot before is taken. (templated)
    :param destination: folder for the changes, ``s3://`` or a path; may be the lake. None only counts them. (templated)
    :param increments: the incremental exports that lead from the earlier snapshot to the later exactly, with old
        images: addresses, or what :class:`.DynamoDBIncrementalExportOperator` returned. Their changes are told then,
        and neither snapshot is read. By default those that were merged to make the one of the other, where they can
        tell; with () both snapshots are compared. Given ones that were exported with a filter are refused, as far as
        DynamoDB tells (dynamodb:DescribeExport). (templated)
    :param keys: attributes of the table's key. None takes those that a snapshot's record tells, which it does of scans
        and merges, or an increment, and only else asks DynamoDB (dynamodb:DescribeTable). (templated)
    :param replace: take the place of a diff between the same times that has other contents.
    :param accept_edited_summary: take increments whose manifest-summary.json differs from its md5, because somebody
        edited it on purpose. Everything else is still checked.
    :param s3_bucket_owner: account id that must own both buckets; not checked if None. (templated)
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the lake. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore clients.
    """

    aws_hook_class = S3Hook
    template_fields: Sequence[str] = aws_template_fields(
        "record", "since", "destination", "increments", "keys", "s3_bucket_owner"
    )
    ui_color = "#e8f0fb"

    def __init__(
        self,
        *,
        record: str,
        since: str | datetime | None = None,
        destination: str | None = None,
        increments: Increments | None = None,
        keys: Sequence[str] | None = None,
        replace: bool = False,
        accept_edited_summary: bool = False,
        s3_bucket_owner: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.record = record
        self.since = since
        self.destination = destination
        self.increments = increments
        self.keys = keys
        self.replace = replace
        self.accept_edited_summary = accept_edited_summary
        self.s3_bucket_owner = s3_bucket_owner

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the diff's figures."""
        from airflow_provider_ddbexport.core.diff import diff_figures, diff_snapshots, find_pair
        from airflow_provider_ddbexport.core.snapshot.published import find_published

        with permanent_errors_fail(self):
            published = find_published(self.record, s3=self._s3(self.record))
            since = parse_time(self.since, what="since") if self.since else None
            later = published.record
            if since is None and published.previous() is None:
                raise AirflowSkipException(
                    f"No snapshot of {later.table} is published before {iso(later.as_of)}: nothing to compare it with"
                )
            table_store = self._store(published.table_uri)
            destination = self._store(self.destination) if self.destination else None
            pair = find_pair(table_store, later.table, since, later.as_of)
            increments = self._increments(pair)
            record = diff_snapshots(
                table_store,
                pair,
                key=self._key(table_store, pair, increments),
                increments=increments,
                output=destination,
                replace=self.replace,
                is_filtered=None if self.increments is None else filter_finder(self._hook_parameters),
            )
            figures = diff_figures(record, destination)
        self.log.info(
            "Changes of %s from %s to %s: %s added, %s changed, %s removed, %s unchanged; %s",
            *(figures[name] for name in ("table", "from", "to", "added", "changed", "removed", "unchanged", "record")),
        )
        tell_outlets(context, self.outlets or (), figures)
        return figures

    def _increments(self, pair: Pair) -> Sequence[Increment]:
        from airflow_provider_ddbexport.core.diff import known_increments, read_increment

        accept = {"accept_edited_summary": self.accept_edited_summary}
        if self.increments is None:
            known = known_increments(pair.old, pair.new, self._store, **accept)
            if known.why_not is not None:
                self.log.info("Both snapshots are compared: %s", known.why_not)
            return known.increments
        return [read_increment(source, self._store, **accept) for source in sources_of(self.increments)]

    def _key(self, table_store: ObjectStore, pair: Pair, increments: Sequence[Increment]) -> Sequence[str]:
        from airflow_provider_ddbexport.core.diff import find_key

        if self.keys is not None:
            return [self.keys] if isinstance(self.keys, str) else self.keys
        return find_key(table_store, pair, increments, self._table_identity)

    def _table_identity(self, arn: str) -> TableIdentity:
        parameters = {**self._hook_parameters, "region_name": arn.split(":")[3] or self.region_name}
        return DynamoDBExportHook(**parameters).table_identity(arn)

    def _store(self, uri: str) -> ObjectStore:
        return open_store(uri, s3=self._s3(uri), expected_bucket_owner=self.s3_bucket_owner or None)

    def _s3(self, uri: str) -> Any:
        return self.hook.conn if uri.startswith("s3://") else None
