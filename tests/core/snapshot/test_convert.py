"""Converting an export to a published snapshot."""

from __future__ import annotations

import hashlib
import json
import pickle
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from export_folder import EXPORT_ID, ExportFolder, line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snapshot_exports import AS_OF, in_order, items_of, parts_below, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export import lines, read_export
from airflow_provider_ddbexport.core.snapshot import (
    ConversionPlan,
    Ledger,
    Progress,
    convert_export,
    convert_shard,
    plan_conversion,
    publish,
)
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.snapshot import plan as plan_module
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.snapshot.conversion import Conversion, find_plan
from airflow_provider_ddbexport.core.snapshot.plan import make_shards
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import (
    BadCallError,
    DataFileError,
    ItemError,
    PublishRaceError,
    SnapshotError,
    StoreNotWritableError,
)

OPTIONS = [
    ColumnOptions(),
    ColumnOptions(numbers="double"),
    ColumnOptions(numbers="string"),
    ColumnOptions(numbers={"Rating": "decimal(5,2)", "*": "double"}),
    ColumnOptions(nested="flatten"),
    ColumnOptions(nested="json"),
    ColumnOptions(partition_by=("User",)),
    ColumnOptions(partition_by=("Rating", "Late"), nested="flatten"),
    ColumnOptions(column_names={"User": "who"}),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: json.dumps(options.to_json()))
def test_items_come_back_value_for_value_whatever_the_options(tmp_path: Path, options: ColumnOptions) -> None:
    """Converting and restoring is the identity for every option, with rescued values, late attributes and sets."""
    items = reviews(60, **{"a/b~": {"L": [{"N": "1E-130"}, {"S": "x"}, {"M": {}}]}})
    root, export = write_export(tmp_path, items)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, options=options, rows_per_part=25)
    assert in_order(items_of(lake)) == in_order(items)
    assert record.rows == 60
    assert record == Ledger(lake.child("reviews")).get(AS_OF)
    assert record.rescued


values = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=5)),
        st.builds(lambda number: {"N": str(number)}, st.integers(-(10**20), 10**20)),
        st.builds(lambda number: {"N": str(number)}, st.decimals("-1e9", "1e9", places=5)),
        st.just({"NULL": True}),
        st.booleans().map(lambda value: {"BOOL": value}),
        st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=3).map(lambda value: {"SS": sorted(value)}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda value: {"L": value}),
        st.dictionaries(st.sampled_from("abM"), inner, max_size=3).map(lambda value: {"M": value}),
    ),
    max_leaves=6,
)
tables = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "S"]), values, min_size=1), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, st.sampled_from(OPTIONS[:6]), st.integers(1, 4), st.integers(1, 5))
def test_items_come_back_however_they_are_dealt_to_files_and_parts(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], options: ColumnOptions, files: int, rows: int
) -> None:
    """The identity holds for any items, any number of files and any size of parts."""
    folder = tmp_path_factory.mktemp("any")
    root, export = write_export(folder, items, files=files)
    lake = LocalStore(folder / "lake")
    record = convert_export(root, export, lake, options=options, rows_per_part=rows)
    assert in_order(items_of(lake)) == in_order(items)
    assert all(part.rows <= rows for part in record.parts)


