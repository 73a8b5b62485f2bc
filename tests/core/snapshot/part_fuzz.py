"""Parts with damage, and what is made of them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal
from unittest import mock

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, part_schema, resolve
from airflow_provider_ddbexport.core.compiled.loading import load
from airflow_provider_ddbexport.core.decode import AttributeValue, Item, decode_line
from airflow_provider_ddbexport.core.decoder import block_builder
from airflow_provider_ddbexport.core.merge.changed_keys import PLACES, Found, Sieve, as_stored
from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.snapshot import parquet_leaves
from airflow_provider_ddbexport.core.snapshot import parquet_thrift as thrift
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_part import open_part
from airflow_provider_ddbexport.core.snapshot.parquet_widen import widen_part
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError

ROW = "row"
"""Column with the rows' numbers, by which they are found."""

WRITERS: list[dict[str, Any]] = [
    {"compression": "none"},
    {"compression": "none", "use_dictionary": False, "data_page_size": 60, "write_batch_size": 3},
    {"compression": "none", "data_page_size": 40, "write_batch_size": 3, "dictionary_pagesize_limit": 30},
    {"compression": "zstd", "write_statistics": False, "max_rows_per_page": 2},
    {"compression": "snappy", "write_page_checksum": True},
    {"compression": "none", "column_encoding": {ROW: "DELTA_BINARY_PACKED"}, "use_dictionary": False},
    {"compression": "gzip"},
    {"compression": "none", "data_page_version": "2.0"},
    {"compression": "none", "write_page_index": True},
]

Damage = Literal["pages", "footer"]

_NUMBERS = [0, 1, -1, 2, 7, 8, 127, 128, 255, 1 << 15, 1 << 20, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 32]
_NUMBERS += [(1 << 62) - 1, 1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63)]
_PIECES = [b"\0", b"\xff", b"\x80", b"\x7f", b"\xff" * 4, b"\0" * 8, b"\xff" * 9 + b"\x01", b"\x80" * 12, b"\x19\xfc"]


def random_part(items: list[Item], choice: Random, folder: Path) -> tuple[Path, pa.RecordBatch]:
    """Write a part of *items*, which get a number each, as the package does or as pyarrow can; return it and its rows.

    The rows are the reference's.
    """
    items = [{**item, ROW: {"N": str(number)}, "lists": _list(number)} for number, item in enumerate(items)]
    observation = Observation()
    for item in items:
        observation.add(item)
    schema = resolve(observation, ColumnOptions(nested=choice.choice(["struct", "flatten", "json"])))
    rows = RowBuilder(schema)
    for item in items:
        rows.add(item)
    batch, path = rows.finish(), folder / "part"
    at_once = choice.choice([1, 3, len(items)])
    if choice.random() < 0.5:
        part = open_part(path, part_schema(schema))
        with mock.patch.object(parquet_leaves, "LARGEST_PAGE", choice.choice([1, 30, 200, 1 << 20])):
            for start in range(0, len(items), at_once):
                builder = block_builder(decode_line, schema)
                lines = b"\n".join(msgspec.json.encode({"Item": item}) for item in items[start : start + at_once])
                builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40)
                part.write(builder.finish_sparse())
        part.finish()
    else:
        pq.write_table(pa.table(batch), path, row_group_size=at_once, **choice.choice(WRITERS))
    return path, batch


def _list(number: int) -> AttributeValue:
    return {"L": [{"S": str(number)}] * (number % 4)} if number % 5 else {"NULL": True}


def damaged_part(part: bytes, choice: Random) -> tuple[bytes, Damage]:
    """Return *part* with damage, and what of it has that.

    It is anywhere, or before the footer, or in the footer's bytes, or in one of its fields.
    """
    footer = footer_of(part)
    pages = part[: -8 - len(footer)]
    damaged = footer
    match choice.randrange(5):
        case 0:
            return damaged_bytes(part, choice), "footer"
        case 1 | 2:
            pages = damaged_bytes(pages, choice)
        case 3:
            damaged = damaged_bytes(footer, choice)
        case _:
            fields = thrift.read_struct(footer)
            for _ in range(choice.choice([1, 1, 2])):
                _damage_field(fields, choice)
            damaged = thrift.write_struct(fields)
    damage: Damage = "pages" if damaged == footer else "footer"
    return pages + damaged + len(damaged).to_bytes(4, "little") + b"PAR1", damage


