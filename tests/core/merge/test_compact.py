"""Increments boiled down to what they come to."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from increments import change, write_increment

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.export import Export
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge import compact as compacting
from airflow_provider_ddbexport.core.merge.compact import Compacted, Increment
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, DataFileError, ItemError

ATTRIBUTES = ("Book", "User")


def key(number: int) -> Item:
    return {"User": {"S": f"u{number % 3}"}, "Book": {"N": str(number)}}


def history(dice: Random, windows: int) -> tuple[list[list[dict[str, Any]]], dict[int, Item | None], dict[int, Item]]:
    """Return the lines of each window, the last image by key, and the image before the first change by key."""
    table: dict[int, Item] = {number: {**key(number), "v": {"N": "0"}} for number in range(10)}
    last: dict[int, Item | None] = {}
    before: dict[int, Item] = {}
    increments = []
    for window in range(windows):
        lines = []
        for number in dice.sample(range(20), 8):
            old = table.pop(number, None)
            new = {**key(number), "v": {"N": str(window + 1)}} if old is None or dice.random() < 0.6 else None
            if new is not None:
                table[number] = new
            if number not in last and old is not None:
                before[number] = old
            last[number] = new
            lines.append(change(1000 * window + dice.randrange(1000), key(number), old, new))
        increments.append(lines)
    return increments, last, before


def staged(store: LocalStore, compacted: Compacted) -> tuple[dict[bytes, bool | None], list[Item], list[Item]]:
    """Return the changed keys with whether they were there, the survivors, and the items before."""
    keys: dict[bytes, bool | None] = {}
    survivors, before = [], []
    for bucket in compacted.buckets:
        if not bucket.changed:
            continue
        table = pa.ipc.open_file(store.read(bucket.keys)).read_all()
        assert table.num_rows == bucket.changed
        assert table["key"].to_pylist() == sorted(table["key"].to_pylist())
        keys.update(zip(table["key"].to_pylist(), table["was_there"].to_pylist(), strict=True))
        for file, items in ((bucket.survivors, survivors), (bucket.before, before)):
            if file is not None:
                lines = gzip.decompress(store.read(file.key)).splitlines()
                assert len(lines) == file.item_count
                items += [json.loads(line)["Item"] for line in lines]
    return keys, survivors, before


def compact(root: LocalStore, exports: list[Export], store: LocalStore) -> Compacted:
    return compacting.compact([Increment(root, export) for export in exports], store)


def by_key(items: list[Item]) -> dict[bytes | None, Item]:
    return {key_bytes(item, ATTRIBUTES): item for item in items}


@pytest.mark.parametrize("keys_per_bucket", [1000, 5])
def test_the_last_write_of_each_key_survives(
    keys_per_bucket: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the key was before the first, in one bucket or several; the same bytes in whatever order files come."""
    monkeypatch.setattr(compacting, "KEYS_PER_BUCKET", keys_per_bucket)
    dice = Random(7)
    for case in range(5):
        lines, last, before = history(dice, windows=4)
        exports = [write_increment(tmp_path / str(case), found, window=n) for n, found in enumerate(lines)]
        root = LocalStore(tmp_path / str(case) / "AWSDynamoDB")
        store = LocalStore(tmp_path / f"staged-{case}")
        compacted = compact(root, exports, store)

        assert compacted.key_attributes == ATTRIBUTES
        assert (compacted.changes, compacted.changed) == (32, len(last))
        assert len(compacted.buckets) == (1 if keys_per_bucket == 1000 else 7)
        keys, survivors, olds = staged(store, compacted)
        assert keys == {key_bytes(key(number), ATTRIBUTES): number in before for number in last}
        assert by_key(survivors) == by_key([image for image in last.values() if image is not None])
        assert by_key(olds) == by_key(list(before.values()))

        other = LocalStore(tmp_path / f"again-{case}")
        assert compact(root, [replace(e, files=e.files[::-1]) for e in exports], other) == compacted
        assert {i.key: other.read(i.key) for i in other.list()} == {i.key: store.read(i.key) for i in store.list()}


def test_the_time_of_a_write_decides_and_not_its_window(tmp_path: Path) -> None:
    """Two windows that hold the same key out of order are right: the later write is the one that stays."""
    late, early = {**key(1), "v": {"S": "late"}}, {**key(1), "v": {"S": "early"}}
    exports = [
        write_increment(tmp_path, [change(2_000, key(1), None, late)], window=0),
        write_increment(tmp_path, [change(1_000, key(1), late, early)], window=1),
    ]
    store = LocalStore(tmp_path / "staged")
    keys, survivors, before = staged(store, compact(LocalStore(tmp_path / "AWSDynamoDB"), exports, store))
    assert survivors == [late]
    assert list(keys.values()) == [False]
    assert not before


def test_without_old_images_nobody_knows_what_was_there(tmp_path: Path) -> None:
    """An increment of NEW_IMAGE does not tell an insert from an update."""
    made = write_increment(tmp_path, [change(1, key(1), None, key(1)), change(2, key(2), None, None)], view="NEW_IMAGE")
    store = LocalStore(tmp_path / "staged")
    keys, survivors, before = staged(store, compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store))
    assert (list(keys.values()), survivors, before) == ([None, None], [key(1)], [])


def test_no_changes_come_to_nothing(tmp_path: Path) -> None:
    """An increment of a quiet hour stages nothing."""
    store = LocalStore(tmp_path / "staged")
    compacted = compact(LocalStore(tmp_path / "AWSDynamoDB"), [write_increment(tmp_path, [])], store)
    assert compacted == Compacted((), 0, ())
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{}", "expected a change"),
        (change(1, {"User": {"S": "a"}}, None, {}), "Book, User as in the first change, found User"),
        (change(1, {"User": {"S": "a"}, "Book": {"BOOL": "x"}}, None, {}), "BOOL"),
        (change(1, {"User": {"S": "a"}, "Book": {"N": "x"}}, None, {}), "not decimal digits"),
        (change(1, key(1), {"v": {"N": "x"}}, key(1)), "not decimal digits"),
        (change(1, key(1), key(1), {"v": {"X": "x"}}), "a type that DynamoDB does not have"),
    ],
)
def test_a_line_that_is_no_change_is_found(line: Any, reason: str, tmp_path: Path) -> None:
    """With its file and number, and nothing is staged."""
    made = write_increment(tmp_path, [change(1, key(n), key(n), key(n)) for n in range(3)] + [line], files=1)
    store = LocalStore(tmp_path / "staged")
    with pytest.raises(ItemError, match=reason) as caught:
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store)
    assert caught.value.context["line"] == 4
    assert list(store.list()) == []


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    """Nothing that was not verified is staged."""
    made = write_increment(tmp_path, [change(1, key(n), None, key(n)) for n in range(9)])
    path = next((tmp_path / "AWSDynamoDB" / "data").iterdir())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"u", b"v")))
    store = LocalStore(tmp_path / "staged")
    with pytest.raises(DataFileError, match="md5 expected"):
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store)
    assert list(store.list()) == []


def test_a_full_export_is_no_increment(tmp_path: Path) -> None:
    """It is refused before anything is read."""
    made = write_increment(tmp_path, [])
    other: Export = replace(made, summary=replace(made.summary, export_type="FULL_EXPORT"))  # type: ignore[arg-type]
    with pytest.raises(BadCallError, match="holds items, not changes"):
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [other], LocalStore(tmp_path / "staged"))
