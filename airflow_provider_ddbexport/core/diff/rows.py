"""Rows of parts side by side: which pairs need no closer look, because they are written alike."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns import RowBuilder, Schema, part_schema, partition_keys


def without_partitions(schema: Schema) -> Schema:
    """Return *schema* with the columns of its paths as columns like all others."""
    return Schema(schema.columns)


def whole_rows(batch: pa.RecordBatch, schema: Schema, partition: Sequence[str | None]) -> pa.RecordBatch:
    """Return *batch*, of a part of *schema*, with the values of its path as columns: :func:`without_partitions`'s."""
    keys = partition_keys(schema)
    if not keys:
        return batch
    flat = without_partitions(schema)
    builder = RowBuilder(flat)
    in_path = zip(keys, partition, strict=True)
    builder.add({key.attribute: key.value(text) for key, text in in_path if text is not None})
    one = builder.finish()
    columns = [
        batch.column(field.name)
        if field.name in batch.schema.names
        else pa.repeat(one.column(field.name)[0], batch.num_rows)
        for field in part_schema(flat)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=part_schema(flat))


def rows_that_differ(old: pa.RecordBatch, new: pa.RecordBatch) -> pa.Array:
    """Return for each row of *old* whether it is written otherwise than the row of *new* beside it; no nulls.

    Where it is False, both rows are the same item. Where it is True they may be all the same: the elements of a set may
    be in another order, and what one snapshot has in a column may be rescued in the other. A column, or a field of a
    struct, that only one of the two has counts as null in the other.
    """
    return _members_differ(
        {name: old.column(name) for name in old.schema.names},
        {name: new.column(name) for name in new.schema.names},
        old.num_rows,
    )


def _members_differ(old: dict[str, pa.Array], new: dict[str, pa.Array], rows: int) -> pa.Array:
    found = pa.repeat(pa.scalar(False), rows)
    for name in old.keys() | new.keys():
        if name not in new:
            differs = old[name].is_valid()
        elif name not in old:
            differs = new[name].is_valid()
        else:
            differs = _values_differ(old[name], new[name])
        found = pc.or_(found, differs)
    return found


def _values_differ(old: pa.Array, new: pa.Array) -> pa.Array:
    is_valid, is_new_valid = old.is_valid(), new.is_valid()
    if pa.types.is_struct(old.type) and pa.types.is_struct(new.type):
        return pc.or_(pc.xor(is_valid, is_new_valid), _members_differ(_fields(old), _fields(new), len(old)))
    if _is_repeated(old.type) and _is_repeated(new.type):
        return pc.or_(pc.xor(is_valid, is_new_valid), _lists_differ(old, new, pc.and_(is_valid, is_new_valid)))
    if old.type != new.type:
        return pc.or_(is_valid, is_new_valid)
    is_equal = pc.fill_null(pc.equal(old, new), False)
    return pc.and_not(pc.or_(is_valid, is_new_valid), is_equal)


def _fields(struct: pa.Array) -> dict[str, pa.Array]:
    """Return the fields of *struct*, null where it is null."""
    return {struct.type.field(index).name: pc.struct_field(struct, index) for index in range(struct.type.num_fields)}


def _is_repeated(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_list(arrow) or pa.types.is_map(arrow))


def _lists_differ(old: pa.Array, new: pa.Array, both: pa.Array) -> pa.Array:
    """Return where two lists or maps differ among the rows where *both* are not null; False elsewhere."""
    rows = pc.indices_nonzero(both)
    old, new = _as_lists(old.filter(both)), _as_lists(new.filter(both))
    is_as_long = pc.equal(pc.list_value_length(old), pc.list_value_length(new))
    other_length = rows.filter(pc.invert(is_as_long))
    rows, old, new = rows.filter(is_as_long), old.filter(is_as_long), new.filter(is_as_long)
    parents = pc.list_parent_indices(old).filter(_values_differ(old.flatten(), new.flatten()))
    found = pa.concat_arrays([other_length, rows.take(pc.unique(parents))])
    return pc.is_in(pa.array(range(len(both)), pa.uint64()), value_set=found)


def _as_lists(values: pa.Array) -> pa.Array:
    """Return maps, none of them null, as lists of key and value, which Arrow can compute with."""
    if not pa.types.is_map(values.type):
        return values
    entries = pa.StructArray.from_arrays([values.keys, values.items], names=["key", "value"])
    return pa.ListArray.from_arrays(values.offsets, entries)
