"""The ledger, and what lies where in a lake."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_exports import AS_OF, reviews, write_export

from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export, layout, table_folder
from airflow_provider_ddbexport.core.snapshot.browse import lake_records, lake_tables
from airflow_provider_ddbexport.core.snapshot.record_json import record_from_json, record_to_json
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.core.table_folder import check_table
from airflow_provider_ddbexport.errors import BadCallError, ObjectExistsError, SnapshotDamagedError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger of three snapshots, published out of order."""
    lake = LocalStore(tmp_path / "lake")
    for number, days in enumerate((1, 0, 2)):
        as_of = AS_OF + timedelta(days=days, milliseconds=622 if days == 1 else 0)
        export = write_export(tmp_path / str(days), reviews(5, **{f"n{number}": {"S": "x"}}), as_of=as_of)
        convert_export(*export, lake)
    return Ledger(lake.child("reviews"))


def test_records_are_in_order_of_the_time_they_show(ledger: Ledger) -> None:
    """Not of publication, and not of their file names, in which milliseconds sort before whole seconds."""
    times = [record.as_of for record in ledger.records()]
    assert times == sorted(times)
    assert len(times) == 3
    assert ledger.times() == tuple(times)
    latest = ledger.latest()
    assert latest is not None
    assert latest.as_of == times[-1]
    previous = ledger.previous(times[-1])
    assert previous is not None
    assert previous.as_of == times[1]
    assert ledger.previous(times[0]) is None


def test_milliseconds_sort_after_the_second_they_follow(tmp_path: Path) -> None:
    """``…50.622Z`` comes before ``…50Z`` as text and after it as a time."""
    lake = LocalStore(tmp_path / "lake")
    for number, millis in enumerate((622, 0)):
        export = write_export(tmp_path / str(number), reviews(number), as_of=AS_OF + timedelta(milliseconds=millis))
        convert_export(*export, lake)
    assert [record.as_of.microsecond for record in Ledger(lake.child("reviews")).records()] == [0, 622000]


def test_a_table_without_snapshots_has_an_empty_ledger(tmp_path: Path) -> None:
    """Nothing is there, and nothing is made by looking."""
    ledger = Ledger(LocalStore(tmp_path / "nothing"))
    assert (ledger.records(), ledger.latest(), ledger.get(AS_OF), ledger.table_schema()) == ((), None, None, None)
    assert ledger.newest_schema() == (0, None)
    assert not (tmp_path / "nothing").exists()


def test_columns_only_grow_along_the_chain(ledger: Ledger, tmp_path: Path) -> None:
    """Each link begins with the one before; the newest covers every snapshot."""
    number, newest = ledger.newest_schema()
    assert (number, newest) == (3, ledger.table_schema())
    assert newest is not None
    names = [column.name for column in newest.columns]
    for record in ledger.records():
        own = [column.name for column in record.schema.columns]
        assert names[: len(own)] == own
    folder = tmp_path / "lake" / "reviews" / "_schemas"
    assert sorted(path.name for path in folder.iterdir()) == ["000001.json", "000002.json", "000003.json"]


def test_a_link_of_the_chain_is_never_overwritten(ledger: Ledger) -> None:
    """The same again is fine, another is refused."""
    number, newest = ledger.newest_schema()
    assert newest is not None
    ledger.append_schema(number, newest)
    with pytest.raises(ObjectExistsError):
        ledger.append_schema(number, replace(newest, columns=newest.columns[:1]))
    assert ledger.table_schema() == newest


def test_records_of_before_keys_were_written_down_tell_none(ledger: Ledger) -> None:
    """They are read as ever."""
    record = ledger.records()[0]
    fields = json.loads(record_to_json(record))
    assert fields["source"].pop("keys") == []
    assert record_from_json(json.dumps(fields).encode(), where="here") == record


