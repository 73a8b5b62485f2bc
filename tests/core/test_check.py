"""The SQL of the checks, and the verdict on its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest
from snapshot_records import AS_OF, commit_record, schema_of

from airflow_provider_ddbexport.core.check.queries import COUNTS, build_checks, quote_identifier, quote_text
from airflow_provider_ddbexport.core.check.verdict import Answer, Bounds, Verdict, judge
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.errors import BadCallError

SCHEMA = schema_of([{"Id": {"S": "a"}, "Sort": {"N": "1"}, "Rating": {"N": "5"}}])
RECORD = commit_record(SCHEMA, rows=4)
PREVIOUS = commit_record(SCHEMA, rows=4, as_of=AS_OF - timedelta(days=1))


def verdict(
    answers: Mapping[str, Any] | None = None,
    *,
    counts: tuple[int, int, int] = (4, 0, 0),
    record: CommitRecord = RECORD,
    previous: CommitRecord | None = PREVIOUS,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    keys: tuple[str, ...] = ("Id",),
) -> Verdict:
    given = {COUNTS: Answer((tuple(map(str, counts)),), bytes_scanned=10)}
    for name, answer in (answers or {}).items():
        given[name] = answer if isinstance(answer, Answer) else Answer(answer, bytes_scanned=5)
    return judge(record, previous, bounds, keys=keys, expectations=tuple(answers or ()), answers=given)


@pytest.mark.parametrize("name", ['drop"table', "select", "größe", "a.b", "x'; DROP TABLE t; --", '""'])
def test_a_quoted_identifier_is_one_name_whatever_it_holds(name: str) -> None:
    """A real SQL engine reads back exactly the name that was quoted, as column and as table."""
    engine = duckdb.connect()
    engine.execute(f"CREATE TABLE {quote_identifier(name)} ({quote_identifier(name)} INT)")
    assert engine.execute("SELECT table_name, column_name FROM information_schema.columns").fetchall() == [(name, name)]


@pytest.mark.parametrize("text", ["it's", "''", "'; DROP TABLE t; --", "größe\\"])
def test_a_quoted_text_is_one_value_whatever_it_holds(text: str) -> None:
    """A real SQL engine reads back exactly the text."""
    assert duckdb.execute(f"SELECT {quote_text(text)}").fetchall() == [(text,)]


def count(rows: list[tuple[Any, Any, dict[str, str]]], keys: list[str]) -> tuple[int, ...]:
    """Return what the counting query says of rows of (id, sort, _rescued); another snapshot lies beside them."""
    (query,) = build_checks(RECORD, None, database="db", keys=keys, expectations={})
    engine = duckdb.connect()
    engine.execute("CREATE SCHEMA db")
    engine.execute(
        "CREATE TABLE db.reviews (id TEXT, sort BIGINT, _rescued MAP(TEXT, TEXT), ddb_export_timestamp TEXT)"
    )
    for stamp in ("20260114T101850Z", "20260113T000000Z"):
        for fitting, sort, rescued in rows:
            engine.execute("INSERT INTO db.reviews VALUES (?, ?, ?, ?)", [fitting, sort, rescued, stamp])
    # In Athena element_at gives a value or null; in DuckDB that is what an index does.
    sql = query.sql.replace("element_at(\"_rescued\", 'Id')", "\"_rescued\"['Id']")
    sql = sql.replace("element_at(\"_rescued\", 'Sort')", "\"_rescued\"['Sort']")
    return tuple(int(cell) for cell in engine.execute(sql).fetchall()[0])


@pytest.mark.parametrize(
    ("rows", "keys", "expected"),
    [
        ([], ["Id"], (0, 0, 0)),
        ([("a", 1, {}), ("b", 1, {})], ["Id"], (2, 0, 0)),
        ([("a", 1, {}), ("a", 2, {}), ("a", 3, {})], ["Id"], (3, 0, 2)),
        ([("a", 1, {}), ("a", 2, {})], ["Id", "Sort"], (2, 0, 0)),
        ([("a", 1, {}), (None, 1, {})], ["Id"], (2, 1, 0)),
        ([("a", None, {}), ("a", None, {})], ["Id", "Sort"], (2, 2, 1)),
        ([("a", None, {"Sort": '{"N":"1E-130"}'}), ("a", None, {"Sort": '{"N":"2E-130"}'})], ["Id", "Sort"], (2, 0, 0)),
        ([("a", None, {"Sort": '{"N":"1E-130"}'}), ("a", None, {"Sort": '{"N":"1E-130"}'})], ["Id", "Sort"], (2, 0, 1)),
        ([("a", 1, {}), ("a", 1, {})], [], (2, 0, 0)),
    ],
)
def test_rows_null_keys_and_double_keys_are_counted(
    rows: list[tuple[Any, Any, dict[str, str]]], keys: list[str], expected: tuple[int, int, int]
) -> None:
    """Of this snapshot only; a rescued key is neither null nor equal to another rescued one."""
    assert count(rows, keys) == expected


def test_an_attribute_with_quotes_and_slashes_is_found_among_the_rescued() -> None:
    """Its column is quoted, its path in _rescued is escaped as a JSON Pointer and as a literal."""
    schema = schema_of([{'it\'s/"me"~': {"S": "x"}}])
    (query,) = build_checks(commit_record(schema), None, database="d", keys=['it\'s/"me"~'], expectations={})
    assert f'"{schema.columns[0].name}" AS k0' in query.sql
    assert "'it''s~1\"me\"~0'" in query.sql


def test_a_key_that_is_no_attribute_is_refused_with_the_choice() -> None:
    """A typo names the attributes there are; in an empty table, which has no columns, it cannot be told."""
    with pytest.raises(BadCallError, match=r"'Idd' is no attribute.*Id, Rating, Sort"):
        build_checks(RECORD, None, database="d", keys=["Idd"], expectations={})
    empty = replace(commit_record(schema_of([]), rows=0))
    assert len(build_checks(empty, None, database="d", keys=["Id"], expectations={})) == 1


def test_expectations_stand_on_the_snapshot_and_the_one_before() -> None:
    """Both places become the quoted table, cut down to their partition; a semicolon at the end does not matter."""
    sql = "SELECT (SELECT count(*) FROM {snapshot}) >= (SELECT count(*) FROM {previous} AS p);"
    query = build_checks(RECORD, PREVIOUS, database="d", table="t", keys=(), expectations={"grows": sql})[1]
    assert query.name == "grows"
    assert query.sql == (
        'SELECT (SELECT count(*) FROM (SELECT * FROM "d"."t" WHERE "ddb_export_timestamp" = \'20260114T101850Z\')) >= '
        '(SELECT count(*) FROM (SELECT * FROM "d"."t" WHERE "ddb_export_timestamp" = \'20260113T101850Z\') AS p)'
    )


def test_a_table_named_like_a_place_is_not_filled_twice() -> None:
    """A hostile table name stays a name."""
    query = build_checks(
        RECORD, PREVIOUS, database="d", table="{previous}", keys=(), expectations={"e": "SELECT true FROM {snapshot}"}
    )[1]
    assert query.sql.count("SELECT *") == 1


def test_other_braces_are_left_alone() -> None:
    """An expectation may hold JSON and regular expressions."""
    sql = "SELECT bool_and(regexp_like(id, '^[a-z]{1,3}$')) FROM {snapshot}"
    query = build_checks(RECORD, None, database="d", keys=(), expectations={"e": sql})[1]
    assert "'^[a-z]{1,3}$'" in query.sql


@pytest.mark.parametrize(
    ("name", "sql", "message"),
    [
        ("e", "SELECT true FROM reviews", "expected {snapshot}"),
        ("row count", "SELECT true FROM {snapshot}", "name is taken"),
        (COUNTS, "SELECT true FROM {snapshot}", "name is taken"),
    ],
)
def test_an_expectation_that_could_check_something_else_is_refused(name: str, sql: str, message: str) -> None:
    """One that does not name the snapshot, or takes another check's name."""
    with pytest.raises(BadCallError, match=message):
        build_checks(RECORD, None, database="d", keys=(), expectations={name: sql})