def footer_of(part: bytes) -> bytes:
    """Return what *part* says its footer is."""
    return part[-8 - int.from_bytes(part[-8:-4], "little") : -8]


def damaged_bytes(body: bytes, choice: Random) -> bytes:
    """Return *body* with a few bytes changed, put in, left out, or taken from elsewhere."""
    changed = bytearray(body)
    for _ in range(choice.choice([1, 1, 1, 2, 4])):
        at = choice.randrange(len(changed) + 1)
        length = choice.choice([1, 1, 2, 8, 40])
        match choice.randrange(8):
            case 0 | 1 if at < len(changed):
                changed[at] ^= 1 << choice.randrange(8)
            case 2 if at < len(changed):
                changed[at] = choice.randrange(256)
            case 3:
                piece = choice.choice(_PIECES)
                changed[at : at + len(piece)] = piece
            case 4:
                changed[at:at] = choice.choice(_PIECES)
            case 5:
                del changed[at : at + length]
            case 6:
                source = choice.randrange(len(changed) + 1)
                changed[at : at + length] = changed[source : source + length]
            case 7 if choice.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def _damage_field(fields: thrift.Struct, choice: Random) -> None:
    """Leave out, change or exchange one of the fields in *fields*, or in what they hold."""
    if not fields:
        return
    number = choice.choice(sorted(fields))
    kind, value = fields[number]
    inner = [value] if kind == thrift.STRUCT else value[1] if kind == thrift.LIST and value[0] == thrift.STRUCT else []
    if inner and choice.random() < 0.9:
        _damage_field(choice.choice(inner), choice)
        return
    match choice.randrange(4):
        case 0:
            del fields[number]
        case 1 if thrift.I16 <= kind <= thrift.I64:
            fields[number] = kind, max(-(1 << 63), min((1 << 63) - 1, value + choice.choice([1, -1, 4, -4, 100])))
        case 2 if kind == thrift.LIST and value[1]:
            value[1].pop(choice.randrange(len(value[1])))
        case 3 if kind == thrift.BINARY:
            fields[number] = kind, damaged_bytes(value, choice)
        case _:
            fields[number] = thrift.I64, choice.choice(_NUMBERS)


class Rows:
    """Finds the rows with the numbers *gone*; looks only at those that may be, where *is_sifted*."""

    columns: ClassVar[list[str]] = [ROW]

    def __init__(self, gone: set[int], *, is_sifted: bool) -> None:
        self._gone = pa.array(sorted(gone), pa.int64())
        self.sieves: list[Sieve] = []
        kernel = load("_pages")
        if is_sifted and kernel is not None:
            numbers = as_stored(kernel, self._gone)
            values = kernel.Sieve(64, 1 << 20)
            numbers.sift(values, bytearray(b"\1") * len(gone), add=True)
            self.sieves = [Sieve(ROW, numbers.type, numbers.width, values)]

    def find(self, batch: pa.RecordBatch) -> Found | None:
        mask = pc.is_in(batch.column(ROW), self._gone)
        rows = batch.column(ROW).filter(mask).cast(pa.int32())
        places = pa.RecordBatch.from_arrays([pa.nulls(len(rows), pa.int32()), rows], schema=PLACES)
        return Found(bytes(mask.to_pylist()), places) if len(rows) else None


def thrift_difference(body: bytes) -> str | None:
    """Return in what both readers of structs differ about *body*; None for in nothing."""
    compiled = _struct_of(body)
    with mock.patch.object(thrift, "_kernel", return_value=None):
        reference = _struct_of(body)
    return None if compiled == reference else f"{compiled!r} and {reference!r}"


