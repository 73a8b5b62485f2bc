"""What the compiled decoder cannot take is refused with its place, as any other line that is no item."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from snapshot_exports import write_export

from airflow_provider_ddbexport.core import decoder
from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, Schema, resolve
from airflow_provider_ddbexport.core.compiled import line_builder, line_observer, line_router
from airflow_provider_ddbexport.core.decode import Item, decode_line
from airflow_provider_ddbexport.core.decoder import block_builder, block_router
from airflow_provider_ddbexport.core.decoder import line_observer as new_observer
from airflow_provider_ddbexport.core.line_blocks import Lines, RefusedLineError
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import ItemError

pytestmark = pytest.mark.skipif(decoder._kernel() is None, reason="there is no compiled decoder")

# Python takes this base64 and nobody writes it, so the reference is asked.
ITEMS: list[Item] = [{"k": {"S": f"{number}"}, "b": {"B": "AAAA=" if number == 3 else "AAAA"}} for number in range(6)]
LINES = b"".join(json.dumps({"Item": item}).encode() + b"\n" for item in ITEMS)


def _schema(partition_by: tuple[str, ...] = ()) -> Schema:
    observation = Observation()
    for item in ITEMS:
        observation.add(item)
    return resolve(observation, ColumnOptions(partition_by=partition_by))


def build(lines: Lines) -> None:
    block_builder(decode_line, _schema()).add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40)


def build_observed(lines: Lines) -> None:
    builder, observer = block_builder(decode_line, _schema()), new_observer(decode_line)
    builder.add_lines(lines, 0, most_rows=1 << 40, most_bytes=1 << 40, observer=observer)


def observe(lines: Lines) -> None:
    new_observer(decode_line).take(lines)


def route(lines: Lines) -> None:
    router = block_router(decode_line, _schema(("k",)), most_bytes=1 << 40)
    start = 0
    while start < len(lines):
        start = router.add_lines(lines, start, most_bytes=1 << 40)
        if router.missing is not None:
            router.open(router.missing, 1 << 40)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the decoders disagree about the line that the reference is asked about: there is no such line we know of."""
    for module in (line_builder, line_observer, line_router):
        monkeypatch.setattr(module, "line_of", lambda _item: b"[]")


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("take", [build, build_observed, observe, route])
def test_a_line_about_which_the_decoders_disagree_is_refused_where_it_is(take: Callable[[Lines], None]) -> None:
    """Not where the other spelling of it is that the compiled decoder was given."""
    with pytest.raises(RefusedLineError) as refused:
        take(LINES)
    assert LINES[refused.value.offset :].startswith(json.dumps({"Item": ITEMS[3]}).encode())


@pytest.mark.usefixtures("made_up")
def test_a_conversion_names_the_line_about_which_the_decoders_disagree(tmp_path: Path) -> None:
    """With file, line and offset, and the way out."""
    root, export = write_export(tmp_path / "exports", ITEMS, files=1)
    with pytest.raises(ItemError, match=r"json\.gz.*DDBEXPORT_DECODER=reference") as refused:
        convert_export(root, export, LocalStore(tmp_path / "lake"), workers=1)
    assert refused.value.context["line"] == 4
    assert refused.value.context["offset"] == len(b"".join(LINES.splitlines(keepends=True)[:3]))