def test_a_good_snapshot_passes_with_its_figures() -> None:
    """Every check has its outcome, and the bytes of all queries are added up."""
    result = verdict({"e": (("true",),)}, bounds=Bounds(max_growth=0.1, max_shrink=0.1))
    assert result.failures == ()
    assert set(result.outcomes.values()) == {"passed"}
    assert (result.rows, result.null_keys, result.double_keys, result.bytes_scanned) == (4, 0, 0, 15)


@pytest.mark.parametrize(
    ("case", "failure"),
    [
        ({"counts": (5, 0, 0)}, "row count: the commit record has 4 rows, Athena counts 5"),
        ({"counts": (0, 0, 0)}, "its partition is not in the catalog"),
        ({"counts": (0, 0, 0), "record": commit_record(SCHEMA, rows=0)}, "not empty: the snapshot has no rows"),
        ({"counts": (4, 1, 0)}, "keys not null: rows without Id: 1"),
        ({"counts": (4, 0, 2)}, "keys unique: rows that repeat the Id of another: 2"),
        (
            {"bounds": Bounds(max_shrink=0.1), "previous": replace(PREVIOUS, rows=5)},
            r"row count change: 4 rows are -20.0% against the 5 of 2026-01-13T10:18:50Z, expected between -10.0%",
        ),
        (
            {"bounds": Bounds(max_growth=0.5), "previous": replace(PREVIOUS, rows=2)},
            r"4 rows are \+100.0% against the 2 of .*, expected between -100.0% and \+50.0%",
        ),
        ({"answers": {"e": (("false",),)}}, "e: the query answers false"),
        ({"answers": {"e": ((None,),)}}, "e: the query answers null"),
        ({"answers": {"e": ()}}, "e: expected one row with one boolean, found 0 rows"),
        ({"answers": {"e": (("true",), ("true",))}}, "e: expected one row with one boolean, found several rows"),
        ({"answers": {"e": (("true", "1"),)}}, "e: expected one row with one boolean, found 1 rows of 2 columns"),
        ({"answers": {"e": (("secret",),)}}, "e: expected a boolean, found another type"),
        ({"answers": {"e": Answer((), failure="SYNTAX_ERROR: line 1:1")}}, "e: the query failed: SYNTAX_ERROR"),
        ({"answers": {COUNTS: Answer((), failure="TABLE_NOT_FOUND: t")}}, "row count: the query that counts .* failed"),
    ],
)
def test_what_is_wrong_is_told(case: dict[str, Any], failure: str) -> None:
    """Each defect alone makes its own check fail, in a sentence with names and counts and no values."""
    result = verdict(**case)
    assert any(re.search(failure, found) for found in result.failures), result.failures
    assert "secret" not in str(result)


