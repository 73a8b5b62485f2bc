"""Lines of incremental exports."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_ddbexport.core.export.changes import Change, decode_change
from airflow_provider_ddbexport.errors import ItemError

KEYS = {"User": {"S": "ann"}}
TIME: dict[str, Any] = {"WriteTimestampMicros": {"N": "1768386096366933"}}


def change(**members: Any) -> bytes:
    return json.dumps({"Metadata": TIME, "Keys": KEYS, **members}).encode()


def test_a_change_has_keys_time_and_images() -> None:
    """Insert, update, delete, and a key whose images were not asked for."""
    old, new = {**KEYS, "Rating": {"N": "1"}}, {**KEYS, "Rating": {"N": "2"}}

    assert decode_change(change(NewImage=new)) == Change(1768386096366933, KEYS, None, new)
    assert decode_change(change(OldImage=old, NewImage=new)) == Change(1768386096366933, KEYS, old, new)
    assert decode_change(change(OldImage=old)) == Change(1768386096366933, KEYS, old, None)
    assert decode_change(change()) == Change(1768386096366933, KEYS, None, None)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"Item":{}}',
        change(Keys={}),
        change(Keys="ann"),
        change(Metadata={}),
        change(Metadata={"WriteTimestampMicros": {"N": "noon"}}),
        change(Metadata={"WriteTimestampMicros": 17}),
        change(Other={}),
        change(NewImage={"User": "ann"}),
        change(OldImage={"User": {"X": "ann"}}),
        change(Keys={"User": {"N": "ann"}}),
    ],
)
def test_a_line_that_is_no_change_is_refused(line: bytes) -> None:
    """With a reason that names members and types, and never a value."""
    with pytest.raises(ItemError) as caught:
        decode_change(line)
    assert caught.value.context["reason"]
    assert "ann" not in str(caught.value)
    assert "noon" not in str(caught.value)