def test_the_record_says_what_there_is(tmp_path: Path) -> None:
    """Rows, sizes and hashes in the commit record are those of the files; nothing else lies in the folder."""
    root, export = write_export(tmp_path, reviews(30))
    lake = LocalStore(tmp_path / "lake")
    moment = datetime(2026, 2, 1, 12, 0, 0, 123456, tzinfo=UTC)
    record = convert_export(root, export, lake, rows_per_part=10, now=lambda: moment)
    assert {part.key for part in record.parts} == parts_below(lake)
    for part in record.parts:
        body = (tmp_path / "lake" / "reviews" / part.key).read_bytes()
        assert (part.size, part.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        parquet = pq.ParquetFile(tmp_path / "lake" / "reviews" / part.key)
        assert parquet.metadata.num_rows == part.rows
        assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"
    assert record.published_at == moment.replace(microsecond=123000)
    assert record.source.item_count == record.rows == 30
    assert record.source.digest == export.digest
    assert "data file md5" in record.source.verified
    assert record.options["nested"] == "struct"


@pytest.mark.parametrize(
    ("decoder", "partition_by"), [("compiled", ()), ("compiled", ("User",)), ("reference", ())], ids=str
)
def test_the_same_input_gives_the_same_bytes_with_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str, partition_by: tuple[str, ...]
) -> None:
    """Parts have the same names, bytes and order from one worker and from two threads, or processes."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    root, export = write_export(tmp_path, reviews(90), files=5)
    one, two = LocalStore(tmp_path / "one"), LocalStore(tmp_path / "two")
    options = ColumnOptions(partition_by=partition_by)
    first = convert_export(root, export, one, options=options, rows_per_part=20)
    seen: list[Progress] = []
    second = convert_export(root, export, two, options=options, rows_per_part=20, workers=2, progress=seen.append)
    assert_whole(seen, 90)
    assert len(make_shards(export.files, {}, rows_per_part=20, part_bytes=1 << 20)) > 1
    assert first.parts == second.parts
    assert first.schema == second.schema
    assert in_order(items_of(two)) == in_order(reviews(90))


def test_stores_that_do_not_pickle_are_read_by_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that holds a client cannot go to another process; the result is the same."""
    monkeypatch.setenv(DECODER_VARIABLE, "reference")

    class Unpicklable(LocalStore):
        def __reduce__(self) -> tuple[Any, ...]:
            raise TypeError("cannot pickle")

    root, export = write_export(tmp_path, reviews(90), files=5)
    record = convert_export(Unpicklable(root.root), export, LocalStore(tmp_path / "lake"), rows_per_part=20, workers=2)
    other = convert_export(root, export, LocalStore(tmp_path / "other"), rows_per_part=20)
    assert record.parts == other.parts


def test_schema_and_rows_do_not_depend_on_how_items_are_dealt_to_files(tmp_path: Path) -> None:
    """One file or seven: the same columns and the same items."""
    items = reviews(50)
    records = []
    for files in (1, 7):
        root, export = write_export(tmp_path / str(files), items[::-1] if files == 7 else items, files=files)
        lake = LocalStore(tmp_path / str(files) / "lake")
        records.append(convert_export(root, export, lake))
        assert in_order(items_of(lake)) == in_order(items)
    assert records[0].schema == records[1].schema
    assert records[0].rescued == records[1].rescued


def test_an_empty_table_is_a_published_snapshot_with_the_last_known_columns(tmp_path: Path) -> None:
    """Zero items give one part without rows whose columns are those of the day before."""
    lake = LocalStore(tmp_path / "lake")
    before = convert_export(*write_export(tmp_path / "a", reviews(5)), lake)
    after = convert_export(*write_export(tmp_path / "b", [], as_of=AS_OF + timedelta(days=1)), lake)
    assert (after.rows, len(after.parts), after.parts[0].rows) == (0, 1, 0)
    assert after.schema == before.schema
    parquet = pq.read_schema(tmp_path / "lake" / "reviews" / after.parts[0].key)
    assert parquet.names == pq.read_schema(tmp_path / "lake" / "reviews" / before.parts[0].key).names
    assert items_of(lake) == []


@pytest.mark.parametrize("options", [ColumnOptions(), ColumnOptions(partition_by=("year",))])
def test_the_first_snapshot_may_be_of_an_empty_table(tmp_path: Path, options: ColumnOptions) -> None:
    """Nothing is known about the columns, and still there is a snapshot, which can be read."""
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(*write_export(tmp_path, []), lake, options=options)
    assert record.rows == 0
    assert len(parts_below(lake)) == 1
    assert items_of(lake) == []


def test_partitions_are_folders_as_hive_writes_them(tmp_path: Path) -> None:
    """Values are escaped in the path, kept as they are in the record, and absent ones go to the default partition."""
    items = [{"id": {"N": str(n)}, **({"Kind": {"S": k}} if k else {})} for n, k in enumerate(["a/b=c", "", "é", "é"])]
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(*write_export(tmp_path, items), lake, options=ColumnOptions(partition_by=("Kind",)))
    folders = {part.key.split("/")[1]: part.partition for part in record.parts}
    assert folders == {
        "kind=a%2Fb%3Dc": ("a/b=c",),
        "kind=é": ("é",),
        "kind=__HIVE_DEFAULT_PARTITION__": (None,),
    }
    assert in_order(items_of(lake)) == in_order(items)


