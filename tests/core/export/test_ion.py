"""Exports in ION."""

from __future__ import annotations

import base64
import builtins
import contextlib
import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from export_folder import EXPORT_ID, ExportFolder
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.export import OutputFormat, read_export, read_items, verify_export
from airflow_provider_ddbexport.core.export.ion import decode_ion_line
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, DdbExportError, ItemError

EVERY_TYPE = (
    '$ion_1_0 {Item:{User:"ann",\'late attribute\':"",Rating:4.,Price:-0.50,Small:1d-130,Large:9.9d125,'
    "Digits:12345678901234567890123456789012345678.,Cover:{{AAEC}},Sold:true,Gone:null,"
    'Details:{Item:[1.,"x",{}],S:{}},Tags:$dynamodb_SS::["a","é😀"],Scores:$dynamodb_NS::[1.,2.5],'
    "Scans:$dynamodb_BS::[{{AA==}}]}}\n"
).encode()


def ion_export(root: Path, *lines: bytes) -> ExportFolder:
    folder = ExportFolder(root, extension=".ion.gz")
    folder.add(*lines)
    folder.seal(outputFormat="ION")
    return folder


def test_every_type_becomes_dynamodb_json(tmp_path: Path) -> None:
    """An ION line gives the item that a DYNAMODB_JSON line would, attribute names as they are."""
    folder = ion_export(tmp_path, EVERY_TYPE)
    root = LocalStore(folder.root)
    export = read_export(root, EXPORT_ID)

    assert export.summary.output_format is OutputFormat.ION
    assert verify_export(root, export).items == 1
    (item,) = read_items(root, export, export.files[0])
    numbers = {name: Decimal(item.pop(name)["N"]) for name in ("Rating", "Price", "Small", "Large", "Digits")}
    assert numbers == {
        "Rating": 4,
        "Price": Decimal("-0.5"),
        "Small": Decimal("1E-130"),
        "Large": Decimal("9.9E125"),
        "Digits": 12345678901234567890123456789012345678,
    }
    assert item == {
        "User": {"S": "ann"},
        "late attribute": {"S": ""},
        "Cover": {"B": "AAEC"},
        "Sold": {"BOOL": True},
        "Gone": {"NULL": True},
        "Details": {"M": {"Item": {"L": [{"N": "1"}, {"S": "x"}, {"M": {}}]}, "S": {"M": {}}}},
        "Tags": {"SS": ["a", "é😀"]},
        "Scores": {"NS": ["1", "2.5"]},
        "Scans": {"BS": ["AA=="]},
    }


NUMBERS = st.tuples(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-130, 87)).map(
    lambda parts: Decimal(parts[0]).scaleb(parts[1])
)
LEAVES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: {"S": text}),
    NUMBERS.map(lambda number: {"N": str(number)}),
    st.binary().map(lambda content: {"B": base64.b64encode(content).decode()}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.sets(st.text(st.characters(exclude_categories=["Cs"])), min_size=1).map(lambda texts: {"SS": sorted(texts)}),
    st.sets(NUMBERS, min_size=1).map(lambda numbers: {"NS": [str(number) for number in numbers]}),
    st.sets(st.binary(), min_size=1).map(lambda contents: {"BS": [base64.b64encode(c).decode() for c in contents]}),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: {"L": values}),
        st.dictionaries(NAMES, inner, max_size=3).map(lambda members: {"M": members}),
    ),
    max_leaves=8,
)


def to_ion(value: Any) -> Any:
    """Return one value of DynamoDB JSON as amazon.ion writes it."""
    from amazon.ion.core import IonType
    from amazon.ion.simple_types import IonPyBytes, IonPyList

    ((kind, content),) = value.items()
    if kind in {"SS", "NS", "BS"}:
        elements = [to_ion({kind[0]: element}) for element in content]
        return IonPyList.from_value(IonType.LIST, elements, annotations=(f"$dynamodb_{kind}",))
    writers: dict[str, Callable[[Any], Any]] = {
        "N": Decimal,
        "B": lambda text: IonPyBytes.from_value(IonType.BLOB, base64.b64decode(text)),
        "NULL": lambda _: None,
        "L": lambda values: [to_ion(element) for element in values],
        "M": lambda members: {name: to_ion(member) for name, member in members.items()},
    }
    return writers.get(kind, lambda same: same)(content)


