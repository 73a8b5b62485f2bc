"""Parts with damage are refused, or are what pyarrow reads in them, and nothing else comes of them."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from part_fuzz import (
    ROW,
    PartChecks,
    Rows,
    damaged_bytes,
    damaged_part,
    footer_of,
    part_difference,
    random_part,
    thrift_difference,
)

from airflow_provider_ddbexport.core.merge.split_part import split_part
from airflow_provider_ddbexport.core.snapshot import parquet_thrift as thrift
from airflow_provider_ddbexport.core.snapshot.parquet_damage import damage_named
from airflow_provider_ddbexport.core.snapshot.parquet_thrift import read_struct
from airflow_provider_ddbexport.errors import BadCallError, SnapshotDamagedError

sys.path.insert(0, str(Path(__file__).parents[1] / "columns"))
from generated_items import random_items


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_part_is_refused_or_read_as_pyarrow_reads_it(seed: int, tmp_path: Path) -> None:
    """Whatever is changed, put in or left out, in pages or footer: no other error, no other rows, no crash."""
    choice = Random(seed)
    path, rows = random_part(random_items(choice, rows=choice.choice([4, 12, 30])), choice, tmp_path)
    assert part_difference(path, pa.table(rows)) is None
    checks = PartChecks()
    assert checks.difference(path, rows.schema, choice) is None
    assert (checks.refused, checks.compared) == (0, 2), "whole, it is no such part"
    whole = path.read_bytes()
    for _ in range(12):
        part, damage = damaged_part(whole, choice)
        path.write_bytes(part)
        assert checks.difference(path, rows.schema, choice, damage=damage) is None
    assert checks.refused > 5


def test_both_readers_of_footers_agree_about_damage(tmp_path: Path) -> None:
    """The compiled one and the one in Python refuse the same, in the same words, and read the same in the rest."""
    choice = Random(5)
    path, _ = random_part(random_items(choice, rows=2), choice, tmp_path)
    footer = footer_of(path.read_bytes())
    for _ in range(400):
        assert thrift_difference(damaged_bytes(footer, choice)) is None


def test_a_row_group_of_more_rows_than_values_is_damage(tmp_path: Path) -> None:
    """Nobody makes room for them, which would fail as if memory were short."""
    path, _ = random_part(random_items(Random(5), rows=4), Random(5), tmp_path)
    whole = path.read_bytes()
    footer = read_struct(footer_of(whole))
    _, groups = footer[4][1]
    groups[0][3] = thrift.I64, 1 << 50
    damaged = thrift.write_struct(footer)
    path.write_bytes(whole[: -8 - len(footer_of(whole))] + damaged + len(damaged).to_bytes(4, "little") + b"PAR1")
    with (
        pytest.raises(SnapshotDamagedError, match="lake/part: its footer has a row group with more rows than a column"),
        damage_named(path, "lake/part", "convert it again"),
    ):
        split_part(io.BytesIO(path.read_bytes()), Rows({3}, is_sifted=True), tmp_path / "kept", tmp_path / "gone")


@pytest.mark.parametrize(
    "column", [pa.array([["a"], [], ["b", "c"]]), pa.array(["a", None, "c"])], ids=["lists", "flat"]
)
def test_a_page_of_more_values_than_its_column_is_damage(column: pa.Array, tmp_path: Path) -> None:
    """Also where pyarrow reads the part, of which it leaves out what is too many."""
    path = tmp_path / "part"
    pq.write_table(pa.table({ROW: [1, 2, 3], "x": column}), path, use_dictionary=False)
    whole = path.read_bytes()
    start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    header, end = thrift.read_struct_at(whole, start)
    _, about = header[5]
    about[1] = thrift.I32, about[1][1] + 1
    damaged = whole[:start] + thrift.write_struct(header) + whole[end:]
    assert len(damaged) == len(whole)
    path.write_bytes(damaged)
    if pa.types.is_list(column.type):
        assert pq.read_table(path).column("x").combine_chunks().equals(column)
    with (
        pytest.raises(SnapshotDamagedError, match="lake/part: its footer tells of fewer values than a column's pages"),
        damage_named(path, "lake/part", "convert it again"),
    ):
        split_part(io.BytesIO(damaged), Rows({3}, is_sifted=True), tmp_path / "kept", tmp_path / "gone")


@pytest.fixture(params=["compiled", "Python"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        assert thrift._kernel() is not None
    else:
        monkeypatch.setattr(thrift, "_kernel", lambda: None)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(
    "body",
    [
        b"\x16" + b"\x80" * 9 + b"\x02\x00",
        b"\x16" + b"\xff" * 9 + b"\x7f\x00",
        b"\x16" + b"\x80" * 20 + b"\x01\x00",
        b"\x06\x80\x80\x04\x00\x00",
        b"\x06\xfe\xff\x03\x00\x11\x00",
    ],
    ids=["65 bits", "70 bits", "141 bits", "a field beyond 16 bits", "a field after the last"],
)
def test_numbers_larger_than_their_type_are_damage(body: bytes) -> None:
    """Nothing of them is cut off: 64 bits a number, 16 the number of a field."""
    with pytest.raises(SnapshotDamagedError, match="a number that is too large"):
        read_struct(body)


@pytest.mark.usefixtures("_way")
def test_the_largest_numbers_are_none_too_large() -> None:
    """All 64 bits of a value, and all 16 of a field's number."""
    assert read_struct(b"\x16" + b"\xff" * 9 + b"\x01\x00") == {1: (thrift.I64, -(1 << 63))}
    assert read_struct(b"\x06\xfe\xff\x03\x02\x00") == {(1 << 15) - 1: (thrift.I64, 1)}


