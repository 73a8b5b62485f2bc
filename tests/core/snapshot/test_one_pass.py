"""One pass over an export: what the sample did not show, and what becomes of the parts written until then."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_exports import in_order, items_of, parts_below, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, RowBuilder, Schema, resolve
from airflow_provider_ddbexport.core.columns import observe as observe_module
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export import lines
from airflow_provider_ddbexport.core.export.lines import BlockReader
from airflow_provider_ddbexport.core.snapshot import (
    CommitRecord,
    convert_export,
    convert_shard,
    plan_conversion,
    publish,
)
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.snapshot import shard as shard_module
from airflow_provider_ddbexport.core.snapshot.adapt import widen_part
from airflow_provider_ddbexport.core.store import LocalStore

# Not the functions of the same names.
resolve_module = sys.modules["airflow_provider_ddbexport.core.columns.resolve"]
convert_module = sys.modules["airflow_provider_ddbexport.core.snapshot.convert"]

ROUNDS = int(os.environ.get("DDBEXPORT_DECODER_ROUNDS", "1"))
"""How many times the usual number of generated exports; `make fuzz` asks for more."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and samples of a few items, so that small exports have many of them."""
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 2_000)
    monkeypatch.setattr(sample_module, "FILE_BYTES", 2_000)


@pytest.fixture(params=["compiled", "reference"])
def either_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DECODER_VARIABLE, request.param)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the data files that were read whole, in order."""
    keys: list[str] = []
    made = BlockReader.__init__

    def watched(self: BlockReader, root: Any, export: Any, file: Any, take: Any) -> None:
        keys.append(file.key)
        made(self, root, export, file, take)

    monkeypatch.setattr(BlockReader, "__init__", watched)
    return keys


@pytest.fixture
def widened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The parts that were widened."""
    from airflow_provider_ddbexport.core.snapshot import adapt

    parts: list[Path] = []

    def watched(source: BinaryIO, target: Path, schema: Any, sort_by: Any) -> str:
        parts.append(target)
        return widen_part(source, target, schema, sort_by)

    monkeypatch.setattr(adapt, "widen_part", watched)
    return parts


def check(record: CommitRecord, lake: LocalStore, items: list[Any], options: ColumnOptions | None = None) -> None:
    """All *items* come back, from parts of the one schema that all of them ask for, and nothing else lies there."""
    seen = Observation()
    for item in items:
        seen.add(item)
    assert record.schema == resolve(seen, options or ColumnOptions())
    assert in_order(items_of(lake)) == in_order(items)
    assert parts_below(lake) == {part.key for part in record.parts}
    assert not list(lake.child(record.table).list("_conversions"))


LATE: dict[str, dict[str, Any]] = {
    "an attribute": {"Brand": {"S": "new"}},
    "a fraction": {"Rating": {"N": "4.5"}},
    "a number beyond int64": {"Rating": {"N": "9" * 25}},
    "a number beyond decimals": {"Rating": {"N": "1E+100"}},
    "a field": {"Details": {"M": {"Pages": {"N": "1.5"}, "Cover": {"S": "soft"}}}},
    "a typed element": {"Empty": {"L": [{"S": "x"}]}},
    "a map that was empty": {"Hollow": {"M": {"k": {"S": "x"}}}},
}


@pytest.mark.usefixtures("either_decoder")
@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_what_comes_late_widens_what_was_written(
    tmp_path: Path, read: list[str], widened: list[Path], late: dict[str, Any]
) -> None:
    """Each file is read once, and the parts before it are widened, unless they hold a value that has a column now."""
    items = reviews(200, Empty={"L": []}, Hollow={"M": {}}, Never={"NULL": True})
    items += [{**item, **late} for item in reviews(20)]
    root, export = write_export(tmp_path, items, files=1)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake)
    check(record, lake, items)
    assert len(record.parts) == (1 if late in (LATE["a typed element"], LATE["a map that was empty"]) else 2)
    assert (len(read), len(widened)) == ((2, 0) if len(record.parts) == 1 else (1, 1))


