"""SQL on live tables: what a query names is scanned once, and DuckDB answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from airflow_provider_ddbexport.core.scan.reader import scan_table
from airflow_provider_ddbexport.core.scan.table import describe_table
from airflow_provider_ddbexport.core.service import service_errors
from airflow_provider_ddbexport.core.workplace import workplace
from airflow_provider_ddbexport.errors import (
    AccessError,
    BadCallError,
    DdbExportError,
    ServiceError,
    TableNotFoundError,
)

_PIVOT = "MULTI"
"""What DuckDB calls a query that first asks which columns it will have."""

_MISSING = re.compile(r"Table with name (.+?) does not exist!")


@contextmanager
def query_tables(dynamodb: Any, sql: str, **options: Any) -> Iterator[Any]:
    """Give DuckDB's result of *sql*, whose tables are DynamoDB tables by name, in any case.

    Each table is scanned once, as :func:`.scan_table` does with *options*, into a database in a temporary folder:
    memory does not grow with it, and a query may use it more than once. Raises BadCallError where the SQL is wrong or
    DuckDB is not installed, and as scan_table does.
    """
    try:
        import duckdb
    except ImportError:
        raise BadCallError(
            "SQL needs DuckDB, which is not installed: pip install 'airflow-provider-ddbexport[local]'"
        ) from None

    with workplace() as folder:
        connection = duckdb.connect(str(folder / "tables.duckdb"))
        try:
            # Otherwise a table called as one of our variables would be that variable.
            connection.execute("set python_enable_replacements = false")
            _require_query(sql)
            while (name := _missing_table(connection, sql)) is not None:
                _load(connection, name, scan_table(dynamodb, _resolved(dynamodb, name), **options))
            yield connection.execute(sql)
        except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
            raise BadCallError(f"the SQL is wrong: {str(error).splitlines()[0]}") from None
        except duckdb.Error as error:
            # Conversions and the like quote the value, which is an item's.
            raise BadCallError(f"DuckDB could not answer: {type(error).__name__}; look at types and casts") from None
        finally:
            connection.close()


def _require_query(sql: str) -> None:
    """Raise BadCallError, or DuckDB's error, unless *sql* is one query: all else would be done to copies of tables."""
    import duckdb

    kinds = [statement.type.name for statement in duckdb.extract_statements(sql)]
    if kinds not in (["SELECT"], [_PIVOT]):
        found = ", ".join(kinds).lower() or "nothing"
        raise BadCallError(f"the SQL is wrong: expected one query, found {found}; tables are only read")


def _missing_table(connection: Any, sql: str) -> str | None:
    """Return a table that the query names and the database does not have; None when it has all.

    DuckDB is asked because it alone knows which names are tables and which are the query's own.
    """
    import duckdb

    try:
        connection.execute(f"explain {sql}")
    except duckdb.CatalogException as error:
        if match := _MISSING.search(str(error)):
            return match[1]
        raise
    return None


def _load(connection: Any, name: str, reader: pa.RecordBatchReader) -> None:
    import duckdb

    failures: list[BaseException] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except DdbExportError as error:
            failures.append(error)
            raise

    connection.register("_ddbexport_scan", pa.RecordBatchReader.from_batches(reader.schema, batches()))
    quoted = name.replace('"', '""')
    try:
        # The name is DuckDB's own reading of the query, quoted.
        connection.execute(f'create table "{quoted}" as select * from _ddbexport_scan')  # noqa: S608
    except duckdb.Error:
        # DuckDB makes a text of what ended the scan.
        for failure in failures:
            raise failure from None
        raise
    connection.unregister("_ddbexport_scan")


def _resolved(dynamodb: Any, name: str) -> str:
    """Return the DynamoDB table that *name* means: exactly that one, or the only one that differs in case."""
    try:
        describe_table(dynamodb, name)
    except ServiceError as missing:
        # The second: it is no table's name at all.
        if not isinstance(missing, TableNotFoundError) and missing.context.get("code") != "ValidationException":
            raise
        return _alike(dynamodb, name, missing)
    return name


def _alike(dynamodb: Any, name: str, missing: ServiceError) -> str:
    try:
        known = _tables(dynamodb)
    except AccessError:
        raise BadCallError(
            f'the SQL names table "{name}": there is none of exactly this name, and looking for one that differs in '
            "case takes dynamodb:ListTables"
        ) from missing
    alike = [table for table in known if table.lower() == name.lower()]
    if len(alike) != 1:
        choice = f"one of {', '.join(alike)}" if alike else f"there is none; there are: {', '.join(known) or 'none'}"
        raise BadCallError(f'the SQL names table "{name}": {choice}')
    return alike[0]


def _tables(dynamodb: Any) -> list[str]:
    known: list[str] = []
    request: dict[str, Any] = {}
    with service_errors("listing tables"):
        while True:
            page = dynamodb.list_tables(**request)
            known += page["TableNames"]
            if "LastEvaluatedTableName" not in page:
                return known
            request = {"ExclusiveStartTableName": page["LastEvaluatedTableName"]}
