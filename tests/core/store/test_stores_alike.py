"""What holds for every store, local or S3."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_ddbexport.core.store import LocalStore, ObjectInfo, ObjectStore, S3Store
from airflow_provider_ddbexport.errors import BadCallError, ObjectExistsError, ObjectNotFoundError


@pytest.fixture(params=["local", "s3 root", "s3 folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(tmp_path / "lake")
    s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
    return S3Store(s3, bucket, "" if request.param == "s3 root" else "some/lake")


def test_what_was_written_is_read(store: ObjectStore) -> None:
    """write() then read() and stream() give the bytes, a second write replaces them."""
    store.write("t/part", b"first")
    store.write("t/part", b"second" * 1000)

    assert store.read("t/part") == b"second" * 1000
    chunks = list(store.stream("t/part", chunk_bytes=100))
    assert b"".join(chunks) == b"second" * 1000
    assert max(map(len, chunks)) <= 100


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """Zero bytes are written, read, listed and found."""
    store.write("_started", b"")

    assert store.read("_started") == b""
    assert store.exists("_started")
    assert list(store.list()) == [ObjectInfo("_started", 0)]


def test_an_object_is_opened_as_a_local_file(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open() gives all of it, to be read anywhere, also after it was replaced or deleted; and leaves nothing behind."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    store.write("t/part", b"PAR1" * 500_000 + b"end")
    with store.open("t/part") as file, store.open("t/part") as other:
        store.write("t/part", b"another")
        store.delete("t/part")
        assert file.seek(-5, os.SEEK_END) == 1_999_998
        assert file.read() == b"R1end"
        assert other.read() == b"PAR1" * 500_000 + b"end"
        assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(ObjectNotFoundError, match=re.escape(store.uri_of("t/part"))):
        store.open("t/part")


def test_a_file_is_moved_in(store: ObjectStore, tmp_path: Path) -> None:
    """move_file() gives the object the file's bytes, also those after will_move(), and the file is gone."""
    store.write("t/part.parquet", b"older")
    source = tmp_path / "part.parquet"
    source.write_bytes(b"PAR1" * 25_000)
    store.will_move(source)
    with source.open("ab") as file:
        file.write(b"PAR1" * 25_000)
    store.move_file("t/part.parquet", source)

    assert store.read("t/part.parquet") == b"PAR1" * 50_000
    assert not source.exists()


def test_an_object_is_copied_while_it_is_open(store: ObjectStore) -> None:
    """copy() gives the other key its bytes, whatever was there, also twice; either may go, and the other stays."""
    store.write("t/a/part", b"PAR1" * 50_000)
    store.write("t/b/part", b"older")
    for _ in range(2):
        with store.open("t/a/part") as opened:
            assert opened.read(4) == b"PAR1"
            store.copy("t/a/part", "t/b/part", opened)
        assert list(store.list()) == [ObjectInfo("t/a/part", 200_000), ObjectInfo("t/b/part", 200_000)]
    store.write("t/a/part", b"another")
    assert store.read("t/b/part") == b"PAR1" * 50_000
    with store.open("t/b/part") as opened:
        store.copy("t/b/part", "t/c/part", opened)
    store.delete("t/b/part")
    assert store.read("t/c/part") == b"PAR1" * 50_000


def test_reading_what_is_absent_says_so(store: ObjectStore) -> None:
    """read() and stream() raise ObjectNotFoundError with the address; exists() is False."""
    for key in ("nothing", "no/thing"):
        with pytest.raises(ObjectNotFoundError) as caught:
            store.read(key)
        assert store.uri_of(key) in str(caught.value)
        assert not store.exists(key)
    with pytest.raises(ObjectNotFoundError):
        next(iter(store.stream("nothing")))


