"""Ion text, as the embedded DynamoDB exports it."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.export.ion import decode_ion_line
from airflow_provider_ddbexport.local.attribute_values import canonical_item, canonical_number
from airflow_provider_ddbexport.local.ion_text import ion_line

texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = texts.filter(bool) | st.sampled_from(
    ["null", "nan", "true", "$ion_1_0", "$5", "it's", 'a"b', "\\", "S", "Item"]
)
numbers = st.decimals(
    allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30"), places=6
).map(lambda number: canonical_number(str(number)))
blobs = st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode())
scalars = st.one_of(
    st.builds(lambda text: {"S": text}, texts),
    st.builds(lambda number: {"N": number}, numbers),
    st.builds(lambda blob: {"B": blob}, blobs),
    st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda found: {"SS": found}, st.lists(texts, min_size=1, max_size=3, unique=True)),
    st.builds(lambda found: {"NS": found}, st.lists(numbers, min_size=1, max_size=3, unique=True)),
    st.builds(lambda found: {"BS": found}, st.lists(blobs, min_size=1, max_size=3, unique=True)),
)
values: st.SearchStrategy[dict[str, Any]] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(lambda found: {"M": found}, st.dictionaries(names, inner, max_size=3)),
        st.builds(lambda found: {"L": found}, st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """Return a value with its numbers canonical and its sets in order."""
    if isinstance(value, dict):
        return {name: sorted(inner) if name in {"SS", "NS", "BS"} else plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(names, values, max_size=4))
def test_items_come_back_from_ion_as_they_were(item: dict[str, Any]) -> None:
    """Whatever an item holds, and however its attributes are called, our Ion reader reads what was written."""
    assert plain(canonical_item(decode_ion_line(ion_line({"Item": item})))) == plain(item)
