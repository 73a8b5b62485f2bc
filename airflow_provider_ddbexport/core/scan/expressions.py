"""Filters and projections in which every attribute and every value is a placeholder, so that any name works.

DynamoDB refuses 573 reserved words, dots, dashes and literals in expressions. Here they are written plainly::

    Rating >= 4 and begins_with(Author, 'A') and not attribute_exists("In Print")   (a filter)
    Name, Details.Year, Tags[0]                                                     (a projection)

Names with other characters than letters, digits, ``_`` and ``-`` stand in double quotes, text in single ones; a quote
inside is doubled. In filters ``and``, ``or``, ``not``, ``between``, ``in``, ``true``, ``false``, ``null`` and, before
a ``(``, DynamoDB's functions are themselves; an attribute called so stands in double quotes. In projections there are
names only. ``#name`` and ``:value`` placeholders are left as they are.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_ddbexport.errors import BadCallError

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<placeholder>[:#][A-Za-z0-9_]+)
    | (?P<name>[^\W\d][\w-]*)
    | (?P<operator><=|>=|<>|!=|==|[=<>(),.\[\]])
    )""",
    re.VERBOSE,
)
_WORDS = {"and", "or", "not", "between", "in"}
_LITERALS: dict[str, dict[str, Any]] = {"true": {"BOOL": True}, "false": {"BOOL": False}, "null": {"NULL": True}}
_FUNCTIONS = {"attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains", "size"}
_SPELLED = {"!=": "<>", "==": "="}


@dataclass
class Aliases:
    """Placeholders given out so far.

    Attributes:
        names: ``#n0`` -> attribute.
        values: ``:v0`` -> DynamoDB JSON.
    """

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    def name(self, attribute: str) -> str:
        """Return the placeholder of *attribute*, the same each time."""
        for alias, known in self.names.items():
            if known == attribute:
                return alias
        alias = f"#n{len(self.names)}"
        self.names[alias] = attribute
        return alias

    def value(self, value: dict[str, Any]) -> str:
        """Return a placeholder of *value*."""
        alias = f":v{len(self.values)}"
        self.values[alias] = value
        return alias

    def filter(self, text: str) -> str:
        """Return the filter *text* as a FilterExpression. Raises BadCallError where it cannot be read."""
        return _translated(text, self, what="filter")

    def projection(self, paths: str | Iterable[str]) -> str:
        """Return *paths*, separated by commas or one by one, as a ProjectionExpression."""
        return ", ".join(
            _translated(path, self, what="projection") for path in ([paths] if isinstance(paths, str) else paths)
        )


def _translated(text: str, aliases: Aliases, *, what: str) -> str:
    pieces: list[str] = []
    for (kind, token), (_, follower) in itertools.pairwise([*_tokens(text, what), ("end", "")]):
        is_index = bool(pieces) and pieces[-1].endswith("[")
        if kind == "operator":
            piece = _SPELLED.get(token, token)
        elif kind == "placeholder":
            piece = token
        elif kind == "number":
            piece = token if is_index else aliases.value({"N": token.lstrip("+")})
        elif kind == "text":
            piece = aliases.value({"S": token[1:-1].replace("''", "'")})
        elif kind == "quoted":
            piece = aliases.name(token[1:-1].replace('""', '"'))
        else:
            is_name = what == "projection" or (bool(pieces) and pieces[-1].endswith("."))
            piece = aliases.name(token) if is_name else _word(token, aliases, follower)
        if pieces and (piece in (".", "[", "]") or pieces[-1].endswith((".", "["))):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    if not pieces:
        raise BadCallError(f"{what}: expected an expression, found nothing")
    return " ".join(pieces)


def _word(token: str, aliases: Aliases, follower: str) -> str:
    low = token.lower()
    if low in _WORDS:
        return low.upper()
    if low in _LITERALS:
        return aliases.value(_LITERALS[low])
    if token in _FUNCTIONS and follower == "(":
        return token
    return aliases.name(token)


def _tokens(text: str, what: str) -> Iterable[tuple[str, str]]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            bad = end - len(text[position:end].lstrip()) + 1
            raise BadCallError(
                f"{what}: character {bad} begins nothing that is known; text stands in single quotes, and names with "
                "other characters than letters, digits, _ and - in double ones"
            )
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()
