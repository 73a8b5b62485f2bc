"""From Athena's functions to DuckDB's, where sqlglot needs to know the types or does not know the function."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlglot import exp

from airflow_provider_ddbexport.local.sql_parse import DIALECT, QueryError, position_of

MACROS = (
    # What Trino refuses, DuckDB answers with null.
    """CREATE MACRO athena_subscript(l, i) AS CASE WHEN l IS NULL OR i IS NULL THEN NULL
         WHEN i = 0 THEN error('INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1')
         WHEN i < 0 THEN error('INVALID_FUNCTION_ARGUMENT: Array subscript is negative: ' || i)
         WHEN i > len(l) THEN error('INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array '
                                    || 'length: ' || i || ' > ' || len(l))
         ELSE l[i] END""",
    """CREATE MACRO athena_key(m, k) AS CASE WHEN m IS NULL OR k IS NULL THEN NULL
         WHEN NOT map_contains(m, k) THEN error('INVALID_FUNCTION_ARGUMENT: Key not present in map: ' || k)
         ELSE m[k] END""",
)

_NUMBERS = {
    exp.DType.TINYINT,
    exp.DType.SMALLINT,
    exp.DType.INT,
    exp.DType.BIGINT,
    exp.DType.FLOAT,
    exp.DType.DOUBLE,
    exp.DType.DECIMAL,
}
_FLOATS = {exp.DType.FLOAT, exp.DType.DOUBLE}
_FAMILIES = {
    **dict.fromkeys(_NUMBERS, "number"),
    **dict.fromkeys((exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.TEXT), "text"),
    **dict.fromkeys((exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ), "time"),
    exp.DType.BOOLEAN: "boolean",
    exp.DType.VARBINARY: "binary",
}
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_JODA = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g", "Z": "%z"}
_JODA_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", re.DOTALL)


def check_comparisons(query: exp.Expr) -> None:
    """Raise QueryError where two types are compared that Trino does not compare, such as text and a number."""
    for comparison in query.find_all(*_COMPARISONS):
        _check_pair(comparison, comparison.this, comparison.expression)
    for membership in query.find_all(exp.In):
        for value in membership.expressions:
            _check_pair(membership, membership.this, value)
    for between in query.find_all(exp.Between):
        _check_pair(between, between.this, between.args["low"])
        _check_pair(between, between.this, between.args["high"])


def _check_pair(node: exp.Expr, left: exp.Expr, right: exp.Expr) -> None:
    first, second = (_FAMILIES.get(side.type.this) if side.type else None for side in (left, right))
    if first and second and first != second:
        names = [side.type.sql(DIALECT).lower() if side.type else "" for side in (left, right)]
        symbol = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}.get(node.key, "=")
        raise QueryError(f"TYPE_MISMATCH: {position_of(node)}: Cannot apply operator: {names[0]} {symbol} {names[1]}")


def to_duckdb(query: exp.Expr, now: datetime) -> exp.Expr:
    """Return the annotated *query* with everything replaced that sqlglot's translation would leave wrong.

    :param now: what CURRENT_TIMESTAMP says.
    """
    for join in list(query.find_all(exp.Join, exp.From)):
        if isinstance(join.this, exp.Unnest):
            join.set("this", _unnest(join.this))
    # Innermost first: what is inside of a replaced expression may have to be replaced as well.
    for node in reversed(list(query.dfs())):
        changed = _rewrite(node, now)
        if changed is not node:
            changed.type = node.type
            node.replace(changed)
    return query


def _rewrite(node: exp.Expr, now: datetime) -> exp.Expr:
    for kinds, change in _CHANGES:
        if isinstance(node, kinds):
            return change(node)
    utc = now.astimezone(UTC)
    if isinstance(node, exp.CurrentTimestamp):
        return exp.cast(exp.Literal.string(utc.isoformat(sep=" ", timespec="milliseconds")), "timestamptz")
    if isinstance(node, exp.Localtimestamp):
        return exp.cast(exp.Literal.string(f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d}"), "timestamp")
    if isinstance(node, exp.CurrentDate):
        return exp.cast(exp.Literal.string(f"{utc:%Y-%m-%d}"), "date")
    if isinstance(node, exp.Anonymous):
        change_call = _CALLS.get(node.name.lower())
        return change_call(node) if change_call else node
    return node


def _is(node: exp.Expr, kind: exp.DType) -> bool:
    return bool(node.type and node.type.this == kind)


def _bracket(node: exp.Bracket) -> exp.Expr:
    if node.args.get("safe") or len(node.expressions) != 1:
        return node
    index = node.expressions[0]
    is_map = _is(node.this, exp.DType.MAP) or (isinstance(index, exp.Literal) and index.is_string)
    if is_map:
        return exp.Anonymous(this="athena_key", expressions=[node.this, index])
    if _is(node.this, exp.DType.ARRAY):
        return exp.Anonymous(this="athena_subscript", expressions=[node.this, index])
    return node


def _array_size(node: exp.ArraySize) -> exp.Expr:
    name = "cardinality" if _is(node.this, exp.DType.MAP) else "len"
    return exp.cast(exp.Anonymous(this=name, expressions=[node.this]), "bigint")


def _reduce(node: exp.Reduce) -> exp.Expr:
    finish = node.args.get("finish")
    if isinstance(finish, exp.Lambda) and finish.this.name == finish.expressions[0].name:
        node.set("finish", None)
        return node
    raise QueryError("NOT_SUPPORTED: reduce() with a finishing function is not in the emulated Athena")


def _slice(node: exp.ArraySlice) -> exp.Expr:
    start, length = node.args["start"], node.args["end"]
    end = exp.Sub(this=exp.Add(this=exp.paren(start.copy()), expression=exp.paren(length)), expression=_number(1))
    return exp.Anonymous(this="list_slice", expressions=[node.this, start, end])


def _average(node: exp.Avg) -> exp.Expr:
    # Trino's average of decimals is one of the same type, DuckDB's is a double.
    return exp.cast(node.copy(), node.this.type) if _is(node.this, exp.DType.DECIMAL) else node


def _divide(node: exp.Div) -> exp.Expr:
    """Give a quotient of decimals the scale it has in Trino, the larger of both; DuckDB's is a double."""
    sides = [side.type for side in (node.this, node.expression) if side.type]
    decimals = [side for side in sides if side.this == exp.DType.DECIMAL]
    if not decimals or any(side.this not in _NUMBERS or side.this in _FLOATS for side in sides) or len(sides) < 2:
        return node
    scales = [int(side.expressions[1].name) for side in decimals if len(side.expressions) > 1]
    return exp.cast(node.copy(), f"decimal(38, {max(scales, default=0)})")