@pytest.mark.parametrize("open_parts", [2, 10_000])
def test_partitions_that_get_more_columns_are_cut_alike_by_both_decoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, widened: list[Path], open_parts: int
) -> None:
    """Attributes and folders that come late, and parts that end for others to begin: the same bytes."""
    monkeypatch.setattr(parts_module, "OPEN_PARTS", open_parts)
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 5_000)
    items = [
        {
            "id": {"N": str(number)},
            "Kind": {"S": f"kind {number // 25 % 3}"},
            "Size": {"N": "1" if number < 80 else "1.50"},
            **({"Late": {"S": "x"}} if number > 120 else {}),
        }
        for number in range(160)
    ]
    options = ColumnOptions(partition_by=("Kind",))
    found = {}
    for name in ("compiled", "reference"):
        monkeypatch.setenv(DECODER_VARIABLE, name)
        root, export = write_export(tmp_path / name, items, files=1)
        lake = LocalStore(tmp_path / name / "lake")
        record = convert_export(root, export, lake, options=options)
        check(record, lake, items, options)
        found[name] = [(part.partition, part.key, part.sha256) for part in record.parts]
    assert found["compiled"] == found["reference"]
    assert {partition for partition, _, _ in found["compiled"]} == {(f"kind {number}",) for number in range(3)}
    assert len(found["compiled"]) > 3
    assert widened


def test_what_no_widening_gives_is_converted_again(tmp_path: Path, read: list[str], widened: list[Path]) -> None:
    """A map that gets too many keys, and an attribute whose commonest type is another than the sample's."""
    items = [
        {
            "id": {"N": str(number)},
            "Map": {"M": {f"key {number // 4 % 500}": {"S": "x"}}},
            "Kind": {"S": "text"} if number < 200 else {"N": "1"},
        }
        for number in range(2000)
    ]
    root, export = write_export(tmp_path, items, files=1)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake)
    check(record, lake, items)
    assert (len(read), len(widened)) == (2, 0)
    assert record.rescued == {"Kind": 200}


