"""The report of a conversion: exact counts, reasons, and what drifted since the day before."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from snapshot_exports import AS_OF, reviews, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import CommitRecord, Ledger, convert_export
from airflow_provider_ddbexport.core.snapshot import sample as sample_module
from airflow_provider_ddbexport.core.snapshot.report_text import report_lines
from airflow_provider_ddbexport.core.store import LocalStore


def rescued(record: CommitRecord) -> dict[str, dict[str, int]]:
    """Return why values were rescued, by path; the counts are those of the record."""
    entries = record.report["rescued"]
    assert {entry["path"]: entry["count"] for entry in entries} == record.rescued
    return {entry["path"]: entry["why"] for entry in entries}


ITEMS: list[dict[str, Any]] = [
    *({"id": {"N": str(number)}, "t": {"S": "x"}, "m": {"M": {"k": {"N": "1"}}}} for number in range(20)),
    {"id": {"N": "20"}, "t": {"N": "1"}, "m": {"M": {"k": {"S": "one"}}}, "n": {"NULL": True}},
    {"id": {"N": "21"}, "t": {"BOOL": True}, "m": {"S": "none"}, "n": {"NULL": True}},
    {"id": {"N": "22"}, "l": {"L": [{"S": "x"}, {"S": "y"}, {"NULL": True}]}, "e": {"M": {}}},
    {"id": {"N": "23"}, "l": {"NULL": True}, "d": {"N": "0.1"}},
    {"id": {"N": "24"}, "d": {"N": "0.12345678901234567890"}},
]


def test_the_report_counts_nulls_and_says_why_values_were_rescued(tmp_path: Path) -> None:
    """By type where the type is another than the column's, and as a misfit where the column cannot hold it."""
    options = ColumnOptions(numbers={"d": "double"})
    root, export = write_export(tmp_path, ITEMS)
    lake = LocalStore(tmp_path / "lake")
    record = convert_export(root, export, lake, options=options, rows_per_part=9)
    assert rescued(record) == {
        "d": {"misfit": 1},
        "e": {"M{}": 1},
        "l": {"NULL": 2},
        "m": {"S": 1},
        "m/k": {"S": 1},
        "n": {"NULL": 2},
        "t": {"BOOL": 1, "N": 1},
    }
    nulls = {column["column"]: column["nulls"] for column in record.report["columns"]}
    tables = [pq.read_table(tmp_path / "lake/reviews" / part.key, partitioning=None) for part in record.parts]
    assert len(tables) > 1
    assert nulls == {name: sum(table[name].null_count for table in tables) for name in nulls}
    assert nulls == {"id": 0, "t": 5, "m": 4, "l": 24, "d": 24}
    assert record.report["items"] == 25
    assert record.report["written_bytes"] == sum(part.size for part in record.parts)
    assert record.report["read_bytes"] == sum((root.root / file.key).stat().st_size for file in export.files)
    assert {"read", "decode", "encode", "store"} <= record.report["seconds"].keys()
    assert Ledger(lake.child("reviews")).get(AS_OF) == record


@pytest.mark.parametrize("options", [ColumnOptions(), ColumnOptions(partition_by=("Kind",))], ids=["plain", "folders"])
def test_nulls_are_those_of_all_parts_however_they_came_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: ColumnOptions
) -> None:
    """Also of parts that were widened, and of columns that are in the path."""
    from airflow_provider_ddbexport.core.export import lines

    monkeypatch.setattr(lines, "_BLOCK_BYTES", 1000)
    monkeypatch.setattr(sample_module, "FILE_BYTES", 1)
    items = [{**item, **({"Kind": {"S": "a"}} if number % 4 else {})} for number, item in enumerate(reviews(100))]
    items[-1]["Last"] = {"S": "x"}
    root, export = write_export(tmp_path, items, files=2)
    record = convert_export(root, export, LocalStore(tmp_path / "lake"), options=options)
    nulls = {column["path"]: column["nulls"] for column in record.report["columns"]}
    assert nulls == {
        "User": 0,
        "Book": 0,
        "Details": 0,
        "Rating": record.rescued["Rating"],
        "Late": 66,
        "Kind": 25,
        "Last": 99,
    }
    assert "widen" in record.report["seconds"]


