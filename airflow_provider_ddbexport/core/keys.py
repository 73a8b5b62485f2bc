"""The keys of items as bytes: equal keys have equal bytes, whether they are read from items or from batches of a part.

So rows of one snapshot find those of another, and the changes of an increment, by comparing bytes; and by their hash
they are dealt to buckets that fit into memory.
"""

from __future__ import annotations

import zlib
from array import array
from binascii import a2b_base64
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_ddbexport.core.columns.names import path_of
from airflow_provider_ddbexport.core.columns.numbers import canonical
from airflow_provider_ddbexport.core.columns.partition import partition_keys
from airflow_provider_ddbexport.core.columns.schema import RESCUED_COLUMN, Kind, Schema
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import AttributeValue, Item

KEY_KINDS = (Kind.STRING, Kind.NUMBER, Kind.BINARY)
"""What a key attribute of a DynamoDB table can be."""


def key_bytes(item: Item, attributes: Sequence[str]) -> bytes | None:
    """Return the bytes of *item*'s key, which is made of *attributes* in their order; None if it lacks one of them.

    Numbers count as what they are and not as they are written. Distinct keys have distinct bytes.
    """
    parts = [_value_bytes(item.get(attribute)) for attribute in attributes]
    return None if None in parts else b"".join(part for part in parts if part is not None)


def batch_keys(
    batch: pa.RecordBatch, schema: Schema, attributes: Sequence[str], partition: Sequence[str | None] = ()
) -> pa.Array:
    """Return what :func:`key_bytes` gives for the item of each row of *batch*, null for None.

    Of *batch*, rows of a part of *schema* whose ``partition_by`` columns have the values *partition*, only the columns
    of *attributes* and ``_rescued`` are looked at; keys that were rescued are found there.
    """
    rescued = batch.column(batch.schema.get_field_index(RESCUED_COLUMN))
    in_path = {
        key.attribute: None if text is None else key.value(text)
        for key, text in zip(partition_keys(schema), partition, strict=True)
    }
    columns = {column.attribute: column for column in schema.columns if column.kind in KEY_KINDS}
    held = [
        (columns[attribute].kind, batch.column(batch.schema.get_field_index(columns[attribute].name)))
        for attribute in attributes
        if attribute in columns and attribute not in in_path
    ]
    if len(held) == len(attributes) <= 2 and not any(values.null_count for _, values in held):
        joined = _joined(held)
        if joined is not None:
            return joined
    parts = []
    for attribute in attributes:
        if attribute in in_path:
            found = _repeated(_value_bytes(in_path[attribute]), batch.num_rows)
        elif attribute in columns:
            column = columns[attribute]
            found = _column_bytes(column.kind, batch.column(batch.schema.get_field_index(column.name)))
        else:
            found = pa.nulls(batch.num_rows, pa.binary())
        parts.append(_with_rescued(found, rescued, path_of(attribute)))
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, _repeated(b"", batch.num_rows))


def key_hashes(keys: pa.Array) -> list[int]:
    """Return a number below 2^32 for each of *keys*, none of them null: the same for the same key, on every machine."""
    return [zlib.crc32(key) for key in keys.to_pylist()]


def _value_bytes(value: AttributeValue | None) -> bytes | None:
    if value is None:
        return None
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return _tagged(kind, content.encode())
        case "N":
            return _tagged(kind, canonical(content).encode())
        case "B":
            return _tagged(kind, a2b_base64(content))
    return None


def _tagged(kind: str, content: bytes) -> bytes:
    """Return *content* such that what follows it in a key cannot be taken for a part of it."""
    return b"%b%d:%b" % (kind.encode(), len(content), content)


def _joined(columns: Sequence[tuple[Kind, pa.Array]]) -> pa.BinaryArray | None:
    """Return the keys of one or two *columns* without nulls; None where there is no compiled part to make them."""
    kernel = load("_pages")
    if kernel is None:
        return None
    contents = [_contents(kind, values) for kind, values in columns]
    try:
        offsets, keys = kernel.join_keys("".join(kind.value for kind, _ in columns).encode(), contents)
    except OverflowError:
        return None
    return pa.BinaryArray.from_buffers(pa.binary(), len(contents[0]), [None, pa.py_buffer(offsets), pa.py_buffer(keys)])


def _contents(kind: Kind, values: pa.Array) -> pa.BinaryArray:
    return (_canonical_texts(values) if kind is Kind.NUMBER else values).cast(pa.binary())


def _column_bytes(kind: Kind, values: pa.Array) -> pa.Array:
    """Return :func:`_value_bytes` of each value of a column of *kind*."""
    content = _contents(kind, values)
    length = pc.binary_length(content).cast(pa.string()).cast(pa.binary())
    tag, colon, nothing = (_repeated(value, len(values)) for value in (kind.value.encode(), b":", b""))
    return pc.binary_join_element_wise(tag, length, colon, content, nothing)


def _repeated(value: bytes | None, count: int) -> pa.BinaryArray:
    """Return *value* so often. Not as a scalar: pyarrow imports pandas for one, longer than a small merge takes."""
    if value is None:
        return pa.nulls(count, pa.binary())
    offsets = array("i", range(0, count * len(value) + 1, len(value))) if value else array("i", bytes(4 * (count + 1)))
    return pa.BinaryArray.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(value * count)])


def _canonical_texts(numbers: pa.Array) -> pa.Array:
    if not pa.types.is_decimal(numbers.type):
        if pa.types.is_floating(numbers.type):
            return pa.array([None if n is None else canonical(str(n)) for n in numbers.to_pylist()], pa.string())
        return numbers.cast(pa.string())
    text = numbers.cast(pa.string())
    if numbers.type.scale > 0:
        text = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
    # Arrow writes decimals near 0 with an exponent.
    is_odd = pc.match_substring(text, "E")
    if not pc.any(is_odd).as_py():
        return text
    odd = numbers.filter(is_odd).to_pylist()
    return pc.replace_with_mask(text, is_odd, pa.array([canonical(str(n)) for n in odd], pa.string()))


def _with_rescued(found: pa.Array, rescued: pa.Array, path: str) -> pa.Array:
    """Return *found* with its nulls replaced by what was rescued at *path*, where it was."""
    if not found.null_count or rescued.null_count == len(rescued):
        return found
    texts = pc.map_lookup(rescued, pa.scalar(path), "first")
    is_rescued = pc.and_(found.is_null(), texts.is_valid())
    values = [_value_bytes(msgspec.json.decode(text)) for text in texts.filter(is_rescued).to_pylist()]
    return pc.replace_with_mask(found, is_rescued, pa.array(values, pa.binary()))