@pytest.fixture
def few_file_handles() -> Iterator[None]:
    """Leave this process a few more file handles than it has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(int(handle.name) for handle in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="counts file handles as Linux does")
@pytest.mark.usefixtures("few_file_handles")
@pytest.mark.parametrize("sort_by", [(), ("id",)], ids=["as they come", "sorted"])
def test_each_partition_is_one_part_in_whatever_order_items_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sort_by: tuple[str, ...]
) -> None:
    """Of many more than there are file handles, none is ended because another one begins."""
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 10_000)
    items = [{"id": {"N": str(n)}, "Kind": {"S": str(n % 120)}, "Text": {"S": "x" * 40}} for n in range(400)]
    Random(1).shuffle(items)
    lake = LocalStore(tmp_path / "lake")
    export = write_export(tmp_path, items, files=2)
    record = convert_export(*export, lake, options=ColumnOptions(partition_by=("Kind",)), sort_by=sort_by)
    assert len(record.parts) == 120
    metadata = [pq.read_metadata(tmp_path / "lake/reviews" / part.key) for part in record.parts]
    assert max(file.num_row_groups for file in metadata) > 1, "some were written to again after others"
    assert in_order(items_of(lake)) == in_order(items)


@pytest.mark.parametrize(("most", "limit"), [("OPEN_PARTS", 3), ("OPEN_COLUMNS", 12)])
@pytest.mark.parametrize("decoder", ["compiled", "reference"])
def test_more_partitions_than_memory_has_room_for_still_give_every_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str, limit: int, decoder: str
) -> None:
    """There are more parts, none of them lost or written twice, and never more under way than may be."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    monkeypatch.setattr(parts_module, most, limit)
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 40)
    under_way = []
    start = parts_module.PartsWriter._start

    def watched(writer: parts_module.PartsWriter, partition: tuple[str | None, ...]) -> object:
        started = start(writer, partition)
        under_way.append(writer.under_way)
        return started

    monkeypatch.setattr(parts_module.PartsWriter, "_start", watched)
    items = [{"id": {"N": str(n)}, "Kind": {"S": str(n % 8)}} for n in range(64)]
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(
        *write_export(tmp_path, items, files=1), lake, options=ColumnOptions(partition_by=("Kind",))
    )
    assert len(record.parts) > 8
    assert 1 < max(under_way) <= 5
    assert in_order(items_of(lake)) == in_order(items)


def test_an_attribute_that_comes_late_does_not_cut_every_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many of them are converted again once all is known, and each is one part."""
    monkeypatch.setattr(sample_module, "FILE_BYTES", 1)
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 2000)
    items = [{"id": {"N": str(n)}, "Kind": {"S": str(n * 3 % 70)}} for n in range(500)]
    items += [{**item, "Late": {"S": "x"}} for item in items]
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(
        *write_export(tmp_path, items, files=1), lake, options=ColumnOptions(partition_by=("Kind",))
    )
    assert len(record.parts) == 70
    assert in_order(items_of(lake)) == in_order(items)


def test_a_part_ends_when_it_has_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """part_bytes bounds a part's file, give or take one row group."""
    # Hashes, so that zstd finds nothing to shorten.
    items = [{"id": {"S": hashlib.sha512(str(n).encode()).hexdigest()}} for n in range(2000)]
    monkeypatch.setattr(parts_module, "ROW_GROUP_BYTES", 10_000)
    record = convert_export(*write_export(tmp_path, items, files=1), LocalStore(tmp_path / "lake"), part_bytes=30_000)
    assert len(record.parts) > 2
    assert all(part.size < 50_000 for part in record.parts)
    assert all(part.size >= 30_000 for part in record.parts[:-1])