def _shifted_date(node: exp.Expr) -> exp.Expr:
    """Keep a date a date when days or more are added; in DuckDB it becomes a timestamp."""
    return exp.cast(node.copy(), "date") if _is(node.this, exp.DType.DATE) and not _is_short(node) else node


def _is_short(node: exp.Expr) -> bool:
    interval = node.expression
    if not isinstance(node, exp.DateAdd) and not isinstance(interval, exp.Interval):
        return True
    unit = node.args.get("unit") or interval.args.get("unit")
    return unit is None or unit.name.upper().rstrip("S") not in {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}


def _length(node: exp.Length) -> exp.Expr:
    is_binary = _is(node.this, exp.DType.VARBINARY) or isinstance(node.this, exp.Encode | exp.FromBase64 | exp.Unhex)
    return exp.Anonymous(this="octet_length", expressions=[node.this]) if is_binary else node


def _number(value: int) -> exp.Expr:
    return exp.Literal.number(value)


def _matches(template: str) -> Callable[[exp.Anonymous], exp.Expr]:
    def change(node: exp.Anonymous) -> exp.Expr:
        items, test = node.expressions
        kept = exp.Anonymous(this="list_filter", expressions=[items.copy(), test])
        found = exp.Anonymous(this="len", expressions=[kept])
        size = exp.Anonymous(this="len", expressions=[items.copy()])
        return {"any": exp.GT, "none": exp.EQ, "all": exp.EQ}[template](
            this=found, expression=size if template == "all" else _number(0)
        )

    return change


def _joda(name: str) -> Callable[[Any], exp.Expr]:
    def change(node: Any) -> exp.Expr:
        value, pattern = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.args["format"])
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise QueryError(f"NOT_SUPPORTED: {name} with a pattern that is no literal is not in the emulated Athena")
        return exp.Anonymous(this=name, expressions=[value, exp.Literal.string(_strftime_pattern(pattern.this))])

    return change