def _raise(error: Exception) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_damage_is_told_with_the_name_of_its_file(tmp_path: Path) -> None:
    """And with the way out, and whose it is; what pyarrow says stays the error's cause."""
    path = tmp_path / "part"
    path.write_bytes(b"PAR1 no more")
    for body, problem in (
        (lambda: read_struct(b"\x19"), "its footer ends too early"),
        (_raise(pa.ArrowInvalid("x")), "it is no whole Parquet file (ArrowInvalid)"),
        (_raise(OSError("x")), "it is no whole Parquet file (OSError)"),
        (_raise(KeyError(3)), "it is no whole Parquet file (KeyError)"),
    ):
        with pytest.raises(SnapshotDamagedError) as told:  # noqa: SIM117
            with damage_named(path, "lake/t/part-1", "convert it again", as_of="then"):
                body()
        assert told.value.context == {"as_of": "then"}
        assert str(told.value) == f"lake/t/part-1: {problem}; convert it again"
        assert told.value.__cause__ is not None


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), MemoryError(), pa.ArrowMemoryError("x"), BadCallError("x")],
    ids=repr,
)
def test_what_is_no_damage_is_not_told_as_damage(error: Exception, tmp_path: Path) -> None:
    """A full disk, memory that is short, a call that is wrong."""
    with pytest.raises(type(error)) as told, damage_named(tmp_path / "part", "lake/t/part-1", "convert it again"):
        raise error
    assert told.value is error


@pytest.mark.parametrize(
    "error",
    [KeyError(3), TypeError("x"), AttributeError("x"), pa.ArrowInvalid("x")],
    ids=lambda error: type(error).__name__,
)
def test_our_own_mistakes_are_not_told_as_damage(error: Exception, tmp_path: Path) -> None:
    """Of a part that pyarrow reads whole, nothing is made again: it is not the part that is wrong."""
    path = tmp_path / "part"
    pq.write_table(pa.table({"a": [1, 2]}), path)
    with pytest.raises(type(error)) as told, damage_named(path, "lake/t/part-1", "convert it again"):
        raise error
    assert told.value is error