@pytest.mark.parametrize("decoder", ["compiled", "reference"])
def test_row_groups_of_wide_tables_have_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    """The nulls of a sparse table take memory, too, so a row group is bounded in values as well as in bytes; by less
    where rows are sorted, and nulls are in memory as Arrow has them."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    monkeypatch.setattr(parts_module, "ROW_GROUP_VALUES", 1000)
    items = [{"id": {"N": str(n)}, f"a{n % 98:02d}": {"S": "x"}} for n in range(196)]
    export = write_export(tmp_path, items, files=1)
    for sort_by, rows in (((), 20), (("id",), 10)):
        lake = f"lake sorted by {sort_by}"
        (part,) = convert_export(*export, LocalStore(tmp_path / lake), sort_by=sort_by).parts
        metadata = pq.ParquetFile(tmp_path / lake / "reviews" / part.key).metadata
        assert metadata.num_columns == 98 + 1 + 2, "the map of rescued values has keys and values"
        assert rows / 2 < max(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)) <= rows


def test_small_files_become_one_part_and_large_ones_several() -> None:
    """Shards hold at most a part's items, and their order does not depend on the manifest's; the first has all the
    empty files, which are verified like the others.
    """
    from airflow_provider_ddbexport.core.export import DataFile

    files = [DataFile(f"x/data/{n}.json.gz", n % 3, f"md5 {n:02d}") for n in range(30)]
    shards = make_shards(files, {}, rows_per_part=10, part_bytes=1 << 30)
    assert [shard.number for shard in shards] == [0, 1, 2, 3]
    assert [sum(file.item_count for file in shard.files) for shard in shards] == [10, 9, 9, 2]
    assert [sum(not file.item_count for file in shard.files) for shard in shards] == [10, 0, 0, 0]
    assert sorted(file.key for shard in shards for file in shard.files) == sorted(file.key for file in files)
    assert make_shards(files[::-1], {}, rows_per_part=10, part_bytes=1 << 30) == shards
    files = [file for file in files if file.item_count]
    by_size = make_shards(files, {file.key: 6 for file in files}, rows_per_part=1000, part_bytes=12)
    assert {len(shard.files) for shard in by_size} == {2}
    uneven = [DataFile(f"x/data/{n}.json.gz", 1, f"md5 {n:02d}") for n in range(12)]
    sizes = {file.key: (3 + n % 5) << 20 for n, file in enumerate(uneven)}
    shards = make_shards(uneven, sizes, rows_per_part=1000, part_bytes=16 << 20)
    assert all(sum(sizes[file.key] for file in shard.files) <= 16 << 20 for shard in shards)


@pytest.mark.parametrize(
    ("megabytes", "files", "expected"),
    [(27, 8, [4, 4]), (17, 8, [4, 4]), (16, 8, [8]), (100, 10, [2, 3, 3, 2]), (300, 1, [1]), (1500, 7, [1] * 7)],
)
def test_workers_have_about_as_much_to_do(megabytes: int, files: int, expected: list[int]) -> None:
    """A few shards of a small export, and those of a large one, are as equal as its files let them be."""
    from airflow_provider_ddbexport.core.export import DataFile

    listed = [DataFile(f"x/data/{n}.json.gz", 1, f"md5 {n:02d}") for n in range(files)]
    sizes = {file.key: (megabytes << 20) // files - n % 2 for n, file in enumerate(listed)}
    shards = make_shards(listed, sizes, rows_per_part=1000, part_bytes=256 << 20)
    assert [len(shard.files) for shard in shards] == expected


def test_plan_shards_and_publish_are_what_convert_is_made_of(tmp_path: Path) -> None:
    """A plan crosses processes as JSON or pickle; its shards are converted anywhere, in any order, also twice."""
    root, export = write_export(tmp_path, reviews(90), files=6)
    lake, other = LocalStore(tmp_path / "lake"), LocalStore(tmp_path / "other")
    plan = plan_conversion(root, export, lake, rows_per_part=20)
    assert parts_below(lake) == set()
    assert plan_conversion(root, export, lake, rows_per_part=20) == plan
    assert ConversionPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert len(plan.shards) > 2
    for shard in (*plan.shards[:0:-1], *plan.shards[:0:-1]):
        convert_shard(plan, shard, root=root, lake=lake)
    with pytest.raises(PublishRaceError, match=rf"1 of {len(plan.shards)} shards .* the first is 0; nothing was publ"):
        publish(plan, root=root, lake=lake)
    assert Ledger(lake.child("reviews")).get(AS_OF) is None
    convert_shard(plan, plan.shards[0], root=root, lake=lake)
    record = publish(plan, root=root, lake=lake)
    whole = convert_export(root, export, other, rows_per_part=20)
    assert record.parts == whole.parts
    assert in_order(items_of(lake)) == in_order(reviews(90))
    assert publish(plan, root=root, lake=lake) == record
    assert not list(lake.child("reviews").list("_conversions"))


def test_shards_of_a_plan_by_another_version_are_not_taken_for_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upgraded in mid-run: what is converted by the earlier version's plan is recorded there, under its numbers."""
    root, export = write_export(tmp_path, reviews(90), files=6)
    lake = LocalStore(tmp_path / "lake")
    with monkeypatch.context() as earlier:
        earlier.setattr(plan_module, "WRITER", "an earlier version")
        plan = plan_conversion(root, export, lake, rows_per_part=20)
    assert isinstance(plan, ConversionPlan)
    found = find_plan(lake.child("reviews"), plan.publication.conversion)
    assert found is not None
    # As if that version had cut the export otherwise.
    for shard in found.shards:
        convert_shard(found, replace(shard, files=found.shards[0].files), root=root, lake=lake)
    assert {info.key.rpartition("/")[0] for info in lake.child("reviews").list("_conversions")} == {
        plan.publication.conversion
    }
    convert_export(root, export, lake, rows_per_part=20)
    assert in_order(items_of(lake)) == in_order(reviews(90))


