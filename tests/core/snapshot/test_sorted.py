"""Parts whose rows are sorted by attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from snapshot_exports import in_order, items_of, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.export import lines
from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export, sample
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, DataFileError, SnapshotExistsError


@pytest.mark.parametrize(
    "options", [ColumnOptions(), ColumnOptions(partition_by=("Rating",))], ids=["plain", "folders"]
)
def test_the_rows_of_each_part_are_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: ColumnOptions
) -> None:
    """Over all its row groups, by each attribute in turn, and nothing is lost."""
    monkeypatch.setattr(parts_module, "ROW_GROUP_ROWS", 7)
    items = reviews(120)
    root, export = write_export(tmp_path, items)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, options=options, rows_per_part=50, sort_by=("User", "Book"))
    assert in_order(items_of(lake)) == in_order(items)
    assert len(record.parts) > 2
    groups = 0
    for part in record.parts:
        file = pq.ParquetFile(tmp_path / "lake/reviews" / part.key)
        keys = [(row["user"], row["book"]) for row in file.read(["user", "book"]).to_pylist()]
        assert keys == sorted(keys)
        groups = max(groups, file.num_row_groups)
    assert groups > 1
    assert record.options["sort_by"] == ["User", "Book"]


def test_another_order_is_another_option(tmp_path: Path) -> None:
    """A snapshot that is published unsorted is not silently kept."""
    root, export = write_export(tmp_path, reviews(9))
    lake = LocalStore(tmp_path / "lake")
    assert "sort_by" not in convert_export(root, export, lake).options
    with pytest.raises(SnapshotExistsError, match=r"other options \(sort_by\)"):
        convert_export(root, export, lake, sort_by="User")


@pytest.mark.parametrize(
    ("attribute", "found"),
    [("user", "has no value"), ("Details", "has a column of kind STRUCT"), ("Nothing", "has no value")],
)
def test_what_cannot_be_sorted_by_is_refused_before_anything_is_written(
    tmp_path: Path, attribute: str, found: str
) -> None:
    """Misspelt, a map, or never anything but NULL."""
    items: list[dict[str, Any]] = reviews(30)
    root, export = write_export(tmp_path, items)
    with pytest.raises(BadCallError, match=f"sort_by: .* '{attribute}' {found}"):
        convert_export(root, export, LocalStore(tmp_path / "lake"), sort_by=[attribute])
    assert not (tmp_path / "lake").exists()


@pytest.fixture
def short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make samples a few items of each file."""
    monkeypatch.setattr(sample, "FILE_BYTES", 1)
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 2_000)


@pytest.mark.usefixtures("short_sample")
def test_an_attribute_that_only_later_items_have_can_be_sorted_by(tmp_path: Path) -> None:
    """The sample does not show it; the parts with it are sorted by it all the same."""
    items = [*reviews(300), *reversed([{**item, "Place": {"N": str(n)}} for n, item in enumerate(reviews(50))])]
    root, export = write_export(tmp_path, items, files=2, in_order=True)
    assert "Place" not in sample.sample_export(root, export).attributes
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, sort_by=("Place", "User"))
    assert in_order(items_of(lake)) == in_order(items)
    for part in record.parts:
        rows = pq.read_table(tmp_path / "lake/reviews" / part.key, columns=["place", "user"]).to_pylist()
        # Nulls come last.
        keys = [(row["place"] is None, row["place"] or 0, row["user"]) for row in rows]
        assert keys == sorted(keys)


@pytest.mark.usefixtures("short_sample")
def test_parts_sorted_by_numbers_that_become_text_are_sorted_as_text(tmp_path: Path) -> None:
    """9 comes before 10 until a number that fits no decimal makes text of all of them; then it comes behind."""
    items = [{**item, "Rank": {"N": str(number)}} for number, item in enumerate(reviews(200))]
    items[-1]["Rank"] = {"N": "1E+100"}
    root, export = write_export(tmp_path, items, files=2, in_order=True)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, sort_by="Rank", rows_per_part=100)
    assert in_order(items_of(lake)) == in_order(items)
    for part in record.parts:
        ranks = pq.read_table(tmp_path / "lake/reviews" / part.key, columns=["rank"])["rank"].to_pylist()
        assert ranks == sorted(ranks)


@pytest.mark.usefixtures("short_sample")
def test_what_no_item_has_is_found_at_the_end_where_the_sample_is_not_all(tmp_path: Path) -> None:
    """Nothing is published."""
    root, export = write_export(tmp_path, reviews(300))
    lake = LocalStore(tmp_path / "lake")
    with pytest.raises(BadCallError, match="'Nowhere' has no value"):
        convert_export(root, export, lake, sort_by="Nowhere")
    assert Ledger(lake.child("reviews")).latest() is None


def test_a_first_item_that_is_longer_than_the_sample_can_be_sorted_by(tmp_path: Path) -> None:
    """The sample has at least one whole item of each file."""
    items = reviews(3, Long={"S": "x" * 350_000})
    root, export = write_export(tmp_path, items, files=1)
    assert sample.sample_export(root, export).items == 1
    lake = LocalStore(tmp_path / "lake")
    convert_export(root, export, lake, sort_by="User")
    assert in_order(items_of(lake)) == in_order(items)


def test_damage_is_told_as_damage_and_not_as_a_misspelt_attribute(tmp_path: Path) -> None:
    """A sample that cannot be read says nothing about what items have."""
    root, export = write_export(tmp_path, reviews(3), files=1)
    (root.root / export.files[0].key).write_bytes(b"no gzip")
    with pytest.raises(DataFileError, match="md5 expected"):
        convert_export(root, export, LocalStore(tmp_path / "lake"), sort_by="User")