def test_drift_is_told_against_the_snapshot_before(tmp_path: Path) -> None:
    """New columns, columns that no item has any more, and what is rescued for the first time."""
    lake = LocalStore(tmp_path / "lake")
    first = [{"id": {"N": "1"}, "old": {"S": "x"}, "number": {"N": "1"}}]
    second = [{"id": {"N": "1"}, "new": {"S": "x"}, "number": {"N": "1.5"}}, {"id": {"N": "2"}, "number": {"N": "1"}}]
    before = convert_export(*write_export(tmp_path / "1", first, as_of=AS_OF - timedelta(days=1)), lake)
    after = convert_export(*write_export(tmp_path / "2", second), lake)
    assert before.report["drift"] is None
    assert after.report["drift"] == {
        "previous": "2026-01-13T10:18:50Z",
        "rows": 1,
        "new_columns": ["new"],
        "unused_columns": ["old"],
        "newly_rescued": ["number"],
    }
    assert rescued(after) == {"number": {"misfit": 1}}


def test_names_in_the_options_that_nothing_is_of_are_told(tmp_path: Path) -> None:
    """Misspelt ones, mostly; those of places inside of maps and lists are known."""
    inner = {"M": {"Price/kg": {"N": "1"}, "all": {"L": [{"M": {"n": {"N": "1"}}}]}}}
    options = ColumnOptions(
        numbers={
            "*": "auto",
            "Ratng": "double",
            "Rating": "double",
            "deep/Price~1kg": "double",
            "deep/all/n": "string",
        },
        column_names={"nix": "foo", "deep/all": "every"},
    )
    for name, items, unused in (
        ("some", [{"Rating": {"N": "1"}, "deep": inner}], ["Ratng", "nix"]),
        ("all", [{"Rating": {"N": "1"}, "deep": inner, "Ratng": {"N": "1"}, "nix": {"S": ""}}], []),
    ):
        root, export = write_export(tmp_path / name, items)
        record = convert_export(root, export, LocalStore(tmp_path / name / "lake"), options=options)
        assert record.report["unused_options"] == unused
        told = [line for line in report_lines(record) if line.startswith("options name")]
        assert told == [
            "options name what no column is of: Ratng, nix; check the spelling, upper and lower case too"
        ] * bool(unused)


def test_people_get_a_table_without_anything_that_items_hold(tmp_path: Path) -> None:
    """Names, types and counts; long tables are cut, long types too."""
    secret = "SECRET"
    wide = {f"attribute {n:03d}": {"S": secret} for n in range(80)}
    items: list[dict[str, Any]] = [
        *ITEMS,
        {"id": {"N": "30"}, **wide, "deep": {"M": {f"f{n}": {"S": secret} for n in range(20)}}},
    ]
    record = convert_export(*write_export(tmp_path, items), LocalStore(tmp_path / "lake"))
    lines = report_lines(record)
    assert "26 items" in lines[0]
    assert any(line.split() == ["t", "booleans", "1,", "numbers", "1"] or "numbers 1" in line for line in lines)
    assert any("… and 26 more in the commit record" in line for line in lines)
    assert max(map(len, lines)) < 200
    assert secret not in "\n".join(lines)
    assert secret not in json.dumps(record.report)


def test_a_name_of_an_attribute_writes_one_line_and_no_colours(tmp_path: Path) -> None:
    """Whoever writes items chooses it: where it has a column, is rescued, and is so for the first time."""
    forged = "a\x1b[31m\nall is well"
    lake = LocalStore(tmp_path / "lake")
    convert_export(*write_export(tmp_path / "first", [{"id": {"N": "1"}, forged: {"N": "1"}}]), lake)
    items: list[dict[str, Any]] = [{"id": {"N": str(number)}, forged: {"S": "x"}} for number in range(2)]
    record = convert_export(*write_export(tmp_path / "second", items, as_of=AS_OF + timedelta(days=1)), lake)
    lines = report_lines(record)
    assert sum("a\\u001b[31m\\u000aall is well" in line for line in lines) == 3
    assert all(line.isprintable() for line in lines)
