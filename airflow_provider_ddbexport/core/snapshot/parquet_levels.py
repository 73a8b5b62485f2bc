"""The leaves of a Parquet file's schema, as its footer lists them. Numbers of fields are those of parquet.thrift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_ddbexport.core.snapshot.parquet_footer import read_footer
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import I32, Struct, damaged, read_structs

_SCHEMA = 2
"""Of a FileMetaData: the elements, each group before what is in it."""

# Of a SchemaElement.
_WIDTH, _REPETITION, _CHILDREN = 2, 3, 5
_REQUIRED, _REPEATED = 0, 2


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a file's schema says of one leaf: its levels, and the bytes of a fixed-length value."""

    max_rep: int
    max_def: int
    width: int


def read_leaves(file: BinaryIO) -> list[Leaf]:
    """Return the leaves of *file*, in the order of a row group's chunks. Raises SnapshotDamagedError."""
    elements = read_structs(read_footer(file), _SCHEMA)
    leaves = []
    # How many elements are still to come in each of the groups that are open, and the levels there.
    groups = [(_number(next(elements, {}), _CHILDREN), 0, 0)]
    for element in elements:
        if not groups:
            raise damaged("has a schema with more elements than belong to it")
        left, max_rep, max_def = groups.pop()
        if left > 1:
            groups.append((left - 1, max_rep, max_def))
        repetition = _number(element, _REPETITION)
        max_rep += repetition == _REPEATED
        max_def += repetition != _REQUIRED
        children = _number(element, _CHILDREN)
        if children:
            groups.append((children, max_rep, max_def))
        else:
            leaves.append(Leaf(max_rep, max_def, _number(element, _WIDTH)))
    return leaves


def _number(element: Struct, field: int) -> int:
    return int(element.get(field, (I32, 0))[1])
