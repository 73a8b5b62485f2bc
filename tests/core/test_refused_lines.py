"""What the compiled decoder cannot take is refused with its place, as any other line that is no item."""

from __future__ import annotations

import gzip
import json
import sys
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
from airflow_provider_ddbexport.core.line_blocks import DISAGREEMENT, Lines, RefusedLineError, UndecodedLineError
from airflow_provider_ddbexport.core.merge import Increment, MergePlan, find_merge, merge, merge_crew, plan_merge
from airflow_provider_ddbexport.core.merge.merge_plan import plan_shards
from airflow_provider_ddbexport.core.merge.shards import staging_again
from airflow_provider_ddbexport.core.scan.reader import _refused_items
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import DataFileError, DecoderError, ItemError

sys.path.insert(0, str(Path(__file__).parent / "merge"))
from merged_tables import History

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
    """With file, line and offset, and the way out; a new export would be billed for nothing."""
    root, export = write_export(tmp_path / "exports", ITEMS, files=1)
    with pytest.raises(DecoderError, match=r"json\.gz.*DDBEXPORT_DECODER=reference") as refused:
        convert_export(root, export, LocalStore(tmp_path / "lake"), workers=1)
    assert "start a new export" not in str(refused.value)
    assert refused.value.context["line"] == 4
    assert refused.value.context["offset"] == len(b"".join(LINES.splitlines(keepends=True)[:3]))


@pytest.mark.usefixtures("made_up")
def test_damage_is_told_before_what_the_decoders_disagree_about(tmp_path: Path) -> None:
    """What is in a damaged file may be anything."""
    root, export = write_export(tmp_path / "exports", ITEMS, files=1)
    path = root.root / export.files[0].key
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=1, mtime=1))
    with pytest.raises(DataFileError, match="md5 expected"):
        convert_export(root, export, LocalStore(tmp_path / "lake"), workers=1)


@pytest.mark.usefixtures("made_up")
def test_a_merge_names_the_line_about_which_the_decoders_disagree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and does not take it for damage of what was staged, which staging again would mend."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.go_on(Odd={"B": "AAAA="})
    planned: list[MergePlan] = []
    monkeypatch.setattr(merge, "plan_shards", lambda *of, **how: planned.append(plan_shards(*of, **how)) or planned[-1])
    with pytest.raises(DecoderError, match=r"survivors-\d+\.json\.gz.*DDBEXPORT_DECODER=reference"):
        story.merge(lake, 0)
    assert len(planned) == 1
    assert planned[0].held is not None


def test_a_line_that_was_staged_and_is_no_item_is_not_staged_again(tmp_path: Path) -> None:
    """The md5 of its file is right, so it would be the same."""
    story, lake = History(tmp_path / "exports"), LocalStore(tmp_path / "lake")
    story.convert(lake)
    story.go_on()
    increments = [Increment(story.root, story.increments[0])]
    plan = plan_merge(increments, lake, table="reviews")
    assert isinstance(plan, MergePlan)
    with merge_crew(plan, lake) as crew, pytest.raises(ItemError, match="no item"), staging_again(crew):
        raise ItemError("no item")
    assert find_merge(lake.child("reviews"), plan.publication.conversion) == plan


def test_a_scan_tells_what_to_do_about_an_item_that_the_decoders_disagree_about() -> None:
    """Scanning again would not help."""
    with (
        pytest.raises(DecoderError, match=r"^scanning table Reviews.*DDBEXPORT_DECODER=reference"),
        _refused_items("Reviews"),
    ):
        raise UndecodedLineError(0, DISAGREEMENT)
