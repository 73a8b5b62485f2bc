"""The verdict on what Athena answered about a snapshot. It holds names and counts, never values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_ddbexport.core.check.queries import COUNTS
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.times import iso
from airflow_provider_ddbexport.errors import BadCallError

Cell = str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a query.

    Attributes:
        rows: the first rows of the result, without the header; () when it failed.
        failure: why it failed, in words without values; "" when it succeeded.
        query_id: Athena's.
        bytes_scanned: as billed.
    """

    rows: tuple[tuple[Cell, ...], ...]
    failure: str = ""
    query_id: str = ""
    bytes_scanned: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows a snapshot may have.

    Attributes:
        allow_empty: a snapshot without rows passes.
        max_growth: at most so many rows more than the previous snapshot, as a share of it (0.5 is half as many again);
            None for any number.
        max_shrink: at most so many rows less, likewise.
    """

    allow_empty: bool = False
    max_growth: float | None = None
    max_shrink: float | None = None

    def __post_init__(self) -> None:
        """Raise BadCallError for a share that no snapshot could keep, or that none could break."""
        if self.max_growth is not None and self.max_growth < 0:
            raise BadCallError(f"max_growth: expected a share of 0 or more, found {self.max_growth}")
        if self.max_shrink is not None and not 0 <= self.max_shrink <= 1:
            raise BadCallError(f"max_shrink: expected a share from 0 to 1, found {self.max_shrink}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of each check.

    Attributes:
        rows: as Athena counts them; None when it could not.
        outcomes: by check, ``passed``, ``failed`` or ``skipped: <why>``.
        failures: a sentence for each that failed.
        bytes_scanned: by all queries together.
    """

    rows: int | None
    null_keys: int | None
    double_keys: int | None
    bytes_scanned: int
    outcomes: Mapping[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def judge(
    record: CommitRecord,
    previous: CommitRecord | None,
    bounds: Bounds,
    *,
    keys: Sequence[str],
    expectations: Sequence[str],
    answers: Mapping[str, Answer],
) -> Verdict:
    """Return the verdict on *answers*, by query name; *expectations* are the names of all, run or left out."""
    docket = _Docket()
    counts = answers[COUNTS]
    rows = null_keys = double_keys = None
    if counts.failure:
        docket.fail("row count", f"the query that counts rows and keys failed: {counts.failure}")
    else:
        rows, null_keys, double_keys = (int(cell or 0) for cell in counts.rows[0])
        _judge_rows(docket, record, rows, bounds)
        _judge_change(docket, previous, rows, bounds)
        _judge_keys(docket, keys, null_keys, double_keys)
    for name in expectations:
        _judge_expectation(docket, name, answers.get(name))
    return Verdict(
        rows=rows,
        null_keys=null_keys if keys else None,
        double_keys=double_keys if keys else None,
        bytes_scanned=sum(answer.bytes_scanned for answer in answers.values()),
        outcomes=docket.outcomes,
        failures=tuple(docket.failures),
    )


class _Docket:
    """Outcomes as they are found."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.failures: list[str] = []

    def fail(self, check: str, sentence: str) -> None:
        self.outcomes[check] = "failed"
        self.failures.append(f"{check}: {sentence}")

    def decide(self, check: str, passed: bool, sentence: str) -> None:
        if passed:
            self.outcomes[check] = "passed"
        else:
            self.fail(check, sentence)

    def skip(self, check: str, why: str) -> None:
        self.outcomes[check] = f"skipped: {why}"


def _judge_rows(docket: _Docket, record: CommitRecord, rows: int, bounds: Bounds) -> None:
    hint = "; its partition is not in the catalog: register or crawl it" if rows == 0 and record.rows else ""
    docket.decide(
        "row count", rows == record.rows, f"the commit record has {record.rows} rows, Athena counts {rows}{hint}"
    )
    if bounds.allow_empty:
        docket.skip("not empty", "allow_empty is set")
    else:
        docket.decide("not empty", rows > 0, "the snapshot has no rows; where that is fine, set allow_empty")


def _judge_change(docket: _Docket, previous: CommitRecord | None, rows: int, bounds: Bounds) -> None:
    check = "row count change"
    if bounds.max_growth is None and bounds.max_shrink is None:
        docket.skip(check, "no bounds are set")
    elif previous is None:
        docket.skip(check, "there is no previous snapshot")
    elif previous.rows == 0:
        docket.skip(check, "the previous snapshot is empty")
    else:
        change = (rows - previous.rows) / previous.rows
        low = -1.0 if bounds.max_shrink is None else -bounds.max_shrink
        within = low <= change and (bounds.max_growth is None or change <= bounds.max_growth)
        upper = "any" if bounds.max_growth is None else f"{bounds.max_growth:+.1%}"
        docket.decide(
            check,
            within,
            f"{rows} rows are {change:+.1%} against the {previous.rows} of {iso(previous.as_of)}, "
            f"expected between {low:+.1%} and {upper}",
        )


def _judge_keys(docket: _Docket, keys: Sequence[str], null_keys: int, double_keys: int) -> None:
    if not keys:
        docket.skip("keys not null", "no keys are given")
        docket.skip("keys unique", "no keys are given")
        return
    named = ", ".join(keys)
    docket.decide("keys not null", null_keys == 0, f"rows without {named}: {null_keys}")
    docket.decide("keys unique", double_keys == 0, f"rows that repeat the {named} of another: {double_keys}")


def _judge_expectation(docket: _Docket, name: str, answer: Answer | None) -> None:
    if answer is None:
        docket.skip(name, "there is no previous snapshot")
    elif answer.failure:
        docket.fail(name, f"the query failed: {answer.failure}")
    elif len(answer.rows) != 1 or len(answer.rows[0]) != 1:
        width = len(answer.rows[0]) if answer.rows else 0
        found = "several rows" if len(answer.rows) > 1 else f"{len(answer.rows)} rows of {width} columns"
        docket.fail(name, f"expected one row with one boolean, found {found}; aggregate it, as with bool_and(…)")
    elif answer.rows[0][0] not in {"true", "false", None}:
        docket.fail(name, "expected a boolean, found another type; compare it with something")
    else:
        docket.decide(name, answer.rows[0][0] == "true", f"the query answers {answer.rows[0][0] or 'null'}")
