"""Whatever tries, kills, failures and days are strung together: never two exports that are paid for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.exporting.exactly_once import MAX_FAILED, start_once
from airflow_provider_ddbexport.core.exporting.ledger import FOLDER, ExportLedger, ledger_uri
from airflow_provider_ddbexport.core.exporting.point_in_time import table_identity
from airflow_provider_ddbexport.core.exporting.request import ExportRequest
from airflow_provider_ddbexport.core.store import open_store

NOW = datetime(2026, 1, 14, 6, tzinfo=UTC)
STEPS = {
    "a minute passes": timedelta(minutes=1),
    "6 h 59 pass": timedelta(hours=6, minutes=59),
    "8 h 01 pass": timedelta(hours=8, minutes=1),
    "a day passes": timedelta(days=1),
}
EVENTS = [
    "try",
    "killed after the claim",
    "killed after the call",
    "answer lost, killed",
    "throttled, killed",
    "the export fails",
    "the ledger is deleted",
    "its first claim is deleted",
    "its last claim is deleted",
    "its last export is deleted",
    *STEPS,
]
REQUESTS: dict[str, dict[str, Any]] = {
    "full": {},
    "increment": {"from_time": NOW - timedelta(hours=9)},
    "filtered increment": {
        "from_time": NOW - timedelta(hours=9),
        "filter_specification": {"FilterExpression": "attribute_exists(Book)"},
    },
    "generation": {"generation": "2"},
}


class Killed(BaseException):
    """The worker died here."""


class Story:
    """One request and what happens around it."""

    def __init__(self, aws: Any, dynamodb: Any, s3: Any, kind: str) -> None:
        self.aws, self.dynamodb, self.s3 = aws, dynamodb, s3
        self.failed = 0
        aws.reset()
        aws.clock.set(NOW - timedelta(days=1), frozen=True)
        aws.configure(export_burst=10_000, export_seconds=100 * 86400)
        s3.create_bucket(Bucket="exports")
        dynamodb.create_table(
            TableName="Reviews",
            AttributeDefinitions=[{"AttributeName": "User", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "User", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.update_continuous_backups(
            TableName="Reviews", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        table = table_identity(dynamodb, "Reviews")
        self.request = ExportRequest(
            table.arn, NOW - timedelta(hours=1), "exports", table_id=table.table_id, **REQUESTS[kind]
        )
        aws.clock.set(NOW, frozen=True)

    def happen(self, what: str) -> None:
        if what in STEPS:
            self.aws.clock.advance(STEPS[what])
        elif what == "the export fails":
            self._fail()
        elif "deleted" in what:
            self._delete(what)
        elif what == "try":
            self._start()
        else:
            with pytest.raises(Killed):
                self._start(kill=what)

    def billed(self) -> list[str]:
        return [export["export_arn"] for export in self.aws.exports_billed()]

    def _fail(self) -> None:
        """Let the next export that is started fail, once it is asked for at all, by ending it at once."""
        if not self.billed() and self.failed < MAX_FAILED - 1:
            self.failed += 1
            self.aws.configure(fail_next_export=("S3AccessDenied", "no"), export_seconds=0)
            started = self._start()
            self.aws.configure(export_seconds=100 * 86400)
            status = self.dynamodb.describe_export(ExportArn=started)["ExportDescription"]["ExportStatus"]
            assert status == "FAILED"

    def _delete(self, what: str) -> None:
        """Remove the ledger, or one record of it."""
        keys = [found["Key"] for found in self.s3.list_objects_v2(Bucket="exports", Prefix=FOLDER).get("Contents", [])]
        if what != "the ledger is deleted":
            _, which, kind, *_ = what.split()
            of_kind = sorted(key for key in keys if f"/{kind}-" in key)
            keys = of_kind[:1] if which == "first" else of_kind[-1:]
        for key in keys:
            self.s3.delete_object(Bucket="exports", Key=key)
        event(f"{what}: {len(keys)}")

    def _start(self, kill: str = "") -> str:
        def die(*_: Any, **__: Any) -> Any:
            raise Killed

        ledger = ExportLedger(open_store(ledger_uri(self.request), s3=self.s3))
        before_call: Callable[[], None] = lambda: None  # noqa: E731 - replaced below
        if kill == "killed after the claim":
            before_call = die
        elif kill == "killed after the call":
            before_call = lambda: setattr(ledger, "record", die)  # noqa: E731
        elif kill:
            fault = ("InternalServerError", 500, True) if "lost" in kill else ("ThrottlingException", 400, False)
            before_call = lambda: self.aws.fail_next(  # noqa: E731
                "ExportTableToPointInTime", fault[0], status=fault[1], after=fault[2]
            )
        started = start_once(
            self.dynamodb, ledger, self.request, before_call=before_call, now=self.aws.clock.now, sleep=die
        )
        if kill:
            # Its export was recorded already, so that nothing was called: there was nothing to be killed in.
            event("nothing to kill")
            raise Killed
        return started


@pytest.fixture(scope="module")
def clients(local_aws_server: Any) -> Any:
    """The embedded AWS and clients that do not retry by themselves, for all stories."""
    aws = local_aws_server
    return aws, aws.client("dynamodb", config=Config(retries={"total_max_attempts": 1})), aws.client("s3")


@settings(max_examples=16)
@given(st.sampled_from(sorted(REQUESTS)), st.lists(st.sampled_from(EVENTS), min_size=2, max_size=10))
@example("full", ["the export fails", "8 h 01 pass", "its first claim is deleted"])
@example("increment", ["the export fails", "try", "8 h 01 pass", "its last claim is deleted"])
@example("full", ["the export fails", "killed after the call", "8 h 01 pass", "its last claim is deleted"])
@example("generation", ["the export fails", "try", "a day passes", "the ledger is deleted"])
def test_no_history_pays_for_two_exports(clients: Any, kind: str, happenings: list[str]) -> None:
    """At no time are there two; and once all is over, a try finds the one there is."""
    story = Story(*clients, kind)
    for what in happenings:
        story.happen(what)
        assert len(story.billed()) <= 1, happenings
    story.happen("try")
    (only,) = story.billed()
    assert story._start() == only
