"""The sidecar schema: how each attribute became a column, so that every value can be given back.

One :class:`Column` tree per top-level attribute. Only shapes live here: what a tree looks like and how it is written as
JSON; which tree a table gets is decided in :mod:`.resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pyarrow as pa

RESCUED_COLUMN = "_rescued"
"""map<string, string>: path of the value in the item -> the value as DynamoDB JSON."""


class Kind(StrEnum):
    """What a column (or a level inside of one) holds, by the DynamoDB type it gives back."""

    STRING = "S"
    NUMBER = "N"
    BINARY = "B"
    BOOLEAN = "BOOL"
    LIST = "L"
    STRING_SET = "SS"
    NUMBER_SET = "NS"
    BINARY_SET = "BS"
    STRUCT = "M"
    """A map with a known set of keys."""
    MAP = "M*"
    """A map with many keys and one type of value."""
    FLAT = "M_"
    """A map whose leaves are columns of their own (``nested="flatten"``); it has no column itself.

    A schema has one FLAT column for each leaf, so that new leaves of an old map follow all old columns;
    :func:`merge_flat` makes one of them for each attribute."""
    JSON = "JSON"
    """A map or list as JSON text (``nested="json"``)."""


@dataclass(frozen=True, slots=True)
class Column:
    """One attribute, or one level inside of one.

    Attributes:
        attribute: its name in DynamoDB; "" for the elements of a list or set and the values of a MAP.
        name: its name in Parquet and in the catalog; "" for elements and values. A FLAT's is the beginning of its
            leaves' names, which are whole names.
        kind: see :class:`Kind`.
        arrow: the Arrow type of a NUMBER (int64, decimal128, float64, string); None for every other kind, whose type
            follows from the tree.
        children: fields of a STRUCT or FLAT; the one element of a LIST, set or MAP; empty otherwise.
    """

    attribute: str
    name: str
    kind: Kind
    arrow: pa.DataType | None = None
    children: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """All columns of a snapshot.

    Attributes:
        columns: one for each of the parts' columns, in their order, without :data:`RESCUED_COLUMN`, which comes last;
            columns of ``partition_by`` are among them although they are in the path and not in the parts.
        partition_by: names of the columns that make the folders below the snapshot's, outermost first.
    """

    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()


def split_flat(columns: Iterable[Column]) -> Iterator[Column]:
    """Yield *columns* with each FLAT as several that have one leaf each."""
    for column in columns:
        if column.kind is Kind.FLAT:
            yield from (replace(column, children=(child,)) for child in split_flat(column.children))
        else:
            yield column


def merge_flat(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return *columns* with one FLAT for each attribute that has any, its children merged likewise."""
    merged: dict[str, Column] = {}
    for column in columns:
        if column.kind is Kind.FLAT:
            earlier = merged[column.attribute].children if column.attribute in merged else ()
            merged[column.attribute] = replace(column, children=merge_flat(earlier + column.children))
        else:
            merged[column.attribute] = column
    return tuple(merged.values())
