"""Increments boiled down to what they come to."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from fresh_process import in_a_fresh_process
from hypothesis import given, settings
from hypothesis import strategies as st
from increments import change, write_increment

from airflow_provider_ddbexport.core.decode import Item
from airflow_provider_ddbexport.core.decoder import DECODER_VARIABLE
from airflow_provider_ddbexport.core.export import Export
from airflow_provider_ddbexport.core.keys import key_bytes
from airflow_provider_ddbexport.core.merge import compact as compacting
from airflow_provider_ddbexport.core.merge import spill as spilling
from airflow_provider_ddbexport.core.merge.change_keys import KeyReader
from airflow_provider_ddbexport.core.merge.compact import Compacted, Increment
from airflow_provider_ddbexport.core.merge.staged import open_staged
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import BadCallError, DataFileError, ItemError, MergeConflictError

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
        table = pa.ipc.open_file(store.read(bucket.keys.key)).read_all()
        assert table.num_rows == bucket.changed
        assert table["key"].to_pylist() == sorted(table["key"].to_pylist())
        keys.update(zip(table["key"].to_pylist(), table["was_there"].to_pylist(), strict=True))
        for file, items in ((bucket.survivors, survivors), (bucket.before, before)):
            if file is not None:
                lines = gzip.decompress(store.read(file.key)).splitlines()
                assert len(lines) == file.item_count
                items += [json.loads(line)["Item"] for line in lines]
    return keys, survivors, before


def contents(store: LocalStore) -> dict[str, bytes]:
    return {entry.key: store.read(entry.key) for entry in store.list()}


def compact(root: LocalStore, exports: list[Export], store: LocalStore) -> Compacted:
    return compacting.compact([Increment(root, export) for export in exports], store)


def by_key(items: list[Item]) -> dict[bytes | None, Item]:
    return {key_bytes(item, ATTRIBUTES): item for item in items}


@pytest.mark.parametrize("keys_per_bucket", [1000, 5])
def test_the_last_write_of_each_key_survives(
    keys_per_bucket: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the key was before the first, in one bucket or several.

    The bytes are the same in whatever order files come, and without the compiled part.
    """
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

        turned = [replace(export, files=export.files[::-1]) for export in exports]
        for decoder in ("compiled", "reference"):
            other = LocalStore(tmp_path / f"{decoder}-{case}")
            with monkeypatch.context() as patched:
                patched.setenv(DECODER_VARIABLE, decoder)
                assert compact(root, turned, other) == compacted
            assert contents(other) == contents(store)


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


def test_increments_have_to_agree_on_what_is_between_them(tmp_path: Path) -> None:
    """An item is, where a window begins, what the one before has left; told by its value and not by its text."""
    one, other = ({**key(1), "v": {"N": text}} for text in ("1", "2"))
    same = {"v": {"N": "1.0"}, **key(1)}
    cases = [([one, same], 0), ([one, other], 1), ([one, None], 1), ([None, other], 1), ([None, None], 0)]
    root, store = LocalStore(tmp_path / "AWSDynamoDB"), LocalStore(tmp_path / "staged")
    for case, ((left, found), items) in enumerate(cases):
        lines = [change(1, key(1), key(1), left), change(2, key(1), found, key(1))]
        exports = [write_increment(tmp_path, [line], window=10 * case + n) for n, line in enumerate(lines)]
        # Nobody knows what was written between windows that are apart.
        later = write_increment(tmp_path, [lines[1]], window=10 * case + 5)
        assert compact(root, [exports[0], later], store).changed == 1
        if not items:
            assert compact(root, exports, store).changed == 1
            continue
        with pytest.raises(MergeConflictError, match="1 items are not, where an increment begins") as caught:
            compact(root, exports, store)
        assert caught.value.context["items"] == items


