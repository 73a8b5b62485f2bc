"""Parts go into the store several at once, and what goes wrong there is not lost."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from random import Random
from typing import ClassVar

import pyarrow.parquet as pq
import pytest
from snapshot_exports import in_order, items_of, parts_below, write_export

from airflow_provider_ddbexport.core.columns import ColumnOptions
from airflow_provider_ddbexport.core.snapshot import Ledger, convert_export, parquet_part, parts
from airflow_provider_ddbexport.core.snapshot import deliveries as delivering
from airflow_provider_ddbexport.core.snapshot.deliveries import AT_ONCE, Deliveries
from airflow_provider_ddbexport.core.store import LocalStore
from airflow_provider_ddbexport.errors import StorageError

PATIENCE_S = 600


def test_as_many_are_under_way_as_may_be() -> None:
    """Each waits for the others, so that they end only together."""
    together = threading.Barrier(AT_ONCE)
    with Deliveries(1000) as deliveries:
        for _ in range(3 * AT_ONCE):
            deliveries.do(1, lambda: together.wait(PATIENCE_S) and None)
        deliveries.wait()


def test_all_workers_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the client would make connections that it uses once."""
    monkeypatch.setattr(delivering, "_room", threading.Semaphore(2))
    pairs = threading.Barrier(2)
    counting = threading.Lock()
    under_way, most = 0, 0

    def deliver() -> None:
        nonlocal under_way, most
        with counting:
            under_way += 1
            most = max(most, under_way)
        pairs.wait(PATIENCE_S)
        with counting:
            under_way -= 1

    with Deliveries(1000) as one, Deliveries(1000) as other, Deliveries(1000) as third:
        for _ in range(20):
            # An even number, all of them under way before one is waited for: none is left without its pair.
            for worker in (one, other, third):
                for _ in range(AT_ONCE):
                    worker.do(1, deliver)
            for worker in (one, other, third):
                worker.wait()
    assert most == 2


def test_local_files_do_not_pile_up() -> None:
    """What is not delivered yet has at most so many bytes, or is one."""
    random = Random(1)
    left: dict[int, int] = {}
    waited_for = 0
    with Deliveries(100) as deliveries:
        for number in range(300):
            left[number] = random.choice([1, 30, 60, 150])
            before = len(left)
            deliveries.do(left[number], functools.partial(left.pop, number))  # type: ignore[arg-type]
            waited_for += len(left) < before
            sizes = list(left.values())
            assert sum(sizes) <= 100 or len(sizes) == 1
        deliveries.wait()
    assert not left
    assert waited_for


def test_what_one_raises_is_raised() -> None:
    """By the delivery that has to wait for it, or by waiting for all."""

    def fail() -> None:
        raise StorageError("writing failed")

    for raised_by in ("do", "wait"):
        with Deliveries(1) as deliveries:
            deliveries.do(1, fail)
            with pytest.raises(StorageError):
                deliveries.do(1, lambda: None) if raised_by == "do" else deliveries.wait()


class Meeting(LocalStore):
    """A store to which parts are written two at a time, or not at all."""

    together = threading.Barrier(2)
    counting = threading.Lock()
    met = 0

    def child(self, folder: str) -> Meeting:
        return Meeting(self.root / folder)

    def move_file(self, key: str, path: Path) -> None:
        if key.endswith(".parquet"):
            self.together.wait(PATIENCE_S)
            with self.counting:
                Meeting.met += 1
        super().move_file(key, path)


class Told(LocalStore):
    """A store that notes what it is told of parts under way."""

    told: ClassVar[list[tuple[Path, int]]] = []

    def child(self, folder: str) -> Told:
        return Told(self.root / folder)

    def will_move(self, path: Path) -> None:
        self.told.append((path, path.stat().st_size))
        super().will_move(path)


@pytest.mark.parametrize("sort_by", [(), ("id",)], ids=["as they come", "sorted"])
def test_a_store_is_told_of_every_large_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sort_by: tuple[str, ...]
) -> None:
    """While the part is under way: all but its last bytes are on their way to the disk when it is whole."""
    monkeypatch.setattr(parts, "ROW_GROUP_BYTES", 100_000)
    monkeypatch.setattr(parquet_part, "_GROWN_BYTES", 100)
    Told.told.clear()
    large = [{"id": {"N": str(number)}, "t": {"S": Random(number).randbytes(300).hex()}} for number in range(900)]
    record = convert_export(*write_export(tmp_path, large, files=1), Told(tmp_path / "lake"), sort_by=sort_by)
    (part,) = record.parts
    (path,), sizes = {path for path, _ in Told.told}, [size for _, size in Told.told]
    assert not path.exists()
    assert len(sizes) == pq.read_metadata(tmp_path / "lake/reviews" / part.key).num_row_groups > 2
    assert sizes == sorted(set(sizes))
    assert 0.8 * part.size < sizes[-1] < part.size


class Full(LocalStore):
    """A store that has no room for one of the parts."""

    refused = 0

    def child(self, folder: str) -> Full:
        return Full(self.root / folder)

    def move_file(self, key: str, path: Path) -> None:
        if "kind=3" in key:
            Full.refused += 1
            raise StorageError("no space left")
        super().move_file(key, path)


ITEMS = [{"id": {"N": str(number)}, "Kind": {"S": str(number % 6)}} for number in range(60)]
BY_KIND = ColumnOptions(partition_by=("Kind",))


def test_a_shards_parts_are_stored_at_the_same_time(tmp_path: Path) -> None:
    """By one worker: most of a small part's time is waiting for the store."""
    lake = Meeting(tmp_path / "lake")
    record = convert_export(*write_export(tmp_path, ITEMS, files=1), lake, options=BY_KIND)
    assert len(record.parts) == Meeting.met == 6
    assert in_order(items_of(lake)) == in_order(ITEMS)


def test_a_part_that_cannot_be_stored_fails_the_shard(tmp_path: Path) -> None:
    """Nothing is published, and a run after it gives the same as if nothing had happened."""
    export = write_export(tmp_path, ITEMS, files=1)
    with pytest.raises(StorageError):
        convert_export(*export, Full(tmp_path / "lake"), options=BY_KIND)
    assert Full.refused == 1
    lake = LocalStore(tmp_path / "lake")
    assert Ledger(lake.child("reviews")).latest() is None
    record = convert_export(*export, lake, options=BY_KIND)
    assert {part.key for part in record.parts} == parts_below(lake)
    assert record.parts == convert_export(*export, LocalStore(tmp_path / "other"), options=BY_KIND).parts