def test_values_of_partitions_are_not_told(store: ObjectStore) -> None:
    """Errors name a part without the values of the partitions it is in, which are items', nor have they a cause."""
    key = "ddb_export_timestamp=20260114T101850Z/email=jane%40example.org/city=Lyon/part-00000-0a1b2c3d.parquet"

    with pytest.raises(ObjectNotFoundError) as missing:
        store.read(key)
    store.create(key, b"one")
    with pytest.raises(ObjectExistsError) as there:
        store.create(key, b"another")

    shown = "ddb_export_timestamp=20260114T101850Z/email=…/city=…/part-00000-0a1b2c3d.parquet"
    for error in (missing.value, there.value):
        assert error.context["uri"] == f"{store.uri}/{shown}"
        assert str(error).startswith(f"{store.uri}/{shown}: ")
        assert "jane" not in "".join(traceback.format_exception(error))


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    """The name of a folder neither exists nor can be read."""
    store.write("t/a", b"x")

    assert not store.exists("t")
    with pytest.raises(ObjectNotFoundError):
        store.read("t")


def test_create_makes_an_object_once(store: ObjectStore) -> None:
    """A second create with other bytes is refused and changes nothing; with the same bytes it is as good as done."""
    store.create("_snapshots/1.json", b"one")
    store.create("_snapshots/1.json", b"one")
    with pytest.raises(ObjectExistsError) as caught:
        store.create("_snapshots/1.json", b"two")

    assert store.uri_of("_snapshots/1.json") in str(caught.value)
    assert store.read("_snapshots/1.json") == b"one"


def test_delete_is_repeatable(store: ObjectStore) -> None:
    """Deleting makes it absent; deleting what is absent is fine."""
    store.write("t/a", b"x")
    store.delete("t/a")
    store.delete("t/a")
    store.delete("never/there")

    assert not store.exists("t/a")
    assert list(store.list()) == []


def test_listing_is_in_key_order_at_any_depth(store: ObjectStore) -> None:
    """list() gives keys in the order of their bytes, which is not the order of a folder walk."""
    keys = ["a-b/1", "a/b/1", "a/b0", "a.txt", "a/é", "b", "a0"]
    for key in keys:
        store.write(key, key.encode())

    expected = [ObjectInfo(key, len(key.encode())) for key in sorted(keys, key=str.encode)]
    assert list(store.list()) == expected
    assert [info.key for info in store.list("a")] == ["a/b/1", "a/b0", "a/é"]
    assert [info.key for info in store.list("a/")] == ["a/b/1", "a/b0", "a/é"]
    assert list(store.list("nothing")) == []


def test_a_child_is_the_same_store_seen_from_a_folder(store: ObjectStore) -> None:
    """Keys of a child are relative to it, its addresses are the parent's."""
    child = store.child("table/x")
    child.write("_snapshots/1", b"x")

    assert store.read("table/x/_snapshots/1") == b"x"
    assert [info.key for info in child.list()] == ["_snapshots/1"]
    assert child.uri == store.uri_of("table/x")
    assert child.uri_of("k") == store.uri_of("table/x/k")
    assert store.child("").uri == store.uri


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a/../../x", "a/..", "./a", "a\0b"])
def test_a_key_cannot_leave_its_store(store: ObjectStore, key: str) -> None:
    """Keys that are absolute, empty or have dots for folders are refused before anything happens."""
    for operation in (store.read, store.delete, store.exists, store.uri_of):
        with pytest.raises(BadCallError):
            operation(key)
    for write in (store.write, store.create):
        with pytest.raises(BadCallError):
            write(key, b"x")
    if key:
        with pytest.raises(BadCallError):
            store.child(key)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(st.lists(st.text("ab-.0é", min_size=1, max_size=2), min_size=1, max_size=3).map("/".join)))
def test_a_local_listing_has_the_order_of_s3(keys: set[str], tmp_path_factory: Any) -> None:
    """Whatever the names, files come in the byte order of their keys."""
    store = LocalStore(tmp_path_factory.mktemp("order"))
    written = set()
    for key in sorted(keys):
        is_dotted = any(name in {".", ".."} for name in key.split("/"))
        is_nested = any(key.startswith(f"{other}/") or other.startswith(f"{key}/") for other in written)
        if not is_dotted and not is_nested:
            store.write(key, b"")
            written.add(key)

    assert [info.key for info in store.list()] == sorted(written, key=str.encode)
