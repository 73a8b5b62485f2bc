"""Export chains are validated from the manifests."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.export.chain import ChainState, chain_exports, check_continuation
from airflow_provider_ddbexport.core.export.model import Export, ExportSummary, ExportType, OutputFormat
from airflow_provider_ddbexport.core.exporting.restorable_window import RestorableWindow
from airflow_provider_ddbexport.core.store import open_store
from airflow_provider_ddbexport.errors import BadCallError, BadDataError, ExportChainError

T = datetime(2026, 1, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/Reviews"


def _export(hours: float, *, since: float | None = None, number: int = 0, **changes: Any) -> Export:
    """A full export as of T + *hours*, or the increment from T + *since* to then."""
    moment = T + hours * HOUR
    export_id = f"{int(moment.timestamp() * 1000):014d}-{number:08x}"
    summary = ExportSummary(
        version="2020-06-30" if since is None else "2023-08-01",
        export_arn=f"{ARN}/export/{export_id}",
        export_id=export_id,
        export_type=ExportType.FULL if since is None else ExportType.INCREMENTAL,
        table_arn=ARN,
        table_id="one",
        table_name="Reviews",
        as_of=moment,
        from_time=None if since is None else T + since * HOUR,
        started_at=moment,
        ended_at=moment,
        s3_bucket="b",
        s3_prefix=None,
        manifest_files_key=f"AWSDynamoDB/{export_id}/manifest-files.json",
        billed_bytes=1,
        item_count=0,
        output_format=OutputFormat.DYNAMODB_JSON,
    )
    return Export(f"s3://b/AWSDynamoDB/{export_id}", replace(summary, **changes), (), "", ())


FULL, DAY_1, DAY_2, DAY_3 = _export(0), _export(24, since=0), _export(48, since=24), _export(72, since=48)


def _refusal(*exports: Export, **options: Any) -> ExportChainError:
    with pytest.raises(ExportChainError) as caught:
        chain_exports(exports, **options)
    return caught.value


@given(st.permutations([FULL, DAY_1, DAY_2, DAY_3, DAY_2, FULL]))
def test_a_chain_is_found_in_any_order_and_with_repetitions(exports: list[Export]) -> None:
    """Delivered twice is delivered once; it shows the table at the end of its last window."""
    chain = chain_exports(exports)
    assert (chain.full, chain.increments, chain.gaps) == (FULL, (DAY_1, DAY_2, DAY_3), ())
    assert (chain.as_of, chain.table_id) == (T + 72 * HOUR, "one")


def test_a_full_export_alone_is_a_chain() -> None:
    """It shows its own time, and the next window begins there, without milliseconds."""
    full = replace(FULL, summary=replace(FULL.summary, as_of=T + timedelta(milliseconds=622)))
    assert chain_exports([full]).as_of == T + timedelta(milliseconds=622)
    assert chain_exports([full, DAY_1]).increments == (DAY_1,)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_window_left_out_is_a_gap(missing: int) -> None:
    """Named with its times, the exports beside it and the way out."""
    error = _refusal(FULL, *[day for number, day in enumerate((DAY_1, DAY_2, DAY_3)) if number != missing])
    assert error.context["state"] == ChainState.GAP
    assert error.context["from_time"] == ["2026-01-14T00:00:00Z", "2026-01-15T00:00:00Z"][missing]
    assert error.context["to_time"] == ["2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z"][missing]
    assert "add the increment of this time while it can be restored, or begin a new chain" in str(error)
    assert isinstance(error, BadDataError)


def test_a_gap_is_allowed_by_whoever_knows_that_nothing_was_written() -> None:
    """It stays in the chain."""
    late = _export(48, since=24.5)
    assert _refusal(FULL, DAY_1, late, max_gap=HOUR / 3).context["state"] == ChainState.GAP
    chain = chain_exports([FULL, DAY_1, late], max_gap=HOUR / 2)
    assert chain.gaps == ((T + 24 * HOUR, T + 24.5 * HOUR),)
    with pytest.raises(BadCallError, match="max_gap"):
        chain_exports([FULL], max_gap=-HOUR)


@pytest.mark.parametrize(
    ("exports", "times"),
    [
        ((FULL, DAY_1, _export(47, since=23)), ("2026-01-14T23:00:00Z", "2026-01-15T00:00:00Z")),
        ((FULL, DAY_1, _export(24, since=0, number=1)), ("2026-01-14T00:00:00Z", "2026-01-15T00:00:00Z")),
        ((FULL, DAY_1, _export(5, since=4)), ("2026-01-14T04:00:00Z", "2026-01-14T05:00:00Z")),
        ((FULL, _export(20, since=-4)), ("2026-01-13T20:00:00Z", "2026-01-14T00:00:00Z")),
        ((FULL, _export(-1, since=-4)), ("2026-01-13T20:00:00Z", "2026-01-13T23:00:00Z")),
    ],
    ids=["partly", "wholly", "inside", "over the full export", "before the full export"],
)
def test_windows_that_overlap_are_refused(exports: tuple[Export, ...], times: tuple[str, str]) -> None:
    """Named with the time that both hold, whatever the order."""
    for order in itertools.permutations(exports):
        error = _refusal(*order)
        assert error.context["state"] == ChainState.OVERLAP
        assert (error.context["from_time"], error.context["to_time"]) == times


def test_a_table_made_again_is_found() -> None:
    """With both ids, the times between which it happened, and the way out; it is more than a gap."""
    recreated = _export(49, since=48, table_id="two")
    for exports in ((FULL, DAY_1, DAY_2, recreated), (FULL, DAY_1, recreated)):
        error = _refusal(*exports)
        assert error.context["state"] == ChainState.TABLE_RECREATED
        assert "full export of the table as it is now" in str(error)
    assert "between 2026-01-15T00:00:00Z (table id one, " in str(error)
    assert "and 2026-01-16T01:00:00Z (table id two, " in str(error)


def test_exports_of_two_tables_are_no_chain() -> None:
    """Even if their times would fit."""
    other = _export(48, since=24, table_arn=ARN + "2")
    assert _refusal(FULL, DAY_1, other).context["state"] == ChainState.OTHER_TABLE


def test_a_chain_begins_with_one_full_export() -> None:
    """Not with none, not with two, not with a scan."""
    assert _refusal(DAY_1, DAY_2).context["state"] == ChainState.NO_FULL_EXPORT
    assert _refusal().context["state"] == ChainState.NO_FULL_EXPORT
    scan = _export(0, export_type=ExportType.SCAN)
    assert "a backup by scan is none" in str(_refusal(scan, DAY_1))
    several = _refusal(FULL, DAY_1, _export(24))
    assert several.context["state"] == ChainState.SEVERAL_FULL_EXPORTS
    assert "2026-01-14T00:00:00Z, 2026-01-15T00:00:00Z" in str(several)


def test_the_error_crosses_processes() -> None:
    """With its state, so that an author can branch on it."""
    error = pickle.loads(pickle.dumps(_refusal(FULL, DAY_2)))
    assert error.context["state"] == "GAP"


def test_a_chain_goes_on_while_its_end_can_be_restored() -> None:
    """Otherwise recovery was off for a while, or the next increment comes too late."""
    chain = chain_exports([FULL, DAY_1])
    now = T + 30 * 24 * HOUR
    check_continuation(chain, table_id="one", window=RestorableWindow(T + 24 * HOUR, now, 35))
    with pytest.raises(ExportChainError, match=r"recovery was off.*new chain with a full export") as caught:
        check_continuation(chain, table_id="one", window=RestorableWindow(T + 25 * HOUR, now, 35))
    assert caught.value.context == {
        "state": "HISTORY_GONE",
        "from_time": "2026-01-15T00:00:00Z",
        "to_time": "2026-01-15T01:00:00Z",
    }
    with pytest.raises(ExportChainError, match="nothing yet") as caught:
        check_continuation(chain, table_id="one", window=RestorableWindow(None, None, 35))
    assert caught.value.context["state"] == "HISTORY_GONE"
    with pytest.raises(ExportChainError, match="deleted and made again") as caught:
        check_continuation(chain, table_id="two", window=RestorableWindow(T, now, 35))
    assert caught.value.context["state"] == ChainState.TABLE_RECREATED


def test_a_chain_made_by_aws_has_the_gap_its_manifests_show(real_exports: Path) -> None:
    """Its first window begins 69 s after the full export; with that allowed it is whole, in any order."""
    folder = real_exports / "full-and-incremental-2026" / "AWSDynamoDB"
    root = open_store(folder)
    exports = [
        read_export(root, path.name, accept_edited_summary=True)
        for path in sorted(folder.iterdir())
        if path.name != "data"
    ]
    error = _refusal(*exports)
    assert error.context["from_time"] == "2026-01-14T10:18:50.622Z"
    assert error.context["to_time"] == "2026-01-14T10:20:00Z"
    for order in itertools.permutations(exports):
        chain = chain_exports([*order, order[0]], max_gap=timedelta(minutes=2))
        assert len(chain.increments) == 2
        assert chain.as_of == datetime(2026, 1, 14, 10, 50, tzinfo=UTC)
    without_first = [e for e in exports if e.summary.from_time != datetime(2026, 1, 14, 10, 20, tzinfo=UTC)]
    left_out = _refusal(*without_first, max_gap=timedelta(minutes=2))
    assert left_out.context["to_time"] == "2026-01-14T10:35:00Z"