def test_an_increment_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """An incremental export is no table: the call is wrong, and nothing is written."""
    root, export = write_export(tmp_path, [], kind="incremental")
    with pytest.raises(BadCallError, match=r"incremental export.*convert a full export as of 2026-01-14T10:18:50Z"):
        convert_export(root, export, LocalStore(tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "My-Table"}, "'my_table' would do"),
        ({"table": "../x"}, "expected 1 to 255 lower-case letters"),
        ({"rows_per_part": 0}, "rows_per_part"),
        ({"part_bytes": -1}, "part_bytes"),
        ({"part_bytes": 1 << 30}, "part_bytes: expected at most 536870912"),
        ({"workers": 0}, "workers"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    """The error names the argument; the lake is untouched."""
    root, export = write_export(tmp_path, reviews(3))
    with pytest.raises(BadCallError, match=message):
        convert_export(root, export, LocalStore(tmp_path / "lake"), **arguments)
    assert not (tmp_path / "lake").exists()


def test_damage_is_found_before_anything_is_published(tmp_path: Path) -> None:
    """A flipped bit ends the run; whatever was written until then is known to no reader."""
    root, export = write_export(tmp_path, reviews(30))
    damaged = root.root / export.files[1].key
    body = bytearray(damaged.read_bytes())
    body[40] ^= 1
    damaged.write_bytes(body)
    lake = LocalStore(tmp_path / "lake")
    with pytest.raises(DataFileError, match="md5 expected"):
        convert_export(root, export, lake)
    assert Ledger(lake.child("reviews")).latest() is None
    assert Ledger(lake.child("reviews")).table_schema() is None


@pytest.mark.parametrize(("lines", "found"), [(None, "it is missing"), (reviews(1), "item count expected 0, found 1")])
@pytest.mark.parametrize("items", [reviews(30), []], ids=["some items", "no items"])
def test_a_file_that_is_said_to_be_empty_is_verified_as_well(
    tmp_path: Path, items: list[Any], lines: list[Any] | None, found: str
) -> None:
    """DynamoDB writes data files without items; one that is missing, or has an item, is damage like any other."""
    folder = ExportFolder(tmp_path)
    folder.add(*(line(**item) for item in items))
    empty = folder.add(*(line(**item) for item in lines or ()), count=0)
    folder.seal()
    if lines is None:
        empty.unlink()
    root, lake = LocalStore(folder.root), LocalStore(tmp_path / "lake")
    with pytest.raises(DataFileError, match=found):
        convert_export(root, read_export(root, EXPORT_ID), lake)
    assert Ledger(lake.child("reviews")).latest() is None


@pytest.mark.parametrize(("decoder", "workers"), [("compiled", 1), ("compiled", 2), ("reference", 2)])
def test_a_line_that_is_no_item_is_told_with_its_place_from_any_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str, workers: int
) -> None:
    """The error crosses threads and processes with file, line and offset."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    root, export = write_export(tmp_path, [*reviews(5), {"x": {"WRONG": 1}}], files=2)
    lake = LocalStore(tmp_path / "lake")
    with pytest.raises(ItemError) as caught:
        convert_export(root, export, lake, workers=workers, rows_per_part=3)
    assert caught.value.context["line"] == 3
    assert Ledger(lake.child("reviews")).latest() is None


def test_an_export_that_changes_after_the_plan_is_not_published(tmp_path: Path) -> None:
    """Whoever reads a file verifies it, so what is published is what the manifests say."""
    root, export = write_export(tmp_path, reviews(30))
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake)
    (root.root / export.files[0].key).write_bytes(b"")
    with pytest.raises(DataFileError):
        convert_shard(plan, plan.shards[0], root=root, lake=lake)
    assert Ledger(lake.child("reviews")).latest() is None


def test_a_lake_that_refuses_writes_says_so(tmp_path: Path) -> None:
    """The error names the place and what to do."""
    (tmp_path / "lake").write_text("a file where a folder is needed")
    root, export = write_export(tmp_path, reviews(3))
    with pytest.raises(StoreNotWritableError, match=r"make .* a folder that this user may write to"):
        convert_export(root, export, LocalStore(tmp_path / "lake"))


def test_progress_counts_every_item_once(tmp_path: Path) -> None:
    """Progress never goes back and ends at the whole."""
    root, export = write_export(tmp_path, reviews(9000), files=1)
    seen: list[Progress] = []
    convert_export(root, export, LocalStore(tmp_path / "lake"), progress=seen.append)
    assert_whole(seen, 9000)
    assert len({now.items for now in seen}) > 4, "within a file as well"


@pytest.mark.parametrize("workers", [1, 2])
def test_what_progress_raises_ends_the_conversion_and_the_next_one_goes_on(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards that are done are kept, of the others nothing is, and no temporary file is left."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    root, export = write_export(tmp_path, reviews(3000), files=4)
    lake = LocalStore(tmp_path / "lake")

    def stop(now: Progress) -> None:
        if now.items > 2250:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        convert_export(root, export, lake, rows_per_part=750, workers=workers, progress=stop)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert Ledger(lake.child("reviews")).records() == ()
    plan = plan_conversion(root, export, lake, rows_per_part=750)
    assert isinstance(plan, ConversionPlan)
    kept = len(Conversion(lake.child("reviews"), plan).done(range(4)))
    assert 2 <= kept < 4
    seen: list[Progress] = []
    record = convert_export(root, export, lake, rows_per_part=750, workers=workers, progress=seen.append)
    assert [now.items for now in seen[:kept]] == [750 * (done + 1) for done in range(kept)]
    assert_whole(seen, 3000)
    assert (record.rows, len(record.parts)) == (3000, 4)


def assert_whole(seen: list[Progress], total: int) -> None:
    """The one reading was told of, from its first items to its last."""
    items = [now.items for now in seen]
    assert items == sorted(items)
    assert items[-1] == total
    assert {(now.stage, now.total) for now in seen} == {("convert", total)}


def test_a_row_count_that_differs_from_the_export_is_never_published(tmp_path: Path) -> None:
    """Parts that claim more rows than the export has are refused."""
    root, export = write_export(tmp_path, reviews(9))
    lake = LocalStore(tmp_path / "lake")
    plan = plan_conversion(root, export, lake)
    record = convert_shard(plan, plan.shards[0], root=root, lake=lake)
    Conversion(lake.child("reviews"), plan).keep(replace(record, parts=(replace(record.parts[0], rows=10),)))
    with pytest.raises(SnapshotError, match="expected parts with 9 rows in all, found 1 parts with 10"):
        publish(plan, root=root, lake=lake)
    assert Ledger(lake.child("reviews")).latest() is None
