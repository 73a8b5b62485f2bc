"""What docs/lake.md says of reading a lake without Athena."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from snapshot_exports import reviews, write_export

from airflow_provider_ddbexport.core.snapshot import convert_export
from airflow_provider_ddbexport.core.store import LocalStore

PAGE = (Path(__file__).parents[3] / "docs" / "lake.md").read_text()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two days of a table that got an attribute, and a field of a map, on the second."""
    for number in range(2):
        items = reviews(10)
        if number:
            items[3]["New"] = {"N": "1"}
            items[4]["Details"]["M"]["More"] = {"S": "x"}
        as_of = datetime(2026, 1, 14 + number, tzinfo=UTC)
        root, export = write_export(tmp_path / str(number), items, as_of=as_of, number=number)
        convert_export(root, export, LocalStore(tmp_path / "lake"))
    return tmp_path / "lake"


def snippet(language: str, lake: Path) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(code).replace("LAKE", str(lake))


def test_duckdb_reads_all_days_with_the_columns_of_all(lake: Path) -> None:
    """Each day's items are counted, and the union has what only the second day has."""
    query = snippet("sql", lake)
    with duckdb.connect() as db:
        assert db.sql(query).fetchall() == [("20260114T000000Z", 10), ("20260115T000000Z", 10)]
        every = query.replace("ddb_export_timestamp, count(*) AS items", "count(new), count(details.more)")
        assert db.sql(every).fetchall() == [(1, 1)]


def test_pyarrow_reads_a_day_and_polars_all(lake: Path) -> None:
    """The page's Python runs as it stands; over all days the columns are the first one's."""
    found: dict[str, Any] = {}
    exec(snippet("python", lake), found)
    assert found["day"].num_rows == 10
    assert found["days"]["ddb_export_timestamp"].value_counts(sort=True)["count"].to_list() == [10, 10]
    assert set(found["days"].columns) == {*found["day"].column_names, "ddb_export_timestamp"}
