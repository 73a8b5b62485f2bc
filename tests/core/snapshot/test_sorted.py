"""Parts whose rows are sorted by attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from snapshot_exports import in_order, items_of, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.snapshot import parts as parts_module
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, SnapshotExistsError


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


@pytest.mark.parametrize("attribute", ["user", "Details", "Nothing"])
def test_what_cannot_be_sorted_by_is_refused_before_anything_is_written(tmp_path: Path, attribute: str) -> None:
    """Misspelt, a map, or never anything but NULL."""
    items: list[dict[str, Any]] = reviews(30)
    root, export = write_export(tmp_path, items)
    with pytest.raises(BadCallError, match=f"sort_by: .* '{attribute}' is in no item, or is something else"):
        convert_export(root, export, LocalStore(tmp_path / "lake"), sort_by=[attribute])
    assert not (tmp_path / "lake").exists()
