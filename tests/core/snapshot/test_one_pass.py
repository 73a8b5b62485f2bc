"""One pass over an export: what the sample did not show, and what becomes of the parts written until then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_exports import in_order, items_of, parts_below, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions, Observation, resolve
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export.lines import BlockReader
from airflow_provider_ddbexport.core.snapshot import CommitRecord, convert_export, convert_shard, plan_conversion
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.snapshot import shard as shard_module
from airflow_provider_ddbexport.core.snapshot.adapt import widen_part
from airflow_provider_ddbexport.core.store import LocalStore


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and samples of a few items, so that small exports have many of them."""
    from airflow_provider_ddbexport.core.export import lines

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

    def watched(source: Path, target: Path, schema: Any) -> None:
        parts.append(source)
        widen_part(source, target, schema)

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


def test_a_shard_that_would_be_cut_too_often_is_built_once_all_is_known(tmp_path: Path, read: list[str]) -> None:
    """An attribute that is new in every block would make a part of each."""
    items = [{**item, f"a{number // 10:03d}": {"S": "x"}} for number, item in enumerate(reviews(300))]
    root, export = write_export(tmp_path, items, files=1)
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake)
    shard = convert_shard(plan, plan.shards[0], root=root, lake=lake)
    assert not shard.is_built
    assert shard.observation is not None
    assert shard.observation.items == 300
    assert len(parts_below(lake)) == shard_module.MOST_CUTS
    record = convert_export(root, export, lake)
    check(record, lake, items)
    assert len(record.parts) == 1
    assert len(read) == 2


def test_only_shards_that_lack_something_are_gone_through_again(
    tmp_path: Path, read: list[str], widened: list[Path]
) -> None:
    """Of five shards one has an attribute of its own: the other four are widened, none is read twice."""
    items = [{**item, **({"Late": {"S": "x"}} if number % 5 == 0 else {})} for number, item in enumerate(reviews(500))]
    for item in items[:100]:
        item.pop("Late", None)
    root, export = write_export(tmp_path, items, files=5)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, rows_per_part=100, workers=2)
    check(record, lake, items)
    assert len(read) == 5
    assert len(widened) == 5, "four shards, and what the fifth wrote before"


values = st.sampled_from(
    [
        *({"N": text} for text in ("1", "2.5", "1E30", "1E-30", "9" * 38)),
        *(
            {"S": "x"},
            {"NULL": True},
            {"BOOL": True},
            {"L": []},
            {"M": {}},
            {"L": [{"N": "1"}]},
            {"L": [{"NULL": True}]},
        ),
        *({"M": {"k": {"N": "1"}}}, {"M": {"k": {"N": "0.5"}, "l": {"S": ""}}}, {"M": {"k": {"NULL": True}}}),
        *({"NS": ["1"]}, {"NS": ["1.5"]}, {"SS": ["x"]}),
    ]
)
tables = st.lists(st.dictionaries(st.sampled_from("abc"), values, min_size=1), min_size=4, max_size=40)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables,
    st.sampled_from(
        [
            ColumnOptions(),
            ColumnOptions(nested="flatten"),
            ColumnOptions(nested="json"),
            ColumnOptions(partition_by=("p",)),
        ]
    ),
    st.integers(1, 4),
    st.sampled_from(["compiled", "reference"]),
)
def test_the_parts_are_those_of_a_run_that_knew_all_from_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], options: ColumnOptions, files: int, decoder: str
) -> None:
    """Rows, rescued values and columns do not depend on what was seen first; no shard is left under another schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airflow_provider_ddbexport.core.export import lines

    folder = tmp_path_factory.mktemp("any")
    # The first attribute decides the folder as well: mostly numbers, or mostly text.
    items = [{**item, "p": {"N": "1"} if "a" in item else {"S": "x"}} for item in items]
    root, export = write_export(folder, items, files=files)

    def rows(lake: LocalStore) -> tuple[Any, list[Any]]:
        record = convert_export(root, export, lake, options=options, rows_per_part=12)
        tables = [pq.read_table(lake.root / "reviews" / part.key, partitioning=None) for part in record.parts]
        assert all(table.schema.equals(tables[0].schema, check_metadata=True) for table in tables)
        found = pa.concat_tables(tables).to_pylist()
        return (record.schema, record.rescued), sorted(map(repr, found))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECODER_VARIABLE, decoder)
        patch.setattr(lines, "_BLOCK_BYTES", 60)
        patch.setattr(sample_module, "FILE_BYTES", 60)
        once = rows(LocalStore(folder / "once"))
        patch.setattr(lines, "_BLOCK_BYTES", 1 << 18)
        patch.setattr(sample_module, "FILE_BYTES", 1 << 18)
        known = rows(LocalStore(folder / "known"))
    assert once == known
