"""Exports of a DynamoDB table as of a point in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_provider_ddbexport.core.exporting.point_in_time import ExportDescription
from airflow_provider_ddbexport.core.exporting.request import ExportRequest, export_instant
from airflow_provider_ddbexport.operators.exporting import EXPORT_FIELDS, ExportingOperator, export_figures
from airflow_provider_ddbexport.operators.out_of_window import OutOfWindow

RUN_INSTANT = "{{ (dag_run.logical_date or dag_run.run_after).isoformat() }}"
"""Template of a run's instant: its logical date, or when it was due where it was triggered without one."""


class DynamoDBPointInTimeExportOperator(ExportingOperator):
    """Exports a table as it was at an instant, to S3, exactly once.

    There is one export for one table (the very one: a table deleted and made again is another), export time,
    destination, format, encryption, owner, filter and generation. A try, whenever it comes and however the one before
    it ended, uses the export that was started: what was asked for is written down beside the exports, in
    ``<destination>/_ddbexport/exports/``, before it is asked for, and an answer that was lost is looked for among
    DynamoDB's exports. Only where the export FAILED does the next try start another one. Clearing a finished task
    re-uses its export; another one is made for another ``generation``. Exports are billed by the table's size and
    cannot be cancelled.

    The task fails at once, without retries, where another try would meet the same error: point-in-time recovery is
    off, the time is no time or is too old, the table is missing, access is denied. A time that cannot be exported
    *yet* leaves it to the retries; :class:`.DynamoDBRestorableTimeSensor` waits for it. Throttling, and as many exports
    at once as AWS allows, are waited out.

    XCom: ``export_arn``, ``source`` (address of the export's folder, what
    :class:`.DynamoDBExportToParquetOperator` takes), ``manifest_key``, ``item_count``, ``billed_bytes``,
    ``export_time``. Without ``wait_for_completion`` what is not known yet is None.

    Besides dynamodb:ExportTableToPointInTime and what the export itself needs, the task needs dynamodb:DescribeTable,
    dynamodb:DescribeExport, dynamodb:ListExports, and s3:GetObject, s3:PutObject and s3:ListBucket for the ledger.

    :param table_name: the table's name, or its ARN. (templated)
    :param s3_bucket_name: destination bucket. (templated)
    :param s3_prefix: destination folder in the bucket; the bucket's root by default. (templated)
    :param export_time: the instant, ISO 8601 text with an offset, or an aware datetime; cut to whole seconds. The
        run's logical date by default, or its ``run_after`` where it has none. (templated)
    :param out_of_window: what becomes of the task where the time's history is gone: ``fail`` or ``skip``.
    :param export_format: ``DYNAMODB_JSON`` or ``ION``. (templated)
    :param s3_sse_algorithm: ``AES256`` or ``KMS``; the bucket's default encryption if None. (templated)
    :param s3_sse_kms_key_id: the key, with ``KMS``. (templated)
    :param s3_bucket_owner: account id of the bucket's owner, if it is not the table's. (templated)
    :param filter_specification: export only what it selects, FilterSpecification as the SDK takes it; the whole table
        is billed all the same. Not templated: Airflow's UI shows rendered fields to everybody, and a filter's values
        are items'.
    :param generation: any text; another text is another export of the same. What is no text is made text: 3 is "3".
        (templated)
    :param ledger: where the ledger is kept, ``s3://``, if it cannot be read or written beside the exports; the same for
        all who may ask for this export. (templated)
    :param wait_for_completion: return only when the export is COMPLETED.
    :param poll_interval_s: seconds between two looks at the export.
    :param patience_s: seconds to wait for a turn and for the export, per try; the export goes on after that.
    :param deferrable: wait in the triggerer, holding no worker.
    :param aws_conn_id: The Airflow connection used for AWS credentials. (templated)
    :param region_name: AWS region of the table. (templated)
    :param verify: Whether or not to verify SSL certificates, or the path of a CA bundle. (templated)
    :param botocore_config: Configuration dictionary for the botocore client.
    """

    template_fields: Sequence[str] = aws_template_fields(*EXPORT_FIELDS, "export_time")

    def __init__(
        self, *, export_time: str | datetime = RUN_INSTANT, out_of_window: OutOfWindow = "fail", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.export_time = export_time
        self.out_of_window = out_of_window

    def export_requests(self) -> Sequence[ExportRequest]:
        """Return the one request."""
        moment = export_instant(self.export_time)
        return [ExportRequest(**self.request_arguments(), export_time=moment)]

    def figures(self, descriptions: Sequence[ExportDescription]) -> dict[str, Any]:
        """Return the one export's figures."""
        return export_figures(descriptions[0])
