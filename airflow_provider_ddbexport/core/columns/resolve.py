"""Deciding the columns: a function of the items observed, the options, and the columns the table has already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from airflow_provider_ddbexport.core.columns.arrow_types import leaves
from airflow_provider_ddbexport.core.columns.names import RESERVED, column_name, join, path_of
from airflow_provider_ddbexport.core.columns.observe import (
    MAX_ATTRIBUTES,
    MAX_MEMBERS,
    Observation,
    Shape,
    shortest_first,
)
from airflow_provider_ddbexport.core.columns.options import ColumnOptions
from airflow_provider_ddbexport.core.columns.partition import PARTITION_KINDS
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat, split_flat
from airflow_provider_ddbexport.errors import BadCallError, ColumnNameConflictError, SchemaConflictError

_ELEMENT_KINDS = {Kind.STRING_SET: Kind.STRING, Kind.NUMBER_SET: Kind.NUMBER, Kind.BINARY_SET: Kind.BINARY}

_RANK = (
    Kind.STRING,
    Kind.NUMBER,
    Kind.BINARY,
    Kind.BOOLEAN,
    Kind.STRING_SET,
    Kind.NUMBER_SET,
    Kind.BINARY_SET,
    Kind.LIST,
    Kind.STRUCT,
    Kind.JSON,
)
"""Of two types that are equally common, the earlier one gets the column."""

_NESTED_CONFLICTS = {
    "struct": (Kind.FLAT, Kind.JSON),
    "flatten": (Kind.STRUCT, Kind.JSON),
    "json": (Kind.STRUCT, Kind.FLAT, Kind.MAP, Kind.LIST),
}


def resolve(
    observation: Observation, options: ColumnOptions, previous: Schema | None = None, *, is_sample: bool = False
) -> Schema:
    """Return the columns for the items of *observation*; equal observations give equal schemas.

    *previous* are the table's columns so far. They keep their places, names and types, and structs among them get new
    fields behind the old ones; new columns follow, by name. An attribute gets the type most of its values have. One
    whose values say nothing about a type (NULL, empty maps, lists without a typed element) gets no column. Of a sample
    nothing is expected: a ``partition_by`` attribute that it says nothing about is taken for text. So it is of a table
    without items, until the first items say something else.

    Raises ColumnNameConflictError when two attributes would have one column, SchemaConflictError when the options ask
    for something else than *previous* has, BadCallError when no item can be partitioned as asked.
    """
    return _Resolver(options, is_sample=is_sample).schema(observation, previous)


class _Resolver:
    def __init__(self, options: ColumnOptions, *, is_sample: bool) -> None:
        self._options = options
        self._is_sample = is_sample

    def schema(self, observation: Observation, previous: Schema | None) -> Schema:
        shapes = observation.attributes
        old = previous.columns if previous is not None else ()
        if previous is not None:
            self._refuse_other_partitions(previous)
        known = {column.attribute: column for column in merge_flat(old)}
        columns = [self._grown(column, shapes.get(column.attribute), path_of(column.attribute)) for column in old]
        if previous is not None and len(old) == len(previous.partition_by):
            # Snapshots without items have no other columns; items have those of their key.
            columns = [self._decided(column, shapes.get(column.attribute)) for column in columns]

        new = [
            self._partition_column(attribute, shapes.get(attribute), is_empty=not observation.items)
            for attribute in self._options.partition_by
            if attribute not in known
        ]
        taken = known.keys() | {column.attribute for column in new}
        for attribute in _additions(shapes, taken, MAX_ATTRIBUTES):
            path = path_of(attribute)
            new += _present(self._new(attribute, self._name(attribute, path), shapes[attribute], path, is_inner=False))
        for column in known.values():
            if column.kind is Kind.FLAT:
                shape = shapes.get(column.attribute)
                new += _present(self._new_leaves(column, shape, path_of(column.attribute)))
        columns += sorted(split_flat(new), key=_leaf_name)
        _refuse_equal_names(columns)

        names = {column.attribute: column.name for column in columns}
        return Schema(tuple(columns), tuple(names[attribute] for attribute in self._options.partition_by))

    # New columns. A place is *inner* inside of a list or a map that has a column: nested= says nothing about it.

    def _new(self, attribute: str, name: str, shape: Shape, path: str, *, is_inner: bool) -> Column | None:
        votes = self._votes(shape, is_inner=is_inner)
        # Votes are in the order of _RANK, and sorting leaves equals in theirs.
        for kind in sorted(votes, key=lambda kind: -votes[kind]):
            column = self._of_kind(kind, attribute, name, shape, path, is_inner=is_inner)
            if column is not None:
                return column
        return None

    def _votes(self, shape: Shape, *, is_inner: bool) -> dict[Kind, int]:
        votes = {kind: count for kind in _RANK if (count := shape.counts.get(kind.value))}
        if self._options.nested == "json" and not is_inner:
            nested = votes.pop(Kind.LIST, 0) + votes.pop(Kind.STRUCT, 0)
            says_something = shape.counts.get("M") or (shape.elements is not None and shape.elements.counts)
            if says_something:
                votes[Kind.JSON] = nested
        return votes

    def _of_kind(
        self, kind: Kind, attribute: str, name: str, shape: Shape, path: str, *, is_inner: bool
    ) -> Column | None:
        children: list[Column] = []
        match kind:
            case Kind.NUMBER if shape.numbers is not None:
                arrow = self._options.number_type(path) or shape.numbers.arrow()
                return Column(attribute, name, kind, arrow)
            case Kind.NUMBER_SET if shape.set_numbers is not None:
                arrow = self._options.number_type(path) or shape.set_numbers.arrow()
                children = [Column("", "", Kind.NUMBER, arrow)]
            case Kind.STRING_SET | Kind.BINARY_SET:
                children = [Column("", "", _ELEMENT_KINDS[kind])]
            case Kind.LIST:
                children = self._inner(shape.elements, path)
            case Kind.STRUCT if shape.map_values is not None:
                kind = Kind.MAP
                children = self._inner(shape.map_values, path)
            case Kind.STRUCT:
                kind = Kind.FLAT if self._options.nested == "flatten" and not is_inner else kind
                members = shape.members or {}
                children = self._new_members(kind, name, members, members, path)
            case _:
                return Column(attribute, name, kind)
        return Column(attribute, name, kind, None, tuple(children)) if children else None

    def _inner(self, shape: Shape | None, path: str) -> list[Column]:
        return list(_present(self._new("", "", shape, path, is_inner=True))) if shape is not None else []

    def _new_members(
        self, kind: Kind, prefix: str, members: Mapping[str, Shape], keys: Iterable[str], path: str
    ) -> list[Column]:
        is_flat = kind is Kind.FLAT
        columns: list[Column] = []
        for key in keys:
            here = join(path, key)
            name = self._name(key, here, prefix if is_flat else "")
            columns += _present(self._new(key, name, members[key], here, is_inner=not is_flat))
        return sorted(columns, key=_by_name)

    def _name(self, attribute: str, path: str, prefix: str = "") -> str:
        return self._options.column_names.get(path) or column_name(attribute, prefix=prefix)

    def _partition_column(self, attribute: str, shape: Shape | None, *, is_empty: bool) -> Column:
        path = path_of(attribute)
        name = self._name(attribute, path)
        if shape is None and not is_empty and not self._is_sample:
            raise BadCallError(
                f"partition_by: no item has an attribute {attribute!r}; check its spelling, upper and lower case too",
                attribute=attribute,
            )
        counts = shape.counts if shape is not None else {}
        found = [kind for kind in PARTITION_KINDS if kind.value in counts]
        if shape is not None and found:
            best = min(found, key=lambda kind: (-counts[kind.value], _RANK.index(kind)))
            column = self._of_kind(best, attribute, name, shape, path, is_inner=False)
            if column is not None:
                return column
        if counts.keys() - {"NULL"} and not self._is_sample:
            raise BadCallError(
                f"partition_by: attribute {attribute!r} is neither text, number nor boolean in any item, "
                f"and nothing else can be in a path",
                attribute=attribute,
            )
        return Column(attribute, name, Kind.STRING)

    def _decided(self, guess: Column, shape: Shape | None) -> Column:
        """Return the column of a ``partition_by`` attribute that was taken for text, as no item was there to tell."""
        says_nothing = shape is None or not any(kind.value in shape.counts for kind in PARTITION_KINDS)
        if says_nothing or guess.kind is not Kind.STRING:
            return guess
        return self._partition_column(guess.attribute, shape, is_empty=False)

    # Columns that the table has already.

    def _grown(self, column: Column, shape: Shape | None, path: str, *, is_inner: bool = False) -> Column:
        self._refuse_contradiction(column, path, is_inner=is_inner)
        members = shape.members or {} if shape is not None else {}
        children: list[Column] = []
        match column.kind:
            case Kind.STRUCT | Kind.FLAT:
                is_struct = column.kind is Kind.STRUCT
                for child in column.children:
                    shape_of_child = members.get(child.attribute)
                    here = join(path, child.attribute)
                    children.append(self._grown(child, shape_of_child, here, is_inner=is_struct))
                if is_struct:
                    keys = _additions(members, {child.attribute for child in children}, MAX_MEMBERS)
                    children += self._new_members(Kind.STRUCT, "", members, keys, path)
            case Kind.MAP:
                values = shape.any_member() if shape is not None else None
                children = [self._grown(column.children[0], values, path, is_inner=True)]
            case Kind.LIST:
                elements = shape.elements if shape is not None else None
                children = [self._grown(column.children[0], elements, path, is_inner=True)]
            case _:
                children = [self._grown(child, None, path, is_inner=True) for child in column.children]
        return replace(column, children=tuple(children))

    def _new_leaves(self, known: Column, shape: Shape | None, path: str) -> Column | None:
        """Return a FLAT with those leaves that *known*, a FLAT, does not have yet."""
        members = shape.members if shape is not None else None
        if not members:
            return None
        keys = _additions(members, {child.attribute for child in known.children}, MAX_MEMBERS)
        children = self._new_members(Kind.FLAT, known.name, members, keys, path)
        for child in known.children:
            if child.kind is Kind.FLAT:
                below = self._new_leaves(child, members.get(child.attribute), join(path, child.attribute))
                children += _present(below)
        return replace(known, children=tuple(children)) if children else None

    def _refuse_contradiction(self, column: Column, path: str, *, is_inner: bool) -> None:
        wanted = self._options.number_type(path) if column.kind is Kind.NUMBER else None
        if wanted is not None and wanted != column.arrow:
            raise _contradiction(path, f"numbers of type {_words(column.arrow)}", f"numbers= asks for {_words(wanted)}")
        if not is_inner and column.kind in _NESTED_CONFLICTS[self._options.nested]:
            raise _contradiction(path, f"kind {column.kind.name}", f"nested={self._options.nested!r} asks for another")
        renamed = self._options.column_names.get(path, column.name)
        if column.name and renamed != column.name:
            raise _contradiction(path, f"the name {column.name!r}", f"column_names= asks for {renamed!r}")

    def _refuse_other_partitions(self, previous: Schema) -> None:
        attributes = {column.name: column.attribute for column in previous.columns if column.kind is not Kind.FLAT}
        had = tuple(attributes[name] for name in previous.partition_by)
        if had != self._options.partition_by:
            raise SchemaConflictError(
                f"this table is partitioned by ({', '.join(had)}), partition_by= asks for "
                f"({', '.join(self._options.partition_by)}); partitions never change: give the same, or convert into "
                f"another table",
                expected=list(had),
                found=list(self._options.partition_by),
            )


def _contradiction(path: str, has: str, asked: str) -> SchemaConflictError:
    return SchemaConflictError(
        f"attribute {path!r} of this table has {has}, {asked}; a column never changes: leave the option as it was, "
        f"or convert into another table",
        attribute=path,
    )


def _words(arrow: pa.DataType) -> str:
    return f"decimal({arrow.precision},{arrow.scale})" if pa.types.is_decimal(arrow) else str(arrow)


def _leaf_name(column: Column) -> str:
    """Return the name of the one column that *column* makes."""
    return _leaf_name(column.children[0]) if column.kind is Kind.FLAT else column.name


def _by_name(column: Column) -> tuple[str, str]:
    return column.name, column.attribute


def _present(column: Column | None) -> tuple[Column, ...]:
    return () if column is None else (column,)


def _additions(shapes: Mapping[str, Shape], known: Iterable[str], most: int) -> list[str]:
    """Return the names in *shapes* that *known* lacks, as many as there is room for, the shortest first."""
    known = set(known)
    return sorted((name for name in shapes if name not in known), key=shortest_first)[: max(0, most - len(known))]


def _refuse_equal_names(columns: Iterable[Column]) -> None:
    taken: dict[str, str] = {}
    for path, column in leaves(columns):
        if column.name in RESERVED:
            raise ColumnNameConflictError(
                f"attribute {path!r} would become column {column.name!r}, which every table has; "
                f"{_how_to_rename(path)}",
                attributes=[path],
                column=column.name,
            )
        _refuse_equal_name(taken, path, column.name)
        _refuse_equal_fields(column, path)


def _refuse_equal_fields(column: Column, path: str) -> None:
    taken: dict[str, str] = {}
    for child in column.children:
        if column.kind is Kind.STRUCT:
            here = join(path, child.attribute)
            _refuse_equal_name(taken, here, child.name)
            _refuse_equal_fields(child, here)
        else:
            _refuse_equal_fields(child, path)


def _refuse_equal_name(taken: dict[str, str], path: str, name: str) -> None:
    other = taken.setdefault(name, path)
    if other != path:
        raise ColumnNameConflictError(
            f"attributes {other!r} and {path!r} would both become column {name!r}; {_how_to_rename(path)}",
            attributes=[other, path],
            column=name,
        )


def _how_to_rename(path: str) -> str:
    rename = f'column_names={{{path!r}: "another_name"}}'
    return f"give {path!r} another name where this failed, by {rename}, or --rename on the command line"