def _strftime_pattern(joda: str) -> str:
    text = []
    for found in _JODA_TOKEN.finditer(joda):
        if found[1] is not None:
            text.append(found[1].replace("''", "'").replace("%", "%%"))
        elif found[0] in _JODA:
            text.append(_JODA[found[0]])
        elif found[2]:
            raise QueryError(f"NOT_SUPPORTED: the pattern letter {found[2]} is not in the emulated Athena")
        else:
            text.append(found[0].replace("%", "%%"))
    return "".join(text)


def _renamed(name: str) -> Callable[[exp.Anonymous], exp.Expr]:
    return lambda node: exp.Anonymous(this=name, expressions=node.expressions)


_CHANGES: tuple[tuple[Any, Callable[[Any], exp.Expr]], ...] = (
    (exp.Bracket, _bracket),
    (exp.ArraySize, _array_size),
    (exp.Reduce, _reduce),
    (exp.ArraySlice, _slice),
    (exp.ParseDatetime, _joda("strptime")),
    (exp.Avg, _average),
    (exp.Div, _divide),
    ((exp.Add, exp.Sub, exp.DateAdd), _shifted_date),
    (exp.Length, _length),
)
_CALLS: dict[str, Callable[[exp.Anonymous], exp.Expr]] = {
    "any_match": _matches("any"),
    "none_match": _matches("none"),
    "all_match": _matches("all"),
    "format_datetime": _joda("strftime"),
    "codepoint": _renamed("unicode"),
    "zip": _renamed("list_zip"),
}


def _unnest(node: exp.Unnest) -> exp.Expr:
    """Return *node* as a lateral subquery where DuckDB's UNNEST differs: maps, rows, several arrays, ordinality."""
    alias = node.args.get("alias")
    ordinality = node.args.get("offset")
    is_plain = len(node.expressions) == 1 and not ordinality and _is(node.expressions[0], exp.DType.ARRAY)
    if is_plain and not _row_fields(node.expressions[0]):
        return node
    lists: list[exp.Expr] = []
    for source in node.expressions:
        fields = _row_fields(source)
        if _is(source, exp.DType.MAP):
            lists += [exp.Anonymous(this=name, expressions=[source.copy()]) for name in ("map_keys", "map_values")]
        elif fields:
            lists += [_field_of_each(source, position) for position in range(1, fields + 1)]
        else:
            lists.append(source)
    if ordinality:
        sizes = [exp.Anonymous(this="len", expressions=[item.copy()]) for item in lists]
        longest: exp.Expr = exp.Anonymous(this="greatest", expressions=sizes) if len(sizes) > 1 else sizes[0]
        lists.append(exp.Anonymous(this="generate_series", expressions=[_number(1), longest]))
    columns = [column.name for column in alias.columns] if alias else []
    if isinstance(ordinality, exp.Identifier) and len(columns) == len(lists) - 1:
        columns.append(ordinality.name)
    if columns and len(columns) != len(lists):
        raise QueryError(
            f"MISMATCHED_COLUMN_ALIASES: {position_of(node)}: Column alias list has {len(columns)} entries but "
            f"'{alias.name if alias else ''}' has {len(lists)} columns available"
        )
    unnested = [exp.Anonymous(this="unnest", expressions=[item]) for item in lists]
    named = (
        [exp.alias_(item, name, quoted=True) for item, name in zip(unnested, columns, strict=True)]
        if columns
        else unnested
    )
    table_alias = exp.TableAlias(this=exp.to_identifier(alias.name or "_u", quoted=True)) if alias else None
    return exp.Lateral(this=exp.Subquery(this=exp.Select(expressions=named)), alias=table_alias)


def _row_fields(source: exp.Expr) -> int:
    """Return how many fields the rows have that the array *source* holds; 0 where it holds no rows."""
    if not _is(source, exp.DType.ARRAY) or not source.type or not source.type.expressions:
        return 0
    element = source.type.expressions[0]
    if not isinstance(element, exp.DataType) or element.this != exp.DType.STRUCT:
        return 0
    return len(element.expressions)


def _field_of_each(source: exp.Expr, position: int) -> exp.Expr:
    item = exp.to_identifier("item_")
    taken = exp.Anonymous(this="struct_extract_at", expressions=[exp.column(item), _number(position)])
    return exp.Anonymous(
        this="list_transform", expressions=[source.copy(), exp.Lambda(this=taken, expressions=[item.copy()])]
    )