@given(item=st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_ion_writes_is_read_back(item: dict[str, Any]) -> None:
    """Any item, written as Ion text by Amazon's library, comes back value for value."""
    from amazon.ion import simpleion

    wrapped = {"Item": {name: to_ion(value) for name, value in item.items()}}
    text = simpleion.dumps(wrapped, binary=False).encode()

    assert _numbers_as_decimals(decode_ion_line(text)) == _numbers_as_decimals(item)


def _numbers_as_decimals(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"N"} and isinstance(value["N"], str):
        return {"N": Decimal(value["N"])}
    if isinstance(value, dict) and set(value) == {"NS"} and isinstance(value["NS"], list):
        return {"NS": [Decimal(number) for number in value["NS"]]}
    if isinstance(value, dict):
        return {name: _numbers_as_decimals(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_numbers_as_decimals(element) for element in value]
    return value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "$ion_1_0",
        "[]",
        "{}",
        "{Item:{}} {Item:{}}",
        "{Item:{},Other:1}",
        "{Item:{},Item:{}}",
        "x::{Item:{}}",
        "{Item:null.struct}",
        "{Item:[]}",
        "{Item:{a:1e0}}",
        "{Item:{a:nan}}",
        "{Item:{a:symbol}}",
        "{Item:{a:null.string}}",
        "{Item:{a:null.bool}}",
        "{Item:{a:null.list}}",
        "{Item:{a:2020-01-01}}",
        "{Item:{a:(1 2)}}",
        '{Item:{a:{{"clob"}}}}',
        "{Item:{a:1.,a:2.}}",
        "{Item:{m:{a:1.,a:2.}}}",
        '{Item:{a:unknown::"x"}}',
        '{Item:{a:$dynamodb_SS::"x"}}',
        "{Item:{a:$dynamodb_SS::[1.]}}",
        "{Item:{a:$dynamodb_SS::[]}}",
        '{Item:{a:$dynamodb_SS::$dynamodb_NS::["x"]}}',
        "{Item:{a:1234567890123456789012345678901234567890.}}",
        "{Item:{a:1d200}}",
        "{Item:{$99:1.}}",
        "{Item:{a:" + "[" * 33 + "]" * 33 + "}}",
        "{Item:{a:" + "[" * 900 + "]" * 900 + "}}",
    ],
)
def test_a_line_that_is_no_item_is_refused(tmp_path: Path, text: str) -> None:
    """Other Ion than DynamoDB writes: an ItemError with its line and its reason."""
    folder = ion_export(tmp_path, EVERY_TYPE, text.encode() + b"\n")
    root = LocalStore(folder.root)
    with pytest.raises(ItemError) as caught:
        verify_export(root, read_export(root, EXPORT_ID))
    assert caught.value.context["line"] == 2
    assert caught.value.context["offset"] == len(EVERY_TYPE)


@given(noise=st.binary(max_size=60), at=st.integers(0, len(EVERY_TYPE)))
def test_noise_is_never_anything_but_an_item_error(noise: bytes, at: int) -> None:
    """Whatever bytes stand in a line, either it is an item or it is an ItemError."""
    for text in (noise, EVERY_TYPE[:at] + noise + EVERY_TYPE[at:].rstrip()):
        with contextlib.suppress(ItemError):
            assert isinstance(decode_ion_line(text), dict)


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ION needs amazon.ion; its absence is the caller's to mend, and no data is blamed."""
    folder = ion_export(tmp_path, EVERY_TYPE)
    root = LocalStore(folder.root)
    export = read_export(root, EXPORT_ID)
    real_import = builtins.__import__
    refused = []

    def without_ion(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("amazon"):
            refused.append(name)
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_ion)
    with pytest.raises(BadCallError, match=r"pip install 'airflow-provider-ddbexport\[ion\]'"):
        read_items(root, export, export.files[0])
    assert refused


def test_files_of_the_other_format_are_no_part_of_it(tmp_path: Path) -> None:
    """A summary that says ION and files that are JSON do not belong together."""
    folder = ExportFolder(tmp_path)
    folder.add(body=gzip.compress(b""))
    folder.seal(outputFormat="ION")
    with pytest.raises(DdbExportError, match=r"expected .*\.ion\.gz"):
        read_export(LocalStore(folder.root), EXPORT_ID)
