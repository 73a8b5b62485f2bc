"""Athena's SQL as text: what may be submitted, and the statement it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.expressions import apply_index_offset
from sqlglot.tokenizer_core import TokenType

DIALECT = "trino"
_DDL = ("ALTER", "CREATE", "DESC", "DESCRIBE", "DROP", "MSCK", "SHOW")
_COMMENT = re.compile(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)


class QueryError(Exception):
    """A query that fails; the message is Athena's, beginning with the name of the error (``COLUMN_NOT_FOUND: …``)."""


class MalformedQueryError(Exception):
    """Text that is refused at submission."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What was submitted.

    Attributes:
        text: without leading comments and the closing semicolon.
        query: the parsed SELECT; None for a statement of the catalog (SHOW, CREATE, …).
    """

    text: str
    query: exp.Query | None

    @property
    def kind(self) -> str:
        """``DML``, ``DDL`` or ``UTILITY``, as QueryExecution.StatementType."""
        if self.query is not None:
            return "DML"
        return "UTILITY" if self.text.upper().startswith(("DESC", "SHOW")) else "DDL"


def parse_statement(text: str) -> Statement:
    """Return the one statement of *text*. Raises MalformedQueryError with Athena's words."""
    stripped = _COMMENT.sub("", text).strip().rstrip(";").strip()
    if not stripped:
        raise MalformedQueryError("Query string is empty")
    if stripped.split(None, 1)[0].upper() in _DDL:
        return Statement(stripped, None)
    try:
        parsed = [statement for statement in sqlglot.parse(stripped, read="athena") if statement is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        highlight = str(first.get("highlight") or "")
        at = f"line {first.get('line', 1)}:{max(1, int(first.get('col') or 1) - max(0, len(highlight) - 1))}"
        raise MalformedQueryError(f"{at}: mismatched input '{highlight or '<EOF>'}'") from error
    except TokenError as error:
        raise MalformedQueryError(f"line 1:1: {str(error).splitlines()[0]}") from error
    if len(parsed) != 1 or isinstance(parsed[0], exp.Block):
        raise MalformedQueryError(f"Only one sql statement is allowed. Got: {text}")
    query = parsed[0]
    if isinstance(query, exp.Values):
        query = exp.select("*").from_(exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("values_"))))
    if not isinstance(query, exp.Query):
        raise MalformedQueryError("Queries of this type are not supported")
    for bracket in query.find_all(exp.Bracket):
        # sqlglot makes those subscripts zero-based whose type it knows; it is told to count from one everywhere,
        # because it will know more types when it writes DuckDB's SQL and would undo what it did not do.
        if not bracket.args.get("offset"):
            bracket.set("expressions", apply_index_offset(bracket.this, bracket.expressions, 1, dialect=DIALECT))
            bracket.set("offset", 1)
    for cast in query.find_all(exp.Cast):
        _size_decimal(cast)
    return Statement(stripped, query)


def _size_decimal(cast: exp.Cast) -> None:
    """Give a bare DECIMAL the size it has in Trino: that of its text (``DECIMAL '1.50'``), or (38, 0)."""
    kind = cast.to
    if kind.this != exp.DType.DECIMAL or kind.expressions:
        return
    text = cast.this.this.lstrip("+-") if isinstance(cast.this, exp.Literal) and cast.this.is_string else ""
    whole, _, fraction = text.partition(".")
    size = (max(1, len(whole.lstrip("0")) + len(fraction)), len(fraction)) if text else (38, 0)
    cast.set("to", exp.DataType.build(f"decimal({size[0]}, {size[1]})", dialect=DIALECT))


def bind_parameters(text: str, parameters: list[str]) -> str:
    """Return *text* with each ``?`` replaced by the literal of the parameter in its place.

    A parameter is SQL text, as in the service: text is written in its quotes (``'abc'``). Only literals are taken,
    so that a parameter can never become a part of the statement. Raises QueryError.
    """
    places = [token for token in sqlglot.tokenize(text, read=DIALECT) if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        raise QueryError(
            f"INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected {len(places)} but found "
            f"{len(parameters)}"
        )
    for place, parameter in reversed(list(zip(places, parameters, strict=True))):
        text = text[: place.start] + _literal(parameter) + text[place.end + 1 :]
    return text


def _literal(text: str) -> str:
    try:
        parsed = sqlglot.parse_one(text, read=DIALECT)
    except (ParseError, TokenError) as error:
        raise QueryError("SYNTAX_ERROR: an execution parameter is not a literal") from error
    inner = parsed.this if isinstance(parsed, exp.Neg | exp.Cast) else parsed
    if not isinstance(inner, exp.Literal | exp.Boolean | exp.Null):
        raise QueryError(
            "SYNTAX_ERROR: an execution parameter is not a literal; text is given in single quotes, such as \"'abc'\""
        )
    return f" {parsed.sql(DIALECT)} "


def position_of(node: exp.Expr) -> str:
    """Return ``line 1:8``, where *node* stands in the query's text."""
    parts = node.parts if isinstance(node, exp.Column | exp.Table) else [node, *node.find_all(exp.Identifier)]
    for part in parts:
        if "line" in part.meta:
            length = int(part.meta["end"]) - int(part.meta["start"]) + 1
            return f"line {part.meta['line']}:{max(1, int(part.meta['col']) - length + 1)}"
    return "line 1:1"