def _struct_of(body: bytes) -> Any:
    try:
        found = thrift.read_struct_at(body, 0)
    except SnapshotDamagedError as error:
        return str(error)
    return found, thrift.write_struct(found[0])


class PartChecks:
    """What splitting and widening parts came to.

    Attributes:
        refused: outcomes that were a SnapshotDamagedError.
        compared: outcomes that were what pyarrow makes of the part.
    """

    def __init__(self) -> None:
        self.refused = self.compared = 0

    def difference(self, source: Path, arrow: pa.Schema, choice: Random, *, damage: Damage | None = None) -> str | None:
        """Split the part at *source*, which was of *arrow* once, and widen it; return what is wrong, None for nothing.

        Right is to refuse it, and what pyarrow makes of it where pyarrow can read it: of damaged pages in the columns
        of one leaf, because several have to agree about what is null and what is in a list. Of a damaged footer much
        is copied that only the next reader looks at: there nothing is compared.
        """
        rows = None if damage == "footer" else _readable(source)
        if rows is not None and damage == "pages":
            rows = rows.select([field.name for field in rows.schema if _is_one_leaf(field.type)])
        return self._split(source, rows, choice, damage) or self._widened(source, rows, arrow, damage)

    def _split(self, source: Path, rows: pa.Table | None, choice: Random, damage: Damage | None) -> str | None:
        kept, dropped = source.with_name("kept"), source.with_name("gone")
        gone = {number for number in range(40) if choice.random() < 0.3} | {3}
        wanted = Rows(gone, is_sifted=choice.random() < 0.7)
        split = None
        with self._counting_refusals(source, damage):
            split = split_part(io.BytesIO(source.read_bytes()), wanted, kept, dropped)
        if split is None or rows is None:
            return None
        self.compared += 1
        mask = pc.is_in(rows.column(ROW), pa.array(sorted(gone), pa.int64()))
        return part_difference(kept, rows.filter(pc.invert(mask))) or part_difference(dropped, rows.filter(mask))

    def _widened(self, source: Path, rows: pa.Table | None, arrow: pa.Schema, damage: Damage | None) -> str | None:
        wide = source.with_name("wide")
        is_written = False
        with self._counting_refusals(source, damage):
            widen_part(io.BytesIO(source.read_bytes()), wide, pa.schema([("_first", pa.string()), *arrow]))
            is_written = True
        if not is_written or rows is None:
            return None
        self.compared += 1
        return part_difference(wide, rows.append_column("_first", pa.nulls(len(rows), pa.string())))

    @contextmanager
    def _counting_refusals(self, source: Path, damage: Damage | None) -> Iterator[None]:
        try:
            with damage_named(source, "part", "again"):
                yield
        # A number that was damaged may ask for more memory than there is.
        except (SnapshotDamagedError, BadCallError, MemoryError):
            self.refused += 1
        # Of a footer pyarrow does not look at all that we copy.
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):
            if damage != "footer":
                raise
            self.refused += 1


def part_difference(path: Path, expected: pa.Table) -> str | None:
    """Return in what the rows at *path* differ from those *expected*, in their columns; None for in nothing."""
    found = _readable(path, expected.column_names)
    if found is None:
        return f"{path.name} is refused"
    for name, column in zip(expected.column_names, expected.columns, strict=True):
        if not found.column(name).equals(column):
            return f"{path.name}, {name}: {found.column(name)} instead of {column}"
    return None


def _is_one_leaf(arrow: pa.DataType) -> bool:
    return not pa.types.is_nested(arrow) or (pa.types.is_list(arrow) and _is_one_leaf(arrow.value_type))


def _readable(path: Path, columns: list[str] | None = None) -> pa.Table | None:
    """Return the rows at *path*, of all columns or of *columns*; None where pyarrow refuses it."""
    try:
        with damage_named(path, "part", "again"):
            with pq.ParquetFile(path, pre_buffer=False) as file:
                rows = file.read(columns, use_threads=False)
            rows.validate(full=True)
    except (SnapshotDamagedError, MemoryError):
        return None
    return rows
