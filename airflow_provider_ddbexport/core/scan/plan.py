"""What a scan was started as: the one thing a later run must agree with to go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from airflow_provider_ddbexport.core.scan.request import ScanRequest
from airflow_provider_ddbexport.core.scan.table import TableFacts
from airflow_provider_ddbexport.errors import BadCallError, ManifestError, ScanResumeError

MAX_SEGMENTS = 1_000_000
"""DynamoDB's limit."""

OUTPUT_FORMAT = "DYNAMODB_JSON"
"""Of backups."""

ANEW = (
    "start a new scan: a new DAG run does, `ddbexport scan` without --resume, or deleting the file under _scans/ that "
    "names this one"
)
"""What to do about a scan that cannot be gone on with."""

_SEGMENT_BYTES = 128 << 20
_SEGMENT_RCU = 500.0
_FEWEST_SEGMENTS, _MOST_SEGMENTS = 4, 4096


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """``<ExportId>/_scan/plan.json``: everything that decides what a scan writes. No value of an item is in it.

    Attributes:
        key_schema: of what is scanned, table or index.
        segments: TotalSegments; a segment number means nothing without it.
        shards: how many processes share the segments: segment % shards is the process. No more than the read budget
            can be divided among.
        shards_asked: for, with which it is gone on with.
        output_format: what the pages become, and how, in words.
        values_digest: of the expressions' values, which are not written down.
        size_bytes: of the table when the scan began, for the time that is left.
        provisioned_rcu: of the table or index then; the budget goes on from it after a switch to on demand.
        pointer_folder: where it is noted under which name the scan is found; None where it cannot be resumed.
        trial_units: read capacity units of the item by which its expressions were tried, before anything was read.
    """

    export_id: str
    bucket: str
    prefix: str | None
    table_name: str
    table_arn: str
    table_id: str
    key_schema: tuple[tuple[str, str], ...]
    segments: int
    shards: int
    shards_asked: int
    index_name: str | None
    is_consistent: bool
    filter_expression: str | None
    projection_expression: str | None
    names: dict[str, str]
    values_digest: str | None
    output_format: str
    started_at: datetime
    size_bytes: int
    provisioned_rcu: float | None = None
    pointer_folder: str | None = None
    trial_units: float = 0.0

    def to_json(self) -> bytes:
        """Return the plan as one line of JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, body: bytes, where: str) -> ScanPlan:
        """Return the plan that :meth:`to_json` wrote. Raises ManifestError that names *where*."""
        try:
            return msgspec.json.decode(body, type=cls)
        except msgspec.MsgspecError as error:
            raise ManifestError(f"{where}: expected the plan of a scan: {error}; {ANEW}", uri=where) from None

    def shard_segments(self, shard: int) -> range:
        """Return the segments of one shard."""
        return range(shard, self.segments, self.shards)


def require_possible(segments: int | None, shards: int) -> None:
    """Raise BadCallError where there cannot be so many."""
    if segments is not None and not 1 <= segments <= MAX_SEGMENTS:
        raise BadCallError(f"segments: expected 1 to {MAX_SEGMENTS}, found {segments}")
    if not 1 <= shards <= (segments or MAX_SEGMENTS):
        raise BadCallError(f"shards: expected 1 to the number of segments, found {shards}")


def choose_segments(table: TableFacts, segments: int | None, rate_rcu: float | None, shards: int) -> int:
    """Return TotalSegments: as given, or one for each 128 MB of the table and for each 500 units a second."""
    if segments is not None:
        return segments
    by_size = -(-table.size_bytes // _SEGMENT_BYTES)
    by_rate = int(-(-(rate_rcu or 0.0) // _SEGMENT_RCU))
    return max(min(max(by_size, by_rate, _FEWEST_SEGMENTS), _MOST_SEGMENTS), shards)


def require_same(
    plan: ScanPlan, table: TableFacts, request: ScanRequest, *, segments: int | None, shards: int, output_format: str
) -> None:
    """Raise ScanResumeError that names every difference between *plan* and what is asked for now."""
    differences = list(
        _differences(plan, table, request, segments=segments, shards=shards, output_format=output_format)
    )
    if differences:
        raise ScanResumeError(
            f"the scan {plan.export_id} of {plan.table_name} cannot be resumed: {'; '.join(differences)}; ask for "
            f"it as it was started, or {ANEW}",
            export_id=plan.export_id,
            differences=differences,
        )


def _differences(
    plan: ScanPlan, table: TableFacts, request: ScanRequest, *, segments: int | None, shards: int, output_format: str
) -> Sequence[str]:
    pairs: list[tuple[str, object, object]] = [
        ("table", plan.table_arn, table.arn),
        ("table id (the table was deleted and created again)", plan.table_id, table.table_id),
        ("key schema", plan.key_schema, table.key_schema),
        ("segments", plan.segments, plan.segments if segments is None else segments),
        ("shards", plan.shards_asked, shards),
        ("index", plan.index_name, request.index_name),
        ("consistent reads", plan.is_consistent, request.is_consistent),
        ("filter", plan.filter_expression, request.filter_expression),
        ("projection", plan.projection_expression, request.projection_expression),
        ("expression names", plan.names, dict(request.names)),
        ("format", plan.output_format, output_format),
    ]
    found = [f"{what}: started with {before}, asked for {now}" for what, before, now in pairs if before != now]
    if plan.values_digest != request.values_digest():
        found.append("expression values: they are others than it was started with")
    return found
