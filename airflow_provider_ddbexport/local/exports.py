"""ExportTableToPointInTime, DescribeExport and ListExports."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_ddbexport.local.capacity import TokenBucket
from airflow_provider_ddbexport.local.emulator import Emulator
from airflow_provider_ddbexport.local.export_files import (
    ExportIdentity,
    full_lines,
    incremental_lines,
    write_export,
    write_started,
)
from airflow_provider_ddbexport.local.export_job import ExportJob, job_description
from airflow_provider_ddbexport.local.export_request import (
    EXPORT_ARN,
    ExportRequest,
    check_times,
    parse_request,
)
from airflow_provider_ddbexport.local.history import micros
from airflow_provider_ddbexport.local.tables import Tables, TableState
from airflow_provider_ddbexport.local.wire import AwsError, Call, Handler

TOKEN_LIFE = timedelta(hours=8)
LISTED_FOR = timedelta(days=90)
PAGE_LIMIT = 25
LEAST_BILLED_INCREMENT = 10_000_000

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(slots=True)
class _Calls:
    """What is remembered between calls.

    Attributes:
        jobs: by export ARN, in the order they were started.
        tokens: by account, region and ClientToken: when it was first used, and for which export.
    """

    burst: TokenBucket
    jobs: dict[str, ExportJob] = field(default_factory=dict)
    tokens: dict[tuple[str, str, str], tuple[datetime, ExportJob]] = field(default_factory=dict)


class Exports:
    """Handlers of the calls about exports, and the exports themselves."""

    def __init__(self, emulator: Emulator, tables: Tables) -> None:
        self._emulator = emulator
        self._tables = tables
        self._calls: _Calls
        emulator.on_reset(self._forget)
        emulator.on_request(self._settle)
        self._forget()

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the handlers by service and operation."""
        return {
            ("DynamoDB", "ExportTableToPointInTime"): self._start,
            ("DynamoDB", "DescribeExport"): self._describe,
            ("DynamoDB", "ListExports"): self._list,
        }

    def billed(self) -> list[dict[str, Any]]:
        """Return the exports AWS would have billed, oldest first: all that were started and did not fail."""
        return [
            {
                "export_arn": job.identity.export_arn,
                "table_arn": job.identity.table_arn,
                "export_type": job.request.export_type,
                "export_time": job.as_of.isoformat(),
                "status": job.status,
                "billed_bytes": job.billed_bytes,
            }
            for job in self._calls.jobs.values()
            if job.status != "FAILED"
        ]

    def _forget(self) -> None:
        self._calls = _Calls(TokenBucket(self._emulator.elapsed))

    def _start(self, call: Call) -> dict[str, Any]:
        settings = self._emulator.settings
        if not self._calls.burst.take(settings.export_refill_per_s, settings.export_burst):
            raise AwsError("ThrottlingException", "Rate of requests exceeds the allowed throughput.")
        request = parse_request(call.body)
        token = call.body.get("ClientToken")
        if token and (known := self._remembered(call, token)):
            if known.request != request:
                raise AwsError(
                    "ExportConflictException",
                    "There was a conflict when writing to the specified S3 bucket: the ClientToken was used for an "
                    "export with other parameters",
                )
            return {"ExportDescription": job_description(known)}
        state = self._tables.of_arn(call, request.table_arn)
        if state is None:
            raise AwsError("TableNotFoundException", f"Table not found: {request.table_arn}")
        if state.pitr_enabled_at is None:
            raise AwsError(
                "PointInTimeRecoveryUnavailableException",
                f"Point in time recovery is not enabled for table '{state.name}'",
            )
        now = self._emulator.clock.now()
        check_times(
            request,
            earliest=self._tables.earliest_restorable(state),
            latest=self._tables.latest_restorable(state),
            now=now,
        )
        running = sum(job.status == "IN_PROGRESS" for job in self._calls.jobs.values())
        if running >= settings.concurrent_exports:
            raise AwsError("LimitExceededException", f"There are {running} exports in progress, which is the limit")
        job = self._new_job(call, request, state, token, now)
        self._calls.jobs[job.identity.export_arn] = job
        if token:
            self._calls.tokens[call.account, call.region, token] = (now, job)
        if self._refusal(job) is None:
            write_started(self._putter(job), request, job.identity.export_id)
        answer = {"ExportDescription": job_description(job)}
        self._settle()
        return answer

    def _remembered(self, call: Call, token: str) -> ExportJob | None:
        key = (call.account, call.region, token)
        if key not in self._calls.tokens:
            return None
        first_used, job = self._calls.tokens[key]
        if self._emulator.clock.now() - first_used < TOKEN_LIFE:
            return job
        del self._calls.tokens[key]
        return None

    def _new_job(
        self, call: Call, request: ExportRequest, state: TableState, token: str | None, now: datetime
    ) -> ExportJob:
        # Increments start at whole seconds, as those made by AWS do.
        started_at = now.replace(microsecond=0 if request.is_incremental else now.microsecond // 1000 * 1000)
        export_id = f"{(micros(started_at) // 1000):014d}-{secrets.token_hex(4)}"
        if request.from_time is not None:
            as_of = request.to_time or now
            changes = list(state.history.changes(micros(request.from_time), micros(as_of)))
            lines = incremental_lines(request, state.schema, changes)
            whole = lines
            if request.narrowing is not None:
                whole = incremental_lines(replace(request, narrowing=None), state.schema, changes)
            billed = max(LEAST_BILLED_INCREMENT, sum(len(line) for _, line in whole))
        else:
            # No ExportTime means now, to the last write; times have milliseconds in the manifest.
            as_of = request.as_of or started_at
            items = list(state.history.as_of(micros(request.as_of or now)))
            lines = full_lines(request, items)
            billed = sum(image.size for _, image in items)
        planned, self._emulator.settings.fail_next_export = self._emulator.settings.fail_next_export, None
        return ExportJob(
            identity=ExportIdentity(
                export_id=export_id,
                export_arn=f"{state.arn}/export/{export_id}",
                table_arn=state.arn,
                table_id=state.table_id,
                started_at=started_at,
            ),
            request=request,
            account=call.account,
            region=call.region,
            client_token=token,
            as_of=as_of,
            lines=lines,
            billed_bytes=billed,
            started_elapsed=self._emulator.elapsed(),
            planned_failure=planned,
        )

    def _settle(self) -> None:
        """End the exports that are due: write their files, or fail them."""
        due = self._emulator.elapsed() - self._emulator.settings.export_seconds
        for job in self._calls.jobs.values():
            if job.status == "IN_PROGRESS" and job.started_elapsed <= due:
                self._end(job)

    def _end(self, job: ExportJob) -> None:
        job.ended_at = max(self._emulator.clock.now(), job.identity.started_at + _MILLISECOND)
        job.failure = job.planned_failure or self._refusal(job)
        if job.failure is not None:
            job.status = "FAILED"
        else:
            job.manifest_key = write_export(
                self._putter(job),
                job.request,
                job.identity,
                job.lines,
                files=self._emulator.settings.export_files,
                as_of=job.as_of,
                ended_at=job.ended_at,
                billed_bytes=job.billed_bytes,
            )
            job.item_count = len(job.lines)
            job.status = "COMPLETED"
        job.lines = []

    def _refusal(self, job: ExportJob) -> tuple[str, str] | None:
        """Return why the destination cannot be written now, or None."""
        request = job.request
        owner = request.bucket_owner or job.account
        bucket = None
        for account in dict.fromkeys((owner, job.account)):
            bucket = bucket or self._emulator.moto.s3(account).buckets.get(request.bucket)
        if bucket is None:
            return "S3NoSuchBucket", "The specified bucket does not exist"
        if bucket.account_id != owner or request.bucket in self._emulator.settings.denied_buckets:
            return "S3AccessDenied", "Access Denied"
        if request.kms_key is not None and not self._key_exists(job, request.kms_key):
            return "KmsNotFoundException", f"Key '{request.kms_key}' does not exist"
        return None

    def _key_exists(self, job: ExportJob, key: str) -> bool:
        kms = self._emulator.moto.kms(job.account, job.region)
        name = key.rpartition(":key/")[2] or key
        return name in kms.keys or bool(kms.get_key_id_from_alias(key))

    def _putter(self, job: ExportJob) -> Any:
        s3 = self._emulator.moto.s3(job.request.bucket_owner or job.account)

        def put(key: str, content: bytes, etag: str | None) -> None:
            s3.put_object(
                job.request.bucket,
                key,
                content,
                etag=etag,
                encryption="aws:kms" if job.request.sse == "KMS" else job.request.sse,
                kms_key_id=job.request.kms_key,
            )

        return put

    def _describe(self, call: Call) -> dict[str, Any]:
        arn = str(call.body.get("ExportArn", ""))
        if not EXPORT_ARN.match(arn):
            raise AwsError("ValidationException", "Invalid ExportArn")
        job = self._calls.jobs.get(arn)
        if job is None or (job.account, job.region) != (call.account, call.region):
            raise AwsError("ExportNotFoundException", f"Export not found: {arn}")
        return {"ExportDescription": job_description(job)}

    def _list(self, call: Call) -> dict[str, Any]:
        limit = call.body.get("MaxResults") or PAGE_LIMIT
        if not 1 <= limit <= PAGE_LIMIT:
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{limit}' at 'maxResults' failed to satisfy constraint: "
                f"Member must have value between 1 and {PAGE_LIMIT}",
            )
        # By identity, not by name: of a table that was deleted and created again, the older exports are not listed.
        wanted = call.body.get("TableArn")
        listed = {state.table_id for state in self._tables.all(call) if wanted in {None, state.arn}}
        oldest = self._emulator.clock.now() - LISTED_FOR
        jobs = [
            job
            for job in reversed(self._calls.jobs.values())
            if job.identity.table_id in listed and job.identity.started_at > oldest
        ]
        start = _position(jobs, call.body.get("NextToken"))
        answer: dict[str, Any] = {
            "ExportSummaries": [
                {
                    "ExportArn": job.identity.export_arn,
                    "ExportStatus": job.status,
                    "ExportType": job.request.export_type,
                }
                for job in jobs[start : start + limit]
            ]
        }
        if len(jobs) > start + limit:
            last = jobs[start + limit - 1].identity.export_arn
            answer["NextToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        return answer


def _position(jobs: list[ExportJob], token: str | None) -> int:
    if token is None:
        return 0
    try:
        last = base64.urlsafe_b64decode(token).decode()
        return [job.identity.export_arn for job in jobs].index(last) + 1
    except ValueError:
        raise AwsError("ValidationException", "Invalid NextToken") from None