def test_records_are_the_same_read_back(ledger: Ledger) -> None:
    """All fields survive JSON, and the same record gives the same bytes."""
    for record in ledger.records():
        body = record_to_json(record)
        again = record_from_json(body, where="here")
        assert again == record
        assert record_to_json(again) == body


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("digest"),
        lambda fields: fields.update(format=2),
        lambda fields: fields.update(as_of="yesterday"),
        lambda fields: fields["parts"][0].update(rows="many"),
        lambda fields: fields["source"].pop("files"),
        lambda fields: fields["schema"]["columns"][0].update(kind="X"),
        lambda fields: fields.update(parts=7),
    ],
)
def test_what_is_no_record_is_refused_with_its_address(ledger: Ledger, tmp_path: Path, change: Any) -> None:
    """A damaged or newer record is an error that says where it lies, not a wrong answer."""
    record = ledger.records()[0]
    path = tmp_path / "lake" / "reviews" / layout.record_key(record.as_of)
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(SnapshotDamagedError, match=r"_snapshots/20260114T101850Z\.json"):
        ledger.records()
    path.write_bytes(b"\xff{")
    with pytest.raises(SnapshotDamagedError):
        ledger.get(record.as_of)


def test_other_files_beside_the_records_are_ignored(ledger: Ledger, tmp_path: Path) -> None:
    """Notes, backups and folders of people are no snapshots."""
    folder = tmp_path / "lake" / "reviews"
    for name in ("_snapshots/notes.txt", "_snapshots/20260114T101850Z.json.bak", "_snapshots/x/20260114T101850Z.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "_schemas" / "readme").write_text("x")
    assert len(ledger.records()) == 3
    assert ledger.newest_schema()[0] == 3


def test_a_broken_schema_is_told_with_its_address(ledger: Ledger, tmp_path: Path) -> None:
    """Nothing can be added to a table whose columns are unknown."""
    (tmp_path / "lake" / "reviews" / "_schemas" / "000003.json").write_text('{"columns": [{}]}')
    with pytest.raises(SnapshotDamagedError, match=r"000003\.json"):
        ledger.table_schema()


def test_a_lake_is_browsed_by_table(ledger: Ledger, tmp_path: Path) -> None:
    """Folders without a commit record are no tables."""
    lake = LocalStore(tmp_path / "lake")
    convert_export(*write_export(tmp_path / "b", reviews(2), table="Books"), lake)
    (tmp_path / "lake" / "other").mkdir()
    (tmp_path / "lake" / "other" / "20260114T101850Z.json").write_text("{}")
    assert lake_tables(lake) == ("books", "reviews")
    assert [record.table for record in lake_records(lake)] == ["books", "reviews", "reviews", "reviews"]
    assert lake_records(lake, "reviews") == ledger.records()
    assert lake_records(lake, "nothing") == ()


@pytest.mark.parametrize(
    ("name", "folder"), [("Reviews", "reviews"), ("my-Table.v2", "my_table_v2"), ("a_b", "a_b"), ("0", "0")]
)
def test_tables_have_folders_that_the_catalog_accepts(name: str, folder: str) -> None:
    """Lower case, digits and underscores."""
    assert table_folder(name) == folder
    assert check_table(folder) == folder


@pytest.mark.parametrize(("name", "way_out"), [("my-Table", "; 'my_table' would do"), ("", ""), ("A" * 256, "")])
def test_another_folder_is_refused_with_one_that_would_do_if_there_is_any(name: str, way_out: str) -> None:
    """What is empty or too long has no such folder."""
    with pytest.raises(BadCallError, match=f"found '{name}'{way_out}$"):
        check_table(name)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 (made aware below)
def test_the_key_of_a_record_says_its_time(moment: datetime) -> None:
    """To the millisecond."""
    as_of = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    assert layout.as_of_in(layout.record_key(as_of)) == as_of


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_partition_folders_are_one_folder_for_each_value(value: str) -> None:
    """No value makes two folders, or leaves its own; unescaping gives it back."""
    from urllib.parse import unquote

    folder = layout.partition_folder(("c",), (value,))
    assert folder.count("/") == 1
    assert folder not in ("./", "../")
    if "%" not in value:
        assert unquote(folder[2:-1]) == value


def test_a_folder_name_too_long_for_a_disk_is_refused_without_the_value() -> None:
    """The column is named, the value is not."""
    with pytest.raises(BadCallError, match="column 'c'") as caught:
        layout.partition_folder(("c",), ("secret" * 100,))
    assert "secret" not in str(caught.value)
