"""DuckDB as the emulated Athena runs it: in memory, sealed off from the machine, failing with Trino's words."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from airflow_provider_ddbexport.local.sql_parse import QueryError
from airflow_provider_ddbexport.local.sql_rewrite import MACROS

_SETTINGS = (
    "SET GLOBAL TimeZone = 'UTC'",
    # 7 / 2 is 3 in Athena.
    "SET GLOBAL integer_division = true",
    # SQL from a test must not reach this process's variables, nor files, nor change either.
    "SET GLOBAL python_enable_replacements = false",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)
_TYPES = {"INT64": "bigint", "INT32": "integer", "INT16": "smallint", "INT8": "tinyint", "BOOL": "boolean"}
_opening = threading.Lock()


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    """Return the one empty in-memory database of this process; opening one takes longer than most queries."""
    connection = duckdb.connect(":memory:", config={"threads": 1})
    for statement in (*MACROS, *_SETTINGS):
        connection.execute(statement)
    return connection


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that sees the tables registered on it only, and no files nor variables of this process."""
    with _opening:
        connection = _database().cursor()
    try:
        yield connection
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Result:
    """A query's rows.

    Attributes:
        rows: columns in order, under any names (two may be alike in Athena).
        json: positions of columns that are of type json.
    """

    rows: pa.Table
    json: frozenset[int]


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> Result:
    """Return the rows of *sql*. Raises QueryError with Athena's name for the mistake; duckdb.InterruptException."""
    try:
        relation = connection.sql(sql)
        types = [str(kind) for kind in relation.types]
        table = relation.to_arrow_table()
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise query_error(error) from error
    try:
        columns = [_plain(column, kind) for column, kind in zip(table.columns, types, strict=True)]
    except pa.ArrowInvalid as error:
        raise QueryError("NUMERIC_VALUE_OUT_OF_RANGE: bigint overflow") from error
    names = [f"_{number}" for number in range(len(columns))]
    return Result(
        pa.Table.from_arrays(columns, names=names),
        frozenset(number for number, kind in enumerate(types) if kind == "JSON"),
    )


def _plain(column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    if kind == "HUGEINT":
        return column.cast(pa.int64())
    plain = _plain_type(column.type)
    return column if plain == column.type else column.cast(plain)


def _plain_type(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911 one line per type
    """Return *kind* without what Athena does not have: unsigned integers (DuckDB's counts), large and view text."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(item.name, _plain_type(item.type)) for item in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def query_error(error: duckdb.Error) -> QueryError:  # noqa: PLR0911 one line per mistake
    """Return DuckDB's *error* in Athena's words."""
    text = str(error)
    first = text.splitlines()[0].partition("Error: ")[2] or text.splitlines()[0]
    if own := re.search(r"(INVALID_FUNCTION_ARGUMENT: .*)", first):
        return QueryError(own[1])
    if "ivision by zero" in first:
        return QueryError("DIVISION_BY_ZERO: / by zero")
    if cast := re.search(r"Could not convert string ('.*?') to (\w+)", first):
        return QueryError(f"INVALID_CAST_ARGUMENT: Cannot cast {cast[1]} to {_TYPES.get(cast[2], cast[2].lower())}")
    if isinstance(error, duckdb.ConversionException):
        return QueryError(f"INVALID_CAST_ARGUMENT: {first}")
    if isinstance(error, duckdb.OutOfRangeException):
        return QueryError(f"NUMERIC_VALUE_OUT_OF_RANGE: {first}")
    if grouped := re.search(r'column "(.*?)" must appear in the GROUP BY', first, re.IGNORECASE):
        return QueryError(
            f"EXPRESSION_NOT_AGGREGATE: line 1:8: '{grouped[1]}' must be an aggregate expression or appear in GROUP BY "
            "clause"
        )
    if function := re.search(r"Function with name \"?(\w+)\"? does not exist", first):
        return QueryError(
            f"FUNCTION_NOT_FOUND: line 1:8: Function '{function[1].lower()}' not registered in the emulated Athena"
        )
    if "No function matches" in first:
        return QueryError(f"FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters: {first}")
    if field := re.search(r'Could not find key "(.*?)" in struct', first):
        return QueryError(f"COLUMN_NOT_FOUND: line 1:8: Column '{field[1]}' cannot be resolved")
    if isinstance(error, duckdb.BinderException):
        return QueryError(f"SYNTAX_ERROR: line 1:8: {first}")
    return QueryError(f"GENERIC_INTERNAL_ERROR: {first}")