def test_a_shard_that_would_be_cut_too_often_is_built_once_all_is_known(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attribute that is new in every block would make a part of each.

    Of the first few that are given up, those that only waited for the store are not stored.
    """
    cuts = 0

    def cut(writer: parts_module.PartsWriter, schema: Schema) -> None:
        nonlocal cuts
        cuts += 1
        go_on(writer, schema)

    go_on = parts_module.PartsWriter.go_on_under
    monkeypatch.setattr(parts_module.PartsWriter, "go_on_under", cut)
    items = [{**item, f"a{number // 10:03d}": {"S": "x"}} for number, item in enumerate(reviews(300))]
    root, export = write_export(tmp_path, items, files=1)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake)
    shard = convert_shard(plan, plan.shards[0], root=root, lake=lake)
    assert not shard.is_built
    assert shard.observation is not None
    assert shard.observation.items == 300
    assert cuts == shard_module.MOST_CUTS
    assert len(parts_below(lake)) <= cuts
    record = convert_export(root, export, lake)
    check(record, lake, items)
    assert len(record.parts) == 1
    assert len(read) == 2


@pytest.mark.parametrize("is_apart", [True, False], ids=["each by a task", "one after the other"])
def test_only_shards_that_lack_something_are_gone_through_again(
    tmp_path: Path, read: list[str], widened: list[Path], is_apart: bool
) -> None:
    """Of five shards one has an attribute of its own: the other four are widened, but for those that begin when it is
    known; none is read twice.
    """
    items = reviews(500, Late={"S": "x"})
    for item in items[100::5]:
        item["Own"] = {"S": "x"}
    root, export = write_export(tmp_path, items, files=5)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake, rows_per_part=100)
    for shard in plan.shards if is_apart else ():
        convert_shard(plan, shard, root=root, lake=lake)
    record = convert_export(root, export, lake, rows_per_part=100)
    check(record, lake, items)
    assert len(read) == 5
    (late,) = (shard.number for shard in plan.shards if shard.files[0].key.endswith("0.json.gz"))
    assert len(widened) == (4 if is_apart else late) + 1, "and what that one wrote before"


@pytest.mark.parametrize("is_older", [False, True], ids=["", "recorded by an older version"])
@pytest.mark.parametrize("is_damaged", [False, True], ids=["whole", "damaged"])
def test_a_part_that_is_not_what_was_written_is_not_widened(
    tmp_path: Path, read: list[str], widened: list[Path], is_damaged: bool, is_older: bool
) -> None:
    """One byte of a page, which would be copied as it is: the shard is converted again. An older version recorded no
    CRC-32 of what it wrote, and the sha256 tells.
    """
    items = reviews(200)
    items[-1]["Brand"] = {"S": "new"}
    root, export = write_export(tmp_path, items, files=2, in_order=True)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake, rows_per_part=100)
    first, _ = (convert_shard(plan, shard, root=root, lake=lake) for shard in plan.shards)
    recorded, part = lake.root / "reviews" / plan.publication.conversion, lake.root / "reviews" / first.parts[0].key
    if is_older:
        for path in recorded.glob("shard-*.json"):
            record = json.loads(path.read_text())
            assert all(entry.pop("crc32") for entry in record["parts"])
            path.write_text(json.dumps(record))
    if is_damaged:
        body = bytearray(part.read_bytes())
        body[len(body) // 4] ^= 1
        part.write_bytes(body)
    published = publish(plan, root=root, lake=lake)
    check(published, lake, items)
    assert (len(read), len(widened)) == ((3, 1) if is_damaged else (2, 2))
    undisturbed = convert_export(root, export, LocalStore(tmp_path / "other"), rows_per_part=100)
    assert [part.sha256 for part in published.parts] == [part.sha256 for part in undisturbed.parts]


_CONVERT = """
import json, sys
from pathlib import Path
from airflow_provider_ddbexport.core.export import read_export
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore

root, lake = map(LocalStore, map(Path, sys.argv[1:3]))
record = convert_export(root, read_export(root, sys.argv[3]), lake)
print(json.dumps(["widen" in record.report["seconds"], "pandas" in sys.modules]))
"""


def test_parts_are_widened_without_pandas(tmp_path: Path) -> None:
    """Where that is installed pyarrow imports it for a scalar or a list, and that takes longer than all of this."""
    assert importlib.util.find_spec("pandas") is not None
    items = reviews(300, Text={"S": "x" * 2_000})
    items[-1] |= {"Brand": {"S": "new"}, "Rating": {"N": "4.5"}}
    root, export = write_export(tmp_path, items, files=1)
    export_id = export.summary.export_arn.rpartition("/")[2]
    command = [sys.executable, "-c", _CONVERT, str(root.root), str(tmp_path / "lake"), export_id]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, False]


PATIENCE_S = 600


class Unhurried(LocalStore):
    """A lake that takes no wide part before another narrow one is opened."""

    is_widened = threading.Event()
    opened: ClassVar[list[str]] = []
    taken: ClassVar[list[str]] = []

    def child(self, folder: str) -> Unhurried:
        return Unhurried(self.root / folder)

    def open(self, key: str) -> BinaryIO:
        self.opened.append(key)
        if len(self.opened) >= 3:
            self.is_widened.set()
        return super().open(key)

    def move_file(self, key: str, path: Path) -> None:
        if self.opened:
            assert self.is_widened.wait(PATIENCE_S)
            self.taken.append(key)
        super().move_file(key, path)


@pytest.mark.parametrize(("workers", "files"), [(2, 4), (1, 1)], ids=["of other shards", "of the same shard"])
def test_a_part_is_widened_while_those_before_it_go_to_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, files: int
) -> None:
    """The third part is begun although none of the others is stored."""
    monkeypatch.setattr(convert_module, "sample_export", lambda *_: Observation())
    monkeypatch.setattr(Unhurried, "opened", [])
    monkeypatch.setattr(Unhurried, "taken", [])
    monkeypatch.setattr(Unhurried, "is_widened", threading.Event())
    items = reviews(40)
    items[-1]["Brand"] = {"S": "new"}
    root, export = write_export(tmp_path, items, files=files, in_order=True)
    lake = Unhurried(tmp_path / "lake")
    plan = plan_conversion(root, export, lake, rows_per_part=10)
    for shard in plan.shards:
        convert_shard(plan, shard, root=root, lake=lake)
    record = convert_export(root, export, lake, rows_per_part=10, workers=workers)
    assert len(Unhurried.taken) >= 3
    check(record, LocalStore(lake.root), items)


@pytest.mark.usefixtures("either_decoder")
@pytest.mark.parametrize(
    ("sampled", "first", "then"),
    [("1E-12", "0.5", "1" * 27), ("9" * 38, "0.5", "0.55"), ("1E-30", "1", "123456789")],
    ids=["digits before the point", "digits behind it", "an integer"],
)
@pytest.mark.parametrize("wrap", [lambda n: {"N": n}, lambda n: {"M": {n[-1]: {"N": n}}}], ids=["number", "map"])
def test_a_number_that_fits_its_type_but_not_the_samples_has_its_place_all_the_same(  # noqa: PLR0917 - fixtures
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: str, first: str, then: str, wrap: Any
) -> None:
    """What another file holds has made room behind the point, where this one wants it before: not rescued."""
    for module in (observe_module, resolve_module):
        monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    files = [[wrap(sampled)] + [wrap("0")] * 99, [wrap("0")] * 50 + [wrap(first)] * 49 + [wrap(then)]]
    items = [{"n": value, "Text": {"S": "x" * 100}} for file in files for value in file]
    root, export = write_export(tmp_path, items, files=2, in_order=True)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, rows_per_part=100)
    check(record, lake, items)
    assert record.rescued == {}


NUMBERS = [
    ("0.5", "1E-12", "1" * 27, "7"),
    ("9" * 38, "0.5", "0.55", "-1"),
    ("1", "1E-30", "123456789", "-12"),
    ("1", "2.5", "1E30", "1E-30", "1E100", "-7E15"),
]
"""Each wants room before the point and behind it that no one type has."""
OTHERS: list[dict[str, Any]] = [
    *({"S": "x"}, {"NULL": True}, {"BOOL": True}, {"SS": ["x"]}, {"N": "1"}, {"NS": ["1"]}),
    *({"L": []}, {"L": [{"L": []}]}, {"L": [{"NULL": True}, {"M": {}}]}, {"L": [{"S": "x"}, {"N": "1"}]}),
    *(
        {"M": {}},
        {"M": {"k": {"NULL": True}}},
        {"M": {"k": {"S": ""}}},
        {"M": {"k": {"M": {}}}},
        {"M": {"k": {"L": []}}},
    ),
    *({"M": {"k": {"M": {"m": {"N": "1"}}}}}, {"M": {"k": {"S": "x"}, "l": {"N": "1"}, "m": {"BOOL": True}}}),
]
WRAPS: list[Callable[[str], dict[str, Any]]] = [
    lambda number: {"N": number},
    lambda number: {"NS": [number]},
    lambda number: {"L": [{"N": number}]},
    lambda number: {"M": {number[-1]: {"N": number}}},
    lambda number: {"L": [{"M": {"k": {"N": number}}}]},
]
FAMILIES = [*([wrap(number) for number in numbers] for wrap in WRAPS for numbers in NUMBERS), OTHERS]
"""An attribute's values are mostly of one of them."""


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Items of a table, those of a stretch more alike than those of different stretches."""
    families = {name: draw(st.sampled_from(FAMILIES)) for name in "abc"}
    items: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 6))):
        here = {
            name: st.sampled_from(draw(st.lists(st.sampled_from(family), min_size=1, max_size=2)) * 4 + OTHERS[:5])
            for name, family in families.items()
        }
        items += draw(st.lists(st.fixed_dictionaries({}, optional=here), min_size=1, max_size=8))
    return items


WAYS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, ()),
    ({}, ()),
    ({"nested": "flatten"}, ()),
    ({"nested": "json"}, ()),
    ({"partition_by": ("p",)}, ()),
    ({"numbers": {"a": "decimal(20,10)"}}, ()),
    ({}, ("n",)),
    ({"partition_by": ("p",), "nested": "flatten"}, ("t", "n")),
]


@settings(max_examples=50 * ROUNDS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    items=tables(),
    way=st.sampled_from(WAYS),
    files=st.integers(1, 4),
    block_bytes=st.sampled_from([60, 60, 300, 1 << 18]),
    sample_bytes=st.sampled_from([1, 60, 300, 1 << 18]),
    rows_per_part=st.sampled_from([3, 12, 100]),
    most_keys=st.sampled_from([256, 2]),
    decoder=st.sampled_from(["compiled", "reference"]),
)
def test_rows_and_columns_depend_on_nothing_but_the_items(  # noqa: PLR0917 - hypothesis gives them by name
    items: list[Any],
    way: tuple[dict[str, Any], tuple[str, ...]],
    files: int,
    block_bytes: int,
    sample_bytes: int,
    rows_per_part: int,
    most_keys: int,
    decoder: str,
) -> None:
    """However items are dealt to files, files to shards and shards to parts, and whatever the sample showed: the rows,
    the rescued values and the columns are those of one builder that knew all from the beginning, and rows are sorted.
    """
    columns, sort_by = way
    options = ColumnOptions(**columns)
    items = [table_item(item, number) for number, item in enumerate(items)]
    items[-1] |= {"t": {"S": "x"}, "n": {"N": "0"}}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        for module in (observe_module, resolve_module):
            patch.setattr(module, "MAX_MEMBERS", most_keys)
        patch.setenv(DECODER_VARIABLE, decoder)
        patch.setattr(lines, "_BLOCK_BYTES", block_bytes)
        patch.setattr(sample_module, "FILE_BYTES", sample_bytes)
        root, export = write_export(Path(name), items, files=files, in_order=True)
        lake = LocalStore(Path(name) / "lake")
        record = convert_export(root, export, lake, options=options, rows_per_part=rows_per_part, sort_by=sort_by)
        parts = [pq.read_table(lake.root / "reviews" / part.key, partitioning=None) for part in record.parts]
        sorted_by = [columns_sorted_by(lake.root / "reviews" / part.key) for part in record.parts]
        schema, rescued, rows = built_at_once(items, options)
    assert record.schema == schema
    assert record.rescued == rescued
    assert sorted(map(repr, itertools.chain(*(part.to_pylist() for part in parts)))) == rows
    keys = [column.name for attribute in sort_by for column in schema.columns if column.attribute == attribute]
    assert sorted_by == [keys] * len(parts)
    for part in parts:
        assert part.schema.equals(parts[0].schema, check_metadata=True)
        if keys:
            assert part.select(keys).equals(part.select(keys).sort_by([(key, "ascending") for key in keys]))


def columns_sorted_by(path: Path) -> list[str]:
    """Return what the file says that the rows of its first row group are sorted by."""
    metadata = pq.read_metadata(path)
    return [metadata.schema.column(by.column_index).path for by in metadata.row_group(0).sorting_columns]


def table_item(item: dict[str, Any], number: int) -> dict[str, Any]:
    """Return *item* with what folders are made of, mostly numbers or mostly text, and what is sorted by."""
    kinds = [{"N": "1"}, {"S": "x"}]
    item = {**item, "p": kinds["a" not in item]}
    if "b" in item:
        item["t"] = {"S": f"{number % 5}"}
        item["n"] = item["b"] if "N" in item["b"] else {"N": str(number)}
    return item


def built_at_once(items: list[Any], options: ColumnOptions) -> tuple[Schema, dict[str, int], list[str]]:
    """Return the columns of *items*, what is rescued from them, and their rows, in an order that is not theirs."""
    seen = Observation()
    for item in items:
        seen.add(item)
    schema = resolve(seen, options)
    builder = RowBuilder(schema)
    for item in items:
        builder.add(item)
    return schema, dict(sorted(builder.rescued.items())), sorted(map(repr, builder.finish().to_pylist()))
