"""What a published snapshot is checked for, as SQL for Athena.

One query over the partition answers for the row count and the keys; each of the author's expectations is one more.
Identifiers are quoted, literals escaped. A key that does not fit its column is in ``_rescued``, so a key is read as the
pair of both: a rescued key is neither null nor equal to another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Column, Kind
from airflow_provider_ddbexport.core.snapshot.layout import SNAPSHOT_COLUMN
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord
from airflow_provider_ddbexport.core.times import snapshot_timestamp
from airflow_provider_ddbexport.errors import BadCallError

COUNTS = "counts"
"""Name of the query that counts rows and looks at keys; no expectation can have it."""

SNAPSHOT = "{snapshot}"
PREVIOUS = "{previous}"

_EXAMPLE = f"SELECT bool_and(rating BETWEEN 1 AND 5) FROM {SNAPSHOT}"  # noqa: S608 - text for people

OWN_CHECKS = ("row count", "not empty", "row count change", "keys not null", "keys unique")
"""What every snapshot is checked for, as verdicts name it."""


@dataclass(frozen=True, slots=True)
class CheckQuery:
    """One query to run; ``name`` is :data:`COUNTS` or the expectation's."""

    name: str
    sql: str


def quote_identifier(name: str) -> str:
    """Return *name* as a quoted SQL identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """Return *value* as an SQL text literal, whatever it holds."""
    return "'" + value.replace("'", "''") + "'"


def build_checks(
    record: CommitRecord,
    previous: CommitRecord | None,
    *,
    database: str,
    keys: Sequence[str],
    expectations: Mapping[str, str],
    table: str | None = None,
) -> tuple[CheckQuery, ...]:
    """Return the queries to run for the snapshot of *record*.

    *keys* are the attributes of the table's key, () to leave them unchecked. Each expectation is a query whose one
    row has one boolean; it names the snapshot as ``{snapshot}`` and the one before as ``{previous}``, wherever a table
    can stand. Those that need a previous snapshot are left out where there is none. Raises BadCallError.
    """
    source = f"{quote_identifier(database)}.{quote_identifier(table or record.table)}"
    queries = [CheckQuery(COUNTS, _counts_sql(source, record, keys))]
    for name, sql in expectations.items():
        if name in {COUNTS, *OWN_CHECKS}:
            raise BadCallError(f"expectation {name!r}: this name is taken by a check of this package; choose another")
        if SNAPSHOT not in sql:
            raise BadCallError(
                f"expectation {name!r}: expected {SNAPSHOT} where the query names the table, as in "
                f"{_EXAMPLE!r}; without it another snapshot might be checked"
            )
        if PREVIOUS in sql and previous is None:
            continue
        relations = {SNAPSHOT: _relation(source, record)}
        if previous is not None:
            relations[PREVIOUS] = _relation(source, previous)
        queries.append(CheckQuery(name, _fill(sql, relations)))
    return tuple(queries)


def _fill(sql: str, relations: Mapping[str, str]) -> str:
    """Put the relations in their places, in one go: a table's own name may look like a place."""
    text = sql.strip().rstrip(";")
    return re.sub("|".join(map(re.escape, relations)), lambda place: relations[place[0]], text)


def _relation(source: str, record: CommitRecord) -> str:
    return f"(SELECT * FROM {source} WHERE {_where(record)})"  # noqa: S608 - quoted and escaped


def _where(record: CommitRecord) -> str:
    return f"{quote_identifier(SNAPSHOT_COLUMN)} = {quote_text(snapshot_timestamp(record.as_of))}"


def _counts_sql(source: str, record: CommitRecord, keys: Sequence[str]) -> str:
    columns = [_key_column(record, key) for key in keys]
    if not keys or None in columns:
        return f"SELECT count(*), 0, 0 FROM {source} WHERE {_where(record)}"  # noqa: S608 - quoted and escaped
    selected, nulls, names = [], [], []
    for place, (key, column) in enumerate(zip(keys, columns, strict=True)):
        fitting, rescued = f"k{place}", f"r{place}"
        text = "" if column is None else quote_identifier(column.name)
        selected.append(f"{text} AS {fitting}")
        selected.append(f"element_at({quote_identifier(RESCUED_COLUMN)}, {quote_text(_rescue_path(key))}) AS {rescued}")
        nulls.append(f"({fitting} IS NULL AND {rescued} IS NULL)")
        names += [fitting, rescued]
    grouped = ", ".join(names)
    keyed = f"SELECT {', '.join(selected)} FROM {source} WHERE {_where(record)}"  # noqa: S608 - quoted and escaped
    distinct = f"SELECT {grouped}, count(*) AS n FROM ({keyed}) AS snapshot_keys GROUP BY {grouped}"  # noqa: S608
    null = f"CASE WHEN {' OR '.join(nulls)} THEN n ELSE 0 END"
    sums = ", ".join(f"coalesce(sum({what}), 0)" for what in ("n", null, "n - 1"))
    return f"SELECT {sums} FROM ({distinct}) AS distinct_keys"  # noqa: S608


def _key_column(record: CommitRecord, key: str) -> Column | None:
    """Return the key's column; None in an empty table, which may have no columns yet. Raises BadCallError."""
    for column in record.schema.columns:
        if column.attribute == key and column.kind in _KEY_KINDS:
            return column
    if record.rows == 0:
        return None
    able = sorted(column.attribute for column in record.schema.columns if column.kind in _KEY_KINDS)
    raise BadCallError(
        f"keys: {key!r} is no attribute of {record.table} that could be a key; expected some of {', '.join(able)}",
        key=key,
    )


_KEY_KINDS = frozenset({Kind.STRING, Kind.NUMBER, Kind.BINARY})


def _rescue_path(attribute: str) -> str:
    """Rescued values are found by path, with JSON Pointer's escapes."""
    return attribute.replace("~", "~0").replace("/", "~1")
