"""What a conversion did, for the commit record: figures, columns, what was rescued and why, and what drifted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation
from airflow_provider_ddbexport.core.columns.arrow_types import arrow_type, leaves, places
from airflow_provider_ddbexport.core.columns.names import steps_of
from airflow_provider_ddbexport.core.columns.observe import EMPTY_MAP, Shape
from airflow_provider_ddbexport.core.columns.schema import Column, Kind, Schema, merge_flat
from airflow_provider_ddbexport.core.snapshot.conversion import ShardFigures
from airflow_provider_ddbexport.core.snapshot.record import CommitRecord, Part
from airflow_provider_ddbexport.core.times import iso

MISFIT = "misfit"
"""Why a value was rescued that is of its column's type in DynamoDB: the column, or the path, cannot hold it exactly."""


def conversion_report(
    seen: Observation,
    schema: Schema,
    parts: Sequence[Part],
    figures: Iterable[ShardFigures],
    previous: CommitRecord | None,
    *,
    options: ColumnOptions,
) -> dict[str, Any]:
    """Return the report as JSON values: counts, sizes, types and names of attributes, nothing that items hold.

    ``seconds`` are summed over shards, and stages overlap. ``nulls`` are rows whose item lacks the attribute, or whose
    value was rescued. ``why`` counts rescued values by their type in DynamoDB (``M{}`` is an empty map) and
    :data:`MISFIT`; it is empty where types do not tell, as where not all items of *parts* were *seen*. *previous* is
    the newest snapshot before this one. ``unused_options`` are the paths that *options* name and no column has.
    """
    taken = list(figures)
    rows = sum(part.rows for part in parts)
    values: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for figure in taken:
        values.update(figure.values)
        for stage, took in figure.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + took
    for part in parts:
        in_path = zip(schema.partition_by, part.partition, strict=True)
        values.update({name: part.rows for name, value in in_path if value is not None})
    rescued: Counter[str] = Counter()
    for part in parts:
        rescued.update(part.rescued)
    columns = [
        {"path": path, "column": column.name, "type": str(arrow_type(column)), "nulls": rows - values[column.name]}
        for path, column in leaves(schema.columns)
    ]
    return {
        "items": seen.items,
        "read_bytes": sum(figure.read_bytes for figure in taken),
        "json_bytes": sum(figure.json_bytes for figure in taken),
        "written_bytes": sum(part.size for part in parts),
        "seconds": {stage: round(took, 3) for stage, took in sorted(seconds.items())},
        "columns": columns,
        "rescued": [
            {"path": path, "count": count, "why": _why(path, count, schema, seen) if seen.items == rows else {}}
            for path, count in sorted(rescued.items())
        ],
        "unused_options": sorted(options.named_paths() - set(places(schema.columns))),
        "drift": None if previous is None else _drift(previous, columns, rows, rescued),
    }


def _drift(
    previous: CommitRecord, columns: Sequence[Mapping[str, Any]], rows: int, rescued: Mapping[str, int]
) -> dict[str, Any]:
    had = {path for path, _ in leaves(previous.schema.columns)}
    return {
        "previous": iso(previous.as_of),
        "rows": rows - previous.rows,
        "new_columns": [column["path"] for column in columns if column["path"] not in had],
        "unused_columns": [column["path"] for column in columns if rows and column["nulls"] == rows],
        "newly_rescued": sorted(rescued.keys() - previous.rescued.keys()),
    }


def _why(path: str, count: int, schema: Schema, seen: Observation) -> dict[str, int]:
    column, shape = _place(path, schema, seen)
    if shape is None:
        return {}
    why = _misplaced(column, shape)
    told = sum(why.values())
    if told < count and column is not None:
        why[MISFIT] = count - told
    return dict(sorted(why.items())) if told <= count else {}


def _place(path: str, schema: Schema, seen: Observation) -> tuple[Column | None, Shape | None]:
    """Return the column at *path* and what was seen there; in a path, indexes and keys of MAP columns are left out."""
    columns: Sequence[Column] = merge_flat(schema.columns)
    shapes: Mapping[str, Shape] = seen.attributes
    column, shape = None, None
    for number, step in enumerate(steps_of(path)):
        while number and column is not None and shape is not None and column.kind in (Kind.LIST, Kind.MAP):
            column, shape = _inner(column, shape)
        if number:
            columns = column.children if column is not None else ()
            shapes = shape.members or {} if shape is not None else {}
        column = next((child for child in columns if child.attribute == step), None)
        shape = shapes.get(step)
    return column, shape


def _inner(column: Column, shape: Shape) -> tuple[Column, Shape | None]:
    return column.children[0], shape.elements if column.kind is Kind.LIST else shape.any_member()


def _misplaced(column: Column | None, shape: Shape) -> Counter[str]:
    """Return the values of *shape* by type, without those that *column* is for."""
    fitting: tuple[str, ...] = ()
    if column is not None:
        fitting = {
            Kind.STRUCT: ("M", EMPTY_MAP),
            Kind.MAP: ("M", EMPTY_MAP),
            Kind.FLAT: ("M",),
            Kind.JSON: ("M", EMPTY_MAP, "L"),
        }.get(column.kind, (column.kind.value,))
    why = Counter({kind: count for kind, count in shape.counts.items() if kind not in fitting})
    if column is not None and column.kind in (Kind.LIST, Kind.MAP):
        inner, inner_shape = _inner(column, shape)
        if inner_shape is not None:
            why += _misplaced(inner, inner_shape)
    return why