def test_lines_of_one_time_have_an_order_of_their_own(tmp_path: Path) -> None:
    """Whatever the order in which they are read, even where an export contradicts itself."""
    lines = [change(1, key(1), {**key(1), "v": {"N": str(n)}}, {**key(1), "v": {"N": str(10 + n)}}) for n in range(4)]
    found = []
    for window, order in enumerate((lines, lines[::-1], lines[2:] + lines[:2])):
        made = write_increment(tmp_path, order, window=window, files=1)
        store = LocalStore(tmp_path / f"staged-{window}")
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store)
        found.append(contents(store))
    assert found[0] == found[1] == found[2]


def compact_and_open(folder: Path, count: int) -> Callable[[], None]:
    """Return what compacts an increment of *count* changes and opens what they come to."""
    folder.mkdir()
    lines = [change(1, key(n), {**key(n), "v": {"S": "x" * 500}}, key(n)) for n in range(count)]
    made, store = write_increment(folder, lines, files=count // 500), LocalStore(folder / "staged")

    def work() -> None:
        compacted = compact(LocalStore(folder / "AWSDynamoDB"), [made], store)
        changes = open_staged(store, compacted, folder)
        assert len(compacted.buckets) == -(-count // 1000)
        assert len(changes.keys.places(pa.array([key_bytes(key(7), ATTRIBUTES)], pa.binary()))[0])

    return work


def peak_bytes(work: Callable[[], None]) -> int:
    """Return the most memory that Python objects took while *work* ran, and what Arrow's buffers took afterwards."""
    tracemalloc.start()
    taken = pa.total_allocated_bytes()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - taken
    finally:
        tracemalloc.stop()


def measure(folder: Path, decoder: str) -> tuple[int, int]:
    """Return the peaks for 3,000 changes and for 12,000."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DECODER_VARIABLE, decoder)
        patch.setattr(compacting, "KEYS_PER_BUCKET", 1000)
        patch.setattr(spilling, "WAITING_BYTES", 1 << 16)
        # It imports what they need.
        compact_and_open(folder / "few", 500)()
        small = peak_bytes(compact_and_open(folder / "small", 3_000))
        large = peak_bytes(compact_and_open(folder / "large", 12_000))
    return small, large


@pytest.mark.parametrize("decoder", ["compiled", "reference"])
def test_memory_does_not_grow_with_the_increment(decoder: str, tmp_path: Path) -> None:
    """Neither to compact four times as many changes, nor to open what they come to; what C holds is not seen here."""
    small, large = in_a_fresh_process(measure, tmp_path, decoder)
    assert large < 1.2 * small


keys_of_tables = st.fixed_dictionaries(
    {
        "Book": st.one_of(
            st.fixed_dictionaries({"S": st.text(st.characters(exclude_categories=["Cs"]), min_size=1)}),
            st.fixed_dictionaries({"N": st.sampled_from(["0", "-0", "-7", "12", "12.0", "1E3", "9" * 18, "9" * 19])}),
            st.fixed_dictionaries({"B": st.binary(min_size=1).map(lambda value: base64.b64encode(value).decode())}),
        )
    },
    optional={'ü "x"': st.fixed_dictionaries({"S": st.text(st.characters(codec="ascii"), min_size=1)})},
)


@settings(max_examples=200, database=None)
@given(item=keys_of_tables, spaces=st.booleans(), is_ascii=st.booleans(), turned=st.booleans())
def test_keys_are_read_the_same_however_they_are_written(
    item: Item, spaces: bool, is_ascii: bool, turned: bool
) -> None:
    """The usual spelling is read fast, and comes to the same as any other; an image has it or has not."""
    attributes = tuple(sorted(item))
    reader = KeyReader()
    reader.read(json.dumps({name: {"S": "first"} for name in attributes}).encode())
    ordered = {name: item[name] for name in (attributes[::-1] if turned else attributes)}
    text = json.dumps(ordered, separators=None if spaces else (",", ":"), ensure_ascii=is_ascii).encode()
    key = key_bytes(item, attributes)
    assert key is not None
    assert reader.read(text) == key
    image = json.dumps({"m": {"M": {**item, "Book": {"S": "other"}}}, **item}).encode()
    assert reader.is_of(image, key, text)
    for other in ({**item, "Book": {"S": "an other"}}, {}, {"m": {"M": item}}):
        assert not reader.is_of(json.dumps(other).encode(), key, text) or key_bytes(other, attributes) == key


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
        (change(1 << 63, key(1), None, key(1)), "expected a change"),
        (change(1, {"User": {"S": "a"}}, None, {}), "Book, User as in the first change, found User"),
        (change(1, {"User": {"S": "a"}, "Book": {"BOOL": "x"}}, None, {}), "BOOL"),
        (change(1, {"User": {"S": "a"}, "Book": {"N": "x"}}, None, {}), "not decimal digits"),
        (change(1, key(1), {"v": {"N": "x"}}, key(1)), "not decimal digits"),
        (change(1, key(1), key(1), {"v": {"X": "x"}}), "a type that DynamoDB does not have"),
        (change(1, key(1), key(1), key(2)), "NewImage with the attributes of Keys"),
        (change(1, key(1), key(1), {"User": {"S": "u1"}}), "NewImage with the attributes of Keys"),
        (change(1, key(1), key(1), {"v": {"M": key(1)}}), "NewImage with the attributes of Keys"),
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


@pytest.mark.parametrize("decoder", ["compiled", "reference"])
def test_the_first_line_that_is_no_change_is_the_one_that_is_named(
    decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, and with those behind it."""
    monkeypatch.setenv(DECODER_VARIABLE, decoder)
    wrong = [change(1, key(1), key(1), key(2)), change(1, key(1), {"v": {"N": "x"}}, None), b"{}"]
    for first in range(3):
        lines = [change(1, key(9), key(9), None), *wrong[first:], *wrong[:first]]
        made = write_increment(tmp_path, lines, window=first, files=1)
        with pytest.raises(ItemError) as caught:
            compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], LocalStore(tmp_path / "staged"))
        assert caught.value.context["line"] == 2


