"""From Athena's SELECT to DuckDB's, over the objects of the partitions it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from sqlglot import exp
from sqlglot.errors import ErrorLevel, OptimizeError, UnsupportedError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from airflow_provider_ddbexport.local.glue_catalog import Catalog
from airflow_provider_ddbexport.local.hive import trino_type
from airflow_provider_ddbexport.local.sql_parse import DIALECT, QueryError, position_of
from airflow_provider_ddbexport.local.sql_rewrite import check_comparisons, to_duckdb
from airflow_provider_ddbexport.local.table_scan import PATH_COLUMN, SystemTable, TableScan, system_table

CATALOG = "awsdatacatalog"
_HIDDEN = {PATH_COLUMN: pa.string()}


@dataclass(slots=True)
class Plan:
    """What DuckDB is to run.

    Attributes:
        sql: DuckDB's.
        tables: by the names that *sql* uses.
        names: of the result's columns; None where only the result will tell how many there are.
        scanned_bytes: size of all objects that were read.
    """

    sql: str
    tables: dict[str, pa.Table] = field(default_factory=dict)
    names: list[str] | None = None
    scanned_bytes: int = 0


def plan_query(query: exp.Query, catalog: Catalog, s3: Any, *, database: str, now: datetime) -> Plan:
    """Return *query* translated, with the rows it needs read from *s3*. Raises QueryError or LakeError.

    Each mention of a table is read on its own: only the partitions that the predicates beside it (WHERE, and ON of
    inner joins) can be true for, and only the columns that are mentioned.
    """
    names = _label_outputs(query)
    scans = _resolve_tables(query, catalog, database)
    qualified = _qualify(query, scans)
    check_comparisons(qualified)
    plan = Plan("", names=_output_names(qualified, names))
    translated = to_duckdb(qualified, now)
    for name, scan in scans.items():
        if isinstance(scan, SystemTable):
            plan.tables[name] = scan.rows
            continue
        columns = {column.name for column in translated.find_all(exp.Column) if column.table == scan.alias}
        read = scan.read(catalog, s3, columns, list(_predicates(translated, name)))
        plan.tables[name] = read.rows
        plan.scanned_bytes += read.scanned_bytes
    for table in translated.find_all(exp.Table):
        table.set("db", None)
    try:
        plan.sql = translated.sql("duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise QueryError(f"NOT_SUPPORTED: {error}") from error
    return plan


def _label_outputs(query: exp.Query) -> list[str | None]:
    """Name the nameless columns of the result ``_colN`` and return the names as they are written; None for a star."""
    if not isinstance(top := _first_select(query), exp.Select):
        return []
    names: list[str | None] = []
    for number, output in enumerate(list(top.expressions)):
        if output.is_star:
            names.append(None)
        elif isinstance(output, exp.Alias | exp.Column | exp.Dot):
            names.append(output.alias_or_name or output.name)
        else:
            names.append(f"_col{number}")
            output.replace(exp.alias_(output.copy(), f"_col{number}", quoted=True))
    return names


def _first_select(query: exp.Expr) -> exp.Expr:
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    return query


def _output_names(qualified: exp.Query, written: list[str | None]) -> list[str] | None:
    if written and None not in written:
        return [name for name in written if name is not None]
    top = _first_select(qualified)
    if not isinstance(top, exp.Select) or any(output.is_star for output in top.expressions):
        return None
    generated = {name for name in written if name and name.startswith("_col")}
    return [
        f"_col{number}" if output.alias_or_name in generated else output.alias_or_name
        for number, output in enumerate(top.expressions)
    ]


def _resolve_tables(query: exp.Query, catalog: Catalog, database: str) -> dict[str, TableScan | SystemTable]:
    """Point every mention of a table at a name of its own, and return what each of them is."""
    scans: dict[str, TableScan | SystemTable] = {}
    prefixes = set()
    for number, table in enumerate(list(query.find_all(exp.Table))):
        if not isinstance(table.this, exp.Identifier):
            name = table.this.name if isinstance(table.this, exp.Func | exp.Anonymous) else str(table.this)
            raise QueryError(f"FUNCTION_NOT_FOUND: {position_of(table)}: Table function '{name}' not registered")
        name = table.name.lower()
        if not table.db and _is_common(table, name):
            continue
        if table.catalog and table.catalog.lower() != CATALOG:
            raise QueryError(f"CATALOG_NOT_FOUND: {position_of(table)}: Catalog '{table.catalog}' not found")
        home = (table.db or database or "default").lower()
        scan_name = f"scan_{number}"
        alias = (table.alias or name).lower()
        prefixes.add((home, alias))
        scans[scan_name] = _find_table(catalog, home, name, alias, table)
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name, quoted=True)))
        table.set("this", exp.to_identifier(scan_name, quoted=True))
        table.set("db", exp.to_identifier("lake", quoted=True))
        table.set("catalog", None)
    for column in query.find_all(exp.Column):
        # db.table.column, as opposed to table.struct.field
        if not column.args.get("catalog") and (column.db.lower(), column.table.lower()) in prefixes:
            column.set("db", None)
    return scans


def _is_common(table: exp.Table, name: str) -> bool:
    """Return whether *name* is that of a common table expression which *table* can see.

    Inside WITH, only those before it; its own only where the WITH is recursive. A name that is also a table's means
    the table there: ``WITH reviews AS (SELECT * FROM reviews WHERE …)``.
    """
    inside: exp.Expr = table
    while inside.parent is not None:
        around = inside.parent
        clause = around if isinstance(around, exp.With) else around.args.get("with_")
        for expression in clause.expressions if isinstance(clause, exp.With) else ():
            if expression is inside:
                if clause is not None and clause.recursive and expression.alias.lower() == name:
                    return True
                break
            if expression.alias.lower() == name and inside is not clause:
                return True
        inside = around
    return False


def _find_table(catalog: Catalog, database: str, name: str, alias: str, node: exp.Table) -> TableScan | SystemTable:
    if database == "information_schema" or name.endswith("$partitions"):
        found = system_table(catalog, database, name)
        if found is not None:
            return found
    if not catalog.has_database(database):
        raise QueryError(f"SCHEMA_NOT_FOUND: {position_of(node)}: Schema '{database}' does not exist")
    table = catalog.table(database, name)
    if table is None:
        raise QueryError(f"TABLE_NOT_FOUND: {position_of(node)}: Table '{CATALOG}.{database}.{name}' does not exist")
    if table.record.get("TableType") == "VIRTUAL_VIEW":
        raise QueryError(f"NOT_SUPPORTED: {position_of(node)}: views are not in the emulated Athena: {name}")
    return TableScan(table, alias)


def _qualify(query: exp.Query, scans: dict[str, TableScan | SystemTable]) -> exp.Query:
    columns = {
        name: {column: trino_type(kind) for column, kind in _columns(scan).items()} for name, scan in scans.items()
    }
    visible = {name: [column for column in known if column not in _HIDDEN] for name, known in columns.items()}
    schema = MappingSchema({"lake": columns}, visible={"lake": visible}, dialect=DIALECT) if scans else MappingSchema()
    try:
        qualified = qualify(query.copy(), schema=schema, dialect=DIALECT)
        return annotate_types(qualified, schema=schema, dialect=DIALECT)
    except OptimizeError as error:
        raise _unresolved(str(error), query, scans) from error


def _columns(scan: TableScan | SystemTable) -> dict[str, pa.DataType]:
    if isinstance(scan, SystemTable):
        return {column.name: column.type for column in scan.rows.schema}
    return {**scan.table.columns, **scan.table.partition_keys, **_HIDDEN}


def _unresolved(message: str, query: exp.Query, scans: dict[str, TableScan | SystemTable]) -> QueryError:
    """Return sqlglot's complaint in Athena's words."""
    first = message.splitlines()[0]
    found = re.search(r"Unknown column: (.+?)\.?$", first) or re.search(
        r"Column '\"?(.+?)\"?' could not be resolved", first
    )
    name = found[1].rpartition(".")[2].strip('"') if found else ""
    for column in query.find_all(exp.Column):
        if name and column.name.lower() == name.lower():
            at = position_of(column)
            if not column.table and sum(name.lower() in _columns(scan) for scan in scans.values()) > 1:
                return QueryError(f"AMBIGUOUS_NAME: {at}: Column '{name}' is ambiguous")
            shown = ".".join(part.name for part in column.parts)
            return QueryError(
                f"COLUMN_NOT_FOUND: {at}: Column '{shown}' cannot be resolved or requester is not authorized to "
                "access requested resources"
            )
    return QueryError(f"SYNTAX_ERROR: line 1:1: {first}")


def _predicates(query: exp.Expr, scan: str) -> Iterator[exp.Expr]:
    """Yield the conditions that every row taken from *scan* has to meet, as they are written beside it."""
    for table in query.find_all(exp.Table):
        if table.name != scan:
            continue
        select = table.find_ancestor(exp.Select)
        if select is None or (table.parent and not isinstance(table.parent, exp.From | exp.Join)):
            return
        joins: list[exp.Join] = select.args.get("joins") or []
        sides = {join.side.upper() for join in joins}
        own = table.parent if isinstance(table.parent, exp.Join) else None
        if own is not None and own.side.upper() in {"", "LEFT"} and own.args.get("on"):
            yield from _conjuncts(own.args["on"])
        # A row that an outer join makes up is null in every column; what is not read could become such a row.
        is_kept = not sides - {"", "LEFT"} and (own is None or own.side == "")
        where = select.args.get("where")
        if where is not None and is_kept:
            yield from _conjuncts(where.this)
        for join in joins:
            if is_kept and join.side == "" and join is not own and join.args.get("on"):
                yield from _conjuncts(join.args["on"])


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.this)
        yield from _conjuncts(condition.expression)
    elif isinstance(condition, exp.Paren):
        yield from _conjuncts(condition.this)
    else:
        yield condition
