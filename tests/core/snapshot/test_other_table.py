"""One folder of the lake is one DynamoDB table's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from snapshot_exports import AS_OF, reviews, write_export

from airflow_provider_ddbexport.core.export import Export
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export, plan_conversion
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError

DAY = timedelta(days=1)
Exported = Callable[[str, datetime], tuple[LocalStore, Export]]


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    """Return a function that exports a table of some name as of some time."""

    def export(table: str, as_of: datetime) -> tuple[LocalStore, Export]:
        return write_export(tmp_path / f"{table} {as_of:%d}", reviews(5), table=table, as_of=as_of)

    return export


def convert(exported: tuple[LocalStore, Export], lake: LocalStore, *, other_table: bool = False) -> CommitRecord:
    return convert_export(*exported, lake, table="reviews", other_table=other_table)


def test_another_tables_export_is_refused_before_anything_is_written(exported: Exported, tmp_path: Path) -> None:
    """Later or earlier than what is there; the error names both tables and both ways out."""
    lake = LocalStore(tmp_path / "lake")
    convert(exported("Reviews", AS_OF), lake)
    before = [info.key for info in lake.list()]
    for as_of in (AS_OF + DAY, AS_OF - DAY):
        root, export = exported("Ratings", as_of)
        with pytest.raises(BadCallError, match=r"of arn:\S+table/Reviews, .* of arn:\S+table/Ratings") as caught:
            convert((root, export), lake)
        assert "--other-table" in str(caught.value)
        assert caught.value.context["expected"].endswith("table/Reviews")
        with pytest.raises(BadCallError, match="other_table"):
            plan_conversion(root, export, lake, table="reviews")
    assert [info.key for info in lake.list()] == before


def test_a_table_under_another_name_is_accepted_once(exported: Exported, tmp_path: Path) -> None:
    """From then on its snapshots follow each other; days before are the old table's, also where they are added."""
    lake = LocalStore(tmp_path / "lake")
    convert(exported("Reviews", AS_OF), lake)
    convert(exported("Restored", AS_OF + 3 * DAY), lake, other_table=True)
    convert(exported("Restored", AS_OF + 4 * DAY), lake)
    convert(exported("Reviews", AS_OF + DAY), lake)
    convert(exported("Reviews", AS_OF - DAY), lake)
    with pytest.raises(BadCallError, match="other_table"):
        convert(exported("Reviews", AS_OF + 5 * DAY), lake)
    names = [record.source.table_arn.rpartition("/")[2] for record in Ledger(lake.child("reviews")).records()]
    assert names == ["Reviews", "Reviews", "Reviews", "Restored", "Restored"]