def test_keys_may_be_longer_than_those_of_any_table(tmp_path: Path) -> None:
    """What DynamoDB allows today is not for a reader to say."""
    keys = {"Book": {"S": "x" * 70_000}}
    store = LocalStore(tmp_path / "staged")
    made = write_increment(tmp_path, [change(1, keys, None, keys)])
    _, survivors, _ = staged(store, compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store))
    assert survivors == [keys]


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    """Nothing that was not verified is staged."""
    made = write_increment(tmp_path, [change(1, key(n), None, key(n)) for n in range(9)])
    path = next((tmp_path / "AWSDynamoDB" / "data").iterdir())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"u", b"v")))
    store = LocalStore(tmp_path / "staged")
    with pytest.raises(DataFileError, match="md5 expected"):
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [made], store)
    assert list(store.list()) == []


def test_lines_that_no_manifest_counts_are_found(tmp_path: Path) -> None:
    """In an increment that says it has no changes, too."""
    made = write_increment(tmp_path, [change(1, key(1), None, key(1))], files=1)
    (file,) = made.files
    summary = replace(made.summary, item_count=0)
    counted = replace(made, summary=summary, files=(replace(file, item_count=0),))
    store = LocalStore(tmp_path / "staged")
    with pytest.raises(DataFileError, match="item count expected 0, found 1"):
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [counted], store)
    assert list(store.list()) == []


def test_a_full_export_is_no_increment(tmp_path: Path) -> None:
    """It is refused before anything is read."""
    made = write_increment(tmp_path, [])
    other: Export = replace(made, summary=replace(made.summary, export_type="FULL_EXPORT"))  # type: ignore[arg-type]
    with pytest.raises(BadCallError, match="holds items, not changes"):
        compact(LocalStore(tmp_path / "AWSDynamoDB"), [other], LocalStore(tmp_path / "staged"))