def test_all_failures_are_listed_not_the_first_alone() -> None:
    """A snapshot with many defects is told all of them."""
    result = verdict({"e": (("false",),)}, counts=(9, 1, 2))
    assert len(result.failures) == 4


@pytest.mark.parametrize(
    ("case", "check", "why"),
    [
        ({"previous": None, "bounds": Bounds(max_growth=0.1)}, "row count change", "there is no previous snapshot"),
        (
            {"previous": replace(PREVIOUS, rows=0), "bounds": Bounds(max_growth=0.1)},
            "row count change",
            "the previous snapshot is empty",
        ),
        ({}, "row count change", "no bounds are set"),
        ({"keys": ()}, "keys unique", "no keys are given"),
        (
            {"counts": (0, 0, 0), "record": commit_record(SCHEMA, rows=0), "bounds": Bounds(allow_empty=True)},
            "not empty",
            "allow_empty is set",
        ),
    ],
)
def test_what_cannot_or_need_not_be_checked_is_skipped_and_says_so(case: dict[str, Any], check: str, why: str) -> None:
    """A skipped check is neither passed nor failed."""
    result = verdict(**case)
    assert result.failures == ()
    assert result.outcomes[check] == f"skipped: {why}"


def test_an_expectation_on_the_previous_snapshot_is_skipped_where_there_is_none() -> None:
    """It is not run, and the verdict says why."""
    expectations = {"e": "SELECT count(*) > 0 FROM {snapshot} AS s, {previous} AS p"}
    queries = build_checks(RECORD, None, database="d", keys=(), expectations=expectations)
    assert [query.name for query in queries] == [COUNTS]
    result = judge(RECORD, None, Bounds(), keys=(), expectations=["e"], answers={COUNTS: Answer((("4", "0", "0"),))})
    assert result.outcomes["e"] == "skipped: there is no previous snapshot"


@pytest.mark.parametrize("bounds", [{"max_growth": -0.1}, {"max_shrink": 1.5}, {"max_shrink": -0.1}])
def test_bounds_nobody_can_mean_are_refused(bounds: dict[str, float]) -> None:
    """A percentage given as 50, or a negative one, is told at once."""
    with pytest.raises(BadCallError, match="expected a share"):
        Bounds(**bounds)
