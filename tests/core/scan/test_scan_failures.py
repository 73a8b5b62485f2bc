"""What is said of scans that end before their end, and what they leave behind."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from page_table import MortalStore, PageTable

from airflow_provider_ddbexport.core.export import read_export, verify_export
from airflow_provider_ddbexport.core.scan import (
    GroupLimits,
    Resumption,
    ScanPage,
    ScanRequest,
    ScanSettings,
    plan_scan,
    scan_backup,
    scan_shard,
)
from airflow_provider_ddbexport.core.scan.to_parquet import scan_to_parquet
from airflow_provider_ddbexport.core.store import ObjectInfo
from airflow_provider_ddbexport.errors import (
    AccessError,
    ManifestError,
    ScanStoppedError,
    StorageDeadlineError,
    StorageError,
    TableNotFoundError,
)

JOB = Resumption("daily Reviews")
ITEMS = 30


def back_up(table: PageTable, store: MortalStore, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"table_name": "Reviews", "bucket": "b", "segments": 4, "limits": GroupLimits(pages=1)}
    return scan_backup(table, store, **{**arguments, "workers": 2, "resumption": JOB, **changes})


class RefusingTable(PageTable):
    """Answers some pages, and then refuses with *code*."""

    def __init__(self, items: int, code: str) -> None:
        super().__init__(items)
        self.code = code

    def scan(self, **request: Any) -> dict[str, Any]:
        if self.scanned >= 9:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "Scan")
        return super().scan(**request)


def test_a_full_disk_is_told_with_what_a_scan_needs_and_where() -> None:
    """It can be gone on with once there is room."""
    table, store, full = PageTable(ITEMS), MortalStore({}), [True]

    def no_room(_: ScanPage) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    limits = GroupLimits(file_bytes=24_000_000)
    with pytest.raises(StorageError, match=r"the disk is full; up to 24 MB .* each of 2 workers; .*TMPDIR") as caught:
        back_up(table, store, on_page=no_room, limits=limits)
    assert tempfile.gettempdir() in str(caught.value)
    full[0] = False
    assert back_up(table, store, on_page=no_room).summary.item_count == ITEMS


def test_a_table_that_is_deleted_while_it_is_scanned_is_told_as_that() -> None:
    """Its name was right, and so was the region."""
    with pytest.raises(TableNotFoundError, match="was deleted while it was scanned") as caught:
        back_up(RefusingTable(ITEMS, "ResourceNotFoundException"), MortalStore({}))
    assert caught.value.context["code"] == "ResourceNotFoundException"


def test_the_first_failure_is_told_and_not_that_of_the_checkpoint_after_it(caplog: pytest.LogCaptureFixture) -> None:
    """Credentials that have expired are no good for writing either."""

    class ExpiredStore(MortalStore):
        def child(self, folder: str) -> ExpiredStore:
            return ExpiredStore(self.objects, folder=f"{self.folder}{folder}/")

        def exists(self, key: str) -> bool:
            if table.scanned >= 9:
                raise StorageDeadlineError(f"{key}: HTTP 400")
            return super().exists(key)

    table = RefusingTable(ITEMS, "ExpiredTokenException")
    with pytest.raises(AccessError, match="ExpiredTokenException"):
        back_up(table, ExpiredStore({}), workers=1, segments=1, limits=GroupLimits())
    assert "read again by the next run: " in caplog.text


def test_a_backup_that_may_be_whole_is_not_removed() -> None:
    """Where its manifests are written and the store fails on the tidying after it, in a call that cannot be resumed."""

    class FailingStore(MortalStore):
        def child(self, folder: str) -> FailingStore:
            return FailingStore(self.objects, folder=f"{self.folder}{folder}/")

        def list(self, folder: str = "") -> Iterator[ObjectInfo]:
            if folder.endswith("/data"):
                raise StorageDeadlineError(f"{folder}: HTTP 503")
            return super().list(folder)

    objects: dict[str, bytes] = {}
    with pytest.raises(StorageDeadlineError):
        back_up(PageTable(ITEMS), FailingStore(objects), resumption=None)
    root = MortalStore(objects, folder="AWSDynamoDB/")
    (export_id,) = {key.split("/")[1] for key in objects}
    export = read_export(root, export_id)
    verify_export(root, export)
    assert export.summary.item_count == ITEMS


def test_a_damaged_scan_is_begun_anew_as_its_error_says() -> None:
    """Where nobody can pass an option, deleting what names the scan is enough."""
    store, table, request, stop = MortalStore({}), PageTable(ITEMS), ScanRequest("Reviews"), threading.Event()
    plan = plan_scan(table, store, request, bucket="b", segments=4, resumption=JOB)
    settings = ScanSettings(limits=GroupLimits(pages=1), stop=stop, on_page=lambda _: stop.set())
    with pytest.raises(ScanStoppedError, match=r"scanning table Reviews: asked to stop; .* --resume"):
        scan_shard(table, store, plan, request, settings=settings)
    (run,) = [key for key in store.objects if key.endswith("run-0001.json")]
    store.objects[run] = b"{"
    with pytest.raises(ManifestError, match="deleting the file under _scans/ that names this one"):
        back_up(PageTable(ITEMS), store)
    (pointer,) = [key for key in store.objects if "/_scans/" in key]
    del store.objects[pointer]
    assert back_up(PageTable(ITEMS), store).summary.item_count == ITEMS


def test_publishing_ends_when_asked_to_and_is_gone_on_with_without_reading_again() -> None:
    """It says how far it is; nothing is published before all of it is done."""
    lake, table, told = MortalStore({}), PageTable(ITEMS), []
    stop = threading.Event()

    def on_publish(done: int, groups: int) -> None:
        told.append((done, groups))
        if done == 3:
            stop.set()

    def scan(**changes: Any) -> Any:
        settings = ScanSettings(workers=2, limits=GroupLimits(pages=1), **changes)
        return scan_to_parquet(table, lake, ScanRequest("Reviews"), segments=4, resumption=JOB, settings=settings)

    with pytest.raises(ScanStoppedError, match=r"4 of \d+ groups of pages .* nothing is published"):
        scan(stop=stop, on_publish=on_publish)
    # Told 0 again and again while the records of the groups are read.
    assert [done for done, _ in itertools.groupby(told)] == [(done, told[0][1]) for done in range(4)]
    assert not [key for key in lake.objects if "_snapshots/" in key]
    assert scan().rows == ITEMS
    assert table.scanned == ITEMS
