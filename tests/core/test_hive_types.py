"""Arrow types in the Glue Data Catalog."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_ddbexport.core.catalog.hive_types import grown_type, hive_type
from airflow_provider_ddbexport.errors import BadCallError


@pytest.mark.parametrize(
    ("arrow", "hive"),
    [
        (pa.string(), "string"),
        (pa.int64(), "bigint"),
        (pa.bool_(), "boolean"),
        (pa.float64(), "double"),
        (pa.binary(), "binary"),
        (pa.decimal128(38, 9), "decimal(38,9)"),
        (pa.list_(pa.field("element", pa.int64())), "array<bigint>"),
        (pa.map_(pa.string(), pa.string()), "map<string,string>"),
        (
            pa.struct([("city", pa.string()), ("geo", pa.list_(pa.decimal128(10, 2)))]),
            "struct<city:string,geo:array<decimal(10,2)>>",
        ),
    ],
)
def test_every_type_a_column_can_have_has_a_hive_type(arrow: pa.DataType, hive: str) -> None:
    """Each Arrow type of the columns is written as Glue and Athena read it."""
    assert hive_type(arrow) == hive


def test_a_type_no_column_has_is_refused() -> None:
    """An unknown type is an error that names it, and never a guess."""
    with pytest.raises(BadCallError, match=r"duration\[s\]"):
        hive_type(pa.duration("s"))


@pytest.mark.parametrize(
    ("old", "new", "grown"),
    [
        ("bigint", "bigint", "bigint"),
        ("struct<a:bigint>", "struct<a:bigint,b:string>", "struct<a:bigint,b:string>"),
        ("struct<a:bigint,b:string>", "struct<b:string>", "struct<a:bigint,b:string>"),
        ("struct<a:bigint>", "struct<b:decimal(38,9),a:bigint>", "struct<a:bigint,b:decimal(38,9)>"),
        (
            "array<struct<a:decimal(38,9),m:map<string,struct<x:int>>>>",
            "array<struct<a:decimal(38,9),m:map<string,struct<x:int,y:int>>>>",
            "array<struct<a:decimal(38,9),m:map<string,struct<x:int,y:int>>>>",
        ),
    ],
)
def test_structs_gain_fields_at_any_depth_and_old_ones_keep_their_places(old: str, new: str, grown: str) -> None:
    """A type that only gained fields, or that is the older of the two, grows to hold both."""
    assert grown_type(old, new) == grown


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bigint", "string"),
        ("decimal(38,9)", "decimal(38,10)"),
        ("array<bigint>", "array<string>"),
        ("map<string,bigint>", "struct<a:bigint>"),
        ("struct<a:bigint>", "struct<a:string,b:string>"),
        ("array<struct<a:bigint>>", "array<struct<a:double>>"),
        ("string", "array<string>"),
    ],
)
def test_a_changed_type_is_not_growth(old: str, new: str) -> None:
    """Where a column or a field would change its type there is no type that holds both."""
    assert grown_type(old, new) is None
